"""Mutation: real packets with bytes changed, cut, repeated or replaced by lengths; and the loop of a fuzzer over them.

    python -m tests.fuzz.fuzz_packet --seconds 60 --seed 1

The seed makes a run repeatable. A failure prints the batch of packets in hexadecimal; the exit code is 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence

from fastpath.batch import PacketBatch

INTERESTING = (0, 1, 4, 5, 6, 15, 17, 20, 43, 44, 51, 58, 59, 60, 0x3F, 0x40, 0x45, 0x60, 0x7F, 0x80, 0xC0, 0xFF)
BATCH = 16
ROOM = 1024
PACKET_LIMIT = ROOM - 128


def mutate(chance: random.Random, packet: bytes, limit: int = PACKET_LIMIT) -> bytes:
    """Change a packet in up to six places; what is longer than limit is cut."""
    data = bytearray(packet)
    for _ in range(chance.randrange(7)):
        at, kind = chance.randrange(len(data) + 1), chance.randrange(6)
        if kind == 0 and data:
            data[at % len(data)] = chance.choice(INTERESTING)
        elif kind == 1 and data:
            data[at % len(data)] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del data[at : at + chance.randrange(1, 9)]
        elif kind == 3:
            data[at:at] = data[chance.randrange(len(data) + 1) :][: chance.randrange(40)]
        elif kind == 4:
            data[at:at] = chance.randbytes(chance.randrange(12))
        else:
            del data[at:]
    return bytes(data[:limit])


def mutant(chance: random.Random, inputs: Sequence[bytes], limit: int) -> bytes:
    """One input changed; of five, one is two joined."""
    data = mutate(chance, chance.choice(inputs), limit)
    return data if chance.random() < 0.8 else (data + mutate(chance, chance.choice(inputs), limit))[:limit]


def compared(fast: PacketBatch, slow: PacketBatch, columns: Sequence[str]) -> None:
    """Hold two batches to be the same: every reason, and the columns of the rows alive.

    Raises:
        AssertionError: they differ; says where.
    """
    for i in range(slow.count):
        assert fast.reason[i] == slow.reason[i], f"row {i}: reason {fast.reason[i]}, the model's is {slow.reason[i]}"
        for name in columns if slow.reason[i] == 0 else ():
            mine, theirs = getattr(fast, name)[i].tobytes(), getattr(slow, name)[i].tobytes()
            assert mine == theirs, f"row {i}: {name} {mine.hex()}, the model's is {theirs.hex()}"


def fuzz(invariant: str, seeds: Sequence[bytes], check: Callable[[list[bytes], PacketBatch, PacketBatch], None]) -> int:
    """Check batches of mutated seeds for a time; return the exit code.

    Args:
        check: called with packets and two batches, which have been used before; raises when the invariant does not hold.
    """
    parser = argparse.ArgumentParser(description=invariant)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance, tried = random.Random(arguments.seed), 0
    fast, slow = PacketBatch(BATCH, ROOM), PacketBatch(BATCH, ROOM)
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        packets = [mutate(chance, chance.choice(seeds)) for _ in range(chance.randrange(BATCH + 1))]
        try:
            check(packets, fast, slow)
        except Exception as error:
            print(f"after {tried} packets: {error!r}\n" + "\n".join(packet.hex() for packet in packets), file=sys.stderr)
            return 1
        tried += len(packets)
    print(f"{tried} packets, seed {arguments.seed}: the invariant held")
    return 0
