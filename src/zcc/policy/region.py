"""Region: what a clause matches, as a set for each criterion, so that clauses can be compared.

Journey: zcc.policy.clauses → here → lints (is a rule in the shadow of others?). A criterion that is not set is everything.
One region covers another only if it does so in every criterion. That is exact for addresses, services, names and labels; of
a country nothing is known but its code, so that a network is never taken to lie in one. Pure.
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from zcc.policy.clauses import Clause, Targets
from zcc.policy.names import patterns_of
from zcc.policy.spans import ADDRESSES, SERVICES, V6, Spans, of_addresses, of_services

__all__ = ["CRITERIA", "Ages", "Labels", "Line", "Region", "Where", "region_of", "together", "traits", "whole"]


@dataclass(frozen=True, slots=True)
class Labels:
    """A set of labels; None = all there are."""

    labels: frozenset[str] | None

    def covers(self, other: Labels) -> bool:
        """Tell whether every label of another is in this one."""
        return self.labels is None or (other.labels is not None and other.labels <= self.labels)

    @staticmethod
    def together(sets: Sequence[Labels], wanted: Labels) -> bool:
        """Tell whether some sets cover another together."""
        listed = [found.labels for found in sets if found.labels is not None]
        return len(listed) < len(sets) or (wanted.labels is not None and _all_in(wanted.labels, listed))

    @property
    def everything(self) -> bool:
        """Whether the criterion is not set."""
        return self.labels is None


@dataclass(frozen=True, slots=True)
class Ages:
    """Ages of tags, from least and below another."""

    least: float = 0.0
    below: float = math.inf

    def covers(self, other: Ages) -> bool:
        """Tell whether every age of another is in this one."""
        return self.least <= other.least and other.below <= self.below

    @staticmethod
    def together(sets: Sequence[Ages], wanted: Ages) -> bool:
        """Tell whether some sets cover another together."""
        reached = wanted.least
        for ages in sorted(sets, key=lambda ages: ages.least):
            reached = max(reached, ages.below) if ages.least <= reached else reached
        return wanted.below <= reached

    @property
    def everything(self) -> bool:
        """Whether the criterion is not set; an unknown workload has no age, so a bound from below is none of its."""
        return self == Ages()


@dataclass(frozen=True, slots=True)
class Line:
    """Spans of a line, and whether they are all of it."""

    spans: Spans
    whole: Spans

    def covers(self, other: Line) -> bool:
        """Tell whether every place of another is in this one."""
        return self.spans.covers(other.spans)

    @staticmethod
    def together(sets: Sequence[Line], wanted: Line) -> bool:
        """Tell whether some sets cover another together."""
        return _joined((line.spans for line in sets), wanted.spans).covers(wanted.spans)

    @property
    def everything(self) -> bool:
        """Whether the criterion is not set."""
        return self.spans is self.whole or self.spans == self.whole


@dataclass(frozen=True, slots=True)
class Where:
    """The destination criterion; None = anywhere."""

    addresses: Spans
    targets: Targets | None

    def covers(self, other: Where) -> bool:
        """Tell whether every destination of another is in this one."""
        if self.targets is None or self.addresses == ADDRESSES:
            return True
        mine, theirs = self.targets, other.targets
        if theirs is None or not self.addresses.covers(other.addresses):
            return False
        return (
            all(self._has(pattern) for pattern in theirs.patterns)
            and theirs.applications <= mine.applications
            and theirs.countries <= mine.countries
            and theirs.categories <= mine.categories
        )

    def _has(self, pattern: str) -> bool:
        """Whether every name of a pattern is meant: by itself or by a wildcard above it."""
        patterns = self.targets.patterns if self.targets else frozenset()
        above = patterns_of(pattern.removeprefix("*."))
        return pattern in patterns or any(wide in patterns for wide in above if wide != pattern.removeprefix("*."))

    @staticmethod
    def together(sets: Sequence[Where], wanted: Where) -> bool:
        """Tell whether some sets cover another together."""
        listed = [where.targets for where in sets if where.targets is not None]
        theirs = wanted.targets
        if len(listed) < len(sets):
            return True
        named = theirs is not None and (
            all(any(where._has(pattern) for where in sets) for pattern in theirs.patterns)
            and _all_in(theirs.applications, [mine.applications for mine in listed])
            and _all_in(theirs.countries, [mine.countries for mine in listed])
            and _all_in(theirs.categories, [mine.categories for mine in listed])
        )
        if named and _joined((where.addresses for where in sets), wanted.addresses).covers(wanted.addresses):
            return True
        begins = any(where.addresses and where.addresses.parts[0][0] == 0 for where in sets)
        return begins and _joined((where.addresses for where in sets), ADDRESSES) == ADDRESSES

    @property
    def everything(self) -> bool:
        """Whether the criterion is not set."""
        return self.targets is None or self.addresses == ADDRESSES


def _all_in(wanted: frozenset[str], sets: Sequence[frozenset[str]]) -> bool:
    """Whether every label is in one of some sets."""
    return all(any(label in labels for labels in sets) for label in wanted)


def _joined(sets: Iterable[Spans], wanted: Spans) -> Spans:
    """What some spans cover together between the ends of others."""
    if not wanted:
        return wanted
    first, last = wanted.parts[0][0], wanted.parts[-1][1]
    return Spans.of(part for spans in sets for part in spans.parts if part[1] > first and part[0] < last)


Criterion = Labels | Ages | Line | Where
NAMED = ("patterns", "applications", "countries", "categories")
EVERY_BIT = (1 << 64) - 1
GOLDEN = 0x9E3779B1  # neighbours get bits far apart
CRITERIA = ("locations", "namespaces", "sources", "source_groups", "tag_age", "destinations", "destination_groups",
            "countries", "categories", "services", "unnamed")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Region:
    """A set for each of CRITERIA, in their order."""

    sets: tuple[Criterion, ...]
    mask: int  # bit n: criterion n is set

    def misses(self, other: Region) -> list[int]:
        """Return the criteria, by number, in which another region does not lie in this one; two at most, then it stops."""
        # What is not set covers everything.
        missed: list[int] = []
        for n, (mine, theirs) in enumerate(zip(self.sets, other.sets, strict=True)):
            if self.mask >> n & 1 and not mine.covers(theirs):  # type: ignore[arg-type]
                missed.append(n)
                if len(missed) > 1:
                    break
        return missed


def region_of(clause: Clause) -> Region:
    """Return what a clause matches."""
    sources = ADDRESSES if clause.sources is None else of_addresses(clause.sources)
    targets = clause.destinations
    sets: tuple[Criterion, ...] = (
        Labels(clause.locations),
        Labels(clause.namespaces),
        Line(sources - of_addresses(clause.not_sources) if clause.not_sources else sources, ADDRESSES),
        Labels(clause.source_groups),
        Ages(*clause.tag_age) if clause.tag_age else Ages(),
        Where(ADDRESSES if targets is None else of_addresses(targets.ranges), targets),
        Labels(clause.destination_groups),
        Labels(clause.countries),
        Labels(clause.categories),
        Line(of_services(clause.services), SERVICES),
        Labels(clause.unnamed),
    )
    return whole(sets)


def whole(sets: tuple[Criterion, ...]) -> Region:
    """Make a region of a set for each of CRITERIA, in their order."""
    return Region(sets, sum(1 << n for n, found in enumerate(sets) if not found.everything))


def together(sets: Sequence[Criterion], wanted: Criterion) -> bool:
    """Tell whether some sets of one criterion cover another together."""
    return type(wanted).together(sets, wanted)  # type: ignore[arg-type]


def _trait(found: Criterion) -> tuple[int, float, float]:
    if isinstance(found, Labels):
        return (EVERY_BIT if found.labels is None else _bits(found.labels)), 0.0, 0.0
    if isinstance(found, Ages):
        return EVERY_BIT, found.least, found.below
    if isinstance(found, Line):
        return _cells(found.spans, of_addresses=found.whole is ADDRESSES), *_ends(found.spans)
    return _names(found.targets) | _cells(found.addresses, of_addresses=True), *_ends(found.addresses)


def traits(region: Region) -> Iterator[tuple[int, float, float]]:
    """Yield three numbers for each criterion by which most pairs of regions are told apart: 64 bits and two ends.

    A set that covers another has all its bits, and its ends are around the other's. Two sets of addresses, ports or names that
    share something have a bit in common. Ends are rounded outwards; without addresses they are nowhere (inf, -inf).
    """
    for n, found in enumerate(region.sets):
        yield _trait(found) if region.mask >> n & 1 else _NOT_SET[n]


def _bits(labels: Iterable[object]) -> int:
    return functools.reduce(operator.or_, (1 << hash(label) % 64 for label in labels), 0)


def _ends(spans: Spans) -> tuple[float, float]:
    if not spans:
        return math.inf, -math.inf
    low, high = float(spans.parts[0][0]), float(spans.parts[-1][1])
    return math.nextafter(low, -math.inf), math.nextafter(high, math.inf)


def _cells(spans: Spans, *, of_addresses: bool) -> int:
    """A bit for every cell of the line that is touched: an IPv4 /16, an IPv6 /32, a port; many cells share a bit."""
    bits = 0
    for begin, end in spans.parts:
        if of_addresses:
            shift = 16 if end <= V6 else 96
            begin, end = begin >> shift, ((end - 1) >> shift) + 1  # noqa: PLW2901
            if shift == 96 and begin == 0:
                return EVERY_BIT  # IPv4 addresses and IPv6 ones
        if end - begin >= 64:
            return EVERY_BIT
        for cell in range(begin, end):
            bits |= 1 << (cell * GOLDEN >> 26) % 64
    return bits


def _names(targets: Targets | None) -> int:
    """The bits of a destination's names: of the last two labels of a pattern, since wider ones end alike."""
    if targets is None:
        return EVERY_BIT
    bits = 0
    for pattern in targets.patterns:
        ends = pattern.rsplit(".", 2)[-2:]
        if ends[0] == "*":  # *.com is above names of every second label
            return EVERY_BIT
        bits |= 1 << hash(tuple(ends)) % 64
    return bits | _bits((name, label) for name in NAMED[1:] for label in getattr(targets, name))


_NOT_SET = tuple(map(_trait, region_of(Clause(index=0)).sets))
