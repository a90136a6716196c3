"""Resolver: the synthetic address of a name, the name of an address, and the data plane told of either.

Journey: `dns` and `stray` ask here; what is not known and fresh is asked of the private edge, once
however many wait. A lease that leaves here is in the data plane already: an answer sent after it can not
overtake it. With the edge unreachable the newest lease ever told is used, as long as no other name can have
got its address; what it may be used for the edge decides at every stream. Asks are bounded and shared between namespaces and
their clients, so that one workload's flood of names does not starve the others. One thread, the event loop's.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Container, Hashable
from ipaddress import IPv4Address
from typing import Protocol

from zcc.clock import Clock
from zcc.connector.ports import Datapath, Names
from zcc.connector.shares import Shares
from zcc.errors import LedgerError
from zcc.mtunnel.errors import EdgeDown, Refused, TunnelError
from zcc.synthetic.lease import Lease, Tombstone
from zcc.synthetic.leases import CachedLease, LeaseCache
from zcc.synthetic.pool import DEFAULT_POOL

ASKS_LIMIT = 512
PATIENCE_S = 2.0  # below the 5 s after which common resolvers ask again
DENIED_S = 5.0  # a no is remembered this long
DENIED_LIMIT = 16_384
# Applications keep addresses longer than DNS lets them. Who-is heals a mapping that is gone; keeping it
# saves the ask.
KEPT_S = 3600.0

Answer = Lease | Tombstone | None
Told = tuple[Answer, float]  # when it was asked, seconds since 1970

log = logging.getLogger(__name__)


class Edge(Protocol):
    """Who knows the ledger: `zcc.mtunnel.client.EdgeClient`."""

    async def resolve(self, namespace: str, name: str, pool: str) -> Lease | None:
        """Return a name's lease in a pool; None = no application of the namespace covers it."""

    async def who_is(self, address: IPv4Address) -> Lease | Tombstone | None:
        """Return the lease of an address, or who had it last; None = nobody ever had."""


class Overloaded(TunnelError):
    """Too many questions wait for the private edge."""


class OtherPool(TunnelError):
    """The private edge gives out addresses of no pool that is known here."""


