"""Clauses: rules taken apart so that each criterion is one set of bits.

Journey: first step of compile. Bit number n of every row stands for clause n. A rule that does not name
applications is one clause; one that does is a clause for each distinct set of ports among its
applications, because a name and its ports go together. A rule that cannot match here (switched off, or
of another connector group) has no clause. It makes no arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from zcc.fields import PortRange
from zcc.policy.criteria import TCP, UDP
from zcc.policy.model import Application, Policy, Rule

__all__ = ["Clause", "clauses_of"]

PORT_END = 65_536
EVERY_PORT = ((0, PORT_END),)
Intervals = tuple[tuple[int, int], ...]  # [begin, end), ascending, apart


@dataclass(frozen=True, slots=True)
class Clause:
    """One bit: a rule, or the part of it that concerns applications with the same ports."""

    index: int  # of the rule
    rule: Rule
    applications: frozenset[str] | None  # names of applications; None = the criterion is not set
    ports: dict[int, Intervals]  # by protocol, TCP and UDP: ports it matches
    protocols: frozenset[int] | None  # protocols it matches whatever the port; None = all


def clauses_of(policy: Policy, group: str) -> list[Clause]:
    """Take the rules that can match on connectors of a group apart, in order."""
    return [clause for index, rule in enumerate(policy.ordered())
            if rule.enabled and (not rule.connector_groups or group in rule.connector_groups)
            for clause in _clauses(policy, index, rule)]


def _clauses(policy: Policy, index: int, rule: Rule) -> Iterator[Clause]:
    services = {protocol: _service_ports(rule, protocol) for protocol in (TCP, UDP)}
    if not rule.names_applications:
        yield Clause(index, rule, None, services, _protocols(rule))
        return
    chosen = [a for a in policy.applications if rule.all_applications or a.name in rule.applications]
    alike: dict[tuple[Intervals, Intervals], set[str]] = {}
    for application in chosen:
        alike.setdefault(_application_ports(application), set()).add(application.name)
    for (tcp, udp), names in alike.items():
        ports = {TCP: _common(tcp, services[TCP]), UDP: _common(udp, services[UDP])}
        yield Clause(index, rule, frozenset(names), ports, frozenset())


def _service_ports(rule: Rule, protocol: int) -> Intervals:
    """Ports of TCP or UDP that the rule's services let match."""
    if not rule.services:
        return EVERY_PORT
    meant = [s for s in rule.services if s.protocols is None or protocol in s.protocols]
    if any(service.ports is None for service in meant):
        return EVERY_PORT
    return _merged(service.ports for service in meant if service.ports is not None)


def _protocols(rule: Rule) -> frozenset[int] | None:
    """Protocols that match whatever the port; None = all."""
    wide = [service.protocols for service in rule.services if service.ports is None]
    if not rule.services or None in wide:
        return None
    return frozenset().union(*(protocols for protocols in wide if protocols is not None))


def _application_ports(application: Application) -> tuple[Intervals, Intervals]:
    return _merged(application.tcp), _merged(application.udp)


def _merged(ranges: Iterator[PortRange] | tuple[PortRange, ...]) -> Intervals:
    """Ranges of ports as intervals that neither touch nor overlap."""
    merged: list[tuple[int, int]] = []
    for ports in sorted(ranges, key=lambda ports: ports.low):
        begin, end = ports.low, ports.high + 1
        if merged and begin <= merged[-1][1]:
            begin, end = merged[-1][0], max(end, merged.pop()[1])
        merged.append((begin, end))
    return tuple(merged)


def _common(one: Intervals, other: Intervals) -> Intervals:
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return tuple((begin, end) for begin, end in pairs if begin < end)
