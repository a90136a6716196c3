"""Location, Sublocation, LocationGroup: where traffic comes in.

Journey: a GWLB endpoint names its location; rules name locations, LOCATION/SUBLOCATION, or groups of locations. What a
sublocation holds is told apart by the endpoint (itself, its VPC, its account or its namespace), by the workload's address,
or by both. All sublocations of a location that have a scope have the same kind of scope. The first that holds a packet is
its sublocation, in this order:

    1. with a scope, those with addresses before those without      vpcs: [vpc-0a1b], addresses: [10.8.0.0/16]
    2. with addresses only                                          addresses: [10.8.0.0/16]
    3. other, other6: what is left, of IPv4 and of IPv6; there if the location has sublocations

It does not look at packets: zcc.policy.places does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, model_validator

from zcc.fields import EndpointId, Settings
from zcc.policy.criteria import AddressRange, Source
from zcc.policy.objects.name import Description, ObjectName

__all__ = ["OTHER", "OTHER6", "SCOPES", "Location", "LocationField", "LocationGroup", "Sublocation"]

OTHER, OTHER6 = "other", "other6"
SCOPES = ("endpoints", "vpcs", "accounts", "namespaces")


class Sublocation(Settings):
    """A part of a location."""

    name: ObjectName
    description: Description = ""
    endpoints: tuple[EndpointId, ...] = ()
    vpcs: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    addresses: tuple[Source, ...] = ()

    @property
    def scope(self) -> str | None:
        """Return which of SCOPES it has, or None."""
        return next((scope for scope in SCOPES if getattr(self, scope)), None)

    @model_validator(mode="after")
    def _has_one_scope(self) -> Self:
        scopes = [scope for scope in SCOPES if getattr(self, scope)]
        if len(scopes) > 1:
            raise ValueError(f"sublocation {self.name!r} has {' and '.join(scopes)}; allowed: one of them")
        if not scopes and not self.addresses:
            raise ValueError(f"sublocation {self.name!r} is empty; give {', '.join(SCOPES)} or addresses")
        if self.name in (OTHER, OTHER6) or set("/+") & set(self.name):
            raise ValueError(f"sublocation {self.name!r}: {OTHER} and {OTHER6} are there by themselves, and / and + stand "
                             "between names; choose another name")  # fmt: skip
        return self


class Location(Settings):
    """Where traffic comes in."""

    name: ObjectName
    description: Description = ""
    sublocations: tuple[Sublocation, ...] = ()

    def parts(self) -> tuple[str, ...]:
        """Return the names by which rules may mean a part of it, LOCATION/SUBLOCATION."""
        if not self.sublocations:
            return ()
        return tuple(f"{self.name}/{name}" for name in (*(s.name for s in self.sublocations), OTHER, OTHER6))

    def ordered(self) -> list[Sublocation]:
        """Return the sublocations in the order in which they are tried."""
        return sorted(self.sublocations, key=lambda s: (s.scope is None, not s.addresses))

    @model_validator(mode="after")
    def _sublocations_differ(self) -> Self:
        scopes = {s.scope for s in self.sublocations} - {None}
        if len(scopes) > 1:
            raise ValueError(f"location {self.name!r}: its sublocations have {' and '.join(sorted(map(str, scopes)))}; "
                             "allowed: one kind of scope in a location")  # fmt: skip
        for message in _clashes(self.sublocations):
            raise ValueError(f"location {self.name!r}: {message}")
        return self


def _clashes(sublocations: Sequence[Sublocation]) -> Iterator[str]:
    for place, one in enumerate(sublocations):
        for other in sublocations[:place]:
            if one.name == other.name:
                yield f"sublocation name {one.name!r} is used twice"
            shared = _values(one) & _values(other)
            if one.scope != other.scope or (one.scope and not shared):
                continue
            both = _overlap(one.addresses, other.addresses)
            if both is not None:
                yield f"sublocations {other.name!r} and {one.name!r} overlap at {both}; allowed: ranges that do not"
            elif not one.addresses and not other.addresses:
                yield f"sublocations {other.name!r} and {one.name!r} both have {next(iter(shared))!r}"


def _values(sublocation: Sublocation) -> set[Any]:
    return set(getattr(sublocation, sublocation.scope)) if sublocation.scope else set()


def _overlap(one: Sequence[AddressRange], other: Sequence[AddressRange]) -> AddressRange | None:
    return next((a for a in one for b in other if a.overlaps(b)), None)


def _read(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


LocationField = Annotated[
    Location,
    BeforeValidator(_read),
    Field(description="a name, or a mapping of name and sublocations"),
]


class LocationGroup(Settings):
    """Locations that rules mean together."""

    name: ObjectName
    description: Description = ""
    locations: tuple[str, ...] = ()
