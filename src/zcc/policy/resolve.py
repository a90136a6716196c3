"""resolve: rules with the objects they name, taken apart into clauses.

Journey: first step of compile; the one place that knows how objects of the policy become what the data plane tells apart.
Groups are replaced by what they hold. Most rules are one clause; a rule is several where values of two criteria go together,
because a clause only knows each criterion by itself:

    applications   a clause for each distinct set of ports among them
    sublocations   a clause for each place and the sources that tell the sublocation there

A rule that cannot match here (switched off, of another connector group, or with a criterion of empty groups only) has no
clause. It makes no arrays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import product

from zcc.policy.clauses import Clause, Interval, Intervals, Reach, Targets, common, merged, service_ports
from zcc.policy.criteria import TCP, UDP, AddressRange, Service
from zcc.policy.model import Application, Policy, Rule
from zcc.policy.places import Part, Places

__all__ = ["applications_of", "clauses_of", "clauses_of_rule", "services_of", "targets_of"]


def clauses_of(policy: Policy, group: str) -> list[Clause]:
    """Take the rules that can match on connectors of a group apart, in order."""
    places = Places(policy)
    return [clause for index, rule in enumerate(policy.ordered())
            if rule.enabled and (not rule.connector_groups or group in rule.connector_groups)
            for clause in clauses_of_rule(policy, places, index, rule)]


def clauses_of_rule(policy: Policy, places: Places, index: int, rule: Rule) -> Iterator[Clause]:
    """Take one rule apart, whether it is switched on and whatever its connector groups."""
    source_groups = policy.source_group_by_name
    excluded = tuple(a for name in rule.exclude_source_groups for a in source_groups[name].addresses)
    for (locations, part), (targets, services) in product(_where(policy, places, rule), _reaches(policy, rule)):
        sources = _met(sources_of(policy, rule), None if part is None else part.sources)
        not_sources = (*excluded, *(() if part is None else part.not_sources))
        clause = Clause(
            index=index,
            locations=locations,
            namespaces=frozenset(rule.namespaces) or None,
            sources=sources,
            not_sources=not_sources,
            source_groups=frozenset(rule.source_workload_groups) or None,
            tag_age=_tag_age(rule),
            destinations=targets,
            destination_groups=frozenset(rule.destination_workload_groups) or None,
            countries=frozenset(rule.countries) or None,
            categories=frozenset(rule.categories) or None,
            unnamed=frozenset(map(str, rule.unnamed)) or None,
            services=services,
        )
        if _can_match(clause):
            yield clause


def _can_match(clause: Clause) -> bool:
    return clause.sources != () and clause.services != () and clause.destinations != Targets()


# ---- sources ----


def sources_of(policy: Policy, rule: Rule) -> tuple[AddressRange, ...] | None:
    """Return the sources of a rule, those of its groups included; None = any."""
    if not rule.sources and not rule.source_groups:
        return None
    groups = policy.source_group_by_name
    return (*rule.sources, *(address for name in rule.source_groups for address in groups[name].addresses))


def _met(
    one: tuple[AddressRange, ...] | None, other: tuple[AddressRange, ...] | None
) -> tuple[AddressRange, ...] | None:
    """What is in both."""
    if one is None or other is None:
        return other if one is None else one
    return tuple(met for a, b in product(one, other) if (met := a.meet(b)) is not None)


def _tag_age(rule: Rule) -> tuple[float, float] | None:
    older, newer = rule.tags_older_than, rule.tags_newer_than
    if older is None and newer is None:
        return None
    return (older.total_seconds() if older else 0.0, newer.total_seconds() if newer else math.inf)


# ---- locations ----


def _where(policy: Policy, places: Places, rule: Rule) -> Iterator[tuple[frozenset[str] | None, Part | None]]:
    """The places of a rule, each group of them with what a sublocation asks of the sources."""
    if not rule.locations and not rule.location_groups:
        yield None, None
        return
    whole = set(rule.locations).intersection(policy.location_names)
    whole.update(name for group in rule.location_groups for name in policy.location_group_by_name[group].locations)
    if whole:
        yield frozenset().union(*(places.of_location(name) for name in whole)), None
    for name in rule.locations:
        for part in () if name in whole else places.parts_of(name):
            yield frozenset({part.place}), part


# ---- destinations and services ----


def _reaches(policy: Policy, rule: Rule) -> Iterator[tuple[Targets | None, tuple[Reach, ...] | None]]:
    """What goes together of a rule: destinations, and services there."""
    services = services_of(policy, rule)
    if not rule.names_applications:
        yield targets_of(policy, rule), None if services is None else tuple(map(_reach, services))
        return
    alike: dict[tuple[Intervals, Intervals], set[str]] = {}
    for application in applications_of(policy, rule):
        alike.setdefault((merged(application.tcp), merged(application.udp)), set()).add(application.name)
    for (tcp, udp), names in alike.items():
        served = [Reach(frozenset({protocol}), ports) for protocol, own in ((TCP, tcp), (UDP, udp))
                  for ports in _in_common(own, services, protocol)]
        yield Targets(applications=frozenset(names)), tuple(served)


def _in_common(own: Intervals, services: tuple[Service, ...] | None, protocol: int) -> Iterable[Interval]:
    return own if services is None else common(own, service_ports(services, protocol))


def _reach(service: Service) -> Reach:
    return Reach(service.protocols, (service.ports.low, service.ports.high) if service.ports else None)


def applications_of(policy: Policy, rule: Rule) -> list[Application]:
    """Return the applications that a rule names, itself or by their groups."""
    if rule.all_applications:
        return list(policy.applications)
    named = set(rule.applications)
    named.update(name for group in rule.segment_groups for name in policy.segment_group_by_name[group].applications)
    place = policy.application_place
    return [policy.applications[i] for i in sorted(place[name] for name in named)]


def targets_of(policy: Policy, rule: Rule) -> Targets | None:
    """Return the destination criterion of a rule without applications; None = any."""
    if not rule.destinations and not rule.destination_groups and not rule.application_services:
        return None
    groups = [policy.destination_group_by_name[name] for name in rule.destination_groups]
    values = [*rule.destinations, *(value for group in groups for value in group.destinations)]
    for name in rule.application_services:
        values += policy.application_service_by_name[name].destinations
    return Targets(
        ranges=tuple(value for value in values if isinstance(value, AddressRange)),
        patterns=frozenset(value for value in values if isinstance(value, str)),
        countries=frozenset(country for group in groups for country in group.countries),
        categories=frozenset(category for group in groups for category in group.categories),
    )


def services_of(policy: Policy, rule: Rule) -> tuple[Service, ...] | None:
    """Return the services of a rule, itself or by name or group; None = any."""
    if not rule.services and not rule.service_groups:
        return None
    named = [value for value in rule.services if isinstance(value, str)]
    named += [name for group in rule.service_groups for name in policy.service_group_by_name[group].services]
    found = [service for name in dict.fromkeys(named) for service in policy.service_by_name[name].services]
    return (*(value for value in rule.services if isinstance(value, Service)), *found)
