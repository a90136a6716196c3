"""`python -m bench NAME|all [--json] [--quick]`."""

from __future__ import annotations

import argparse
import importlib
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
PARTS = {"__init__", "__main__", "harness", "lpm_cases", "routes"}     # modules that are not benches
sys.path.insert(0, str(HERE.parent / "tests"))     # the pure-Python references, `model.<module>`

from bench import harness  # noqa: E402


def names() -> list[str]:
    """The bench modules there are."""
    return sorted({path.stem for path in HERE.glob("*.py")} - PARTS)


def results_of(name: str, quick: bool) -> Iterator[harness.Result]:
    """Measure one bench."""
    return harness.run(name, importlib.import_module(f"bench.{name}").cases(quick), quick)


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure; see bench/README.md.")
    parser.add_argument("name", choices=[*names(), "all"], help="what to measure")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of a table")
    parser.add_argument("--quick", action="store_true", help="small inputs, few repetitions")
    arguments = parser.parse_args()
    chosen = names() if arguments.name == "all" else [arguments.name]
    results = itertools.chain.from_iterable(results_of(name, arguments.quick) for name in chosen)
    (harness.print_json if arguments.json else harness.print_table)(results)


if __name__ == "__main__":
    main()
