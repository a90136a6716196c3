"""Flow table: 40-byte keys, tables from 65,536 to 8,000,000 flows; beside it a dict and the model.

The workload of DPDK's rte_hash as its bench has it: keys are there in memory, one row after the other, as many as there
are flows but at most 2^20, each at random, and are looked up by one call (`lookup-a-call`: by a call for every 64, which is the
most that DPDK's takes). Keys and hashes are read within the figure; the hash is not made in it (bench flowkey), as the journey
has it ready. Inserts and removals go through all flows in the order of their keys, into a table that has been emptied; a
removal finds the flow by its key first.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle, islice

import numpy as np
from numpy.typing import NDArray

from bench.harness import Case
from fastpath.batch import PacketBatch
from fastpath.flowtable import FlowState, FlowTable, TimeoutClass
from model import flowtable as reference

BATCH, ROOM = 64, 256
CHUNK = 65536                   # rows of one call where the whole table is walked
QUERIES = 1 << 20
REFERENCE_FLOWS = 4096          # the model is slower by orders; its dictionary does not care
DICT_FLOWS = 1_000_000          # above this a dict takes too much memory
UDP = TimeoutClass.TIMEOUT_UDP
FOREVER = 1 << 62


class Keys:
    """Keys and well-mixed hashes of flow numbers."""

    def __init__(self, numbers: NDArray[np.int64]) -> None:
        mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ mixed >> np.uint64(31)) * np.uint64(0xBF58476D1CE4E5B9)
        self.hashes = mixed ^ mixed >> np.uint64(29)
        self.keys = np.zeros((len(numbers), 40), np.uint8)
        self.keys[:, :8] = mixed.view(np.uint8).reshape(-1, 8)
        self.keys[:, 32:36] = numbers.astype(np.uint32).view(np.uint8).reshape(-1, 4)
        self.out = np.empty(len(numbers), np.int32)

    def chunks(self, rows: int = CHUNK) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint64], NDArray[np.int32]]]:
        """Yield the keys, hashes and room for indexes of so many rows at a time."""
        for begin in range(0, len(self.out), rows):
            yield (self.keys[begin : begin + rows], self.hashes[begin : begin + rows], self.out[begin : begin + rows])


def cases(quick: bool) -> Iterator[Case]:
    """Every size, then what happens around it: growth, expiry that finds nothing, a flood."""
    for flows in (65536,) if quick else (65536, 1_000_000, 8_000_000):
        yield from of_size(flows)
    yield Case("reference", f"lookup-{65536}", "ns", BATCH, model_looking_up())
    for flows in (65536,) if quick else (65536, 1_000_000):
        yield from beside(flows)
    for flows in (65536,) if quick else (65536, 1_000_000, 8_000_000):
        yield Case("fastpath", f"bytes-{flows}", "B", 1, lambda flows=flows: bytes_a_flow(flows))
    flows = 65536 if quick else 8_000_000
    yield Case("fastpath", f"pause-{flows}", "µs", 1, lambda: longest_insert(min(65536, flows // 16), flows))
    flows = 200_000 if quick else 10_000_000
    yield Case("fastpath", f"flood-{flows}", "ns", flows, Flood(flows, flows // 100).run)


def of_size(flows: int) -> Iterator[Case]:
    """Look up, insert and remove with a table of this size."""
    table, keys = FlowTable(flows, ready=flows), Keys(np.arange(flows))
    fill(table, keys)
    wanted = Keys(np.random.default_rng(4).integers(0, flows, min(flows, QUERIES)))
    assert table.lookup_keys(wanted.keys, wanted.hashes, wanted.out) == 0
    yield Case("fastpath", f"lookup-{flows}", "ns", len(wanted.out),
               lambda: table.lookup_keys(wanted.keys, wanted.hashes, wanted.out))
    yield Case("fastpath", f"lookup-a-call-{flows}", "ns", len(wanted.out) // BATCH * BATCH, looking_up(table, wanted))
    yield Case("fastpath", f"insert-{flows}", "ns", flows, lambda: fill(table, keys), lambda: table.expire(FOREVER))
    yield Case("fastpath", f"remove-{flows}", "ns", flows, lambda: empty(table, keys), lambda: fill(table, keys))
    yield Case("fastpath", f"expire-{flows}", "ns", flows, lambda: table.expire(FOREVER), lambda: fill(table, keys))


def fill(table: FlowTable, keys: Keys, now_ns: int = 1) -> None:
    """Make a flow of every key that has none."""
    for key, hash_, out in keys.chunks():
        table.insert_keys(key, hash_, now_ns, UDP, out)


def empty(table: FlowTable, keys: Keys) -> None:
    """Find and remove the flow of every key."""
    for key, hash_, out in keys.chunks():
        table.lookup_keys(key, hash_, out)
        table.remove_flows(out)


def looking_up(table: FlowTable, keys: Keys) -> Callable[[], None]:
    """Look up by a Python call for every 64 rows."""
    turns = list(keys.chunks(BATCH))[: len(keys.out) // BATCH]

    def look_up() -> None:
        for key, hash_, out in turns:
            table.lookup_keys(key, hash_, out)

    return look_up


def model_looking_up() -> Callable[[], None]:
    """Look up one batch in a model of a few flows."""
    table, batch = reference.FlowTable(REFERENCE_FLOWS), PacketBatch(BATCH, ROOM)
    keys, wanted = Keys(np.arange(REFERENCE_FLOWS)), Keys(np.random.default_rng(4).integers(0, REFERENCE_FLOWS, BATCH))
    table.insert_keys(keys.keys, keys.hashes, 1, UDP, keys.out)
    batch.reset(BATCH)
    batch.key[:], batch.hash[:] = wanted.keys, wanted.hashes
    return lambda: table.lookup_batch(batch)


def beside(flows: int) -> Iterator[Case]:
    """Measure what one would take without a flow table, and what is done rarely or should cost nothing."""
    numbers = np.random.default_rng(4).integers(0, flows, min(flows, 65536))
    keys, wanted = [[key.tobytes() for key in Keys(chosen).keys] for chosen in (np.arange(flows), numbers)]
    held = dict(zip(keys, range(flows), strict=True))
    yield Case("dict", f"lookup-{flows}", "ns", len(wanted), partial(gets, held, wanted))
    yield Case("dict", f"insert-{flows}", "ns", flows, partial(dict.fromkeys, keys))
    table = FlowTable(flows, ready=flows)
    fill(table, Keys(np.arange(flows)))
    room = np.zeros(64, np.int32)
    yield Case("fastpath", f"due-none-of-{flows}", "ns", 1, lambda: table.due_flows(2, room))
    yield Case("fastpath", f"replace-{flows}", "ns", BATCH, replacing(table, flows))


def gets(held: dict[bytes, int], wanted: list[bytes]) -> None:
    """Look up one by one."""
    for key in wanted:
        held.get(key)


def replacing(table: FlowTable, flows: int) -> Callable[[], None]:
    """Insert batches of new flows into the full table; by the time a batch comes again its flows have given way."""
    batches = []
    for turn in range(min((flows // BATCH + 2) * 2, 4096)):
        made, batch = Keys(np.arange(BATCH) + flows + turn * BATCH), PacketBatch(BATCH, ROOM)
        batch.reset(BATCH)
        batch.key[:], batch.hash[:], batch.protocol[:] = made.keys, made.hashes, 17
        batches.append(batch)
    following, clock = cycle(batches), cycle(range(1 << 40, 1 << 41))

    def replace() -> None:
        batch = next(following)
        batch.entry[:] = -1
        table.insert_misses(batch, next(clock))

    return replace


def bytes_a_flow(flows: int) -> float:
    """Return the memory of a grown table a flow, index and all, at 95 % of its capacity."""
    table = FlowTable(flows)
    for begin in range(0, flows * 95 // 100, CHUNK):
        fill(table, Keys(np.arange(begin, min(begin + CHUNK, flows * 95 // 100))))
    return table.nbytes / len(table)


def longest_insert(begin: int, end: int, rows: int = 16) -> float:
    """Return the longest time that a call of 16 inserts took, in µs, while a table grows from `begin` to `end` flows.

    The time of the thread, in the kernel too: what else the machine runs meanwhile is no pause of the table.
    """
    table, longest = FlowTable(end), 0
    fill(table, Keys(np.arange(begin)))
    for first in range(begin, end, 1 << 18):
        for key, hash_, out in Keys(np.arange(first, min(first + (1 << 18), end))).chunks(rows):
            start = time.thread_time_ns()
            table.insert_keys(key, hash_, 1, UDP, out)
            longest = max(longest, time.thread_time_ns() - start)
    return longest / 1000


class Flood:
    """Distinct new flows against a table of 1 in 10 of them, where some flows were answered and have a packet now and then."""

    def __init__(self, flows: int, established: int) -> None:
        self.table = FlowTable(flows // 10, ready=flows // 10)
        self.keys, self.now_ns = Keys(np.arange(flows)), 1
        held = Keys(np.arange(established) + flows)
        self.table.insert_keys(held.keys, held.hashes, 1, UDP, held.out)
        self.batches = []
        for begin in range(0, established, 4096):
            indexes = held.out[begin : begin + 4096]
            batch = PacketBatch(len(indexes), ROOM)
            batch.reset(len(indexes))
            batch.entry[:], batch.direction[:], batch.protocol[:] = indexes, 1, 17
            self.batches.append(batch)
        self.held = held
        self.touch(len(self.batches))
        assert (self.table.entries_view["state"][held.out] == FlowState.FLOW_SEEN_REPLY).all()

    def touch(self, batches: int) -> None:
        """Have as many batches of the established flows see a packet."""
        for batch in islice(self.batches, batches):
            self.table.account_batch(batch, self.now_ns)
        self.batches = self.batches[batches:] + self.batches[:batches]

    def run(self) -> None:
        """Insert all; fail if an established flow had to give way."""
        for key, hash_, out in self.keys.chunks():
            self.now_ns += 1
            self.table.insert_keys(key, hash_, self.now_ns, UDP, out)
            self.touch(1)
        if self.table.lookup_keys(self.held.keys, self.held.hashes, self.held.out.copy()):
            raise AssertionError("an established flow gave way to new ones")
