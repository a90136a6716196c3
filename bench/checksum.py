"""Internet checksums over Ethernet-sized packets and incremental updates, one call a packet.

There is no checksum of a batch: the worker's stages call the compiled leaf themselves. The call from Python is in the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np

from bench.decoders import dpkt_sum, peer_cases, scapy_sum
from bench.harness import Case
from fastpath import checksum
from model import checksum as reference

SIZES = (1, 32, 256)
PACKET_BYTES = 1500


def cases(quick: bool) -> Iterator[Case]:
    """A checksum of each packet of a batch; an update of as many checksums."""
    chance = np.random.default_rng(7)
    for size in SIZES:
        packets = [chance.bytes(PACKET_BYTES) for _ in range(size)]
        words = [tuple(int(word) for word in row) for row in chance.integers(0, 65536, (size, 3))]
        for impl, module in (("fastpath", checksum), ("reference", reference)):
            yield Case(impl, f"batch-{size}", "ns", size, summing(module, packets))
            yield Case(impl, f"update-{size}", "ns", size, updating(module, words))
        yield from peer_cases({"dpkt": dpkt_sum, "scapy": scapy_sum}, f"batch-{size}", packets)


def summing(module: ModuleType, packets: list[bytes]) -> Callable[[], None]:
    """Compute the checksums of one batch."""

    def compute() -> None:
        for data in packets:
            module.checksum(data)

    return compute


def updating(module: ModuleType, words: list[tuple[int, ...]]) -> Callable[[], None]:
    """Update as many checksums, each for one changed word."""

    def update() -> None:
        for old_sum, old, new in words:
            module.updated(old_sum, old, new)

    return update
