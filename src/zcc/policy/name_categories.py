"""NameCategories: the categories of every name that has a number, found once.

Journey: compile asks it for all names at once; an edit of the rules costs nothing here, since a name's categories depend on
the lists alone. When the lists change, all names are looked up together: the hashes of all domains above them in one sorted
array. One thread at a time. It knows no rules.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from zcc.policy.domains import DomainSet, upwards
from zcc.policy.names import NameBook
from zcc.policy.world import World

__all__ = ["NameCategories"]

AT_ONCE = 8192
FEW = 1000  # names that are not worth an array of all lists
Hashes = npt.NDArray[np.int64]
Lists = Mapping[str, DomainSet]


class NameCategories:
    """Numbers of sets of categories, by number of the name. Number 0 is the set of none."""

    def __init__(self) -> None:
        self._lists: Lists | None = None
        self._start({})

    def _start(self, lists: Lists) -> None:
        self._lists = lists
        self.sets: dict[frozenset[str], int] = {frozenset(): 0}
        for category in sorted(lists):
            self.sets[frozenset((category,))] = len(self.sets)
        self._numbers = array("I", [0])

    def numbers(self, names: NameBook, count: int, world: World) -> npt.NDArray[np.uint32]:
        """Return the number of the set of each of the first `count` names; [0] is of no name."""
        if world.categories is not self._lists:
            self._start(world.categories)
        known = len(self._numbers) - 1
        if count - known <= FEW:
            for name in names.names_from(known + 1, count - known):
                self._numbers.append(self._number(world.categories_of(name)))
        else:
            self._find(names, known + 1, count, world.categories)
        return np.frombuffer(self._numbers, np.uint32)[: count + 1].copy()

    def _number(self, held: frozenset[str]) -> int:
        return self.sets.setdefault(held, len(self.sets))

    def _find(self, names: NameBook, first: int, last: int, lists: Lists) -> None:
        listed, owner = _merged(list(lists.values()))
        categories = list(lists)
        for begin in range(first, last + 1, AT_ONCE):
            some = names.names_from(begin, min(AT_ONCE, last + 1 - begin))
            hashes, of = _hashes_above(some)
            left, right = np.searchsorted(listed, hashes, "left"), np.searchsorted(listed, hashes, "right")
            held: dict[int, set[str]] = {}
            for i in np.flatnonzero(left < right).tolist():
                held.setdefault(int(of[i]), set()).update(categories[k] for k in owner[left[i] : right[i]].tolist())
            numbers = np.zeros(len(some), np.uint32)
            for i, found in held.items():
                numbers[i] = self._number(frozenset(found))
            self._numbers.frombytes(numbers.tobytes())


def _merged(sets: Sequence[DomainSet]) -> tuple[Hashes, npt.NDArray[np.int32]]:
    """The hashes of all lists, sorted, and which list each is of."""
    if not sets:
        return np.zeros(0, np.int64), np.zeros(0, np.int32)
    hashes = np.concatenate([domains.hashes for domains in sets])
    order = np.argsort(hashes, kind="stable")
    owner = np.repeat(np.arange(len(sets), dtype=np.int32), [len(domains) for domains in sets])
    return hashes[order], owner[order]


def _hashes_above(names: Sequence[str]) -> tuple[Hashes, npt.NDArray[np.int64]]:
    """The hashes of names and the domains above them, and which name each is of."""
    domains = [list(upwards(name.encode())) for name in names]
    hashes = np.fromiter((hash(domain) for above in domains for domain in above), np.int64)
    return hashes, np.repeat(np.arange(len(names)), [len(above) for above in domains])
