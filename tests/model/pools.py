"""Pools, the obvious way: each network is asked."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network


class Pools:
    """Networks that do not overlap."""

    def __init__(self, networks: Iterable[IPv4Network]) -> None:
        self._networks = list(networks)
        for network in self._networks:
            if not isinstance(network, IPv4Network):
                raise TypeError(f"networks must be IPv4Network objects, not {type(network).__name__}")
        if not 1 <= len(self._networks) <= 256:
            raise ValueError(f"networks must be 1 to 256, not {len(self._networks)}")
        if any(one.overlaps(other) for n, one in enumerate(self._networks) for other in self._networks[:n]):
            raise ValueError("networks overlap; they must be apart")
        self.size = len(self._networks)

    def __contains__(self, address: IPv4Address) -> bool:
        if not isinstance(address, IPv4Address):
            raise TypeError(f"address must be an IPv4Address, not {type(address).__name__}")
        return any(address in network for network in self._networks)
