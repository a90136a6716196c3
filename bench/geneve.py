"""Geneve as GWLB sends it: decode of the base header, then of the three options; gwlb-options is the second alone.

scapy takes base header and options apart in one; it gets no packet inside, which it would read too. dpkt knows no Geneve.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

from bench.decoders import peer_cases, scapy_geneve
from bench.harness import Case
from fastpath import geneve, gwlb
from fastpath.batch import PacketBatch
from model import geneve as geneve_reference
from model import gwlb as gwlb_reference

SIZES = (1, 32, 256)
INNER = bytes(120)
ROOM = 512


def cases(quick: bool) -> Iterator[Case]:
    """Both decoders over batches of packets from as many endpoints and flows, and the second of them alone."""
    for size in SIZES:
        headers = [gwlb.header(0x0AAA_AAAA_AAAA_AAA0 + i % 8, i, i * 7919, 4) for i in range(size)]
        batch = received([header + INNER for header in headers])
        for impl, modules in (("fastpath", (geneve, gwlb)), ("reference", (geneve_reference, gwlb_reference))):
            yield Case(impl, f"batch-{size}", "ns", size, decoding(modules, batch))
            yield Case(impl, f"gwlb-options-{size}", "ns", size, decoding(modules[1:], batch))
        yield from peer_cases({"scapy": scapy_geneve}, f"batch-{size}", headers)


def received(packets: list[bytes]) -> PacketBatch:
    """Packets of a batch as they come from the socket, decoded once; decoding leaves the bytes as they are."""
    batch = PacketBatch(len(packets), ROOM)
    batch.load(packets)
    geneve.decode_batch(batch)
    return batch


def decoding(modules: tuple[ModuleType, ...], batch: PacketBatch) -> Callable[[], None]:
    """Decode one batch by each decoder."""

    def decode() -> None:
        for module in modules:
            module.decode_batch(batch)

    return decode
