"""diff: two policies compared in words, and traffic that they decide differently.

    objects  by name: new, gone, or what changed in each field
    rules    by name: new, gone, moved past which others, or what changed
    effect   flows tried on both, which differ: witnesses, not a proof of what else differs

Journey: `zcc policy diff A B`, and the portal. Flows are those that the rules with a difference might match, and the rules
that name an object with one (zcc.policy.witness). Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from zcc.policy.compare import Tally
from zcc.policy.decide import Decider, Flow
from zcc.policy.dns_rule import DnsRule
from zcc.policy.dns_witness import effect_on_queries
from zcc.policy.model import Policy, Rule
from zcc.policy.objects.catalogue import Catalogue
from zcc.policy.recorded import verdict
from zcc.policy.witness import witnesses
from zcc.policy.world import World

__all__ = ["Difference", "diff"]

VALUES_SHOWN = 8
DECISIONS = 4_000_000  # rules looked at, all flows together
OF_OTHERS = 12  # flows of a rule without a difference
# Object kind → fields of rules and objects that name such objects.
NAMED_BY = {
    "locations": ("locations",), "location_groups": ("location_groups",),
    "source_groups": ("source_groups", "exclude_source_groups"), "destination_groups": ("destination_groups",),
    "services": ("services",), "service_groups": ("service_groups",), "application_services": ("application_services",),
    "workload_groups": ("source_workload_groups", "destination_workload_groups"), "applications": ("applications",),
    "segment_groups": ("segment_groups",), "gateways": ("gateway",),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Difference:
    """What is different, in sentences, and its effect on the flows and DNS queries tried."""

    words: tuple[str, ...]
    effect: Tally
    queries: Tally

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return {"differences": list(self.words), "effect": self.effect.to_dict(),
                "queries": self.queries.to_dict()}  # fmt: skip

    def __rich__(self) -> RenderableType:
        words = [Text(f"• {words}", overflow="fold") for words in self.words] or [Text("The policies are the same.")]
        effects = [self.effect, *([self.queries] if self.queries.looked_at else [])]
        return Group(*words, *effects) if self.words else Group(*words)


def diff(
    before: Policy, after: Policy, world: World | None = None, groups: Sequence[str] = (),
    dns: tuple[Sequence[DnsRule], Sequence[DnsRule]] = ((), ()),
) -> Difference:  # fmt: skip
    """Compare two policies.

    Args:
        dns: the DNS rules of both.
        world: what is known beside them.
        groups: connector groups that flows are tried on.
    """
    world = world or World()
    words = [*_objects(before, after), *rules_in_words("rule", before.rules, after.rules),
             *rules_in_words("DNS rule", *dns)]  # fmt: skip
    if before.pool != after.pool:
        words.append(f"pool: {before.pool} → {after.pool}")
    queries = effect_on_queries((dns[0], before), (dns[1], after), world, groups)
    return Difference(tuple(words), _effect(before, after, world, groups), queries)


# ---- words ----


def _objects(before: Policy, after: Policy) -> Iterator[str]:
    for kind in Catalogue.model_fields:
        one, other = getattr(before, kind), getattr(after, kind)
        if one == other:
            continue
        what = kind.removesuffix("s").replace("_", " ")
        if not isinstance(one, tuple) or not all(hasattr(item, "name") for item in (*one, *other)):
            yield from _of_field(kind.replace("_", " "), one, other)
            continue
        yield from _named(what, {item.name: item for item in one}, {item.name: item for item in other})


def _named(what: str, one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    yield from (f"{what} {name!r} is new" for name in other if name not in one)
    yield from (f"{what} {name!r} is gone" for name in one if name not in other)
    for name, item in one.items():
        if name in other and item != other[name]:
            yield from _fields(f"{what} {name!r}", item, other[name])


def _fields(subject: str, one: Any, other: Any) -> Iterator[str]:
    for field in type(one).model_fields:
        if getattr(one, field) != getattr(other, field):
            yield from _of_field(f"{subject}: {field.replace('_', ' ')}", getattr(one, field), getattr(other, field))


def _of_field(subject: str, one: Any, other: Any) -> Iterator[str]:
    if not isinstance(one, tuple):
        yield f"{subject}: {_value(one)} → {_value(other)}"
        return
    gone, new = ([value for value in some if value not in more] for some, more in ((one, other), (other, one)))
    if not gone and not new:
        yield f"{subject}: the same in another order"
    elif not one or not other:
        yield f"{subject}: {_list(one) or 'any'} → {_list(other) or 'any'}"
    else:
        yield f"{subject}: " + ", ".join([*(f"+ {text}" for text in _texts(new)), *(f"− {text}" for text in _texts(gone))])


def _texts(values: Iterable[Any]) -> list[str]:
    texts = [_value(value) for value in values]
    more = [f"{len(texts) - VALUES_SHOWN} more"] if len(texts) > VALUES_SHOWN else []
    return [*texts[:VALUES_SHOWN], *more]


def _list(values: Iterable[Any]) -> str:
    return ", ".join(_texts(values))


def _value(value: Any) -> str:
    if hasattr(value, "model_dump"):
        said = value.model_dump(mode="json", exclude_defaults=True)
        return ", ".join(f"{key} {inner}" for key, inner in said.items()) or "default"
    return "none" if value is None else str(value)


def rules_in_words(what: str, before: Sequence[Any], after: Sequence[Any]) -> Iterator[str]:
    """Say which rules are new, gone, moved or changed.

    Args:
        what: what such a rule is called.
    """
    one, other = {rule.name: rule for rule in before}, {rule.name: rule for rule in after}
    places = {name: place for place, name in enumerate(other)}
    order = [name for name in one if name in other]
    for name in (name for name in other if name not in one):
        rule = other[name]
        yield f"{what} {name!r} ({does(rule)}) is new, at place {places[name]}{_above(after, places[name])}"
    for place, name in enumerate(one):
        if name not in other:
            yield f"{what} {name!r} ({does(one[name])}) is gone from place {place}"
    for name in moved(order, [name for name in other if name in one]):
        passed = _passed(order, [n for n in other if n in one], name)
        yield f"{what} {name!r} has moved: it is now {passed}"
    for name in order:
        if one[name] != other[name]:
            yield from _fields(f"{what} {name!r}", one[name], other[name])


def does(rule: Any) -> str:
    """Return the method of a forwarding rule, or the action of a DNS rule."""
    return str(rule.method if isinstance(rule, Rule) else rule.action)


def _above(rules: Sequence[Any], place: int) -> str:
    return f", above {rules[place + 1].name!r}" if place + 1 < len(rules) else ", the last"


def moved(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Return the fewest names that have to move to bring one order into another."""
    place = {name: n for n, name in enumerate(before)}
    ends: list[int] = []  # ends[k]: the lowest end of a rising run of k + 1 names
    names: list[str] = []  # of these ends
    link: dict[str, str | None] = {}
    for name in after:
        k = bisect_left(ends, place[name])
        link[name] = names[k - 1] if k else None
        ends[k : k + 1], names[k : k + 1] = [place[name]], [name]
    kept: set[str] = set()
    at = names[-1] if names else None
    while at is not None:
        kept.add(at)
        at = link[at]
    return [name for name in after if name not in kept]


