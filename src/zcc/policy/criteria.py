"""Values of one criterion: ranges of addresses, and services.

Journey: parsed once from configuration; read by decide, compile and explain. Names are plain strings
(zcc.fields.DnsPattern).

    AddressRange   10.8.0.0/16   10.0.0.1   10.0.0.1-10.0.0.9   fd00:8::/32
    Service        tcp/443   tcp/8000-8100   udp/53   icmp   tcp   udp   any

It does not know rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
    summarize_address_range,
)
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from zcc.fields import PortRange, parse_dns_pattern

__all__ = ["SERVICES", "TCP", "UDP", "AddressRange", "Destination", "Service", "ServiceField", "Source",
           "parse_destination"]  # fmt: skip

TCP = 6  # IANA protocol numbers
UDP = 17
ICMP = frozenset({1, 58})  # ICMP and ICMPv6: one word, since nobody means only one of them
PROTOCOLS: dict[str, frozenset[int] | None] = {
    "tcp": frozenset({TCP}), "udp": frozenset({UDP}), "icmp": ICMP, "any": None,
}

SERVICES = "tcp/443, tcp/8000-8100, udp/53, tcp, udp, icmp, any"
ADDRESSES = "an address, a network, or a range as 10.0.0.1-10.0.0.9"
DESTINATIONS = f"{ADDRESSES}; a name; or *. and a name"

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class AddressRange:
    """Addresses from low to high, both included and of one version."""

    low: Address
    high: Address
    text: str  # as it was written

    def __contains__(self, address: Address) -> bool:
        return address.version == self.low.version and int(self.low) <= int(address) <= int(self.high)

    def overlaps(self, other: AddressRange) -> bool:
        """Tell whether an address is in both."""
        same = self.low.version == other.low.version
        return same and int(self.low) <= int(other.high) and int(other.low) <= int(self.high)

    def meet(self, other: AddressRange) -> AddressRange | None:
        """Return the addresses that are in both, or None."""
        if not self.overlaps(other):
            return None
        low = self.low if int(self.low) >= int(other.low) else other.low
        high = self.high if int(self.high) <= int(other.high) else other.high
        return AddressRange(low, high, f"{low}-{high}")

    def __str__(self) -> str:
        return self.text

    def networks(self) -> Iterable[IPv4Network | IPv6Network]:
        """Yield the fewest networks that make up the range."""
        if isinstance(self.low, IPv4Address) and isinstance(self.high, IPv4Address):
            return summarize_address_range(self.low, self.high)
        assert isinstance(self.low, IPv6Address) and isinstance(self.high, IPv6Address)
        return summarize_address_range(self.low, self.high)

    @classmethod
    def of(cls, network: IPv4Network | IPv6Network) -> AddressRange:
        """Make the range of a network."""
        return cls(network[0], network[-1], str(network))

    @classmethod
    def parse(cls, value: object) -> AddressRange:
        """Read an address, a network or a range.

        Raises:
            ValueError: none of these, host bits set, ends of different versions or in the wrong order.
        """
        if isinstance(value, AddressRange):
            return value
        text = str(value).strip()
        first, dash, last = (part.strip() for part in text.partition("-"))
        try:
            if not dash:
                network = ip_network(text)
                return cls(network[0], network[-1], text)
            low, high = ip_address(first), ip_address(last)
        except ValueError as error:
            raise ValueError(_wrong_address(text, error)) from None
        if low.version != high.version or int(low) > int(high):
            raise ValueError(f"{text!r} is no range; allowed: two addresses of one version, the lower first")
        return cls(low, high, text)


def _wrong_address(text: str, error: ValueError) -> str:
    if "host bits" in str(error):
        return f"{text!r} has host bits set; did you mean {ip_network(text, strict=False)}?"
    return (f"{text!r} is no address, network or range; "
            "allowed: 10.0.0.1, 10.8.0.0/16, 10.0.0.1-10.0.0.9, fd00::/8")


@dataclass(frozen=True, slots=True)
class Service:
    """Traffic of some protocols, and of some destination ports if `ports` is set."""

    protocols: frozenset[int] | None  # None = every protocol
    ports: PortRange | None  # None = every port, and later fragments, which show no port
    text: str

    def matches(self, protocol: int, port: int | None) -> bool:
        """Tell whether traffic is meant; port None = not known, as in a later fragment."""
        if self.protocols is not None and protocol not in self.protocols:
            return False
        return self.ports is None or (port is not None and port in self.ports)

    def __str__(self) -> str:
        return self.text

    @staticmethod
    def looks_like_one(text: str) -> bool:
        """Tell a service, right or wrong, from the name of one: it has a slash or is the word of a protocol."""
        return "/" in text or text.lower() in PROTOCOLS

    @classmethod
    def parse(cls, value: object) -> Service:
        """Read "tcp/443", "tcp/8000-8100", "udp/53", "icmp", "tcp", "udp" or "any".

        Raises:
            ValueError: another protocol, or ports where there are none.
        """
        if isinstance(value, Service):
            return value
        text = value.strip().lower() if isinstance(value, str) else str(value)
        word, slash, ports = text.partition("/")
        if word not in PROTOCOLS or (slash and word not in ("tcp", "udp")):
            raise ValueError(f"{value!r} is no service; allowed: {SERVICES}")
        return cls(PROTOCOLS[word], PortRange.parse(ports) if slash else None, text)


def parse_destination(value: object) -> AddressRange | str:
    """Read an address, network or range, or else a name or a `*.` pattern.

    Raises:
        ValueError: neither.
    """
    if isinstance(value, AddressRange):
        return value
    text = str(value).strip()
    # No top-level domain is all digits (RFC 3696 §2), so that a mistyped address is never taken for a name.
    if ":" in text or "/" in text or text.rpartition(".")[2].isdigit():
        return AddressRange.parse(text)
    return parse_dns_pattern(text)


def _field(parse: Any, description: str) -> tuple[Any, ...]:
    printed = PlainSerializer(str, return_type=str, when_used="json")
    return BeforeValidator(parse), printed, WithJsonSchema({"type": "string", "description": description})


Source = Annotated[AddressRange, *_field(AddressRange.parse, ADDRESSES)]
Destination = Annotated[AddressRange | str, *_field(parse_destination, DESTINATIONS)]
ServiceField = Annotated[Service, *_field(Service.parse, SERVICES)]
