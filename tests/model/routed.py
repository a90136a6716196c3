"""Devices as a way to workloads, the obvious way. Same names as fastpath.routed."""

import numpy as np

from fastpath import gwlb
from fastpath.action import DropReason
from fastpath.batch import HEADROOM_BYTES
from model.packetio import chosen

HEADER = 40
WAYS = 16


class RoutedPort:
    """fastpath.routed.RoutedPort."""

    def __init__(self, ways):
        self._ways = [(device, int(endpoint)) for device, endpoint in ways]
        if not 1 <= len(self._ways) <= WAYS:
            raise ValueError("ways must be 1 to 16")
        if len({endpoint for _, endpoint in self._ways}) != len(self._ways):
            raise ValueError("ways must not name an endpoint twice")

    @property
    def devices(self):
        return tuple(device for device, _ in self._ways)

    def recv(self, batch):
        for device, endpoint in self._ways:
            if not device.recv(batch):
                continue
            self._ways.append(self._ways.pop(self._ways.index((device, endpoint))))
            for row in range(batch.count):
                version = 6 if batch.data[row, HEADROOM_BYTES] >> 4 == 6 else 4
                header = gwlb.header(endpoint, 0, 0, version)
                batch.data[row, HEADROOM_BYTES - HEADER : HEADROOM_BYTES] = list(header)
                batch.start[row] -= HEADER
                batch.length[row] += HEADER
                batch.peer_address[row] = batch.peer_port[row] = 0
            return batch.count
        return 0

    def send(self, batch, rows=None):
        left = 0
        for row in chosen(batch, rows):
            frame = batch.frame(row)
            device = self._device_of(frame)
            if device is None:
                batch.reason[row] = DropReason.DROP_IO_SEND
                continue
            batch.inner_start[row] = batch.start[row] + HEADER
            batch.inner_length[row] = batch.length[row] - HEADER
            left += device.send(batch, np.array([row], np.uint16))
        return left

    def _device_of(self, frame):
        for device, endpoint in self._ways:
            if len(frame) > HEADER and frame[8:20] == gwlb.header(endpoint, 0, 0, 4)[8:20]:
                return device
        return None

    def close(self):
        for device, _ in self._ways:
            device.close()

