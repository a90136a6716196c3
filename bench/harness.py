"""Measure cases: how often to repeat and what to report; printing is in table.py, bars.py and chart.py.

A bench module `bench/<name>.py` has `cases(quick: bool) -> Iterator[Case]`. Nothing here knows
what is measured.
"""

from __future__ import annotations

import gc
import importlib
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
REPEAT, REPEAT_QUICK = 7, 3
SPAN_S, SPAN_QUICK_S = 0.1, 0.005      # least time of one repetition; short functions run often in it
HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure.

    `unit` ns, us, ms or s: the time of `function` divided by `n`. Any other unit (MiB, kpps): what `function`
    returns. `before` runs before each call of `function`, outside the figure.
    With `own_clock` the function returns its time in seconds, for what must be prepared anew many times in it.
    """

    impl: str
    case: str
    unit: str
    n: int
    function: Callable[[], object]
    before: Callable[[], object] | None = None
    own_clock: bool = False


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


def names() -> list[str]:
    """The bench modules there are: the files of this folder that have `cases`."""
    return sorted(path.stem for path in HERE.glob("*.py") if "\ndef cases(" in path.read_text())


def cases_of(name: str, quick: bool, only: str = "") -> Iterator[Case]:
    """The cases of one bench in whose name or implementation `only` is; what a case needs is made when it is asked for."""
    for case in importlib.import_module(f"bench.{name}").cases(quick):
        if only in f"{case.impl} {case.case}":
            yield case


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
        if case.before is not None:
            return [prepared(case) / (case.n * SECONDS[case.unit]) for _ in range(repeat + 1)][1:]
        calls = max(1, round((SPAN_QUICK_S if quick else SPAN_S) / max(seconds(1, case), 1e-9)))
        return [seconds(calls, case) / (calls * case.n * SECONDS[case.unit]) for _ in range(repeat)]
    finally:
        if collecting:
            gc.enable()


def prepared(case: Case) -> float:
    """Time one call after what has to happen before it."""
    assert case.before is not None
    case.before()
    return seconds(1, case)


def seconds(calls: int, case: Case) -> float:
    """Time `calls` calls."""
    function = case.function
    if case.own_clock:
        return sum(function() for _ in range(calls))  # type: ignore[misc]
    start = time.perf_counter()
    for _ in range(calls):
        function()
    return time.perf_counter() - start


def run(bench: str, cases: Iterable[Case], quick: bool, begun: Callable[[str, Case], None] | None = None) -> Iterator[Result]:
    """Measure the cases in order; `begun` hears of each before it is measured."""
    for case in cases:
        if begun:
            begun(bench, case)
        yield measure(bench, case, quick)
