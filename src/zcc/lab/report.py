"""The lab's table, live while the rows run. Used by the runner only; it judges nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from zcc.lab.scenarios.scenario import Scenario, Seen


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a row."""

    scenario: Scenario
    seen: Seen
    seconds: float
    tails: Mapping[str, str] = field(default_factory=dict)  # last log lines by daemon; of a failed row

    def record(self) -> dict[str, Any]:
        """Return it for machines."""
        return {
            "name": self.scenario.name,
            "title": self.scenario.title,
            "expected": self.scenario.expected,
            "seen": self.seen.text,
            "passed": self.seen.ok,
            "seconds": round(self.seconds, 2),
        }


class Report:
    """Shows rows as they run; a context.

    Args:
        console: where; None = nowhere.
    """

    def __init__(self, scenarios: Sequence[Scenario], console: Console | None) -> None:
        self._scenarios = scenarios
        self._results: dict[str, Result] = {}
        self._running = ""
        self._live = Live(self._table(), console=console, refresh_per_second=8) if console else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running = ""
        self._show()
        if self._live:
            self._live.stop()

    def begin(self, scenario: Scenario) -> None:
        """Say that a row runs."""
        self._running = scenario.name
        self._show()

    def end(self, result: Result) -> None:
        """Say what became of it."""
        self._results[result.scenario.name] = result
        self._running = ""
        self._show()

    @property
    def failures(self) -> list[Result]:
        """The rows that failed so far."""
        return [result for result in self._results.values() if not result.seen.ok]

    def _show(self) -> None:
        if self._live:
            self._live.update(self._table(), refresh=True)

    def _table(self) -> Table:
        passed = sum(result.seen.ok for result in self._results.values())
        table = Table(
            title=f"zcc lab: {passed} of {len(self._scenarios)} rows passed",
            title_justify="left",
            expand=True,
        )
        table.add_column("", width=4)
        for name, ratio in (("what happens", 5), ("expected", 4), ("seen", 6)):
            table.add_column(name, ratio=ratio, overflow="fold")
        table.add_column("s", justify="right", width=6)
        for scenario in self._scenarios:
            result = self._results.get(scenario.name)
            mark: Text | Spinner = Text("")
            if result:
                mark = Text("pass", "green") if result.seen.ok else Text("FAIL", "bold red")
            elif scenario.name == self._running:
                mark = Spinner("dots")
            table.add_row(
                mark,
                f"{scenario.title}",
                scenario.expected,
                Text(result.seen.text) if result else "",
                f"{result.seconds:.1f}" if result else "",
            )
        return table
