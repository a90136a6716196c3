"""dns_decide: the first DNS rule that matches a query, and why those above it do not.

Journey: connector.dns asks for every query that crosses; `zcc explain` for a person's question. Rules that name names are
looked up by the name, the rest are tried in order, so that thousands of block rules cost one query nothing. Once the answer has
come, the rules that look at it are asked in the same way. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import dns.rdatatype

from zcc.policy.dns_rule import DnsAction, DnsRule, predefined_dns_rules
from zcc.policy.names import application_map, patterns_of
from zcc.policy.objects.catalogue import Catalogue
from zcc.policy.world import World

__all__ = ["DnsDecider", "DnsDecision", "DnsMismatch", "DnsQuery", "names_of"]

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class DnsQuery:
    """What a decision looks at."""

    name: str  # lower case, no final dot; the root is ""
    type: int  # IANA number
    source: Address
    owned: str = ""  # the name that tells who owns it; "" = `name`. Differs for _service labels (RFC 8552)
    namespace: str | None = None
    location: str | None = None  # a whole one
    group: str | None = None  # of the connector
    tunnel_score: int = 0  # 0 … 100
    answers: tuple[Address, ...] | None = None  # every address in the answer; None = it has not come yet


@dataclass(frozen=True, slots=True)
class DnsMismatch:
    """A rule above the one that decided, and the first of its criteria that did not match."""

    index: int
    rule: str
    criterion: str  # one of _CRITERIA, or "enabled"
    seen: str


@dataclass(frozen=True, slots=True)
class DnsDecision:
    """The rule that decides; index counts through the operator's rules, then the predefined ones."""

    index: int
    rule: DnsRule