def _passed(before: Sequence[str], after: Sequence[str], name: str) -> str:
    was_above, is_above = set(before[: before.index(name)]), set(after[: after.index(name)])
    now_above = [repr(n) for n in before if n in was_above - is_above]
    now_below = [repr(n) for n in before if n in is_above - was_above]
    said = [f"{word} {', '.join(names[:4])}{' and others' if len(names) > 4 else ''}"
            for word, names in (("above", now_above), ("below", now_below)) if names]  # fmt: skip
    return " and ".join(said)


# ---- effect ----


def _effect(before: Policy, after: Policy, world: World, groups: Sequence[str]) -> Tally:
    tally, seen = Tally(), set()
    one, other = Decider(before, world), Decider(after, world)
    left = DECISIONS
    for flow in _trials(before, after, world, groups):
        key = (flow.source, flow.destination, flow.protocol, flow.port, flow.name, flow.namespace, flow.location,
               flow.group, flow.endpoint and flow.endpoint.id, flow.at_s, flow.naming)  # fmt: skip
        if key not in seen:
            seen.add(key)
            tally.add(flow, verdict(one, flow), verdict(other, flow))
            left -= len(before.rules) + len(after.rules)
        if left <= 0:
            break
    return tally


def _trials(before: Policy, after: Policy, world: World, groups: Sequence[str]) -> Iterator[Flow]:
    """Flows of the rules with a difference, then some of the others, which may come under these or out of their shadow."""
    touched = _touched(before, after)
    for first, most in ((True, None), (False, OF_OTHERS)):
        for policy in (before, after) if touched else ():
            for index, rule in enumerate(policy.rules):
                if (rule.name in touched) is first:
                    yield from islice(witnesses(policy, index, world, groups), most)


def _touched(before: Policy, after: Policy) -> set[str]:
    """Names of rules with a difference: their own, their place's, or that of an object they name."""
    one, other = {rule.name: rule for rule in before.rules}, {rule.name: rule for rule in after.rules}
    order = [name for name in one if name in other]
    touched = {name for name in {**one, **other} if one.get(name) != other.get(name)}
    touched.update(moved(order, [name for name in other if name in one]))
    changed = {kind: _changed(getattr(before, kind), getattr(after, kind)) for kind in NAMED_BY}
    changed["service_groups"] |= {g.name for p in (before, after) for g in p.service_groups
                                  if set(g.services) & changed["services"]}  # fmt: skip
    changed["segment_groups"] |= {g.name for p in (before, after) for g in p.segment_groups
                                  if set(g.applications) & changed["applications"]}  # fmt: skip
    for rule in (*before.rules, *after.rules):
        if rule.all_applications and changed["applications"]:
            touched.add(rule.name)
        for kind, fields in NAMED_BY.items():
            named = {str(name).partition("/")[0] for field in fields for name in _as_list(getattr(rule, field))}
            if named & changed[kind] or (changed[kind] and kind == "locations" and rule.location_groups):
                touched.add(rule.name)
    return touched


def _as_list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple) else () if value is None else (value,)


def _changed(one: Sequence[Any], other: Sequence[Any]) -> set[str]:
    before, after = {item.name: item for item in one}, {item.name: item for item in other}
    return {name for name in {**before, **after} if before.get(name) != after.get(name)}
