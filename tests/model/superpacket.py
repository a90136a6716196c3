"""Cutting a large segment, the obvious way: headers again and again, everything computed anew."""

from __future__ import annotations

import struct

from fastpath.action import DropReason
from fastpath.batch import HEADROOM_BYTES, PacketBatch
from model.checksum import checksum

NEEDS_CHECKSUM, ECN = 1, 0x80
TCP4, TCP6, UDP = 1, 4, 5


def cut(header: bytes, packet: bytes, room: int) -> list[tuple[int, bytes]]:
    """(reason, bytes) of every packet; `header` is struct virtio_net_hdr, and a packet has at most `room` bytes."""
    flags, kind, _, size, start, offset = struct.unpack("<BBHHHH", header)
    kind &= ~ECN
    if not packet:
        return []
    if kind == 0:
        return [single(flags, packet, start, start + offset, room)]
    ends = transport(flags, kind, size, start, packet)
    if ends is None:
        return [(DropReason.DROP_PACKET_HEADER_LENGTH, packet[:room])]
    if ends + size > room:
        return [(DropReason.DROP_IO_TRUNCATED, b"")]
    head, payload = packet[:ends], packet[ends:]
    parts = [payload[at : at + size] for at in range(0, len(payload), size)]
    return [(0, one(kind, head, start, k, k * size, part, k == len(parts) - 1)) for k, part in enumerate(parts)]


def single(flags: int, packet: bytes, start: int, at: int, room: int) -> tuple[int, bytes]:
    """A packet as it is, with its checksum done."""
    reason = DropReason.DROP_NONE
    if flags & NEEDS_CHECKSUM:
        if at + 2 > len(packet):
            reason = DropReason.DROP_PACKET_HEADER_LENGTH
        else:
            packet = packet[:at] + (checksum(packet[start:]) or 0xFFFF).to_bytes(2) + packet[at + 2 :]
    if len(packet) > room and not reason:
        reason = DropReason.DROP_IO_TRUNCATED
    return reason, packet[:room]


def transport(flags: int, kind: int, size: int, start: int, packet: bytes) -> int | None:
    """Where the headers end; None: kernel and packet do not agree."""
    version = packet[0] >> 4
    ip = 40 if version == 6 else 4 * (packet[0] & 15)
    if version not in ({TCP4: (4,), TCP6: (6,), UDP: (4, 6)}.get(kind, ())):
        return None
    if not flags & NEEDS_CHECKSUM or size == 0 or len(packet) > 65535:
        return None
    if ip < 20 or (version == 4 and start != ip) or start < ip or start + (8 if kind == UDP else 20) > len(packet):
        return None
    length = 8 if kind == UDP else 4 * (packet[start + 12] >> 4)
    if length < (8 if kind == UDP else 20) or start + length >= len(packet):
        return None
    return start + length


def one(kind: int, head: bytes, l4: int, number: int, at: int, payload: bytes, last: bool) -> bytes:
    """The packet of that number."""
    made = bytearray(head + payload)
    n = len(made) - l4
    if made[0] >> 4 == 4:
        made[2:4] = len(made).to_bytes(2)
        made[4:6] = ((int.from_bytes(made[4:6]) + number) & 0xFFFF).to_bytes(2)
        made[10:12] = b"\0\0"
        made[10:12] = checksum(bytes(made[:l4])).to_bytes(2)
        pseudo = bytes(made[12:20])
    else:
        made[4:6] = (len(made) - 40).to_bytes(2)
        pseudo = bytes(made[8:40])
    if kind == UDP:
        made[l4 + 4 : l4 + 6] = n.to_bytes(2)
    else:
        made[l4 + 4 : l4 + 8] = ((int.from_bytes(made[l4 + 4 : l4 + 8]) + at) & 0xFFFFFFFF).to_bytes(4)
        made[l4 + 13] &= (0xFF if last else 0xF6) & (0x7F if number else 0xFF)
    place, protocol = (6, 17) if kind == UDP else (16, 6)
    made[l4 + place : l4 + place + 2] = b"\0\0"
    found = checksum(pseudo + struct.pack("!HH", protocol, n) + bytes(made[l4:]))
    made[l4 + place : l4 + place + 2] = (found or (0xFFFF if kind == UDP else 0)).to_bytes(2)
    return bytes(made)


def cut_one(header: bytes, packet: bytes, batch: PacketBatch) -> int:
    """fastpath.superpacket.cut_one."""
    if len(header) != 10:
        raise ValueError(f"header must be 10 bytes, not {len(header)}")
    if len(packet) > 65535:
        raise ValueError("packet must be at most 65535 bytes")
    made = cut(bytes(header), bytes(packet), batch.room - HEADROOM_BYTES)[: batch.capacity]
    batch.load([data for _, data in made])
    for k, (reason, _) in enumerate(made):
        batch.reason[k] = reason
    return len(made)
