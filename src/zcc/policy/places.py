"""Places: which sublocation a packet is in, for a person's question and for the data plane.

Journey: an endpoint and a source address → the location and its sublocation (sublocation_of, the obvious way), or → what a
rule that names one has to look at (parts_of). The data plane knows one number a place: the location of an endpoint together
with those of its sublocations whose scope holds the endpoint. Whatever addresses tell apart is left to the rule's sources.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from zcc.policy.criteria import AddressRange
from zcc.policy.model import Policy
from zcc.policy.objects.endpoint import Endpoint
from zcc.policy.objects.location import OTHER, OTHER6, Location, Sublocation

__all__ = ["Part", "Places", "sublocation_of"]

ALL4, ALL6 = AddressRange.of(IPv4Network("0.0.0.0/0")), AddressRange.of(IPv6Network("::/0"))


def sublocation_of(location: Location, endpoint: Endpoint | None, source: IPv4Address | IPv6Address) -> str | None:
    """Return LOCATION/SUBLOCATION of a packet, or None if the location has no sublocations.

    Args:
        endpoint: None = one that is in no scope.
    """
    if not location.sublocations:
        return None
    for part in location.ordered():
        if not _in_scope(part, endpoint):
            continue
        if not part.addresses or any(source in addresses for addresses in part.addresses):
            return f"{location.name}/{part.name}"
    return f"{location.name}/{OTHER if source.version == 4 else OTHER6}"


def _in_scope(part: Sublocation, endpoint: Endpoint | None) -> bool:
    if part.scope is None:
        return True
    if endpoint is None:
        return False
    seen = {"endpoints": endpoint.id, "vpcs": endpoint.vpc, "accounts": endpoint.account,
            "namespaces": endpoint.namespace}[part.scope]  # fmt: skip
    return seen in getattr(part, part.scope)


@dataclass(frozen=True, slots=True)
class Part:
    """A sublocation at one place: where its sources are."""

    place: str
    sources: tuple[AddressRange, ...] | None  # None = anywhere
    not_sources: tuple[AddressRange, ...]


class Places:
    """The places of a policy, each with the name that the data plane's number stands for.

    Args:
        policy: its locations come first and keep their names; then what endpoints add.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._of_endpoint: dict[int, str] = {}
        self._scoped: dict[str, dict[str, tuple[Sublocation, ...]]] = {
            location.name: {location.name: tuple(part for part in location.ordered() if part.scope is None)}
            for location in policy.locations
        }
        for endpoint in policy.endpoints:
            self._of_endpoint[endpoint.id] = self._place(policy.location_by_name[endpoint.location], endpoint)
        further = [place for places in self._scoped.values() for place in list(places)[1:]]
        self.names: tuple[str, ...] = (*policy.location_names, *further)

    def _place(self, location: Location, endpoint: Endpoint) -> str:
        held = tuple(part for part in location.ordered() if _in_scope(part, endpoint))
        within = "+".join(part.name for part in held if part.scope is not None)
        place = f"{location.name}/{within}" if within else location.name
        self._scoped[location.name][place] = held
        return place

    def of_endpoint(self, id: int) -> str:
        """Return the place of one of the policy's endpoints."""
        return self._of_endpoint[id]

    def of_location(self, location: str) -> frozenset[str]:
        """Return every place of a location."""
        return frozenset(self._scoped[location])

    def parts_of(self, name: str) -> Iterator[Part]:
        """Yield what is meant by LOCATION/SUBLOCATION, place by place; nothing if it can hold no packet."""
        location = next(loc for loc in self._policy.locations if name in loc.parts())
        wanted = name.removeprefix(f"{location.name}/")
        for place, parts in self._scoped[location.name].items():
            found = _part(place, parts, wanted)
            if found is not None:
                yield found


def _part(place: str, parts: tuple[Sublocation, ...], wanted: str) -> Part | None:
    taken: list[AddressRange] = []
    for part in parts:
        if part.name == wanted:
            return Part(place, part.addresses or None, tuple(taken))
        if not part.addresses:
            return None  # it takes everything that comes after it
        taken += part.addresses
    if wanted not in (OTHER, OTHER6):
        return None
    return Part(place, (ALL4 if wanted == OTHER else ALL6,), tuple(taken))