class DnsDecider:
    """Decides queries by the rules of one policy.

    Args:
        rules: the operator's, in order.
        world: returns what is known beside the policy, anew for every query.
    """

    def __init__(self, rules: Sequence[DnsRule], catalogue: Catalogue, world: Callable[[], World] = World) -> None:
        self.rules: tuple[DnsRule, ...] = (*rules, *predefined_dns_rules())
        self._catalogue = catalogue
        self._world = world
        self._applications = application_map(catalogue.applications)
        self._anywhere = [index for index, rule in enumerate(self.rules) if names_of(rule, catalogue) is None]
        self._names_of = {rule.name: names_of(rule, catalogue) or frozenset() for rule in self.rules}
        self._by_pattern: dict[str, list[int]] = {}
        for index, rule in enumerate(self.rules):
            for pattern in self._names_of[rule.name]:
                self._by_pattern.setdefault(pattern, []).append(index)
        self.reviews = any(rule.enabled and rule.answer_countries for rule in self.rules)
        self.hides = any(rule.enabled and rule.hide for rule in self.rules)

    def decide(self, query: DnsQuery) -> DnsDecision:
        """Find the first rule that matches a query whose answer has not come; there is one, because the last matches all."""
        found = self._first(query)
        assert found is not None, "the default rule has no criteria"
        return found

    def review(self, query: DnsQuery) -> DnsDecision | None:
        """Find the first rule that matches a query with its answer; None = it passes."""
        return self._first(query) if self.reviews else None

    def may_review(self, query: DnsQuery) -> bool:
        """Tell whether a rule could match if the answer held the right address."""
        rules = (self.rules[index] for index in self._candidates(query.name)) if self.reviews else ()
        return any(rule.answer_countries and self._mismatch(rule, query, _CRITERIA[:-1]) is None for rule in rules)

    def speaks_of(self, name: str) -> bool:
        """Tell whether a rule of the operator's that is switched on may match some query for a name, its answer aside."""
        operator = len(self.rules) - len(predefined_dns_rules())
        rules = (self.rules[index] for index in self._candidates(name) if index < operator)
        return any(rule.enabled and not rule.answer_countries for rule in rules)

    def naming(self, name: str) -> list[DnsDecision]:
        """Return the operator's rules that are switched on and about this name, itself or by its categories."""
        found = self._world().categories_of(name)
        rules = ((index, self.rules[index]) for index in self._candidates(name))
        return [DnsDecision(index, rule) for index, rule in rules if rule.enabled
                and (self._names_of[rule.name] or rule.categories) and (not rule.categories or found & set(rule.categories))]

    def above(self, query: DnsQuery, decision: DnsDecision) -> list[DnsMismatch]:
        """Say of every rule above the one that decided why it does not match."""
        found = []
        for index, rule in enumerate(self.rules[: decision.index]):
            missed = self._mismatch(rule, query)
            assert missed is not None, "a rule above the first that matches does not match"
            found.append(DnsMismatch(index, rule.name, *missed))
        return found

    def _candidates(self, name: str) -> Iterable[int]:
        named = {index for pattern in patterns_of(name) for index in self._by_pattern.get(pattern, ())}
        return sorted(named.union(self._anywhere)) if named else self._anywhere

    def _first(self, query: DnsQuery) -> DnsDecision | None:
        rules = ((index, self.rules[index]) for index in self._candidates(query.name))
        return next((DnsDecision(index, rule) for index, rule in rules if self._mismatch(rule, query) is None), None)

    def _mismatch(self, rule: DnsRule, query: DnsQuery, criteria: _Criteria | None = None) -> tuple[str, str] | None:
        """The first criterion that does not match and what was seen, or None when the rule matches."""
        if not rule.enabled:
            return "enabled", "the rule is switched off"
        for criterion, match in _CRITERIA if criteria is None else criteria:
            seen = match(self, rule, query)
            if seen is not None:
                return criterion, seen
        return None

    # ---- one criterion each: None when it matches, else what was seen ----

    def _group(self, rule: DnsRule, query: DnsQuery) -> str | None:
        matches = not rule.connector_groups or query.group in rule.connector_groups
        return None if matches else query.group or "no group"

    def _namespace(self, rule: DnsRule, query: DnsQuery) -> str | None:
        matches = not rule.namespaces or query.namespace in rule.namespaces
        return None if matches else query.namespace or "no namespace"

    def _location(self, rule: DnsRule, query: DnsQuery) -> str | None:
        if not rule.locations and not rule.location_groups:
            return None
        groups = (self._catalogue.location_group_by_name[name] for name in rule.location_groups)
        listed = query.location in rule.locations or any(query.location in group.locations for group in groups)
        return None if listed else query.location or "no location"

    def _source(self, rule: DnsRule, query: DnsQuery) -> str | None:
        if not rule.sources and not rule.source_groups:
            return None
        groups = self._catalogue.source_group_by_name
        listed = (rule.sources, *(groups[name].addresses for name in rule.source_groups))
        matches = any(query.source in addresses for values in listed for addresses in values)
        return None if matches else str(query.source)

    def _name(self, rule: DnsRule, query: DnsQuery) -> str | None:
        if not rule.names and not rule.destination_groups:
            return None
        matches = not self._names_of[rule.name].isdisjoint(patterns_of(query.name))
        return None if matches else query.name or "the root"

    def _category(self, rule: DnsRule, query: DnsQuery) -> str | None:
        if not rule.categories:
            return None
        found = self._world().categories_of(query.name)
        return None if found & set(rule.categories) else ", ".join(sorted(found)) or "no category"

    def _type(self, rule: DnsRule, query: DnsQuery) -> str | None:
        matches = not rule.types or query.type in rule.types
        return None if matches else dns.rdatatype.to_text(dns.rdatatype.RdataType.make(query.type))

    def _score(self, rule: DnsRule, query: DnsQuery) -> str | None:
        matches = rule.tunnel_score is None or query.tunnel_score >= rule.tunnel_score
        return None if matches else f"a score of {query.tunnel_score}"

    def _application(self, rule: DnsRule, query: DnsQuery) -> str | None:
        name = query.owned or query.name
        owned = rule.action is not DnsAction.ZPA or self._applications.get(name) is not None
        return None if owned else f"{name or 'the root'} belongs to no application"

    def _answer(self, rule: DnsRule, query: DnsQuery) -> str | None:
        if query.answers is None or not rule.answer_countries:
            if query.answers is None and not rule.answer_countries:
                return None
            return "no answer yet" if query.answers is None else "the answer"
        countries = self._world().countries
        found = [(address, countries.of(address)) for address in query.answers]
        if any(country in rule.answer_countries for _, country in found):
            return None
        return ", ".join(f"{address} in {country or 'no country'}" for address, country in found[:5]) or "no address"


def names_of(rule: DnsRule, catalogue: Catalogue) -> frozenset[str] | None:
    """Return the names and patterns of a rule, those of its groups included; None = any name."""
    if not rule.names and not rule.destination_groups:
        return None
    groups = (catalogue.destination_group_by_name[name].destinations for name in rule.destination_groups)
    return frozenset((*rule.names, *(value for values in groups for value in values if isinstance(value, str))))


_Criteria = tuple[tuple[str, Callable[[DnsDecider, DnsRule, DnsQuery], str | None]], ...]
_CRITERIA: _Criteria = (
    ("connector_groups", DnsDecider._group),
    ("namespaces", DnsDecider._namespace),
    ("locations", DnsDecider._location),
    ("sources", DnsDecider._source),
    ("names", DnsDecider._name),
    ("categories", DnsDecider._category),
    ("types", DnsDecider._type),
    ("tunnel_score", DnsDecider._score),
    ("applications", DnsDecider._application),
    ("answer_countries", DnsDecider._answer),
)
