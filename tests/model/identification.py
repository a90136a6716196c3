"""Another IPv4 identification for what may be in fragments: a counter for each source, destination and protocol."""

import itertools
from collections import defaultdict

import numpy as np

from model.arguments import Array, takes
from model.checksum import updated


class Identifications:
    def __init__(self, *, seed):
        if len(seed) != 32 or not any(seed):
            raise ValueError("seed must be 32 secret bytes, not zeros")
        self._counters = defaultdict(lambda: itertools.cycle(range(1, 1 << 16)))
        self._kept = {}        # of the datagrams of each table: what they have

    @takes(rows=Array(np.uint16), datagrams=Array(np.int32))
    def renew_rows(self, batch, rows, fragments, datagrams):
        if len(rows) != len(datagrams):
            raise ValueError("datagrams must have as many items as rows")
        if not all(row < batch.count for row in rows):
            raise ValueError("rows must be in use")
        if not all(-1 <= number < fragments.capacity for number in datagrams):
            raise ValueError("datagrams must be numbers of the table")
        for row, number in zip(rows, datagrams, strict=True):
            if not batch.reason[row] and batch.ip_version[row] == 4:
                at = int(batch.inner_start[row])
                packet = batch.data[row, at:at + int(batch.inner_length[row])]
                if int.from_bytes(packet[6:8].tobytes(), "big") & 0x7FFF != 0x4000:
                    self._renew(packet, int(number))

    def _renew(self, packet, number):
        made = self._kept.get(number) or next(self._counters[packet[12:20].tobytes(), int(packet[9])])
        if number >= 0:
            self._kept[number] = made
        total, old = (int.from_bytes(packet[at:at + 2].tobytes(), "big") for at in (10, 4))
        packet[10:12] = list(updated(total, old, made).to_bytes(2, "big"))
        packet[4:6] = list(made.to_bytes(2, "big"))
