"""Shadow: rules that never decide a flow.

    shadowed      one rule above matches whatever it matches
    unreachable   some rules above together do, told apart by one criterion
    never         it matches nothing by itself: its groups are empty, or what it wants excludes itself

Exact for what it reports; a rule that others cover in two criteria at once is not found. A rule is compared by its clauses
(zcc.policy.region); groups count as what they hold. Connector groups are constant for a connector, so each is looked at by
itself, and a rule is told of only if it never decides in any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from zcc.policy.lint.finding import Finding
from zcc.policy.model import Policy, Rule
from zcc.policy.places import Places
from zcc.policy.region import Region, bounds, marks, region_of, union
from zcc.policy.resolve import clauses_of_rule

__all__ = ["shadow"]

PAIRS_LIMIT = 2_000_000  # of clauses that are compared one by one: some ten seconds


def shadow(policy: Policy) -> Iterator[Finding]:
    """Find the enabled rules that never decide."""
    seen = _Above(policy)
    places = Places(policy)
    for index, rule in enumerate(policy.rules):
        if not rule.enabled:
            continue
        regions = [region_of(clause) for clause in clauses_of_rule(policy, places, index, rule)]
        regions = [region for region in regions if all(_holds_something(found) for found in region.sets)]
        if not regions:
            if rule.names_applications and not any((rule.applications, rule.segment_groups, rule.all_applications)):
                yield _finding("never", index, rule, "names no application, so nothing matches it; name applications, or give "
                               "all_applications: true")  # fmt: skip
            else:
                yield _finding("never", index, rule, "matches nothing: a criterion of it holds no value; see its groups")
            continue
        found = seen.shadow_of(rule, regions)
        if found is not None:
            yield _finding(found[0], index, rule, found[1])
        seen.add(index, regions)
    if seen.pairs > PAIRS_LIMIT:
        yield Finding("not-compared", ("rules",), f"the rules overlap so much that only {PAIRS_LIMIT} pairs were compared")


def _holds_something(found: object) -> bool:
    spans = getattr(found, "spans", None)
    return spans is None or bool(spans)


def _finding(code: str, index: int, rule: Rule, message: str) -> Finding:
    return Finding(code, ("rules", index), f"rule {rule.name!r} {message}")


class _Above:
    """The rules above, by their regions."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._regions: list[Region] = []
        self._rules: list[int] = []
        self._masks = np.zeros(64, np.uint32)
        self._marks = np.zeros(64, np.uint64)
        self._bounds = np.zeros((6, 64))
        self.pairs = 0

    def add(self, index: int, regions: Sequence[Region]) -> None:
        """Take in a rule that is looked at."""
        for region in regions:
            number = len(self._regions)
            if number == len(self._masks):
                self._masks, self._marks = (np.concatenate([a, np.zeros_like(a)]) for a in (self._masks, self._marks))
                self._bounds = np.concatenate([self._bounds, np.zeros_like(self._bounds)], axis=1)
            self._masks[number], self._marks[number] = region.mask, marks(region)
            self._bounds[:, number] = bounds(region)
            self._regions.append(region)
            self._rules.append(index)

    def shadow_of(self, rule: Rule, regions: Sequence[Region]) -> tuple[str, str] | None:
        """Return the code and message of a rule in the shadow, or None."""
        blamed: set[int] = set()
        for region in regions:
            above = self._above(rule, region)
            if above is None:
                return None
            blamed |= above
        names = [repr(self._policy.rules[index].name) for index in sorted(blamed)]
        if len(names) == 1:
            return "shadowed", f"never decides: {names[0]} above it matches all that it matches; move it up, or remove it"
        listed = ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")
        return "unreachable", f"never decides: {listed} above it together match all that it matches; move it up, or remove it"

    def _above(self, rule: Rule, region: Region) -> set[int] | None:
        """The rules that cover a region, alone or together in one criterion."""
        candidates = self._candidates(rule, region)
        self.pairs += len(candidates)
        if self.pairs > PAIRS_LIMIT:
            return None
        parts: dict[int, list[int]] = {}  # regions that cover this one but for one criterion, by that criterion
        for n in candidates:
            missed = self._regions[n].misses(region)
            if not missed:
                return {self._rules[n]}
            if len(missed) == 1:
                parts.setdefault(missed[0], []).append(n)
        for number, part in parts.items():
            if len(part) > 1:
                together = union([self._regions[n].sets[number] for n in part])
                if together.covers(region.sets[number]):  # type: ignore[arg-type]
                    return {self._rules[n] for n in part}
        return None

    def _candidates(self, rule: Rule, region: Region) -> list[int]:
        """Regions above that share something with one, found by numbers, since there may be millions of pairs."""
        n = len(self._regions)
        wider = self._masks[:n] & ~np.uint32(region.mask)
        low, high = self._bounds[0::2, :n], self._bounds[1::2, :n]
        own = bounds(region)
        meets = [(low[k] < own[2 * k + 1]) & (own[2 * k] < high[k]) for k in range(3)]
        meets[1] |= (self._marks[:n] & np.uint64(marks(region))) != 0
        # A criterion that is set above and not here: one may be, if others make up for it.
        kept = meets[0] & meets[1] & meets[2] & (wider & (wider - np.uint32(1)) == 0)
        return [int(number) for number in np.flatnonzero(kept) if self._is_there(int(number), rule)]

    def _is_there(self, number: int, rule: Rule) -> bool:
        """Whether a rule above is on every connector that has this one."""
        groups = self._policy.rules[self._rules[number]].connector_groups
        return not groups or (bool(rule.connector_groups) and set(rule.connector_groups) <= set(groups))
