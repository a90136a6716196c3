"""The load balancer's data path: packets from endpoints to targets in Geneve, and back.

One thread owns the batch, the flow table, the devices and the socket; it releases the GIL in every compiled
stage. The daemon's loop hands it a new `Choice` of targets and reads its counters; both are single
assignments. It opens nothing but what its settings name and checks no target. Source: AWS GWLB guide; RFC
8926.
"""

import logging
import os
import select
import threading
import time
from collections import Counter
from collections.abc import Callable
from random import Random

import numpy as np

from fastpath import flowkey, geneve, gwlb, packet
from fastpath.action import DropReason
from fastpath.batch import HEADROOM_BYTES, PacketBatch
from fastpath.packetio import Device, GeneveSocket
from zcc.errors import DeviceError, ListenError
from zcc.lab.emulator.flows import HEADER_BYTES, Flows
from zcc.lab.emulator.settings import EndpointSettings, GwlbSettings
from zcc.lab.emulator.targets import Choice

log = logging.getLogger(__name__)

_WAKE_S = 0.25
_HEADER_AT = HEADROOM_BYTES - HEADER_BYTES


class Forwarding:
    """The forwarding thread.

    Args:
        settings: of the load balancer.
        failed: called from the thread when it ends by an error.
    Raises:
        DeviceError: an endpoint's interface cannot be opened.
        ListenError: the Geneve port cannot be had.
    """

    def __init__(self, settings: GwlbSettings, failed: Callable[[], None]) -> None:
        self._failed = failed
        self._devices = [_open_endpoint(endpoint) for endpoint in settings.endpoints]
        self._socket = _open_socket(str(settings.listen))
        self._batch = PacketBatch()
        seed = os.urandom(32)
        self.flows = Flows(settings, flowkey.Secret(seed), Random(seed[::-1]))
        self.choice = Choice((), (), frozenset())
        self.dropped: Counter[str] = Counter()
        self.packets = np.zeros(
            (len(settings.endpoints), 2), np.uint64
        )  # by endpoint: to targets, from targets
        self.bytes = np.zeros((len(settings.endpoints), 2), np.uint64)
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="forwarding", daemon=True)

    def start(self) -> None:
        """Begin to forward."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close what it holds."""
        self._stopping = True
        self._thread.join()
        for device in self._devices:
            device.close()
        self._socket.close()

    def _run(self) -> None:
        try:
            with select.epoll() as poller:
                for index, device in enumerate(self._devices):
                    poller.register(device.fileno(), select.EPOLLIN)
                    log.info("endpoint %d on %s", index, device.name)
                poller.register(self._socket.fileno(), select.EPOLLIN)
                while not self._stopping:
                    self._turn(poller.poll(_WAKE_S))
        except Exception:
            log.exception("forwarding ended")
            self._failed()

    def _turn(self, ready: list[tuple[int, int]]) -> None:
        if self.choice.generation != self.flows.choice.generation:
            moved = self.flows.follow(self.choice)
            log.info("targets changed: %d eligible, %d flows moved", len(self.choice.eligible), moved)
        if not ready:
            self.flows.table.expire(time.monotonic_ns())
        descriptors = {descriptor for descriptor, _ in ready}
        for index, device in enumerate(self._devices):
            if device.fileno() in descriptors:
                self._to_targets(index, device)
        if self._socket.fileno() in descriptors:
            self._from_targets()

    def _to_targets(self, index: int, device: Device) -> None:
        batch = self._batch
        n = device.recv(batch)
        batch.namespace[:n] = index
        packet.parse_batch(batch)
        self._count_drops()
        rows = self.flows.steer(batch, time.monotonic_ns())
        if not len(rows):
            return
        flows = self.flows.paths[batch.entry[rows]]
        batch.data[rows, _HEADER_AT:HEADROOM_BYTES] = flows["header"][:, :HEADER_BYTES]
        batch.start[rows] = _HEADER_AT
        batch.length[rows] = batch.inner_length[rows] + HEADER_BYTES
        batch.peer_address[rows] = flows["peer_address"]
        batch.peer_port[rows] = flows["peer_port"]
        self.packets[index, 0] += len(rows)
        self.bytes[index, 0] += int(batch.inner_length[rows].sum())
        self.dropped["io_send"] += len(rows) - self._socket.send(batch, rows.astype(np.uint16))

    def _from_targets(self) -> None:
        batch = self._batch
        n = self._socket.recv(batch)
        geneve.decode_batch(batch)
        gwlb.decode_batch(batch)
        packet.parse_batch(batch)
        self._count_drops()
        rows = self.flows.admit(batch, time.monotonic_ns())
        endpoints = batch.namespace[:n][rows]
        for index, device in enumerate(self._devices):
            own = rows[endpoints == index]
            if len(own):
                self.packets[index, 1] += len(own)
                self.bytes[index, 1] += int(batch.inner_length[own].sum())
                self.dropped["io_send"] += len(own) - device.send(batch, own.astype(np.uint16))

    def _count_drops(self) -> None:
        reasons = self._batch.reason[: self._batch.count]
        if reasons.any():
            for reason in reasons[reasons != 0].tolist():
                self.dropped[DropReason(reason).name.removeprefix("DROP_").lower()] += 1


def _open_endpoint(endpoint: EndpointSettings) -> Device:
    mac = bytes.fromhex(endpoint.peer_mac.replace(":", "")) if endpoint.peer_mac else None
    try:
        return Device.veth(endpoint.interface, peer_mac=mac)
    except ValueError as error:
        raise DeviceError(f"endpoint interface {endpoint.interface}: {error}") from error
    except OSError as error:
        raise DeviceError(
            f"endpoint interface {endpoint.interface} cannot be opened: {error.strerror}. It must exist, and "
            "`zcc gwlb` needs CAP_NET_RAW: run it as root or in a user namespace"
        ) from error


def _open_socket(address: str) -> GeneveSocket:
    try:
        return GeneveSocket(address)
    except OSError as error:
        raise ListenError(
            f"Geneve at {address}:6081 cannot be had: {error.strerror}. The address must be this host's, "
            "free, and CAP_NET_RAW held"
        ) from error
