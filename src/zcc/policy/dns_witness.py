"""DnsWitness: queries that a DNS rule might match, one for each of its values, tried on two policies.

Journey: `zcc policy diff` counts those that the two decide differently. Values are the rule's own: a name for each pattern and
application, both ends of the sources, a record type, an address of each country for the answer. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address
from itertools import islice, product
from typing import Any

import dns.rdatatype

from zcc.policy.compare import Tally, Verdict
from zcc.policy.dns_decide import DnsDecider, DnsQuery, names_of
from zcc.policy.dns_rule import DnsAction, DnsRule
from zcc.policy.objects.catalogue import Catalogue
from zcc.policy.world import World

__all__ = ["effect_on_queries"]

VALUES = 6  # of one criterion
QUERIES = 96  # of one rule
LOOKED_AT = 2_000_000  # rules, all queries together
USUAL_TYPES = (1, 28)
SOMEONE, ANYTHING = IPv4Address("10.0.0.9"), "www.example"
Side = tuple[Sequence[DnsRule], Catalogue]


def effect_on_queries(before: Side, after: Side, world: World, groups: Sequence[str]) -> Tally:
    """Try queries on two sets of DNS rules, each with the objects that it names.

    Args:
        groups: connector groups that are tried if a rule names none.
    """
    tally = Tally(of="queries")
    one, other = (DnsDecider(rules, catalogue, lambda: world) for rules, catalogue in (before, after))
    if list(before[0]) == list(after[0]) and before[1] == after[1]:
        return tally
    seen: set[DnsQuery] = set()
    left = LOOKED_AT
    for query in (query for side in (before, after) for query in _queries(side, world, groups)):
        if query in seen:
            continue
        seen.add(query)
        for asked in dict.fromkeys((query, _without_answer(query))):
            tally.add(_example(asked), _verdict(one, asked), _verdict(other, asked))
        left -= len(before[0]) + len(after[0])
        if left <= 0:
            break
    return tally


def _without_answer(query: DnsQuery) -> DnsQuery:
    fields = {name: getattr(query, name) for name in DnsQuery.__dataclass_fields__}
    return DnsQuery(**{**fields, "answers": None})


def _verdict(decider: DnsDecider, query: DnsQuery) -> Verdict:
    if query.answers is None:
        found = decider.decide(query)
        return Verdict(str(found.rule.action), found.rule.name)
    reviewed = decider.review(query)
    return Verdict("answer passes", "") if reviewed is None else Verdict(f"answer {reviewed.rule.action}", reviewed.rule.name)


def _example(query: DnsQuery) -> dict[str, Any]:
    kind = dns.rdatatype.to_text(dns.rdatatype.RdataType.make(query.type))
    came = "" if query.answers is None else f" = {', '.join(map(str, query.answers))}"
    values = {"namespace": query.namespace, "location": query.location, "source": str(query.source),
              "destination": query.name, "service": kind + came}  # fmt: skip
    return {key: value for key, value in values.items() if value is not None}


def _queries(side: Side, world: World, groups: Sequence[str]) -> Iterator[DnsQuery]:
    rules, catalogue = side
    for rule in rules:
        values = (
            _names(rule, catalogue), rule.types or USUAL_TYPES, _sources(rule, catalogue), rule.namespaces or (None,),
            _places(rule, catalogue), rule.connector_groups or tuple(groups) or (None,), _answers(rule, world),
        )  # fmt: skip
        for name, kind, source, namespace, place, group, answers in islice(product(*map(_first, values)), QUERIES):
            yield DnsQuery(name=name, type=kind, source=source, namespace=namespace, location=place, group=group,
                           tunnel_score=rule.tunnel_score or 0, answers=answers)  # fmt: skip


def _names(rule: DnsRule, catalogue: Catalogue) -> list[str]:
    patterns = names_of(rule, catalogue)
    if patterns is None:
        owned = [domain for application in catalogue.applications for domain in application.domains]
        patterns = frozenset(owned if rule.action is DnsAction.ZPA else [ANYTHING, *owned[:1]])
    return [pattern.replace("*", "x", 1) for pattern in sorted(patterns)]


def _sources(rule: DnsRule, catalogue: Catalogue) -> list[IPv4Address | IPv6Address]:
    groups = (catalogue.source_group_by_name[name].addresses for name in rule.source_groups)
    ranges = (*rule.sources, *(value for addresses in groups for value in addresses))
    return [end for value in ranges for end in (value.low, value.high)] or [SOMEONE]


def _places(rule: DnsRule, catalogue: Catalogue) -> list[str | None]:
    grouped = (catalogue.location_group_by_name[name].locations for name in rule.location_groups)
    return [*rule.locations, *(place for places in grouped for place in places)] or [*catalogue.location_names[:2]] or [None]


def _answers(rule: DnsRule, world: World) -> list[tuple[IPv4Address | IPv6Address, ...] | None]:
    found = (islice(world.countries.networks(frozenset({code})), 1) for code in rule.answer_countries)
    return [(network[0],) for networks in found for network, _ in networks] or [None]


def _first(values: Iterable[Any]) -> list[Any]:
    return list(islice(dict.fromkeys(values), VALUES))
