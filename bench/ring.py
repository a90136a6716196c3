"""Rings between two threads: 64 records of a message's size pushed and drained, a record.

The peers are what a Python program would use: `queue.SimpleQueue` and `collections.deque`. They hold objects and have no
bound in bytes; the ring copies, so that its reader may be compiled code without the interpreter's lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from types import ModuleType

from bench.harness import Case
from fastpath import ring
from model import ring as reference

RECORDS = 64
SIZES = (64, 1500)
RING_BYTES = 1 << 18


def cases(quick: bool) -> Iterator[Case]:
    """Push and drain."""
    for size in SIZES:
        record = bytes(size)
        for impl, module in (("fastpath", ring), ("reference", reference)):
            yield Case(impl, f"push-drain-{size}", "ns", RECORDS, crossing(module, record))
        yield Case("SimpleQueue", f"push-drain-{size}", "ns", RECORDS, queueing(record))
        yield Case("deque", f"push-drain-{size}", "ns", RECORDS, appending(record))


def crossing(module: ModuleType, record: bytes) -> Callable[[], object]:
    """Through a ring."""
    made = module.Ring(RING_BYTES)

    def cross() -> None:
        for _ in range(RECORDS):
            made.push(record)
        if len(made.drain()) != RECORDS:
            raise RuntimeError("the ring lost a record")

    return cross


def queueing(record: bytes) -> Callable[[], object]:
    """Through the standard library's queue."""
    made: SimpleQueue[bytes] = SimpleQueue()

    def cross() -> None:
        for _ in range(RECORDS):
            made.put(record)
        for _ in range(RECORDS):
            made.get_nowait()

    return cross


def appending(record: bytes) -> Callable[[], object]:
    """Through a deque, which wakes nobody."""
    made: deque[bytes] = deque()

    def cross() -> None:
        for _ in range(RECORDS):
            made.append(record)
        for _ in range(RECORDS):
            made.popleft()

    return cross
