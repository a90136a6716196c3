"""Clauses: rules taken apart so that each criterion is one set of bits.

Journey: first step of compile; the one place that knows how objects of the policy become what the data plane tells
apart. Bit number n of every row stands for clause n. Most rules are one clause. A rule is several where values of two
criteria go together, because a clause only knows each criterion by itself:

    applications         a clause for each distinct set of ports among them
    source ports         a clause for each distinct set of source ports among its services
    a location's range   a clause for each location that is told by source addresses; its range is met with the sources

A rule that cannot match here (switched off, or of another connector group, which is constant for a connector) has no
clause. It makes no arrays.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zcc.fields import PortRange
from zcc.policy.criteria import TCP, UDP, AddressRange, Service
from zcc.policy.model import Application, Policy, Rule

__all__ = ["Clause", "Interval", "Reach", "Targets", "clauses_of", "ports_of"]

PORT_LIMIT = 65_535
EVERY_PORT = ((0, PORT_LIMIT),)
Interval = tuple[int, int]  # both ends included
Intervals = tuple[Interval, ...]  # ascending, apart


@dataclass(frozen=True, slots=True)
class Reach:
    """Some protocols and, of TCP and UDP, some destination ports."""

    protocols: frozenset[int] | None = None  # None = every
    ports: Interval | None = None  # None = whatever the port, and also where there is none, as in a later fragment


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The destination criterion: one of these holds."""

    ranges: tuple[AddressRange, ...] = ()  # of the destination address
    patterns: frozenset[str] = frozenset()  # names and *. patterns: the learned name matches one
    applications: frozenset[str] = frozenset()  # the application that owns the learned name
    countries: frozenset[str] = frozenset()  # ISO 3166-1 alpha-2, of the destination address
    categories: frozenset[str] = frozenset()  # of the learned name


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One bit: a rule or a part of it. All its criteria must hold; of the values of one criterion, one.

    A criterion that is None holds for every packet, an empty one for none.
    """

    index: int  # of the rule in Policy.ordered()
    locations: frozenset[str] | None = None  # a location, the one around it, or a group of either
    namespaces: frozenset[str] | None = None
    sources: tuple[AddressRange, ...] | None = None
    not_sources: tuple[AddressRange, ...] = ()  # the source is in none of these
    source_groups: frozenset[str] | None = None  # workload groups of the source
    tag_age: tuple[float, float] | None = None  # seconds since its tags were confirmed: at least, less than
    destinations: Targets | None = None
    destination_groups: frozenset[str] | None = None  # workload groups of the destination
    countries: frozenset[str] | None = None  # beside the destinations, not instead of them
    categories: frozenset[str] | None = None  # the same
    services: tuple[Reach, ...] | None = None
    source_ports: Intervals | None = None  # set: only TCP and UDP with a known port match


def clauses_of(policy: Policy, group: str) -> list[Clause]:
    """Take the rules that can match on connectors of a group apart, in order."""
    return [clause for index, rule in enumerate(policy.ordered())
            if rule.enabled and (not rule.connector_groups or group in rule.connector_groups)
            for clause in _clauses(policy, index, rule)]


def _clauses(policy: Policy, index: int, rule: Rule) -> Iterator[Clause]:
    for targets, services in _reaches(policy, rule):
        yield Clause(
            index=index,
            locations=frozenset(rule.locations) or None,
            sources=rule.sources or None,
            destinations=targets,
            services=services,
        )


def _reaches(policy: Policy, rule: Rule) -> Iterator[tuple[Targets | None, tuple[Reach, ...] | None]]:
    """What goes together of a rule: destinations, and services there."""
    if not rule.names_applications:
        yield _targets(rule), tuple(map(_reach, rule.services)) or None
        return
    chosen = [a for a in policy.applications if rule.all_applications or a.name in rule.applications]
    alike: dict[tuple[Intervals, Intervals], set[str]] = {}
    for application in chosen:
        alike.setdefault(_application_ports(application), set()).add(application.name)
    for (tcp, udp), names in alike.items():
        served = [Reach(frozenset({protocol}), ports)
                  for protocol, served_ports in ((TCP, tcp), (UDP, udp))
                  for ports in _common(served_ports, _service_ports(rule.services, protocol))]
        yield Targets(applications=frozenset(names)), tuple(served)


def _targets(rule: Rule) -> Targets | None:
    if not rule.destinations:
        return None
    ranges = tuple(value for value in rule.destinations if isinstance(value, AddressRange))
    return Targets(ranges=ranges, patterns=frozenset(v for v in rule.destinations if isinstance(v, str)))


def _reach(service: Service) -> Reach:
    return Reach(service.protocols, (service.ports.low, service.ports.high) if service.ports else None)


def ports_of(services: Iterable[Reach] | None, protocol: int) -> Intervals:
    """Ports of TCP or UDP that match, as intervals that neither touch nor overlap."""
    if services is None:
        return EVERY_PORT
    meant = [reach.ports or EVERY_PORT[0] for reach in services
             if reach.protocols is None or protocol in reach.protocols]
    return _merged(PortRange(*ports) for ports in meant)


def _service_ports(services: Iterable[Service], protocol: int) -> Intervals:
    """Ports of TCP or UDP that services let match; all when there are no services."""
    meant = [s for s in services if s.protocols is None or protocol in s.protocols]
    if not services or any(service.ports is None for service in meant):
        return EVERY_PORT
    return _merged(service.ports for service in meant if service.ports is not None)


def _application_ports(application: Application) -> tuple[Intervals, Intervals]:
    return _merged(application.tcp), _merged(application.udp)


def _merged(ranges: Iterable[PortRange]) -> Intervals:
    """Ranges of ports as intervals that neither touch nor overlap."""
    merged: list[Interval] = []
    for ports in sorted(ranges, key=lambda ports: ports.low):
        low, high = ports.low, ports.high
        if merged and low <= merged[-1][1] + 1:
            low, high = merged[-1][0], max(high, merged.pop()[1])
        merged.append((low, high))
    return tuple(merged)


def _common(one: Intervals, other: Intervals) -> Iterator[Interval]:
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return ((low, high) for low, high in pairs if low <= high)
