"""PoolNetworks: which addresses are synthetic here, by the connector's file and by what the private edge says.

    file      zpa.pool, pools              of the start and of every edit
    edge      at every connect, and when its pools are others; what it says of a pool of some name counts
    leaving   addresses of no pool any more that still stand for a name

Journey: the daemon tells both, and exchanges what depends on it when something has changed. The networks of a pool that the
edge has moved stay synthetic while the file names them, so that nothing that workloads still try goes elsewhere. What would
cover an address of the connector itself is not taken from an edge. One thread.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Mapping
from ipaddress import IPv4Address, IPv4Network

from zcc.connector.dns import DnsService
from zcc.connector.plan import by_location
from zcc.connector.settings import ConnectorSettings
from zcc.connector.teaching import Teacher
from zcc.errors import ZccError
from zcc.fields import DEFAULT_POOL
from zcc.mtunnel.messages import PoolsOf

__all__ = ["LEAVING", "NETWORKS_LIMIT", "PoolFollowers", "PoolNetworks"]

LEAVING = ""  # the pool that a lease names whose address is leaving
NETWORKS_LIMIT = 256  # as the data plane holds

log = logging.getLogger(__name__)


class Some(Container[IPv4Address]):
    """Addresses of several networks."""

    def __init__(self, networks: Iterable[IPv4Network]) -> None:
        self._networks = tuple(networks)

    def __contains__(self, address: object) -> bool:
        return any(address in network for network in self._networks)


class PoolNetworks:
    """The networks of synthetic addresses."""

    def __init__(self, settings: ConnectorSettings) -> None:
        self._said: dict[str, IPv4Network] = {}
        self._leaving: tuple[IPv4Network, ...] = ()
        self.adopt(settings)

    def adopt(self, settings: ConnectorSettings) -> None:
        """Go on with the networks of another file."""
        self.settings = settings
        self._file = settings.pool_by_name
        internal = settings.kernel.internal
        direct = None if settings.direct is None else settings.direct.address
        own = [settings.ingress.address, settings.health.address, direct]
        self._own = [IPv4Network(address) for address in own if isinstance(address, IPv4Address)]
        self._own += [] if internal is None else [internal]

    def hear(self, said: PoolsOf) -> bool:
        """Take what an edge says; return whether something is different now."""
        before = self.networks, dict(self.by_name)
        networks = {DEFAULT_POOL: said.pool, **dict(said.pools)}
        self._said = {name: network for name, network in networks.items() if self._fits(name, network)}
        self._leaving = tuple(network for network in said.leaving if self._fits("leaving", network))
        return (self.networks, dict(self.by_name)) != before

    def _fits(self, name: str, network: IPv4Network) -> bool:
        taken = next((own for own in self._own if own.overlaps(network)), None)
        if taken is not None:
            log.error("the private edge's pool %s %s overlaps %s, which is this connector's own; it is not taken", name,
                      network, taken)  # fmt: skip
        return taken is None

    @property
    def by_name(self) -> Mapping[str, IPv4Network]:
        """The network that a pool's leases are of now."""
        return {**self._file, **self._said}

    @property
    def networks(self) -> tuple[IPv4Network, ...]:
        """All that are synthetic, none inside another; what is beyond the limit is left out, leaving ones first."""
        found: list[IPv4Network] = []
        for network in (*self._said.values(), *self._file.values(), *self._leaving):
            if not any(network.subnet_of(other) for other in found):
                found = [*(other for other in found if not other.subnet_of(network)), network]
        if len(found) > NETWORKS_LIMIT:
            log.warning("%d networks of synthetic addresses; %d are looked at", len(found), NETWORKS_LIMIT)
        return tuple(found[:NETWORKS_LIMIT])

    def holding(self, pool: str) -> Container[IPv4Address]:
        """Return what a lease of a pool may be of; nothing if there is no such pool."""
        if pool == LEAVING:
            return Some(self._leaving)
        network = self.by_name.get(pool)
        return Some(() if network is None else (network,))

    def overlaid(self, settings: ConnectorSettings) -> ConnectorSettings:
        """Return settings with the networks that the edge says, for the rules that speak of all synthetic addresses.

        Raises:
            ZccError: the data plane can not take them without a restart.
        """
        if by_location(settings) != by_location(self.settings):
            raise ZccError("pools go by location now, or no longer; restart the connector for that")
        pools = tuple(pool.model_copy(update={"network": self._said.get(pool.name, pool.network)}) for pool in settings.pools)
        if settings.zpa is None:
            return settings.model_copy(update={"pools": pools})
        zpa = settings.zpa.model_copy(update={"pool": self._said.get(DEFAULT_POOL, settings.zpa.pool)})
        return settings.model_copy(update={"pools": pools, "zpa": zpa})


class PoolFollowers:
    """What depends on the networks, exchanged together: an answer from one of them leads into the data plane that knows it."""

    def __init__(
        self, networks: PoolNetworks, exchange: Callable[[tuple[IPv4Network, ...]], None], dns: DnsService, teacher: Teacher
    ) -> None:
        """Compose.

        Args:
            exchange: has the data plane take other networks.
        """
        self.networks = networks
        self._exchange, self._dns, self._teacher = exchange, dns, teacher

    def adopt(self, settings: ConnectorSettings) -> None:
        """Go on with the networks of another file."""
        self.networks.adopt(settings)
        self.put()

    def put(self) -> None:
        """Put the networks in force that hold now."""
        networks, internal = self.networks.networks, self.networks.settings.kernel.internal
        self._exchange(networks)
        self._teacher.adopt([*networks, *([] if internal is None else [internal])])
        self._dns.adopt_pools(networks)
        log.info("synthetic addresses: %s", ", ".join(map(str, networks)))
