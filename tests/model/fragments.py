"""Fragments that follow their first one, the obvious way: a dictionary of datagrams, a list of frames that wait."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastpath.action import DropReason

FRAGMENTS_MAX, HELD_OF_ONE = 64, 16
LIFE_NS, HELD_NS = 10_000_000_000, 1_000_000_000
DROPPED, HELD = -1, -2
CHAINED = {0, 43, 60, 51}


@dataclass
class Datagram:
    number: int
    until_ns: int
    flow: tuple = (-1, 0, 0)
    verdict: int = 0
    whole: int = 0
    seen: list = field(default_factory=list)


class FragmentTable:
    def __init__(self, capacity=4096, held=256, *, seed):
        if not 1 <= capacity <= 1 << 20:
            raise ValueError("capacity must be 1 to 2^20")
        if not 1 <= held <= 1 << 14:
            raise ValueError("held must be 1 to 2^14")
        if len(seed) != 32:
            raise ValueError("seed must be 32 bytes")
        self.capacity, self.held_capacity = capacity, held
        self.datagrams: dict[tuple, Datagram] = {}
        self.frames: list[list] = []         # [key of its datagram, origin, frame, peer, until]
        self.next = self.lost = 0

    @property
    def waiting(self):
        return len(self.frames)

    @property
    def ready(self):
        return sum(self._is_ready(frame) for frame in self.frames)

    def _is_ready(self, frame):
        return frame[5]

    def enter_one(self, batch, row_number, origin, now_ns, again=False):
        if not 0 <= row_number < batch.count or batch.reason[row_number] or not batch.fragment[row_number]:
            raise ValueError("row_number must be a live row with a fragment")
        if origin not in (0, 1, 2):
            raise ValueError("origin must be an Origin")
        begin = int(batch.inner_start[row_number])
        packet = batch.data[row_number, begin : begin + int(batch.inner_length[row_number])].tobytes()
        identification, first, length, more = span(packet)
        if length <= 0 or first + length > 0xFFFF or (more and length % 8):
            return drop(batch, row_number, DropReason.DROP_FRAGMENT_SHAPE)
        version = packet[0] >> 4
        key = (version, origin, int(batch.namespace[row_number]), batch.source[row_number].tobytes(),
               batch.destination[row_number].tobytes(), identification, packet[9] if version == 4 else 0)
        datagram = self._find(key, now_ns)
        if datagram.verdict:
            return drop(batch, row_number, datagram.verdict)
        if first and datagram.flow[0] < 0:
            return self._hold(batch, row_number, key, origin, now_ns)
        reason = note(datagram, first, first + length, more)
        if not reason or (reason == DropReason.DROP_FRAGMENT_DUPLICATE and again and datagram.flow[0] < 0):
            return datagram.number
        if reason != DropReason.DROP_FRAGMENT_DUPLICATE:
            datagram.verdict = reason
        return drop(batch, row_number, reason)

    def _find(self, key, now_ns):
        found = self.datagrams.get(key)
        if found is not None and now_ns > found.until_ns:
            del self.datagrams[key]
            found = None
        if found is None:
            for old in [old for old, datagram in self.datagrams.items() if datagram.number == self.next]:
                del self.datagrams[old]
            found = self.datagrams[key] = Datagram(self.next, now_ns + LIFE_NS)
            self.next = (self.next + 1) % self.capacity
        return found

    def _hold(self, batch, i, key, origin, now_ns):
        number = self.datagrams[key].number
        if sum(frame[0] == (number, key) for frame in self.frames) >= HELD_OF_ONE:
            return drop(batch, i, DropReason.DROP_FRAGMENT_ORPHAN)
        begin = int(batch.start[i])
        frame = batch.data[i, begin : begin + int(batch.length[i])].tobytes()
        peer = int(batch.peer_address[i]), int(batch.peer_port[i])
        self.frames.append([(number, key), origin, frame, peer, now_ns + HELD_NS, False])
        return HELD

    def settle_one(self, number, flow, flow_hash=0, direction=0, verdict=0):
        key, datagram = self._numbered(number)
        datagram.flow, datagram.verdict = (flow, flow_hash, direction), verdict
        for frame in self.frames:
            if frame[0] == (number, key):
                frame[5] = True

    def follow_one(self, number):
        key, datagram = self._numbered(number)
        if datagram.whole and sum(behind - first for first, behind in datagram.seen) == datagram.whole:
            del self.datagrams[key]
        return datagram.flow

    def _numbered(self, number):
        for key, datagram in self.datagrams.items():
            if datagram.number == number:
                return key, datagram
        raise ValueError(f"number: {number} is not a datagram")

    def release_rows(self, batch, origin):
        if origin not in (0, 1, 2):
            raise ValueError("origin must be an Origin")
        leaving = [frame for frame in self.frames if frame[5] and frame[1] == origin][: batch.capacity]
        self.frames = [frame for frame in self.frames if frame not in leaving]
        batch.count = len(leaving)
        for k, (_, _, frame, peer, _, _) in enumerate(leaving):
            batch.data[k, 128 : 128 + len(frame)] = list(frame)
            batch.start[k] = batch.inner_start[k] = 128
            batch.length[k] = batch.inner_length[k] = len(frame)
            batch.peer_address[k], batch.peer_port[k] = peer
            batch.reason[k] = 0
        return len(leaving)

    def sweep_held(self, now_ns):
        kept = [frame for frame in self.frames if now_ns <= frame[4]]
        lost, self.frames = len(self.frames) - len(kept), kept
        return lost


def span(packet):
    """(identification, first byte, length, more) of a fragment."""
    if packet[0] >> 4 == 4:
        word, header = int.from_bytes(packet[6:8]), 4 * (packet[0] & 15)
        return int.from_bytes(packet[4:6]), 8 * (word & 0x1FFF), len(packet) - header, bool(word & 0x2000)
    kind, at = packet[6], 40
    while kind in CHAINED:
        kind, at = packet[at], at + (4 * (packet[at + 1] + 2) if kind == 51 else 8 * (packet[at + 1] + 1))
    word = int.from_bytes(packet[at + 2 : at + 4])
    return int.from_bytes(packet[at + 4 : at + 8]), word & 0xFFF8, len(packet) - at - 8, bool(word & 1)


def note(datagram, first, behind, more):
    if (first, behind) in datagram.seen:
        return DropReason.DROP_FRAGMENT_DUPLICATE
    if any((first < end and begin < behind) or (not more and end > behind) for begin, end in datagram.seen):
        return DropReason.DROP_FRAGMENT_OVERLAP
    if datagram.whole and (behind > datagram.whole or not more):
        return DropReason.DROP_FRAGMENT_OVERLAP
    if len(datagram.seen) == FRAGMENTS_MAX:
        return DropReason.DROP_FRAGMENT_SHAPE
    datagram.seen.append((first, behind))
    datagram.whole = datagram.whole if more else behind
    return DropReason.DROP_NONE


def drop(batch, i, reason):
    batch.reason[i], batch.action[i] = reason, 3
    return DROPPED