class Resolver:
    """Leases, from this connector's cache or the edge."""

    def __init__(
        self, edge: Edge, cache: LeaseCache, datapath: Datapath, names: Names, clock: Clock,
        namespace_name: Callable[[int], str], networks_of: Callable[[str], Container[IPv4Address]],
    ) -> None:
        """Compose.

        Args:
            networks_of: returns the addresses that a pool has now, by its name; a lease outside its own is no lease.
        """
        self.counts: Counter[str] = Counter()
        self._edge = edge
        self._cache = cache
        self._datapath = datapath
        self._names = names
        self._clock = clock
        self._namespace_name = namespace_name
        self.networks_of = networks_of
        self._asking: dict[Hashable, asyncio.Task[Told]] = {}
        self._asks = Shares(ASKS_LIMIT)
        self._denied: dict[Hashable, int] = {}  # → until, monotonic ns

    def restore(self) -> int:
        """Tell the data plane the leases that a former run left and that are still fresh. Return how many."""
        now, restored = self._clock.time(), 0
        for cached in self._cache:
            if cached.fresh(now) and self._belongs(cached.lease):
                self._install(cached)
                restored += 1
        return restored

    def fresh_s(self, namespace: int, name: str, pool: str = DEFAULT_POOL) -> float:
        """Return for how long a name's address may still be given without asking; 0 = not at all."""
        cached = self._cache.get(self._namespace_name(namespace), name, pool)
        now = self._clock.time()
        return 0.0 if cached is None or not cached.fresh(now) else cached.fetched + cached.lease.ttl - now

    def known(self, namespace: int, name: str, pool: str = DEFAULT_POOL) -> IPv4Address | None:
        """Return a name's address if it may be given without asking; the data plane knows it then."""
        cached = self._cache.get(self._namespace_name(namespace), name, pool)
        if cached is None or not cached.fresh(self._clock.time()) or not self._belongs(cached.lease):
            return None
        self._install(cached)
        return cached.lease.address

    async def lease(
        self, namespace: int, name: str, pool: str = DEFAULT_POOL, client: Hashable = None
    ) -> Lease | None:
        """Return a name's lease in a pool; the data plane knows it then. None = no application's of that namespace.

        Args:
            client: of the namespace, for whose share of the questions it is asked.
        Raises:
            EdgeDown: nobody could be asked and nothing safe is remembered; Overloaded likewise.
            Refused: an application covers the name and the answer is no.
            OtherPool: the edge's pool of that name is another network.
        """
        label = self._namespace_name(namespace)
        key = label, name, pool
        try:
            found, asked = await self._ask(key, (namespace, client), lambda: self._edge.resolve(*key))
        except (EdgeDown, Overloaded):
            stale = self._stale("lease_stale", self._cache.get(label, name, pool))
            if stale is None:
                raise
            return stale
        if not isinstance(found, Lease):
            self._forget(label, name, pool)
            return None
        self._keep(label, found, asked)
        return found

    async def owner(self, address: IPv4Address, whose: tuple[Hashable, ...] = ()) -> Lease | Tombstone | None:
        """Return the lease of a pool address; the data plane knows it then. Else who had it last; None = nobody ever had.

        Args:
            whose: namespace and client, for whose share of the questions it is asked.
        Raises:
            EdgeDown: nobody could be asked and nothing safe is remembered; Overloaded likewise.
        """
        cached = self._cache.at(address)
        if cached is not None and cached.fresh(self._clock.time()) and self._belongs(cached.lease):
            self._install(cached)
            return cached.lease
        try:
            found, asked = await self._ask(address, whose, lambda: self._edge.who_is(address))
        except Refused:
            return None
        except (EdgeDown, Overloaded):
            stale = self._stale("owner_stale", cached)
            if stale is None:
                raise
            return stale
        if isinstance(found, Lease):
            self._keep("", found, asked)
        return found

    def _stale(self, count: str, cached: CachedLease | None) -> Lease | None:
        """Use what was told last, if no other name can have got the address meanwhile."""
        if cached is None or not self._belongs(cached.lease) or not cached.safe_s(self._clock.time()):
            return None
        self.counts[count] += 1
        self._install(cached)
        return cached.lease

    def _belongs(self, lease: Lease) -> bool:
        return lease.address in self.networks_of(lease.pool)

    async def _ask(
        self, key: Hashable, whose: tuple[Hashable, ...], ask: Callable[[], Awaitable[Answer]]
    ) -> Told:
        if self._denied.get(key, 0) > self._clock.monotonic_ns():
            self.counts["denied_again"] += 1
            return None, self._clock.time()
        task = self._asking.get(key)
        if task is None:
            if not self._asks.take(*whose):
                self.counts["overloaded"] += 1
                raise Overloaded("too many questions wait for the private edge; is a workload at fault?")
            task = asyncio.ensure_future(self._ask_edge(ask))
            self._asking[key] = task
            task.add_done_callback(lambda done: self._asked(key, whose, done))
        # Whoever waits may be cancelled; the others' question goes on.
        return await asyncio.shield(task)

    async def _ask_edge(self, ask: Callable[[], Awaitable[Answer]]) -> Told:
        self.counts["asked"] += 1
        asked = self._clock.time()  # times of a lease count from here: the edge heard of it later
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await ask(), asked
        except TimeoutError:
            raise EdgeDown(f"the private edge did not answer within {PATIENCE_S:g} s") from None

    def _asked(self, key: Hashable, whose: tuple[Hashable, ...], task: asyncio.Task[Told]) -> None:
        del self._asking[key]
        self._asks.give_back(*whose)
        if task.cancelled() or task.exception() is not None:
            return
        if task.result()[0] is None:
            if len(self._denied) >= DENIED_LIMIT:
                self._denied.clear()
            self._denied[key] = self._clock.monotonic_ns() + int(DENIED_S * 1e9)

    def _keep(self, namespace: str, lease: Lease, asked: float) -> None:
        if not self._belongs(lease):
            raise OtherPool(f"the private edge gives {lease.address} of pool {lease.pool!r}, which is another network here")
        try:
            self._cache.put(namespace, lease, asked)
        except LedgerError as error:
            # The lease is good all the same; only a restart would have to ask again.
            log.error("%s", error)
        self._install(CachedLease(namespace, lease, asked))

    def _forget(self, namespace: str, name: str, pool: str) -> None:
        try:
            self._cache.forget(namespace, name, pool)
        except LedgerError as error:
            log.error("%s", error)

    def _install(self, cached: CachedLease) -> None:
        lease = cached.lease
        kept_s = min(max(KEPT_S, float(lease.ttl)), cached.safe_s(self._clock.time()))
        self._datapath.learn(None, lease.address, self._names.id_of(lease.name), kept_s)
