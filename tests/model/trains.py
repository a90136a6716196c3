"""Coupling packets of one TCP stream, the obvious way: a list of trains, the newest of each stream open."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from model.checksum import checksum

LIMIT = 65000
DONT_FRAGMENT = 0x4000


@dataclass
class Car:
    """A packet that could be coupled."""

    packet: bytes
    l4: int
    header: int

    @property
    def payload(self) -> bytes:
        return self.packet[self.header :]

    @property
    def sequence(self) -> int:
        return int.from_bytes(self.packet[self.l4 + 4 : self.l4 + 8])

    @property
    def flags(self) -> int:
        return self.packet[self.l4 + 13]

    @property
    def fixed(self) -> tuple[bytes, ...]:
        """What must be equal in a train."""
        p, t = self.packet, self.packet[self.l4 : self.header]
        ip = (p[:2], p[6:10], p[12:20]) if self.l4 == 20 else (p[:4], p[6:40])
        return (*ip, t[:4], t[8:13], bytes([t[13] & 0xF6]), t[14:16], t[18:])

    def is_sound(self) -> bool:
        """Whether the TCP checksum is right."""
        addresses = self.packet[12:20] if self.l4 == 20 else self.packet[8:40]
        return checksum(addresses + struct.pack("!HH", 6, len(self.packet) - self.l4) + self.packet[self.l4 :]) == 0


@dataclass
class Train:
    """Rows that leave as one packet."""

    rows: list[int]
    cars: list[Car] = field(default_factory=list)


def read(packet: bytes) -> Car | None:
    """The packet if it could be coupled."""
    if len(packet) < 40:
        return None
    if packet[0] == 0x45:
        l4 = 20
        if int.from_bytes(packet[2:4]) != len(packet) or int.from_bytes(packet[6:8]) & 0xBFFF or packet[9] != 6:
            return None
    elif packet[0] >> 4 == 6:
        l4 = 40
        if int.from_bytes(packet[4:6]) + 40 != len(packet) or packet[6] != 6 or len(packet) < 60:
            return None
    else:
        return None
    header = l4 + 4 * (packet[l4 + 12] >> 4)
    flags = packet[l4 + 13]
    if header < l4 + 20 or header >= len(packet) or packet[l4 + 12] & 15 or flags & 0xA6 or not flags & 0x10:
        return None
    return Car(packet, l4, header)


def slot_of(packet: bytes) -> int | None:
    """The slot of a packet's stream."""
    if len(packet) < 24:
        return None
    six = packet[0] >> 4 == 6
    l4, end = (40, 32) if six else (4 * (packet[0] & 15), 16)
    if len(packet) < l4 + 4 or packet[6 if six else 9] != 6:
        return None
    words = (int.from_bytes(packet[at : at + 4]) for at in (l4, end, end - 4))
    mixed = 0
    for word in words:
        mixed ^= word
    return (mixed * 0x9E3779B1 & 0xFFFFFFFF) >> 26


def follows(train: Train, car: Car) -> bool:
    """Whether a packet is the next one of a train."""
    if not train.cars:
        return False
    first, last = train.cars[0], train.cars[-1]
    size, count = len(first.payload), len(train.cars)
    if last.flags & 9 or len(last.payload) != size or len(car.payload) > size:
        return False
    if first.header != car.header or first.l4 != car.l4 or first.fixed != car.fixed:
        return False
    if car.sequence != (last.sequence + len(last.payload)) & 0xFFFFFFFF:
        return False
    if first.header + count * size + len(car.payload) > LIMIT:
        return False
    if car.l4 == 20 and not int.from_bytes(car.packet[6:8]) & DONT_FRAGMENT:
        wanted = int.from_bytes(first.packet[4:6]) + count
        if int.from_bytes(car.packet[4:6]) != wanted & 0xFFFF:
            return False
    return first.is_sound() and car.is_sound()


def join(packets: list[tuple[int, bytes]]) -> list[tuple[list[int], bytes, bytes]]:
    """(rows, header, packet) of every train of (row, packet) in order."""
    trains: list[Train] = []
    newest: dict[int, Train] = {}
    for row, packet in packets:
        car, slot = read(packet), slot_of(packet)
        if car is not None and slot in newest and follows(newest[slot], car):
            newest[slot].rows.append(row)
            newest[slot].cars.append(car)
            continue
        trains.append(Train([row], [] if car is None else [car]))
        if slot is not None:
            newest[slot] = trains[-1]
    by_row = dict(packets)
    return [written(train) if len(train.rows) > 1 else (train.rows, bytes(10), by_row[train.rows[0]]) for train in trains]


def written(train: Train) -> tuple[list[int], bytes, bytes]:
    """A train of several packets, as one."""
    first, last = train.cars[0], train.cars[-1]
    payload = b"".join(car.payload for car in train.cars)
    head = bytearray(first.packet[: first.header])
    n = first.header + len(payload)
    if first.l4 == 20:
        head[2:4], head[10:12] = n.to_bytes(2), b"\0\0"
        head[10:12] = checksum(bytes(head[:20])).to_bytes(2)
        addresses = bytes(head[12:20])
    else:
        head[4:6] = (n - 40).to_bytes(2)
        addresses = bytes(head[8:40])
    head[first.l4 + 13] |= last.flags & 9
    undone = checksum(addresses + struct.pack("!HH", 6, n - first.l4)) ^ 0xFFFF
    head[first.l4 + 16 : first.l4 + 18] = undone.to_bytes(2)
    kind = 1 if first.l4 == 20 else 4
    vnet = struct.pack("<BBHHHH", 1, kind, first.header, len(first.payload), first.l4, 16)
    return train.rows, vnet, bytes(head) + payload


def join_rows(batch, rows):
    """fastpath.trains.join_rows."""
    if len(rows) > 256:
        raise ValueError("rows must be at most 256")
    if len(rows) and int(rows.max()) >= batch.count:
        raise ValueError("rows must be in use")
    packets = []
    for row in rows.tolist():
        at, n = int(batch.inner_start[row]), int(batch.inner_length[row])
        if batch.reason[row] == 0 and n and at + n <= batch.room:
            packets.append((row, batch.data[row, at : at + n].tobytes()))
    return join(packets)
