"""Flow keys: both ends put in order, forty bytes written and hashed under the worker's secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType

import numpy as np

from bench.harness import Case
from fastpath import flowkey
from fastpath.batch import PacketBatch
from model import flowkey as reference

SIZES = (1, 32, 256)
ROOM = 256
SEED = bytes(range(32))


def cases(quick: bool) -> Iterator[Case]:
    """Keys of batches, every row a flow of its own, half of them in the reverse direction."""
    for size in SIZES:
        batch = parsed(size)
        for impl, module in (("fastpath", flowkey), ("reference", reference)):
            yield Case(impl, f"batch-{size}", "ns", size, building(module, batch))


def parsed(size: int) -> PacketBatch:
    """TCP packets over IPv4 as packet.parse leaves them."""
    batch, chance = PacketBatch(size, ROOM), np.random.default_rng(6)
    batch.reset(size)
    batch.ip_version[:], batch.protocol[:], batch.namespace[:] = 4, 6, 1
    for ends in (batch.source, batch.destination):
        ends[:, 10:12] = 0xFF
        ends[:, 12:] = chance.integers(0, 256, (size, 4))
    batch.source_port[:] = chance.integers(1024, 65536, size)
    batch.destination_port[:] = 443
    return batch


def building(module: ModuleType, batch: PacketBatch) -> Callable[[], object]:
    """Build the keys of one batch."""
    secret = module.Secret(SEED)
    return lambda: module.build_batch(batch, secret)
