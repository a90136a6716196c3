"""Above: the rules above a rule, and which of them leave nothing for it.

Journey: zcc.policy.lint.shadow goes down the rules and asks here of each. Ten thousand rules are fifty million pairs, so most
pairs are told apart by three numbers of each criterion, in arrays (zcc.policy.region.traits); these prove that something is
not covered, never that it is. What is left is compared by the regions themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from zcc.policy.lint.rows import Rows
from zcc.policy.region import CRITERIA, Region, together, traits

__all__ = ["PAIRS_LIMIT", "Above", "Weighed"]

PAIRS_LIMIT = 2_000_000  # of regions that are compared one by one: some ten seconds
MEETING = ("destinations", "sources", "services")  # criteria whose bits tell what shares nothing, the most telling first
MET = [CRITERIA.index(name) for name in MEETING]
EVERY = len(CRITERIA)
COLUMNS = np.dtype([("mask", np.uint32), ("group", np.uint32), ("set", np.bool_, EVERY), ("bits", np.uint64, EVERY),
                    ("low", np.float64, EVERY), ("high", np.float64, EVERY),
                    *((name, np.uint64) for name in MEETING)])  # fmt: skip
PLACES = np.uint32(1) << np.arange(EVERY, dtype=np.uint32)
# Some labels, however many, are never all labels.
BOUNDED = ("sources", "tag_age", "destinations", "services")
ENDLESS = np.uint32(sum(1 << n for n, name in enumerate(CRITERIA) if name not in BOUNDED))
Numbers = npt.NDArray[np.intp]


class Weighed:
    """A region with its numbers, criterion by criterion."""

    def __init__(self, region: Region) -> None:
        self.region = region
        bits, low, high = zip(*traits(region), strict=True)
        self.bits, self.low, self.high = np.array(bits, np.uint64), np.array(low), np.array(high)


class Above:
    """Regions of rules, in the order of the rules."""

    def __init__(self) -> None:
        self._regions: list[Region] = []
        self._rules: list[int] = []
        self._groups: dict[frozenset[str], int] = {}
        self._rows = Rows(COLUMNS)
        self.pairs = 0  # regions that were compared one by one

    @property
    def is_tired(self) -> bool:
        """Whether so much was compared that the rest is not."""
        return self.pairs > PAIRS_LIMIT

    def add(self, index: int, groups: Sequence[str], regions: Sequence[Weighed]) -> None:
        """Take in a rule.

        Args:
            groups: connector groups that it is for; none = all.
        """
        group = self._groups.setdefault(frozenset(groups), len(self._groups))
        for own in regions:
            mask = own.region.mask
            self._rows.add(mask=mask, group=group, set=(mask & PLACES) != 0, bits=own.bits, low=own.low, high=own.high,
                           **{name: own.bits[k] for name, k in zip(MEETING, MET, strict=True)})  # fmt: skip
            self._regions.append(own.region)
            self._rules.append(index)

    def covering(self, groups: Sequence[str], own: Weighed) -> set[int] | None:
        """Return the rules that cover a region: one alone, or some that do so together in one criterion; None = none do.

        Args:
            groups: connector groups of the region's rule; a rule above counts if it is in all of them.
        """
        region = own.region
        near = self._candidates(groups, own)
        missed = self._missed(near, own)
        count = missed.sum(axis=1)
        parts: dict[int, list[int]] = {}  # regions that cover this one but for one criterion, by that criterion
        for n in near[count == 0].tolist():
            found = self._compare(n, region)
            if not found:
                return {self._rules[n]}
            if len(found) == 1:
                parts.setdefault(found[0], []).append(n)
        once = near[count == 1]
        which = missed[count == 1].argmax(axis=1)
        sure: list[list[int]] = []
        for criterion in {*parts, *which.tolist()}:
            known, unsure = parts.get(criterion, []), once[which == criterion].tolist()
            if self._may_cover([*known, *unsure], criterion, own) and self._cover([*known, *unsure], criterion, region):
                part = sorted([*known, *(n for n in unsure if self._compare(n, region) == [criterion])])
                sure += [part] if self._cover(part, criterion, region) else []
        return {self._rules[n] for n in min(sure)} if sure else None

    def _cover(self, part: Sequence[int], criterion: int, region: Region) -> bool:
        """Whether some regions, two or more, cover one together in a criterion."""
        if len(part) < 2:
            return False
        return together([self._regions[n].sets[criterion] for n in part], region.sets[criterion])

    def _compare(self, n: int, region: Region) -> list[int]:
        """The criteria in which a region above misses one; two at most, which is as good as all."""
        self.pairs += 1
        return [0, 0] if self.is_tired else self._regions[n].misses(region)

    def _candidates(self, groups: Sequence[str], own: Weighed) -> Numbers:
        """Regions above that share something with one and are on every connector that has its rule."""
        rows, mask = self._rows, np.uint32(own.region.mask)
        near: Numbers = ((rows[MEETING[0]] & own.bits[MET[0]]) != 0).nonzero()[0]
        for name, k in zip(MEETING[1:], MET[1:], strict=True):
            near = near[(rows[name].take(near) & own.bits[k]) != 0]
        # A criterion that is set above and not here: one may be, if others can make up for it.
        wider = rows["mask"].take(near) & ~mask
        near = near[(wider & (wider - np.uint32(1)) == 0) & (wider & ENDLESS == 0)]
        there = np.array([not held or (bool(groups) and set(groups) <= held) for held in self._groups], np.bool_)
        near = near[there[rows["group"].take(near)]]
        return near

    def _missed(self, near: Numbers, own: Weighed) -> npt.NDArray[np.bool_]:
        """In which criteria regions above surely do not cover one: [candidate, criterion]."""
        rows = self._rows
        lacks: npt.NDArray[np.bool_] = (~rows["bits"].take(near, axis=0) & own.bits) != 0
        lacks |= rows["low"].take(near, axis=0) > own.low
        lacks |= rows["high"].take(near, axis=0) < own.high
        lacks &= rows["set"].take(near, axis=0)
        return lacks

    def _may_cover(self, numbers: list[int], criterion: int, own: Weighed) -> bool:
        """Whether some regions may cover one together in a criterion."""
        if len(numbers) < 2:
            return False
        held: Any = np.bitwise_or.reduce(self._rows["bits"][numbers, criterion])
        begin, end = self._rows["low"][numbers, criterion].min(), self._rows["high"][numbers, criterion].max()
        return bool(own.bits[criterion] & ~held == 0 and begin <= own.low[criterion] and own.high[criterion] <= end)
