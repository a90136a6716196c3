"""Usage: what connectors say of the synthetic addresses that their live flows go to, within bounds.

    connector ─in-use─▶ edge: the addresses keep their names, or rest on, until the next report at least

Journey: the broker hands over in-use messages of connectors. All that a report can do is to delay that an address
becomes another name's; it gives nobody anything, and says nothing of workloads. A connector may name each address
once an interval; what it says beyond that is counted and not looked at. One event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from ipaddress import IPv4Address

from zcc.private_edge.metrics import EdgeMetrics

__all__ = ["Usage"]

AGENTS_LIMIT = 4096  # whose budgets are remembered


class Usage:
    """Reports of all connectors."""

    def __init__(
        self, note: Callable[[Sequence[IPv4Address]], int], metrics: EdgeMetrics, addresses: int, interval_s: float,
        now_s: Callable[[], float],
    ) -> None:
        """Compose.

        Args:
            note: keeps addresses; returns how many of them were ever leased.
            addresses: there are in all pools: the most that a connector may name in an interval.
            interval_s: between two reports.
            now_s: monotonic seconds.
        """
        self._note, self._metrics, self._now_s = note, metrics, now_s
        self._addresses, self._interval_s = addresses, interval_s
        self._spent: dict[str, tuple[float, int]] = {}  # by agent: since when, how many

    def adopt(self, addresses: int, interval_s: float) -> None:
        """Go on with the bounds of other pools."""
        self._addresses, self._interval_s = addresses, interval_s

    def report(self, agent: str, addresses: Sequence[IPv4Address]) -> None:
        """Take a part of a connector's report."""
        now = self._now_s()
        since, spent = self._spent.get(agent, (now, 0))
        if now - since >= self._interval_s / 2:  # a connector's clock is not ours
            since, spent = now, 0
        taken = addresses[: max(0, self._addresses - spent)]
        if len(self._spent) >= AGENTS_LIMIT and agent not in self._spent:
            self._spent.clear()
        self._spent[agent] = since, spent + len(taken)
        known = self._note(taken)
        counted = {"kept": known, "never leased": len(taken) - known, "too many": len(addresses) - len(taken)}
        for outcome, count in counted.items():
            self._metrics.in_use.labels(outcome).inc(count)
