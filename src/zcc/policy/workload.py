"""Workload, Inventory: whose an address is, with its tags and attributes.

Journey: a file (zcc.feeds) or discovery in the cloud makes an Inventory of what carries tags; `workloads` gives each address
its own: the tags of its VPC, subnet, VM and ENI. Workload groups are asked about workloads, never about the Inventory.

    VPC ─▶ subnet ─▶ VM ─▶ ENI      inherits; where a key is given twice, the inner one counts

A tag of type VPC is the VPC's own; of type SUBNET that of the subnet, or else of its VPC; and so on inwards. ANY matches a
tag that one of the four carries itself. ATTR are attributes of the platform, such as Vpc-id or ImageId. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address

from zcc.policy.objects.tag_expression import Tag, TagType, parse_expression

__all__ = ["Carrier", "Inventory", "InventoryError", "Workload", "Workloads", "tagged"]

Address = IPv4Address | IPv6Address
Tags = Mapping[str, str]

LEVELS = (TagType.VPC, TagType.SUBNET, TagType.VM, TagType.ENI)  # outermost first


@dataclass(frozen=True, slots=True)
class Workload:
    """One address of one namespace. Shapes: own has a mapping for each level that is known."""

    namespace: str
    address: Address
    own: Mapping[TagType, Tags] = field(default_factory=dict)  # what each level carries itself
    attributes: Tags = field(default_factory=dict)
    confirmed_s: float = 0.0  # seconds since 1970, when its tags were last known to be right
    id: str = ""  # of its ENI or VM, for people

    def has_tag(self, type: TagType, key: str, value: str) -> bool:
        """Tell whether it has a tag of a type, inherited ones included."""
        if type is TagType.ATTR:
            return self.attributes.get(key) == value
        if type is TagType.ANY:
            return any(tags.get(key) == value for tags in self.own.values())
        return self.tag(type, key) == value

    def tag(self, type: TagType, key: str) -> str | None:
        """Return the value of a key at one of the four levels, from the innermost that has it, or None."""
        inwards = LEVELS[: LEVELS.index(type) + 1]
        return next((self.own[level][key] for level in reversed(inwards) if key in self.own.get(level, {})), None)


class Workloads:
    """Workloads by (namespace, address); of two with the same, the one confirmed last."""

    def __init__(self, workloads: Iterable[Workload] = ()) -> None:
        self._by_place: dict[tuple[str, Address], Workload] = {}
        self.repeated: list[Workload] = []
        for workload in workloads:
            place = workload.namespace, workload.address
            found = self._by_place.get(place)
            if found is not None:
                self.repeated.append(workload)
            if found is None or workload.confirmed_s >= found.confirmed_s:
                self._by_place[place] = workload

    @cached_property
    def confirmed_s(self) -> float:
        """Return when the one confirmed last was, in seconds since 1970; 0 without any."""
        return max((workload.confirmed_s for workload in self), default=0.0)

    def __iter__(self) -> Iterator[Workload]:
        return iter(self._by_place.values())

    def __len__(self) -> int:
        return len(self._by_place)

    def find(self, namespace: str | None, address: Address) -> Workload | None:
        """Return the workload of an address, or None."""
        return self._by_place.get((namespace or "", address))


class InventoryError(ValueError):
    """Something names what is not there; says which."""


@dataclass(frozen=True, slots=True)
class Carrier:
    """A VPC, subnet, VM or ENI. An ENI has addresses; each but a VPC is in one of the level around it, or further out."""

    type: TagType
    id: str
    parent: str = ""  # id of a carrier further out
    tags: Tags = field(default_factory=dict)
    attributes: Tags = field(default_factory=dict)
    addresses: tuple[Address, ...] = ()
    namespace: str = ""  # of a VPC


class Inventory:
    """Carriers of tags, each by its id.

    Args:
        carriers: in any order.
        confirmed_s: seconds since 1970, when all this was known to be right.
    Raises:
        InventoryError: an id is used twice, a parent is missing or is no carrier further out.
    """

    def __init__(self, carriers: Iterable[Carrier], confirmed_s: float) -> None:
        self._confirmed_s = confirmed_s
        self._by_id: dict[str, Carrier] = {}
        for carrier in carriers:
            if carrier.id in self._by_id:
                raise InventoryError(f"id {carrier.id!r} is used twice")
            self._by_id[carrier.id] = carrier
        for carrier in self._by_id.values():
            self._check(carrier)

    def _check(self, carrier: Carrier) -> None:
        if not carrier.parent:
            return
        parent = self._by_id.get(carrier.parent)
        if parent is None:
            raise InventoryError(f"{carrier.type.lower()} {carrier.id!r} is in {carrier.parent!r}, which does not exist")
        if LEVELS.index(parent.type) >= LEVELS.index(carrier.type):
            raise InventoryError(f"{carrier.type.lower()} {carrier.id!r} cannot be in the {parent.type.lower()} {parent.id!r}")

    def workloads(self) -> Iterator[Workload]:
        """Yield a workload for every address."""
        for carrier in self._by_id.values():
            if carrier.addresses:
                chain = list(self._outwards(carrier))
                attributes = {key: value for outer in reversed(chain) for key, value in outer.attributes.items()}
                own = {outer.type: outer.tags for outer in chain}
                namespace = next((outer.namespace for outer in chain if outer.namespace), "")
                for address in carrier.addresses:
                    yield Workload(namespace, address, own, attributes, self._confirmed_s, carrier.id)

    def _outwards(self, carrier: Carrier) -> Iterator[Carrier]:
        """The carrier, what it is in, and so on."""
        found: Carrier | None = carrier
        while found is not None:
            yield found
            found = self._by_id.get(found.parent)


def tagged(texts: Sequence[str], namespace: str, address: Address, confirmed_s: float) -> Workload:
    """Make a workload of tags as expressions write them: vm-tag-group=Dev, attr-Vpc-id=vpc-1; any-tag- is taken as vm-tag-.

    Raises:
        ValueError: a text is no single tag.
    """
    own: dict[TagType, dict[str, str]] = {}
    attributes: dict[str, str] = {}
    for text in texts:
        tag = parse_expression(text)
        if not isinstance(tag, Tag):
            raise ValueError(f"{text!r} is more than one tag; give each by itself")
        level = TagType.VM if tag.type is TagType.ANY else tag.type
        (attributes if level is TagType.ATTR else own.setdefault(level, {}))[tag.key] = tag.value
    return Workload(namespace, address, own, attributes, confirmed_s, f"a workload with {', '.join(texts)}")
