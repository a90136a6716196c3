"""Headers and sums as a Python user would take them: dpkt, scapy, dnslib, dnspython, where installed; a call a packet."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterator, Sequence

from bench.harness import Case

Read = Callable[[bytes], object]
MODULES = {"dnspython": "dns"}      # where a peer is imported by another name


def peer_cases(peers: dict[str, Callable[[], Read]], case: str, packets: Sequence[bytes]) -> Iterator[Case]:
    """Read each packet of a batch by each peer that is installed; its reader is made only then."""
    for impl, reader in peers.items():
        if importlib.util.find_spec(MODULES.get(impl, impl)) is not None:
            yield Case(impl, case, "ns", len(packets), reading(reader(), packets))


def reading(read: Read, packets: Sequence[bytes]) -> Callable[[], None]:
    """Read one batch."""

    def read_all() -> None:
        for packet in packets:
            read(packet)

    return read_all


def dpkt_ip() -> Read:
    """IPv4 or IPv6 with what is inside."""
    ip, ip6 = importlib.import_module("dpkt.ip").IP, importlib.import_module("dpkt.ip6").IP6
    return lambda packet: ip(packet) if packet[0] >> 4 == 4 else ip6(packet)


def scapy_ip() -> Read:
    """IPv4 or IPv6 with what is inside."""
    ip, ip6 = importlib.import_module("scapy.layers.inet").IP, importlib.import_module("scapy.layers.inet6").IPv6
    return lambda packet: ip(packet) if packet[0] >> 4 == 4 else ip6(packet)


def scapy_geneve() -> Read:
    """Base header and options, and what is inside if it is given that."""
    read: Read = importlib.import_module("scapy.contrib.geneve").GENEVE
    return read


def dnslib_message() -> Read:
    """A message."""
    read: Read = importlib.import_module("dnslib").DNSRecord.parse
    return read


def dnspython_message() -> Read:
    """A message."""
    read: Read = importlib.import_module("dns.message").from_wire
    return read


def dpkt_sum() -> Read:
    """An Internet checksum."""
    read: Read = importlib.import_module("dpkt.dpkt").in_cksum
    return read


def scapy_sum() -> Read:
    """An Internet checksum."""
    read: Read = importlib.import_module("scapy.utils").checksum
    return read
