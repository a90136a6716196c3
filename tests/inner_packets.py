"""Inner packets for tests, with right checksums, by scapy; and what is in one."""

import logging
from typing import Any

logging.getLogger("scapy.runtime").setLevel(logging.ERROR)

from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment  # noqa: E402
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6  # noqa: E402
from scapy.packet import Raw  # noqa: E402

TCP_PORT, UDP_PORT, DNS_PORT = 5080, 5090, 5353       # listeners in the connector's kernel
WORKLOAD, WORKLOAD6 = "10.8.6.4", "fd00:8::6:4"


def ip(source: str, destination: str) -> Any:
    """An IP header of the family of its addresses."""
    return IPv6(src=source, dst=destination) if ":" in source else IP(src=source, dst=destination, id=1)


def udp(source: str, destination: str, sport: int, dport: int, payload: bytes = b"hello") -> bytes:
    """A UDP packet."""
    return bytes(ip(source, destination) / UDP(sport=sport, dport=dport) / Raw(payload))


def tcp(source: str, destination: str, sport: int, dport: int, flags: str = "S", payload: bytes = b"") -> bytes:
    """A TCP packet; a SYN has an MSS option."""
    options = [("MSS", 8960)] if "S" in flags else []
    return bytes(ip(source, destination) / TCP(sport=sport, dport=dport, flags=flags, options=options) / Raw(payload))


def echo(source: str, destination: str, identifier: int) -> bytes:
    """An ICMP or ICMPv6 echo request."""
    body = ICMPv6EchoRequest(id=identifier) if ":" in source else ICMP(id=identifier)
    return bytes(ip(source, destination) / body)


def error(packet: bytes) -> bytes:
    """What a router says of an IPv4 packet that it could not deliver."""
    return bytes(IP(src="198.51.100.9", dst=IP(packet).src) / ICMP(type=3) / Raw(packet))


def whole(packet: bytes) -> bytes:
    """An IPv4 packet that may not be fragmented."""
    made = IP(packet)
    made.flags = "DF"
    del made.chksum
    return bytes(made)


def pieces(packet: bytes, size: int = 64) -> list[bytes]:
    """An IPv4 packet in fragments."""
    return [bytes(piece) for piece in fragment(IP(packet), fragsize=size)]


def read(packet: bytes) -> Any:
    """An IP packet taken apart; the checksums in it must be right."""
    made = IPv6(packet) if packet[0] >> 4 == 6 else IP(packet)
    again = made.copy()
    if not (IP in again and (again.frag or again.flags.MF)):      # its sum is over all of them
        for layer in (TCP, UDP, ICMP):
            if layer in again:
                del again[layer].chksum
    if IP in again:
        del again.chksum
    assert bytes(again) == packet, f"a checksum is wrong in {packet.hex()}"
    return made
