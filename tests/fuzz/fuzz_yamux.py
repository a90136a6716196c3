"""Invariant: on any bytes, cut anywhere, a session raises nothing, keeps its limits, and says the same for every cut.

    python tests/fuzz/fuzz_yamux.py --seconds 60 --seed 1

Inputs are valid conversations with bytes changed, cut, repeated or replaced; the seed makes a run repeatable. A
failure prints the input in hexadecimal and exits 1.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
import time

from zcc.mtunnel.events import DataReceived, SessionEnded
from zcc.mtunnel.limits import Limits
from zcc.mtunnel.session import Session

LIMITS = Limits(streams=16, backlog=8, raised=1 << 18, buffered=1 << 19, control=2048)
LENGTHS = (0, 1, 2, 12, 255, 256, 1 << 18, (1 << 18) + 1, 1 << 22, 1 << 31, 0xFFFFFFFF)


def conversation(chance: random.Random) -> bytearray:
    """Frames that mostly make sense."""
    wire = bytearray()
    for _ in range(chance.randrange(1, 40)):
        kind = chance.choice((0, 0, 0, 1, 1, 2, 3))
        flags = chance.choice((0, 0, 0, 1, 1, 2, 4, 8, chance.randrange(1 << 16)))
        stream = chance.choice((1, 1, 3, 5, 7, 2, 0, chance.randrange(64)))
        body = chance.randbytes(chance.choice((0, 1, 20, 300))) if kind == 0 else b""
        length = len(body) if kind == 0 and chance.random() < 0.9 else chance.choice(LENGTHS)
        wire += struct.pack("!BBHII", 0, kind, flags, 0 if kind > 1 and chance.random() < 0.9 else stream, length) + body
    return wire


def mutate(wire: bytearray, chance: random.Random) -> bytes:
    """Change some bytes, or cut, repeat or replace a stretch."""
    for _ in range(chance.choice((0, 0, 1, 3))):
        at = chance.randrange(len(wire) + 1)
        to = min(len(wire), at + chance.choice((1, 4, 12, 50)))
        wire[at:to] = chance.choice((b"", bytes(wire[at:to]) * 2, chance.randbytes(to - at)))
    return bytes(wire)


def play(wire: bytes, cuts: random.Random | None, commands: int) -> tuple[list[object], bytes]:
    """Feed a session; return what it said, neighbouring data joined, and what it would send.

    Args:
        commands: seed of what the user of the session does after all was fed.
    """
    session, events = Session(initiator=False, limits=LIMITS), []
    position = 0
    while position < len(wire):
        step = cuts.randrange(1, 60) if cuts else len(wire)
        events += session.receive(wire[position : position + step])
        position += step
        if session.streams > LIMITS.streams or session.buffered > LIMITS.buffered:
            raise AssertionError(f"{session.streams} streams, {session.buffered} octets kept")
        if session.pending > LIMITS.control + 64:
            raise AssertionError(f"{session.pending} octets wait")
    chance = random.Random(commands)
    for stream in range(8):
        for command in chance.sample((session.accept, session.reset, session.finish), 2):
            command(stream)
    return joined(events), b"".join(session.bytes_to_send())


def joined(events: list[object]) -> list[object]:
    """Merge neighbouring data of a stream; nothing may follow the session's end."""
    merged: list[object] = []
    for event in events:
        last = merged[-1] if merged else None
        if isinstance(last, SessionEnded):
            raise AssertionError(f"{event} after the end")
        if isinstance(event, DataReceived) and isinstance(last, DataReceived) and last.stream_id == event.stream_id:
            merged[-1] = DataReceived(event.stream_id, last.data + event.data)
        else:
            merged.append(event)
    return merged


def main() -> int:
    """Run for the given time; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    chance = random.Random(arguments.seed)
    end, count = time.monotonic() + arguments.seconds, 0
    while time.monotonic() < end:
        wire = mutate(conversation(chance), chance)
        commands = chance.randrange(1 << 30)
        try:
            if play(wire, None, commands) != play(wire, chance, commands):
                raise AssertionError("another cut gives another answer")
        except Exception as error:
            print(f"{type(error).__name__}: {error}\n{wire.hex()}")
            return 1
        count += 1
    print(f"{count} inputs, no failure")
    return 0


if __name__ == "__main__":
    sys.exit(main())
