"""Invariant: on any bytes fastpath.geneve and fastpath.gwlb write what their references write, also into a used batch.

    python -m tests.fuzz.fuzz_geneve --seconds 60 --seed 1

Frames are headers as GWLB sends them and as RFC 8926 allows them, with bytes changed, cut, repeated or put in; the seed makes
a run repeatable. A failure prints the batch in hexadecimal and exits 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fastpath import geneve, gwlb
from fastpath.batch import PacketBatch
from model import geneve as geneve_reference
from model import gwlb as gwlb_reference

INTERESTING = (0, 1, 2, 3, 4, 8, 9, 10, 11, 0x1F, 0x3F, 0x40, 0x7F, 0x80, 0xC0, 0xFF)
ROWS = 16
ROOM = 1024
BASE = ("geneve_start", "geneve_length", "geneve_flags", "vni", "inner_start", "inner_length")
COLUMNS = (*BASE, "endpoint", "attachment", "cookie")


def seeds() -> list[bytes]:
    """Frames to start from: GWLB's header with options before, between and behind its own; control; other protocols."""
    own = [(0x0108, 1, bytes(range(8))), (0x0108, 2, bytes(8)), (0x0108, 3, b"\x00\x00\x00\x07")]
    foreign = (0xFF5A, 0x81, b"abcd")
    lists = [own, own[::-1], [*own, foreign], [foreign, *own], own[:2], [*own, own[0]], [], [foreign] * 30]
    headers = [geneve.encode_header(options, vni=7 * n) for n, options in enumerate(lists)]
    headers += [gwlb.header(n, 2, 3, version) for n in (0, 0x0AAA_AAAA_AAAA_AAA1, (1 << 64) - 1) for version in (4, 6)]
    headers.append(geneve.encode_header([(0xFF5A, 0x10, bytes(8))], protocol=0, flags=0x80))
    headers.append(geneve.encode_header(protocol=0x6558, flags=0x40))
    return [header + b"an inner packet" for header in headers]


def mutate(chance: random.Random, frame: bytes) -> bytes:
    """Change a frame in up to four places, mostly in its header."""
    data = bytearray(frame)
    for _ in range(chance.randrange(5)):
        at = chance.randrange(min(len(data), 60) + 1)
        kind = chance.randrange(6)
        if kind <= 1 and data:
            data[at % len(data)] = chance.choice(INTERESTING)
        elif kind == 2 and data:
            data[at % len(data)] = chance.randrange(256)
        elif kind == 3:
            del data[at:at + chance.randrange(12)]
        elif kind == 4:
            data[at:at] = data[chance.randrange(len(data) + 1):][:4 * chance.randrange(5)]
        else:
            data[at:at] = chance.randbytes(chance.randrange(9))
    return bytes(data[:ROOM // 2])


def check(used: PacketBatch, frames: list[bytes]) -> None:
    """Hold the invariant for one batch.

    Args:
        used: a batch that held other frames before.
    Raises:
        AssertionError: it does not hold.
    """
    fresh = PacketBatch(ROWS, ROOM)
    for base, options in ((geneve, gwlb), (geneve_reference, gwlb_reference)):
        batch = used if base is geneve else fresh
        batch.load(frames)
        counts = base.decode_batch(batch), options.decode_batch(batch)
        assert counts[1] == batch.alive() <= counts[0], f"{base.__name__}: {counts} rows alive, not {batch.alive()}"
    for i, frame in enumerate(frames):
        assert used.reason[i] == fresh.reason[i], f"row {i}: reason {used.reason[i]}, not {fresh.reason[i]}"
        assert used.frame(i) == frame, f"row {i}: decoding changed the frame"
        for column in COLUMNS if not fresh.reason[i] else ():
            mine, theirs = getattr(used, column)[i], getattr(fresh, column)[i]
            assert mine == theirs, f"row {i}: {column} {mine}, not {theirs}"
        assert geneve.decode_options(frame) == geneve_reference.decode_options(frame), f"row {i}: decode_options"
        if not fresh.reason[i]:
            name = gwlb.endpoint_name(int(fresh.endpoint[i]))
            assert gwlb.endpoint_id(name) == fresh.endpoint[i] == gwlb_reference.endpoint_id(name), f"row {i}: {name}"


def main() -> int:
    """Fuzz for a time; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance, corpus, used, tried = random.Random(arguments.seed), seeds(), PacketBatch(ROWS, ROOM), 0
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        frames = [mutate(chance, chance.choice(corpus)) for _ in range(chance.randrange(1, ROWS + 1))]
        try:
            check(used, frames)
        except Exception as error:
            print(f"after {tried} frames, {[frame.hex() for frame in frames]}:\n{error!r}", file=sys.stderr)
            return 1
        tried += len(frames)
    print(f"{tried} frames, seed {arguments.seed}: the invariant held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
