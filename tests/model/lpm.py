"""The obvious longest prefix match: a dictionary a length, looked up from the longest."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping


class Lpm:
    """What Lpm4 and Lpm6 have in common; prefixes are (address as int, length)."""

    bits = 0
    address_type: type
    network_type: type

    def __init__(self, default=0):
        check_value(default)
        self.default = default
        self.lengths: dict[int, dict[int, int]] = {}

    def __len__(self) -> int:
        return sum(len(level) for level in self.lengths.values())

    def __iter__(self) -> Iterator:
        found = [((address, length), value) for length, level in self.lengths.items() for address, value in level.items()]
        return iter([(self.network_type(prefix), value) for prefix, value in sorted(found)])

    def parse(self, prefix) -> tuple[int, int]:
        if not isinstance(prefix, tuple):
            network = ipaddress.ip_network(prefix) if isinstance(prefix, str) else prefix
            if not isinstance(network, self.network_type):
                raise ValueError(f"prefix {prefix} is of the other family")
            return int(network.network_address), network.prefixlen
        address, length = prefix
        if not (0 <= length <= self.bits and 0 <= address < 1 << self.bits) or address % (1 << (self.bits - length)):
            raise ValueError(f"prefix {prefix}: out of range or host bits set")
        return address, length

    def insert(self, prefix, value) -> None:
        address, length = self.parse(prefix)
        check_value(value)
        self.lengths.setdefault(length, {})[address] = value

    def remove(self, prefix) -> bool:
        address, length = self.parse(prefix)
        return self.lengths.get(length, {}).pop(address, None) is not None

    def exact(self, prefix) -> int | None:
        address, length = self.parse(prefix)
        return self.lengths.get(length, {}).get(address)

    def replace(self, routes) -> None:
        pairs = list(routes.items() if isinstance(routes, Mapping) else routes)
        fresh = type(self)(self.default)
        for prefix, value in pairs:
            if not 0 <= value <= 0xFFFFFFFF:
                raise ValueError("routes: a value must have 32 bits")
            fresh.insert(prefix, value)
        self.lengths = fresh.lengths

    def replace_arrays(self, addresses, lengths, values) -> None:
        if not len(addresses) == len(lengths) == len(values):
            raise ValueError("addresses, lengths and values must be equally many")
        self.replace([((self.number(address), int(length)), int(value))
                      for address, length, value in zip(addresses, lengths, values, strict=True)])

    def lookup(self, address) -> int:
        if not isinstance(address, int):
            parsed = ipaddress.ip_address(address) if isinstance(address, str | bytes) else address
            if not isinstance(parsed, self.address_type):
                raise ValueError(f"address {address} is of the other family")
            address = int(parsed)
        for length in sorted(self.lengths, reverse=True):
            start = address >> (self.bits - length) << (self.bits - length)
            if start in self.lengths[length]:
                return self.lengths[length][start]
        return self.default

    def lookup_batch(self, addresses, out) -> int:
        if len(addresses) != len(out):
            raise ValueError("out must have as many elements as addresses")
        for i, address in enumerate(addresses):
            out[i] = self.lookup(self.number(address))
        return len(out)

    def reclaim(self) -> None:
        """Nothing is kept here."""

    @property
    def memory(self) -> int:
        return 64 * len(self)

    def number(self, address) -> int:
        raise NotImplementedError


class Lpm4(Lpm):
    bits, address_type, network_type = 32, ipaddress.IPv4Address, ipaddress.IPv4Network

    def number(self, address) -> int:
        return int(address)


class Lpm6(Lpm):
    bits, address_type, network_type = 128, ipaddress.IPv6Address, ipaddress.IPv6Network

    def number(self, address) -> int:
        if len(address) != 16:
            raise ValueError("addresses must be [n, 16]")
        return int.from_bytes(bytes(address))


def check_value(value) -> None:
    if not isinstance(value, int):
        raise TypeError("value must be an int")
    if not 0 <= value <= 0xFFFFFFFF:
        raise ValueError("value must have 32 bits")
