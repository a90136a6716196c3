"""Small IP packets for the emulator's tests: literal headers, no checksums (the emulator reads none)."""

import struct
from ipaddress import ip_address

SYN, ACK, FIN, RST = 0x02, 0x10, 0x01, 0x04


def tcp(source: str, source_port: int, destination: str, destination_port: int, flags: int) -> bytes:
    """Return a TCP segment without data in IPv4 or IPv6."""
    segment = struct.pack("!HHIIBBHHH", source_port, destination_port, 1, 1, 5 << 4, flags, 1000, 0, 0)
    return ip(source, destination, 6, segment)


def udp(
    source: str, source_port: int, destination: str, destination_port: int, data: bytes = b"hello"
) -> bytes:
    """Return a UDP datagram in IPv4 or IPv6."""
    return ip(
        source, destination, 17, struct.pack("!HHHH", source_port, destination_port, 8 + len(data), 0) + data
    )


def ip(source: str, destination: str, protocol: int, payload: bytes) -> bytes:
    """Put an IPv4 or IPv6 header in front."""
    start, end = ip_address(source), ip_address(destination)
    if start.version == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, protocol, 0)
    else:
        head = struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64)
    return head + start.packed + end.packed + payload
