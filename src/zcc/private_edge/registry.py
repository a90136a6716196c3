"""App connectors that are registered now, by group; the least loaded live one is chosen.

Journey: broker adds and removes, opening chooses. One event loop.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from zcc.mtunnel.transport import MuxConnection

__all__ = ["AppConnector", "Registry"]


@dataclass(slots=True, eq=False)
class AppConnector:
    """One registered app connector."""

    name: str
    group: str
    connection: MuxConnection
    reported: int = 0  # streams that it says it carries, over all edges
    draining: bool = False

    @property
    def usable(self) -> bool:
        """Whether a stream may be opened to it."""
        connection = self.connection
        return connection.alive and not self.draining and not connection.going_away.is_set()

    @property
    def load(self) -> int:
        """Streams it carries: its own word, or what we know better."""
        return max(self.reported, self.connection.streams)


class Registry:
    """Who can be chosen."""

    def __init__(self, random: Callable[[], float]) -> None:
        """Start empty.

        Args:
            random: uniform in [0, 1), breaks ties, so that equals share.
        """
        self._random = random
        self._groups: dict[str, list[AppConnector]] = {}

    def add(self, connector: AppConnector) -> None:
        """Register one."""
        self._groups.setdefault(connector.group, []).append(connector)

    def remove(self, connector: AppConnector) -> None:
        """Take one out; harmless when it is not in."""
        members = self._groups.get(connector.group, [])
        if connector in members:
            members.remove(connector)
        if not members:
            self._groups.pop(connector.group, None)

    def choose(self, group: str, tried: Container[AppConnector] = ()) -> AppConnector | None:
        """Return the least loaded usable member of a group that was not tried; None = there is none."""
        usable = [one for one in self._groups.get(group, ()) if one.usable and one not in tried]
        return min(usable, key=lambda one: (one.load, self._random()), default=None)

    def count(self, group: str) -> int:
        """Return how many usable members a group has."""
        return sum(one.usable for one in self._groups.get(group, ()))

    @property
    def groups(self) -> list[str]:
        """Groups with members."""
        return sorted(self._groups)
