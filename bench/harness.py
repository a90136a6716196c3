"""Measure cases: how often to repeat, what to report, how to print it.

A bench module `bench/<name>.py` has `cases(quick: bool) -> Iterator[Case]`. Nothing here knows
what is measured.
"""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
REPEAT, REPEAT_QUICK = 7, 3
SPAN_S, SPAN_QUICK_S = 0.1, 0.005      # least time of one repetition; short functions run often in it


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure.

    `unit` ns, us, ms or s: the time of `function` divided by `n`. Any other unit (MiB, kpps): what `function`
    returns.
    """

    impl: str
    case: str
    unit: str
    n: int
    function: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Result:
    """One line of output; `n` operations a call, `repeat` repetitions."""

    bench: str
    impl: str
    case: str
    unit: str
    median: float
    min: float
    n: int
    repeat: int


def measure(bench: str, case: Case, quick: bool) -> Result:
    """Run one case; the garbage collector rests meanwhile."""
    repeat = REPEAT_QUICK if quick else REPEAT
    figures = [float(case.function())] if case.unit not in SECONDS else times(case, repeat, quick)  # type: ignore[arg-type]
    return Result(bench, case.impl, case.case, case.unit, round(statistics.median(figures), 3),
                  round(min(figures), 3), case.n, len(figures))


def times(case: Case, repeat: int, quick: bool) -> list[float]:
    """Return the time of one operation in the case's unit, `repeat` times; the first call only warms up."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        calls = max(1, round((SPAN_QUICK_S if quick else SPAN_S) / max(seconds(case.function, 1), 1e-9)))
        return [seconds(case.function, calls) / (calls * case.n * SECONDS[case.unit]) for _ in range(repeat)]
    finally:
        if collecting:
            gc.enable()


def seconds(function: Callable[[], object], calls: int) -> float:
    """Time `calls` calls."""
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - start


def run(bench: str, cases: Iterable[Case], quick: bool) -> Iterator[Result]:
    """Measure the cases in order."""
    for case in cases:
        yield measure(bench, case, quick)


def print_json(results: Iterable[Result]) -> None:
    """Print one JSON object a line, each as soon as it is there."""
    for result in results:
        print(json.dumps(asdict(result)), flush=True)


def print_table(results: Iterable[Result]) -> None:
    """Print a table with the ratio reference / impl of the same bench, case and unit."""
    rows = list(results)
    reference = {(row.bench, row.case, row.unit): row.median for row in rows if row.impl == "reference"}
    table = Table()
    for heading in ("bench", "case", "impl"):
        table.add_column(heading)
    for heading in ("median", "min", "unit", "reference ÷ this"):
        table.add_column(heading, justify="right")
    for row in sorted(rows, key=lambda row: (row.bench, row.case, row.unit)):
        base = reference.get((row.bench, row.case, row.unit))
        ratio = f"{base / row.median:.1f}" if base and row.median and row.impl != "reference" else ""
        table.add_row(row.bench, row.case, row.impl, f"{row.median:,.2f}", f"{row.min:,.2f}", row.unit, ratio)
    # In a file or a CI log nothing says how wide the table may be.
    Console(width=None if sys.stdout.isatty() else 120).print(table)
