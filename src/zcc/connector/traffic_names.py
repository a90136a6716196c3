"""Traffic names: numbers for names that flows say, so that no stranger can use all numbers up.

Journey: `naming` asks for a number; the NameBook gives it. Behind LIMIT names a new one shares the number of a stand-in,
the widest `*.` pattern above it that rules and categories treat alike: logs then say so, and rules decide as before.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Hashable

from zcc.connector.ports import Names
from zcc.errors import ZccError
from zcc.policy.names import patterns_of

__all__ = ["TrafficNames"]

LIMIT = 65_536

log = logging.getLogger(__name__)


class TrafficNames:
    """Gives names numbers, new ones within the limit."""

    def __init__(self, names: Names, likeness: Callable[[str], Hashable], limit: int = LIMIT) -> None:
        """Compose.

        Args:
            likeness: the same for names that neither rules nor categories tell apart.
            limit: names that get a number of their own.
        """
        self.counts: Counter[str] = Counter()
        self._names, self._likeness, self._limit = names, likeness, limit
        self._own: set[str] = set()

    def number_of(self, name: str) -> int:
        """Return the number of a name, or that of its stand-in; 0 = there is none left."""
        if name not in self._own:
            if len(self._own) < self._limit:
                self._own.add(name)
            else:
                self.counts["stand_ins"] += 1
                name = self._stand_in(name)
        try:
            return self._names.id_of(name)
        except ZccError as error:
            self.counts["names_full"] += 1
            log.error("%s", error)
            return 0

    def _stand_in(self, name: str) -> str:
        _, *above = patterns_of(name)
        alike = self._likeness(name)
        return next((pattern for pattern in reversed(above) if self._likeness(pattern) == alike), name)
