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

from zcc.policy.lint.above import PAIRS_LIMIT, Above, Weighed
from zcc.policy.lint.finding import Finding
from zcc.policy.model import Policy, Rule
from zcc.policy.places import Places
from zcc.policy.region import Line, region_of
from zcc.policy.resolve import clauses_of_rule

__all__ = ["shadow", "shadow_of"]


def shadow(policy: Policy) -> Iterator[Finding]:
    """Find the enabled rules that never decide."""
    seen = Above()
    places, names = Places(policy), [rule.name for rule in policy.rules]
    for index, rule in enumerate(policy.rules):
        if not rule.enabled:
            continue
        regions = [region_of(clause) for clause in clauses_of_rule(policy, places, index, rule)]
        regions = [region for region in regions if all(line.spans for line in region.sets if isinstance(line, Line))]
        if not regions:
            if rule.names_applications and not any((rule.applications, rule.segment_groups, rule.all_applications)):
                yield _finding("never", index, rule, "names no application, so nothing matches it; name applications, or give "
                               "all_applications: true")  # fmt: skip
            else:
                yield _finding("never", index, rule, "matches nothing: a criterion of it holds no value; see its groups")
            continue
        weighed = [Weighed(region) for region in regions]
        found = shadow_of(seen, names, rule.connector_groups, weighed)
        if found is not None:
            yield _finding(found[0], index, rule, found[1])
        else:
            # What is covered covers nothing that those above it do not.
            seen.add(index, rule.connector_groups, weighed)
    if seen.is_tired:
        yield Finding("not-compared", ("rules",), f"the rules overlap so much that only {PAIRS_LIMIT} pairs were compared")


def _finding(code: str, index: int, rule: Rule, message: str) -> Finding:
    return Finding(code, ("rules", index), f"rule {rule.name!r} {message}")


def shadow_of(
    seen: Above, rules: Sequence[str], groups: Sequence[str], regions: Sequence[Weighed]
) -> tuple[str, str] | None:
    """Return the code and message of a rule in the shadow, or None.

    Args:
        seen: the rules above it.
        rules: names of all rules.
        groups: connector groups of this one.
    """
    blamed: set[int] = set()
    for region in regions:
        above = seen.covering(groups, region)
        if above is None:
            return None
        blamed |= above
    names = [repr(rules[index]) for index in sorted(blamed)]
    if len(names) == 1:
        return "shadowed", f"never decides: {names[0]} above it matches all that it matches; move it up, or remove it"
    listed = ", ".join(names[:5]) + (" and others" if len(names) > 5 else "")
    return "unreachable", f"never decides: {listed} above it together match all that it matches; move it up, or remove it"
