"""Flow table, batches of 64: lookup over all flows at random, insert of new ones with the oldest giving way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import cycle

import numpy as np

from bench.harness import Case
from fastpath import flowtable
from fastpath.batch import PacketBatch
from model import flowtable as reference

BATCH = 64
ROOM = 256
REFERENCE_FLOWS = 4096          # the model is slower by orders; its dictionary does not care


def cases(quick: bool) -> Iterator[Case]:
    """Lookup and insert for each size of table."""
    for flows in (65536,) if quick else (65536, 1_000_000):
        table = filled(flowtable.FlowTable, flows)
        for impl, made, size in (("fastpath", table, flows),
                                 ("reference", filled(reference.FlowTable, REFERENCE_FLOWS), REFERENCE_FLOWS)):
            some = max(1, (4 if impl == "reference" else 1024 if quick else 16384))
            yield Case(impl, f"lookup-{flows}", "ns", some * BATCH, looking_up(made, size, some))
        yield Case("fastpath", f"insert-{flows}", "ns", BATCH, inserting(table, flows))


def numbered(batch: PacketBatch, numbers: np.ndarray) -> None:
    """Keys and well-mixed hashes of these flow numbers."""
    batch.reset(len(numbers))
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ mixed >> np.uint64(31)) * np.uint64(0xBF58476D1CE4E5B9)
    batch.hash[:len(numbers)] = mixed ^ mixed >> np.uint64(29)
    batch.key[:len(numbers), :8] = mixed.view(np.uint8).reshape(-1, 8)
    batch.key[:len(numbers), 32:36] = numbers.astype(np.uint32).view(np.uint8).reshape(-1, 4)


def filled(table_type: Callable[[int], flowtable.FlowTable], flows: int) -> flowtable.FlowTable:
    """A table that holds flows 0 … flows - 1 and has no room left."""
    table, batch = table_type(flows), PacketBatch(4096, ROOM)
    for begin in range(0, flows, 4096):
        numbered(batch, np.arange(begin, min(flows, begin + 4096)))
        table.insert_misses(batch, 1 + begin)
    return table


def looking_up(table: flowtable.FlowTable, flows: int, batches: int) -> Callable[[], None]:
    """Look up this many batches of flows that are there, at random."""
    rng = np.random.default_rng(4)
    made = [PacketBatch(BATCH, ROOM) for _ in range(min(batches, 4096))]
    for batch in made:
        numbered(batch, rng.integers(0, flows, BATCH))
    turn = made * (batches // len(made))

    def look_up() -> None:
        for batch in turn:
            table.lookup_batch(batch)

    return look_up


def inserting(table: flowtable.FlowTable, flows: int) -> Callable[[], None]:
    """Insert batches of new flows into the full table; by the time a batch comes again its flows have given way."""
    turns = flows // BATCH + 2
    batches = []
    for turn in range(min(turns * 2, 4096)):
        batch = PacketBatch(BATCH, ROOM)
        numbered(batch, np.arange(BATCH) + flows + turn * BATCH)
        batches.append(batch)
    following, clock = cycle(batches), cycle(range(1 << 40, 1 << 41))

    def insert() -> None:
        batch = next(following)
        batch.entry[:] = -1
        table.insert_misses(batch, next(clock))

    return insert
