"""Geneve as GWLB sends it: decode of the base header, then of the three options."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

from bench.harness import Case
from fastpath import geneve, gwlb
from fastpath.batch import PacketBatch
from model import geneve as geneve_reference
from model import gwlb as gwlb_reference

SIZES = (1, 32, 256)
INNER = bytes(120)
ROOM = 512


def cases(quick: bool) -> Iterator[Case]:
    """Both decoders over batches of packets from as many endpoints and flows."""
    for size in SIZES:
        batch = received(size)
        for impl, modules in (("fastpath", (geneve, gwlb)), ("reference", (geneve_reference, gwlb_reference))):
            yield Case(impl, f"batch-{size}", "ns", size, decoding(modules, batch))


def received(size: int) -> PacketBatch:
    """Packets of a batch as they come from the socket; decoding leaves the bytes as they are."""
    batch = PacketBatch(size, ROOM)
    batch.load([gwlb.header(0x0AAA_AAAA_AAAA_AAA0 + i % 8, i, i * 7919, 4) + INNER for i in range(size)])
    return batch


def decoding(modules: tuple[ModuleType, ModuleType], batch: PacketBatch) -> Callable[[], None]:
    """Decode one batch."""
    base, options = modules

    def decode() -> None:
        base.decode_batch(batch)
        options.decode_batch(batch)

    return decode
