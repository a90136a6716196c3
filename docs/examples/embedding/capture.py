"""The IP packets of a classic pcap file, of Ethernet (with VLAN tags), raw IP, null and Linux cooked links."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

# Magic number to (byte order, nanoseconds of one unit of the second time field).
MAGIC = {
    b"\xd4\xc3\xb2\xa1": ("<", 1000),
    b"\xa1\xb2\xc3\xd4": (">", 1000),
    b"\x4d\x3c\xb2\xa1": ("<", 1),
    b"\xa1\xb2\x3c\x4d": (">", 1),
}
# Link type to (bytes of the link header, where its EtherType is; None: there is none).
LINKS = {0: (4, None), 1: (14, 12), 12: (0, None), 101: (0, None), 113: (16, 14), 228: (0, None), 229: (0, None)}
ETHERTYPES_IP = (0x0800, 0x86DD)
ETHERTYPES_VLAN = (0x8100, 0x88A8)
RECORD_MAX = 1 << 20  # larger than any packet: the file is damaged


class Packet(NamedTuple):
    """An IP packet; `size` is what it had on the wire, of which `data` may hold the beginning only."""

    time_ns: int
    data: bytes
    size: int


def read_capture(file: BinaryIO) -> Iterator[Packet]:
    """Yield the IP packets of a capture in file order; frames that hold something else are left out.

    Raises:
        ValueError: not a classic pcap file, a link type that is not known here, or a damaged record.
    """
    header = file.read(24)
    if len(header) < 24 or header[:4] not in MAGIC:
        raise ValueError("not a classic pcap file (for pcapng: editcap -F pcap IN OUT)")
    order, unit_ns = MAGIC[header[:4]]
    link = struct.unpack(order + "I", header[20:])[0] & 0xFFFF
    if link not in LINKS:
        raise ValueError(f"link type {link} is not one of {', '.join(map(str, LINKS))}")
    while record := file.read(16):
        if len(record) < 16:
            raise ValueError("the last record is cut off")
        seconds, fraction, there, size = struct.unpack(order + "IIII", record)
        if there > RECORD_MAX or size < there:
            raise ValueError(f"a record of {there} bytes of {size}: the file is damaged")
        data = file.read(there)
        if len(data) < there:
            raise ValueError("the last record is cut off")
        skip = ip_offset(data, link)
        if skip is not None:
            yield Packet(seconds * 1_000_000_000 + fraction * unit_ns, data[skip:], size - skip)


def ip_offset(frame: bytes, link: int) -> int | None:
    """Return where the IP packet of a frame begins; None if it holds none."""
    at, type_at = LINKS[link]
    if type_at is None:
        return at if len(frame) > at else None
    if len(frame) <= at:
        return None
    ethertype = int.from_bytes(frame[type_at : type_at + 2])
    while ethertype in ETHERTYPES_VLAN and len(frame) > at + 4:
        ethertype = int.from_bytes(frame[at + 2 : at + 4])
        at += 4
    return at if ethertype in ETHERTYPES_IP else None
