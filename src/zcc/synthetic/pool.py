"""Which addresses of a pool can be given out, how many stay reserved for configured names, and how long names keep theirs.

The network address, the broadcast address and the first host are not given out: the first stands for the
gateway in habits and tools, and an answer that ends in .0 or .255 of the whole pool would be dropped by some.
Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from ipaddress import IPv4Network

from zcc.fields import DEFAULT_POOL

__all__ = ["DEFAULT_POOL", "PREFIX_LONGEST", "Pool"]

WITHHELD_LOW = 2  # network address and first host
WITHHELD_HIGH = 1  # broadcast address
PREFIX_LONGEST = 29


@dataclass(frozen=True, slots=True)
class Pool:
    """A network, its share for names that the configuration spells out, and its times in seconds."""

    network: IPv4Network
    reserved_share: float = 0.25  # of the capacity, rounded up
    name: str = DEFAULT_POOL
    quarantine_s: float = 86_400.0  # a released address without live flows rests so long before another name gets it
    idle_s: float = 7 * 86_400.0  # a name under a wildcard that is neither asked for nor in use so long is released
    renew_s: float = 3600.0  # connectors ask again after this

    def __post_init__(self) -> None:
        if self.network.prefixlen > PREFIX_LONGEST:
            raise ValueError(f"network: {self.network} is too small, a pool is a /{PREFIX_LONGEST} or larger")
        if not 0 <= self.reserved_share <= 1:
            raise ValueError(f"reserved_share: {self.reserved_share} is not between 0 and 1")

    @property
    def low(self) -> int:
        """First address that is given out, as an integer."""
        return int(self.network.network_address) + WITHHELD_LOW

    @property
    def high(self) -> int:
        """Last address that is given out, as an integer."""
        return int(self.network.broadcast_address) - WITHHELD_HIGH

    @property
    def capacity(self) -> int:
        """Number of addresses that are given out."""
        return self.high - self.low + 1

    @property
    def reserved(self) -> int:
        """Addresses that only names spelled out in the configuration can get."""
        return math.ceil(self.capacity * self.reserved_share)

    @property
    def keeps_s(self) -> float:
        """For so long after a name was asked for no other name gets its address, whatever happens."""
        return self.idle_s + self.quarantine_s

    def __contains__(self, address: object) -> bool:
        return isinstance(address, int) and self.low <= address <= self.high
