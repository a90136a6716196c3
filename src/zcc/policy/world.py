"""World: what is known beside the policy when a flow is decided.

Journey: zcc.feeds reads files into one; decide and compile look into it. A World is never changed: a file that is new makes
another. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Protocol

from zcc.policy.domains import DomainSet
from zcc.policy.workload import Workloads

__all__ = ["Countries", "NoCountries", "World"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Countries(Protocol):
    """In which country an address is: zcc.feeds.countries."""

    def of(self, address: Address) -> str | None:
        """Return the country of an address as in ISO 3166-1, or None."""

    def networks(self, codes: frozenset[str]) -> Iterable[tuple[Network, str]]:
        """Yield every network of some countries with its country; no address is in two."""


class NoCountries:
    """Nothing is known of countries."""

    def of(self, address: Address) -> str | None:
        """Return None."""
        return None

    def networks(self, codes: frozenset[str]) -> Iterator[tuple[Network, str]]:
        """Yield nothing."""
        return iter(())


@dataclass(frozen=True, slots=True)
class World:
    """Countries, categories and workloads as they are known now."""

    countries: Countries = field(default_factory=NoCountries)
    categories: Mapping[str, DomainSet] = field(default_factory=dict)
    workloads: Workloads = field(default_factory=Workloads)

    def categories_of(self, name: str | None) -> frozenset[str]:
        """Return the categories that list a name or a domain above it."""
        if not name:
            return frozenset()
        return frozenset(category for category, domains in self.categories.items() if domains.holds(name))
