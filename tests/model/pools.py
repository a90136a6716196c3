"""Pools, the obvious way: each network is asked."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network


class Pools:
    """Networks that do not overlap."""

    def __init__(self, networks: Iterable[IPv4Network]) -> None:
        self.replace(networks)

    def replace(self, networks: Iterable[IPv4Network]) -> None:
        """Have other networks instead."""
        made = list(networks)
        for network in made:
            if not isinstance(network, IPv4Network):
                raise TypeError(f"networks must be IPv4Network objects, not {type(network).__name__}")
        if not 1 <= len(made) <= 256:
            raise ValueError(f"networks must be 1 to 256, not {len(made)}")
        if any(one.overlaps(other) for n, one in enumerate(made) for other in made[:n]):
            raise ValueError("networks overlap; they must be apart")
        self._networks, self.size = made, len(made)

    def __contains__(self, address: IPv4Address) -> bool:
        if not isinstance(address, IPv4Address):
            raise TypeError(f"address must be an IPv4Address, not {type(address).__name__}")
        return any(address in network for network in self._networks)
