"""Messages of the rings: 64 commands posted, and read back as events, a message.

There is no reference: the record's layout is the compiled code's own. The peer is what a Python program would use, a queue of
named tuples, which copies nothing and which compiled code could not read without the interpreter's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue

from bench.harness import Case
from fastpath import message
from fastpath.ring import Ring

MESSAGES = 64
PACKET, HEADER = bytes(1400), bytes(40)
PEER = (0x7F000001, 6081)


def cases(quick: bool) -> Iterator[Case]:
    """Commands that deliver a packet of a usual size."""
    yield Case("fastpath", "post-drain", "ns", MESSAGES, crossing())
    yield Case("SimpleQueue", "post-drain", "ns", MESSAGES, queueing())


def crossing() -> Callable[[], object]:
    """Through a ring."""
    ring = Ring(1 << 18)

    def cross() -> None:
        for _ in range(MESSAGES):
            message.command(ring, message.Command.COMMAND_DELIVER, packet=PACKET, header=HEADER, peer=PEER)
        if len(message.drain(ring)) != MESSAGES:
            raise RuntimeError("the ring lost a message")

    return cross


def queueing() -> Callable[[], object]:
    """Through the standard library's queue."""
    made: SimpleQueue[message.Event] = SimpleQueue()

    def cross() -> None:
        for _ in range(MESSAGES):
            made.put(message.Event(1, 0, 0, 0, PACKET, HEADER, *PEER, 255, 0, None))
        for _ in range(MESSAGES):
            made.get_nowait()

    return cross
