"""Spans: a set of whole numbers as intervals; addresses, and protocols with ports, are laid out on such a line.

    addresses   IPv4 at its number, IPv6 at its number + 2**32
    services    a block of 65,537 for each protocol: 0 = no port is seen, 1 + p = port p

Journey: zcc.policy.region makes regions of them, so that one rule can be compared with others. Frozen, pure.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from zcc.policy.clauses import Reach
from zcc.policy.criteria import AddressRange

__all__ = ["ADDRESSES", "BLOCK", "SERVICES", "V6", "Spans", "address_at", "of_addresses", "of_services", "place_of"]

V6 = 1 << 32
BLOCK = 65_537
PROTOCOLS = 256


@dataclass(frozen=True, slots=True)
class Spans:
    """Intervals [begin, end), ascending, neither touching nor overlapping."""

    parts: tuple[tuple[int, int], ...] = ()

    @classmethod
    def of(cls, parts: Iterable[tuple[int, int]]) -> Spans:
        """Make spans of intervals in any order."""
        kept = [part for part in parts if part[0] < part[1]]
        if len(kept) < 2:  # most are
            return cls(tuple(kept))
        kept.sort()
        merged: list[tuple[int, int]] = []
        for begin, end in kept:
            if merged and begin <= merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((begin, end))
        return cls(tuple(merged))

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __or__(self, other: Spans) -> Spans:
        return Spans.of((*self.parts, *other.parts))

    def __sub__(self, other: Spans) -> Spans:
        left: list[tuple[int, int]] = []
        at = 0
        for first, end in self.parts:
            begin = first
            while at < len(other.parts) and other.parts[at][1] <= begin:
                at += 1
            for here in range(at, len(other.parts)):
                low, high = other.parts[here]
                if low >= end:
                    break
                left.append((begin, low))
                begin = high
            left.append((begin, end))
        return Spans(tuple(part for part in left if part[0] < part[1]))

    def __and__(self, other: Spans) -> Spans:
        return self - (self - other)

    def covers(self, other: Spans) -> bool:
        """Tell whether every number of another is in this one."""
        parts, at = self.parts, 0
        for begin, end in other.parts:
            while at < len(parts) and parts[at][1] < end:
                at += 1
            if at == len(parts) or parts[at][0] > begin:
                return False
        return True


ADDRESSES = Spans(((0, V6 + (1 << 128)),))
SERVICES = Spans(((0, BLOCK * PROTOCOLS),))


def place_of(address: IPv4Address | IPv6Address) -> int:
    """Return where an address is on the line."""
    return int(address) + (V6 if address.version == 6 else 0)


def address_at(place: int) -> IPv4Address | IPv6Address:
    """Return the address at a place of the line."""
    return IPv4Address(place) if place < V6 else IPv6Address(place - V6)


def of_addresses(ranges: Iterable[AddressRange]) -> Spans:
    """Lay ranges of addresses out."""
    return Spans.of((place_of(value.low), place_of(value.high) + 1) for value in ranges)


@functools.lru_cache(4096)  # rules share services
def of_services(reaches: tuple[Reach, ...] | None) -> Spans:
    """Lay services out; None = all."""
    if reaches is None:
        return SERVICES
    parts: list[tuple[int, int]] = []
    for reach in reaches:
        low, high = (0, BLOCK) if reach.ports is None else (reach.ports[0] + 1, reach.ports[1] + 2)
        for protocol in range(PROTOCOLS) if reach.protocols is None else reach.protocols:
            parts.append((BLOCK * protocol + low, BLOCK * protocol + high))
    return Spans.of(parts)
