"""Witness: flows that a rule might match, one for each end of its values, to try policies on.

Journey: `zcc policy diff` tries those of every rule that differs on both policies. Values are those of the rule's clauses:
both ends of address ranges and ports, a name for each pattern and application, an address for each country, a workload for
each group. The same policies give the same flows. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from itertools import islice, product
from typing import Any

from zcc.policy.clauses import Clause, Reach
from zcc.policy.criteria import TCP, UDP, AddressRange
from zcc.policy.decide import Flow
from zcc.policy.model import Policy
from zcc.policy.objects.endpoint import Endpoint
from zcc.policy.places import Places
from zcc.policy.resolve import clauses_of_rule
from zcc.policy.watched import WEB, holds, watched_ports
from zcc.policy.world import World

__all__ = ["witnesses"]

Address = IPv4Address | IPv6Address
VALUES = 6  # of one criterion
FLOWS = 96  # of one rule
SOMEWHERE = IPv4Address("198.51.100.7")  # TEST-NET-2: on the internet, and nobody's (RFC 5737)
SOMEONE = IPv4Address("10.0.0.9")
USUAL = ((TCP, 443), (UDP, 53), (1, None))
Destination = tuple[Address, str | None]


def witnesses(policy: Policy, index: int, world: World, groups: Sequence[str]) -> Iterator[Flow]:
    """Yield flows that rule `index` of a policy might match.

    Args:
        groups: connector groups that are tried if the rule names none.
    """
    rule = policy.rules[index]
    trial = _Trial(policy, Places(policy), world, tuple(rule.connector_groups) or tuple(groups))
    yield from islice(_spread([trial.flows(c) for c in clauses_of_rule(policy, trial.places, index, rule)]), FLOWS)


def _spread(sources: list[Iterator[Flow]]) -> Iterator[Flow]:
    """Take in turn from each."""
    while sources:
        for source in list(sources):
            found = next(source, None)
            if found is None:
                sources.remove(source)
            else:
                yield found


@dataclass(frozen=True, slots=True)
class _Trial:
    policy: Policy
    places: Places
    world: World
    groups: tuple[str, ...]

    def flows(self, clause: Clause) -> Iterator[Flow]:
        """Flows of one clause; all pairs of values come early, since the longest list turns slowest."""
        where, who = list(_first(self._where(clause))), list(_first(self._who(clause)))
        heard = watched_ports((clause,)) if clause.unnamed else b""
        to, by = list(_first(self._to(clause))), list(_first(self._by(clause)))
        for (location, endpoint), (source, namespace, at_s), (destination, name), (protocol, port), group in product(
            where, who, to, by, self.groups or (None,)
        ):
            whose = endpoint.namespace if endpoint and namespace is None else namespace
            unheard = clause.unnamed and not (port and protocol in (TCP, UDP) and holds(heard, protocol, port))
            if source.version == destination.version and not unheard:
                naming = min(clause.unnamed) if clause.unnamed else None
                yield Flow(source, destination, protocol, port, name, whose, location, group, endpoint, at_s, naming)

    def _where(self, clause: Clause) -> Iterator[tuple[str | None, Endpoint | None]]:
        for endpoint in self.policy.endpoints:
            if clause.locations is None or self.places.of_endpoint(endpoint.id) in clause.locations:
                yield endpoint.location, endpoint
        for location in self.policy.location_names:
            if clause.locations is None or location in clause.locations:
                yield location, None
        if clause.locations is None and not self.policy.locations:
            yield None, None

    def _who(self, clause: Clause) -> Iterator[tuple[Address, str | None, float]]:
        age = clause.tag_age[0] if clause.tag_age else 0.0
        if clause.source_groups is not None or clause.tag_age is not None:
            held = [self.policy.workload_group_by_name[name] for name in clause.source_groups or ()]
            for workload in self.world.workloads:
                if not held or any(group.holds(workload) for group in held):
                    yield workload.address, workload.namespace, workload.confirmed_s + age
        if clause.source_groups is None:
            for namespace in sorted(clause.namespaces) if clause.namespaces else (None,):
                for address in _ends(clause.sources, SOMEONE):
                    yield address, namespace, age
                for address in _ends(clause.not_sources, SOMEONE) if clause.sources is None else ():
                    yield address, namespace, age

    def _to(self, clause: Clause) -> Iterator[Destination]:
        targets = clause.destinations
        for name in clause.destination_groups or ():
            group = self.policy.workload_group_by_name[name]
            yield from ((w.address, None) for w in self.world.workloads if group.holds(w))
        if targets is None and clause.countries is None:
            yield SOMEWHERE, None
            yield IPv6Address("2001:db8::7"), None
        countries = (clause.countries or frozenset()) | (targets.countries if targets else frozenset())
        yield from _of_countries(countries, self.world)
        if targets is None:
            return
        yield from ((address, None) for address in (_ends(targets.ranges, SOMEWHERE) if targets.ranges else ()))
        yield from ((SOMEWHERE, _name(pattern)) for pattern in sorted(targets.patterns))
        for application in self.policy.applications:
            if application.name in targets.applications:
                yield from ((self.policy.pool[1], _name(domain)) for domain in application.domains)

    def _by(self, clause: Clause) -> Iterator[tuple[int, int | None]]:
        if clause.unnamed and clause.services is None:
            yield from ((protocol, reach.ports[0]) for reach in WEB for protocol in reach.protocols or () if reach.ports)
            return
        for reach in clause.services if clause.services is not None else (Reach(),):
            protocols = sorted(reach.protocols) if reach.protocols is not None else None
            if reach.ports is None:
                yield from USUAL if protocols is None else [_usual(protocol) for protocol in protocols]
                continue
            for protocol in protocols or (TCP, UDP):
                yield from ((protocol, port) for port in dict.fromkeys(reach.ports))


def _of_countries(codes: frozenset[str], world: World) -> Iterator[Destination]:
    for code in sorted(codes):
        yield from ((network[0], None) for network, _ in islice(world.countries.networks(frozenset({code})), 2))


def _usual(protocol: int) -> tuple[int, int | None]:
    return next((usual for usual in USUAL if usual[0] == protocol), (protocol, None))


def _ends(ranges: Sequence[AddressRange] | None, otherwise: Address) -> Iterable[Address]:
    if ranges is None:
        return (otherwise,)
    return dict.fromkeys(end for value in ranges for end in (value.low, value.high))


def _name(pattern: str) -> str:
    return pattern.replace("*", "x", 1)


def _first(values: Iterable[Any]) -> Iterator[Any]:
    return islice(dict.fromkeys(values), VALUES)
