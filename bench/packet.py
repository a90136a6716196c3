"""Inner packets: parse of a mix of IPv4 and IPv6, TCP, UDP, ICMP, IP options, extension headers and fragments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle, islice
from types import ModuleType

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop

from bench.decoders import dpkt_ip, peer_cases, scapy_ip
from bench.harness import Case
from fastpath import packet
from fastpath.batch import PacketBatch
from model import packet as reference

SIZES = (1, 32, 256)
ROOM = 2048
BULK = bytes(1200)
ENDS4 = {"src": "10.8.6.4", "dst": "203.0.113.10"}
ENDS6 = {"src": "fd00:8::4", "dst": "2001:db8::10"}
# Of sixteen packets twelve are plain TCP, as in a data centre's trace; the rest makes every branch run.
MIX = [
    *[IP(**ENDS4) / TCP(sport=40000, dport=443, flags="A") / BULK] * 8,
    *[IPv6(**ENDS6) / TCP(sport=40000, dport=443, flags="A") / BULK] * 4,
    IP(**ENDS4) / UDP(sport=5000, dport=53) / bytes(40),
    IP(**ENDS4) / ICMP(type=8, id=7) / bytes(56),
    IP(**ENDS4, options=IPOption_RR()) / UDP(sport=5000, dport=7) / bytes(100),
    IPv6(**ENDS6) / IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment(offset=0, m=1) / UDP(sport=5000, dport=7) / BULK,
]


def cases(quick: bool) -> Iterator[Case]:
    """Parse of batches; of the peers an object a packet."""
    packets = [bytes(made) for made in MIX]
    for size in SIZES:
        for impl, module in (("fastpath", packet), ("reference", reference)):
            yield Case(impl, f"batch-{size}", "ns", size, parsing(module, packets, size))
        yield from peer_cases({"dpkt": dpkt_ip, "scapy": scapy_ip}, f"batch-{size}", list(islice(cycle(packets), size)))


def parsing(module: ModuleType, packets: list[bytes], size: int) -> Callable[[], None]:
    """Parse one batch; what a former parse shortened is set back first, as a receiver would."""
    batch = PacketBatch(size, ROOM)
    batch.load(list(islice(cycle(packets), size)))
    batch.inner_start[:] = batch.start
    lengths = batch.length.copy()

    def parse() -> None:
        batch.inner_length[:] = lengths
        module.parse_batch(batch)

    return parse
