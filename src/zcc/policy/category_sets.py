"""CategorySets: numbers of sets of categories, made so that a name of any set can be told at once.

Journey: compile makes them of the sets that names are in and of the categories that clauses speak of; a name that comes later
gets the number of its set. Categories that the same clauses want are one kind, and of a set only its kinds matter; so there is
a number for every set of kinds, for up to AT_MOST sets: with twelve kinds or fewer that is all of them, with more the smaller
ones. Only a name in more kinds at once than that, of which no name before was, waits for the next compilation. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from math import comb

__all__ = ["AT_MOST", "CategorySets"]

AT_MOST = 4096  # sets of kinds; a row of bits each, and only different rows take memory


class CategorySets:
    """Numbers of sets; none at all if no clause speaks of a category.

    Args:
        known: sets that have a number, by number from 0; that of no category is the first.
        wanted: the categories of each clause that speaks of some.
    """

    def __init__(self, known: Mapping[frozenset[str], int], wanted: Iterable[frozenset[str] | None]) -> None:
        speaking = list(dict.fromkeys(categories for categories in wanted if categories))
        self.categories: frozenset[str] = frozenset().union(*speaking)
        self._kinds = _kinds(speaking)
        self._numbers: dict[frozenset[str], int] = dict(known) if speaking else {}
        for kinds in _smallest(sorted(set(self._kinds.values()))) if speaking else ():
            self._numbers.setdefault(frozenset(kinds), len(self._numbers))

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[frozenset[str]]:
        """Yield the sets in the order of their numbers."""
        return iter(self._numbers)

    def tells(self, held: frozenset[str]) -> bool:
        """Say whether a set has a number of its own, or of its kinds."""
        return not self._numbers or held in self._numbers or self._of(held) in self._numbers

    def number_of(self, held: frozenset[str]) -> int | None:
        """Return the number of a set; of one that can not be told, that of the known one with most of its kinds and no others.

        Returns:
            None if there are no sets.
        """
        if not self._numbers:
            return None
        found = self._numbers.get(held, self._numbers.get(self._of(held)))
        if found is None:
            kinds = self._of(held)
            within = ((len(self._of(known)), number) for known, number in self._numbers.items() if self._of(known) <= kinds)
            found = max(within)[1]
        return found

    def _of(self, held: frozenset[str]) -> frozenset[str]:
        """The kinds of a set, each by its first category."""
        return frozenset(self._kinds[category] for category in held & self.categories)


def _kinds(speaking: list[frozenset[str]]) -> dict[str, str]:
    """The first category of each one's kind: of those that the same clauses want."""
    clauses: dict[str, list[int]] = {}
    for index, categories in enumerate(speaking):
        for category in categories:
            clauses.setdefault(category, []).append(index)
    first: dict[tuple[int, ...], str] = {}
    return {category: first.setdefault(tuple(clauses[category]), category) for category in sorted(clauses)}


def _smallest(kinds: list[str]) -> Iterable[tuple[str, ...]]:
    """Sets of kinds, the smaller ones first, of whole sizes, as many as may be."""
    left = AT_MOST
    for size in range(len(kinds) + 1):
        left -= comb(len(kinds), size)
        if left < 0:
            return
        yield from combinations(kinds, size)
