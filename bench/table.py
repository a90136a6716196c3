"""Results for people and for programs: JSON lines, a table, and bars of text."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from bench.harness import SECONDS, Result

BAR = 40                # columns of the longest bar
PARTS = " ▏▎▍▌▋▊▉"      # eighths of a column


@dataclass(frozen=True, slots=True)
class Group:
    """The results that may be compared: of one bench, case and unit; the quickest first."""

    bench: str
    case: str
    unit: str
    results: tuple[Result, ...]

    @property
    def timed(self) -> bool:
        """Whether the figures are times of an operation."""
        return self.unit in SECONDS

    def of(self, impl: str) -> Result | None:
        """The result of one implementation, if it was measured."""
        return next((result for result in self.results if result.impl == impl), None)

    def ratio(self, result: Result) -> float | None:
        """How many times longer `result` takes than fastpath does; None for fastpath itself and where there is none."""
        ours = self.of("fastpath")
        comparable = ours and ours is not result and self.timed and ours.median > 0
        return result.median / ours.median if ours and comparable else None


def grouped(results: Iterable[Result]) -> list[Group]:
    """Groups in the order in which their cases were measured."""
    groups: dict[tuple[str, str, str], list[Result]] = {}
    for result in results:
        unit = result.unit.partition("/")[0]        # ns/packet: a time that another program says
        groups.setdefault((result.bench, result.case, unit), []).append(result)
    return [Group(*key, tuple(sorted(rows, key=lambda row: row.median))) for key, rows in groups.items()]


def print_json(results: Iterable[Result]) -> None:
    """Print one JSON object a line, each as soon as it is there."""
    for result in results:
        print(line(result), flush=True)


def line(result: Result) -> str:
    """One result as JSON."""
    return json.dumps(asdict(result))


def print_table(results: Sequence[Result], console: Console) -> None:
    """Print every figure, with how many times longer than fastpath it takes."""
    table = Table()
    for heading in ("bench", "case", "impl"):
        table.add_column(heading, overflow="fold")
    for heading in ("median", "min", "unit", "÷ fastpath"):
        table.add_column(heading, justify="right", no_wrap=True)
    former = ""
    for group in grouped(results):
        if former not in ("", group.bench):
            table.add_section()
        former = group.bench
        for number, row in enumerate(group.results):
            ratio = group.ratio(row)
            table.add_row(*((group.bench, group.case) if number == 0 else ("", "")), row.impl, f"{row.median:,.2f}",
                          f"{row.min:,.2f}", row.unit, "" if ratio is None else times(ratio))
    console.print(table)


def times(ratio: float) -> str:
    """A ratio with as many digits as it deserves."""
    return f"{ratio:,.0f}×" if ratio >= 10 else f"{ratio:.2f}×"


def print_bars(results: Sequence[Result], console: Console) -> None:
    """Print a bar for each time, on a logarithmic scale that all benches share."""
    groups = [group for group in grouped(results) if group.timed]
    if not groups:
        return
    low, high = bounds(groups)
    width = max(len(row.impl) for group in groups for row in group.results)
    console.print(f"Time of one operation, each column {10 ** ((high - low) / BAR):.2f} times the one before:")
    for group in groups:
        console.print(f"[bold]{group.bench}[/] {group.case}", highlight=False)
        for row in group.results:
            ratio = group.ratio(row)
            bar = drawn((math.log10(nanoseconds(row)) - low) / (high - low) * BAR)
            style = "green" if row.impl == "fastpath" else "cyan"
            said = f"{readable(nanoseconds(row))}{'' if ratio is None else f'  {times(ratio)}'}"
            console.print(f"  {row.impl:{width}} [{style}]{bar}[/] {said}", highlight=False)


def bounds(groups: Iterable[Group]) -> tuple[float, float]:
    """Whole decades around all figures, as powers of ten of a nanosecond."""
    found = [math.log10(nanoseconds(row)) for group in groups for row in group.results]
    low = math.floor(min(found))
    return low, max(math.ceil(max(found)), low + 1)


def drawn(length: float) -> str:
    """A bar of so many columns, to an eighth; never empty."""
    eighths = max(1, round(length * 8))
    return "█" * (eighths // 8) + PARTS[eighths % 8].strip()


def nanoseconds(result: Result) -> float:
    """The median in nanoseconds; a figure that rounds to nothing counts as a picosecond."""
    return max(result.median * SECONDS[result.unit.partition("/")[0]] / SECONDS["ns"], 1e-3)


def readable(figure: float) -> str:
    """Nanoseconds in the unit that people would say."""
    unit = next((unit for unit in ("s", "ms", "us") if figure >= SECONDS[unit] / SECONDS["ns"]), "ns")
    return f"{figure * SECONDS['ns'] / SECONDS[unit]:.3g} {unit.replace('us', 'µs')}"
