"""Clauses: rules taken apart so that each criterion is one set of bits.

Journey: zcc.policy.resolve makes them of rules, compile makes bitmaps of them. Bit number n of every row stands for clause
n. It knows neither rules nor objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from zcc.fields import PortRange
from zcc.policy.criteria import AddressRange, Service

__all__ = ["Clause", "Interval", "Intervals", "Reach", "Targets", "common", "merged", "ports_of", "service_ports"]

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
    unnamed: frozenset[str] | None = None  # causes for which the flow has no name
    services: tuple[Reach, ...] | None = None
    source_ports: Intervals | None = None  # set: only TCP and UDP with a known port match


def ports_of(services: Iterable[Reach] | None, protocol: int) -> Intervals:
    """Return the ports of TCP or UDP that match, as intervals that neither touch nor overlap."""
    if services is None:
        return EVERY_PORT
    meant = [reach.ports or EVERY_PORT[0] for reach in services
             if reach.protocols is None or protocol in reach.protocols]
    return merged(PortRange(*ports) for ports in meant)


def service_ports(services: Iterable[Service], protocol: int) -> Intervals:
    """Return the ports of TCP or UDP that services let match; all when there are no services."""
    meant = [s for s in services if s.protocols is None or protocol in s.protocols]
    if not services or any(service.ports is None for service in meant):
        return EVERY_PORT
    return merged(service.ports for service in meant if service.ports is not None)


def merged(ranges: Iterable[PortRange]) -> Intervals:
    """Return ranges of ports as intervals that neither touch nor overlap."""
    apart: list[Interval] = []
    for ports in sorted(ranges, key=lambda ports: ports.low):
        low, high = ports.low, ports.high
        if apart and low <= apart[-1][1] + 1:
            low, high = apart[-1][0], max(high, apart.pop()[1])
        apart.append((low, high))
    return tuple(apart)


def common(one: Intervals, other: Intervals) -> Iterator[Interval]:
    """Yield the ports that are in both."""
    pairs = ((max(a, c), min(b, d)) for a, b in one for c, d in other)
    return ((low, high) for low, high in pairs if low <= high)
