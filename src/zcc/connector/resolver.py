"""Resolver: the synthetic address of a name, the name of an address, and the data plane told of either.

Journey: `dns` and `stray` ask here; what is not known and fresh is asked of the private edge, once
however many wait. A lease that leaves here is in the data plane already: an answer sent after it can not
overtake it. With the edge unreachable the newest lease ever told is used; what it may be used for the
edge decides at every stream. Asks are bounded for each namespace and as a whole, so that one workload's
flood of names does not starve the others. One thread, the event loop's.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable
from ipaddress import IPv4Address
from typing import Protocol

from zcc.clock import Clock
from zcc.connector.ports import Datapath, Names
from zcc.errors import LedgerError
from zcc.mtunnel.errors import EdgeDown, Refused, TunnelError
from zcc.synthetic.lease import Lease
from zcc.synthetic.leases import LeaseCache

ASKS_LIMIT = 512
ASKS_OF_NAMESPACE_LIMIT = 128
PATIENCE_S = 2.0  # below the 5 s after which common resolvers ask again
DENIED_S = 5.0  # a no is remembered this long
DENIED_LIMIT = 16_384
# Applications keep addresses longer than DNS lets them. Who-is heals a mapping that is gone; keeping it
# saves the ask.
KEPT_S = 3600.0

log = logging.getLogger(__name__)


class Edge(Protocol):
    """Who knows the ledger: `zcc.mtunnel.client.EdgeClient`."""

    async def resolve(self, namespace: str, name: str) -> Lease | None:
        """Return a name's lease; None = no application of the namespace covers it."""

    async def who_is(self, address: IPv4Address) -> Lease | None:
        """Return the lease of an address; None = nobody's."""


class Overloaded(TunnelError):
    """Too many questions wait for the private edge."""


class Resolver:
    """Leases, from this connector's cache or the edge."""

    def __init__(
        self, edge: Edge, cache: LeaseCache, datapath: Datapath, names: Names, clock: Clock,
        namespace_name: Callable[[int], str],
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._edge = edge
        self._cache = cache
        self._datapath = datapath
        self._names = names
        self._clock = clock
        self._namespace_name = namespace_name
        self._asking: dict[Hashable, asyncio.Task[Lease | None]] = {}
        self._asks_of: Counter[str] = Counter()
        self._denied: dict[Hashable, int] = {}  # → until, monotonic ns

    def restore(self) -> int:
        """Tell the data plane the leases that a former run left and that are still fresh. Return how many."""
        now, restored = self._clock.time(), 0
        for cached in self._cache:
            if cached.fresh(now):
                self._install(cached.lease)
                restored += 1
        return restored

    def fresh_s(self, namespace: int, name: str) -> float:
        """Return for how long a name's address may still be given without asking; 0 = not at all."""
        cached = self._cache.get(self._namespace_name(namespace), name)
        now = self._clock.time()
        return 0.0 if cached is None or not cached.fresh(now) else cached.fetched + cached.lease.ttl - now

    def known(self, namespace: int, name: str) -> IPv4Address | None:
        """Return a name's address if it may be given without asking; the data plane knows it then."""
        cached = self._cache.get(self._namespace_name(namespace), name)
        if cached is None or not cached.fresh(self._clock.time()):
            return None
        self._install(cached.lease)
        return cached.lease.address

    async def lease(self, namespace: int, name: str) -> Lease | None:
        """Return a name's lease; the data plane knows it then. None = no application's of that namespace.

        Raises:
            EdgeDown: nobody could be asked and nothing is remembered; Overloaded likewise.
            Refused: an application covers the name and the answer is no.
        """
        label = self._namespace_name(namespace)
        try:
            found = await self._ask((label, name), label, lambda: self._edge.resolve(label, name))
        except (EdgeDown, Overloaded):
            cached = self._cache.get(label, name)
            if cached is None:
                raise
            self.counts["lease_stale"] += 1
            found = cached.lease
        else:
            self._note(label, name, found)
        if found is not None:
            self._install(found)
        return found

    async def owner(self, address: IPv4Address) -> Lease | None:
        """Return the lease of a pool address; the data plane knows it then. None = nobody's.

        Raises:
            EdgeDown: nobody could be asked and nothing is remembered; Overloaded likewise.
        """
        cached = self._cache.at(address)
        if cached is not None and cached.fresh(self._clock.time()):
            self._install(cached.lease)
            return cached.lease
        try:
            found = await self._ask(address, "", lambda: self._edge.who_is(address))
        except Refused:
            found = None
        except (EdgeDown, Overloaded):
            if cached is None:
                raise
            self.counts["owner_stale"] += 1
            found = cached.lease
        else:
            if found is not None:
                self._note("", found.name, found)
        if found is not None:
            self._install(found)
        return found

    async def _ask(
        self, key: Hashable, namespace: str, ask: Callable[[], Awaitable[Lease | None]]
    ) -> Lease | None:
        if self._denied.get(key, 0) > self._clock.monotonic_ns():
            self.counts["denied_again"] += 1
            return None
        task = self._asking.get(key)
        if task is None:
            if len(self._asking) >= ASKS_LIMIT or self._asks_of[namespace] >= ASKS_OF_NAMESPACE_LIMIT:
                self.counts["overloaded"] += 1
                raise Overloaded("too many questions wait for the private edge; is a workload at fault?")
            task = asyncio.ensure_future(self._ask_edge(ask))
            self._asking[key] = task
            self._asks_of[namespace] += 1
            task.add_done_callback(lambda done: self._asked(key, namespace, done))
        # Whoever waits may be cancelled; the others' question goes on.
        return await asyncio.shield(task)

    async def _ask_edge(self, ask: Callable[[], Awaitable[Lease | None]]) -> Lease | None:
        self.counts["asked"] += 1
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await ask()
        except TimeoutError:
            raise EdgeDown(f"the private edge did not answer within {PATIENCE_S:g} s") from None

    def _asked(self, key: Hashable, namespace: str, task: asyncio.Task[Lease | None]) -> None:
        del self._asking[key]
        self._asks_of[namespace] -= 1
        if not self._asks_of[namespace]:
            del self._asks_of[namespace]
        if task.cancelled() or task.exception() is not None:
            return
        if task.result() is None:
            if len(self._denied) >= DENIED_LIMIT:
                self._denied.clear()
            self._denied[key] = self._clock.monotonic_ns() + int(DENIED_S * 1e9)

    def _note(self, namespace: str, name: str, lease: Lease | None) -> None:
        try:
            if lease is None:
                self._cache.forget(namespace, name)
            else:
                self._cache.put(namespace, lease, self._clock.time())
        except LedgerError as error:
            # The lease is good all the same; only a restart would have to ask again.
            log.error("%s", error)

    def _install(self, lease: Lease) -> None:
        kept_s = max(KEPT_S, float(lease.ttl))
        self._datapath.learn(None, lease.address, self._names.id_of(lease.name), kept_s)
