"""Shares: a bound on what is under way at once, which nobody can fill so that others find no room.

Who takes is named from the whole to the part, such as (namespace,) or (namespace, client). At each level one may hold at most
as much as it leaves free there, so that one who floods ends at a third or a half and a second one still finds room; when that
one floods too, both go down to equal parts as their own end. Nothing is set aside for anybody who does not ask.
Pure; one thread.
Source: dynamic thresholds, Choudhury and Hahne, IEEE/ACM Transactions on Networking 6 (2), 1998.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

__all__ = ["Shares"]

Whose = tuple[Hashable, ...]


class Shares:
    """Room for so many, shared."""

    def __init__(self, limit: int) -> None:
        """Begin with all of it free."""
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, not {limit}")
        self._limit = limit
        self._total = 0
        self._held: Counter[Whose] = Counter()

    def __len__(self) -> int:
        return self._total

    def held(self, *whose: Hashable) -> int:
        """Return how much somebody has, its parts included."""
        return self._held[whose]

    def take(self, *whose: Hashable) -> bool:
        """Take room for one; False = there is none for this one, and nothing was taken."""
        room = self._limit - self._total
        for held in (self._held[part] for part in _parts(whose)):
            if held >= room:
                return False
            room -= held
        if room <= 0:
            return False
        self._total += 1
        self._held.update(_parts(whose))
        return True

    def give_back(self, *whose: Hashable) -> None:
        """Free what one `take` took.

        Raises:
            ValueError: it has nothing.
        """
        if not all(self._held[part] for part in _parts(whose)):
            raise ValueError(f"{whose} holds nothing")
        self._total -= 1
        for part in _parts(whose):
            self._held[part] -= 1
            if not self._held[part]:
                del self._held[part]


def _parts(whose: Whose) -> list[Whose]:
    return [whose[: n + 1] for n in range(len(whose))]
