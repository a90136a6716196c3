"""Mutants of the corpora for a time: without coverage, but with nothing else in the process, so also under the sanitizers.

    python -m tests.fuzz.mutants [NAME…] [--seconds 60] [--seed 1]

Each target has its share of the time. A failure prints the input in hexadecimal and the exit code is 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from fuzz.mutation import mutant
from fuzz.targets import TARGETS, corpus


def main() -> int:
    """Fuzz; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TARGETS)}; all unless given")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    names = arguments.names or list(TARGETS)
    return max(attack(name, arguments.seconds / len(names), random.Random(f"{name} {arguments.seed}")) for name in names)


def attack(name: str, seconds: float, chance: random.Random) -> int:
    """Try mutants of one corpus; return the exit code."""
    target, inputs, tried = TARGETS[name], [path.read_bytes() for path in corpus(name)], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = mutant(chance, inputs, target.limit)
        try:
            target.check(data)
        except Exception as error:
            print(f"{name}: after {tried} inputs {error!r}\n{data.hex()}", file=sys.stderr)
            return 1
        tried += 1
    print(f"{name}: {tried} inputs, the invariant held", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
