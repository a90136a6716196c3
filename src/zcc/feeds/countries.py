"""Countries: in which country an address is, by a MaxMind DB file.

Journey: the file → here → decide asks for an address, compile for all networks of some countries. Any .mmdb whose records
have country.iso_code, country_code or registered_country.iso_code will do (GeoLite2, DB-IP and their like). The library
reads the format; a damaged record counts as no country. Source: MaxMind DB file format 2.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses
from pathlib import Path

import maxminddb

from zcc.errors import FeedError

__all__ = ["CountryFile"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
# Trees of IPv6 databases hold IPv4 at ::/96, and point to it from what stands for IPv4 (RFC 4291, 3056, 4380).
MAPPED = IPv6Network("::/96")
ALIASES = (IPv6Network("::ffff:0:0/96"), IPv6Network("2002::/16"), IPv6Network("2001::/32"))


class CountryFile:
    """One open file.

    Raises:
        FeedError: it can not be read, or is no MaxMind DB.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._reader = maxminddb.open_database(str(path))
        except (OSError, maxminddb.InvalidDatabaseError) as error:
            raise FeedError(f"{path}: no database of countries: {error}; give a .mmdb file") from None
        self._path = path

    def of(self, address: Address) -> str | None:
        """Return the country of an address as in ISO 3166-1, or None."""
        if address.version == 6 and self._reader.metadata().ip_version == 4:
            return None
        try:
            return _code(self._reader.get(address))
        except (maxminddb.InvalidDatabaseError, ValueError):
            return None

    def networks(self, codes: frozenset[str]) -> Iterator[tuple[Network, str]]:
        """Yield every network of some countries with its country; no address is in two.

        Raises:
            FeedError: the file is damaged.
        """
        for code in sorted(codes):
            for network in self._by_code.get(code, ()):
                yield network, code

    @cached_property
    def _by_code(self) -> dict[str, list[Network]]:
        """All networks, merged; read once, since walking a whole file takes seconds."""
        found: dict[tuple[str, int], list[Network]] = {}
        try:
            for network, record in self._reader:
                code = _code(record)
                if code is None or any(network.version == 6 and network.subnet_of(alias) for alias in ALIASES):
                    continue
                plain = _unmapped(network)
                found.setdefault((code, plain.version), []).append(plain)
        except (maxminddb.InvalidDatabaseError, ValueError) as error:
            raise FeedError(f"{self._path}: the database of countries is damaged: {error}") from None
        merged: dict[str, list[Network]] = {}
        for (code, _), networks in sorted(found.items()):
            merged.setdefault(code, []).extend(collapse_addresses(networks))  # type: ignore[type-var]
        return merged


def _unmapped(network: Network) -> Network:
    if isinstance(network, IPv6Network) and network.subnet_of(MAPPED):
        return IPv4Network((int(network.network_address), network.prefixlen - 96))
    return network


def _code(record: object) -> str | None:
    if not isinstance(record, dict):
        return None
    for key in ("country", "registered_country"):
        inner = record.get(key)
        if isinstance(inner, dict) and isinstance(inner.get("iso_code"), str):
            return str(inner["iso_code"]).upper()
        if isinstance(inner, str) and len(inner) == 2:
            return inner.upper()
    plain = record.get("country_code")
    return plain.upper() if isinstance(plain, str) else None
