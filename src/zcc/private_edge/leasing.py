"""The ledger in use: names to leases, addresses back to names, everything stored before it is said.

Journey: broker asks for resolve and who-is, the daemon exchanges the pools. One event loop; the store works in a
thread of its own, so that a slow disk delays new names only. A name that already has its address is answered
without it. Changes run one at a time and to their end, also when the asker is gone. What connectors say of live
flows keeps addresses where they are.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from typing import Any, TypeVar

from zcc.clock import Clock
from zcc.errors import LedgerError
from zcc.private_edge.catalogue import Catalogue
from zcc.synthetic.lease import Lease, Tombstone
from zcc.synthetic.ledger import Ledger, Outcome
from zcc.synthetic.pool import DEFAULT_POOL, Pool
from zcc.synthetic.record import Record
from zcc.synthetic.store import LedgerStore

__all__ = ["Leasing", "NoPool", "PoolFull", "fold"]

NO_POOL = ""  # of a lease whose address no pool has any more

A = TypeVar("A")
T = TypeVar("T")


class PoolFull(Exception):
    """No address is left for this kind of name; caught by broker, never by daemons."""


class NoPool(Exception):
    """There is no pool of that name; likewise."""


class Leasing:
    """Leases of the tenant's names."""

    def __init__(
        self, ledger: Ledger, store: LedgerStore, catalogue: Catalogue, clock: Clock, settle_s: float = 0.0
    ) -> None:
        """Take a loaded ledger and its store over.

        Args:
            settle_s: nothing is released for so long, until connectors have said what is in use.
        """
        self.ledger = ledger
        self._store = store
        self._catalogue = catalogue
        self._clock = clock
        self._settled = clock.time() + settle_s
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._used: dict[int, float] = {}

    async def resolve(self, namespace: str, name: str, pool: str = DEFAULT_POOL) -> Lease | None:
        """Return the name's lease in a pool, made now if need be; None = no application of the namespace covers it.

        Raises:
            NoPool: there is no such pool.
            PoolFull: nothing is left for it.
            LedgerError: it cannot be stored.
        """
        application = self._catalogue.covering(namespace, name)
        if application is None:
            return None
        of = self.ledger.pool(pool)
        if of is None:
            raise NoPool(pool)
        return self._lease(name, await self._hold(name, of), application.name, of)

    async def who_is(self, address: IPv4Address) -> Lease | Tombstone | None:
        """Return the lease that an address belongs to; else what is known of who had it last; None = nobody ever had.

        A name that lost the address and is still covered gets it back.

        Raises:
            LedgerError: it cannot be stored.
        """
        held, rest = self.ledger.holder(int(address)), self.ledger.former(int(address))
        pool = self.ledger.pool_of(int(address))
        if pool is None:
            return self._leaving(address)
        name = held.name if held is not None else rest.name if rest is not None else None
        if name is None:
            return None
        tombstone = Tombstone(name, None if rest is None else rest.released)
        application = self._catalogue.covering(None, name)
        if application is None:
            return tombstone
        try:
            holds = await self._hold(name, pool)
        except PoolFull:
            return tombstone
        # A released name may have got another address since; then this one is nobody's.
        return self._lease(name, holds, application.name, pool) if holds == int(address) else tombstone

    def _leaving(self, address: IPv4Address) -> Lease | Tombstone | None:
        """Return what is known of an address that no pool has."""
        held = self.ledger.holder(int(address))
        if held is None:
            past = self.ledger.history(int(address))
            return Tombstone(past[-1].name, past[-1].at) if past else None
        application = self._catalogue.covering(None, held.name)
        if application is None:
            return Tombstone(held.name, None)
        self._use(held.address)
        renew_s = int(max(pool.renew_s for pool in self.ledger.pools))
        return Lease(name=held.name, address=address, application=application.name, ttl=renew_s, pool=NO_POOL, keeps=renew_s)

    async def exchange(self, pools: Iterable[Pool], catalogue: Catalogue) -> None:
        """Go on with other pools and applications; leases that no pool has any more are leaving.

        Raises:
            LedgerError: the file can not be read, or the pools do not fit; everything stays as it was.
        """
        await self._to_its_end(self._exchange(tuple(pools), catalogue))

    async def _exchange(self, pools: tuple[Pool, ...], catalogue: Catalogue) -> None:
        async with self._lock:
            used, self._used = self._used, {}
            try:
                await self._in_thread(self._store.mark_used, used)
                ledger = await self._in_thread(functools.partial(fold, self._store), pools)
            except BaseException:
                self._used = {**used, **self._used}
                raise
            ledger.recall(self._used)
            self.ledger, self._catalogue = ledger, catalogue

    def in_use(self, addresses: Iterable[IPv4Address]) -> int:
        """Note that live flows go to addresses, so that no other name gets them; return how many are or were a name's."""
        now, known = self._clock.time(), 0
        for address in addresses:
            if self.ledger.use(int(address), now):
                self._used[int(address)] = now
                known += 1
        return known

    async def sweep(self) -> int:
        """Release idle names and store when addresses were used; return how many were released.

        Raises:
            LedgerError: it cannot be stored.
        """
        return await self._to_its_end(self._sweep())

    async def close(self) -> None:
        """Store what is not yet stored and stop the thread; the store stays open."""
        async with self._lock:
            await self._in_thread(self._store.mark_used, self._used)
            self._thread.shutdown()

    def _lease(self, name: str, address: int, application: str, pool: Pool) -> Lease:
        return Lease(name=name, address=IPv4Address(address), application=application, ttl=int(pool.renew_s),
                     pool=pool.name, keeps=int(pool.keeps_s))

    async def _hold(self, name: str, pool: Pool) -> int:
        now = self._clock.time()
        configured = self._catalogue.spelled_out(name)
        held = self.ledger.holding(name, pool.name)
        if held is None or (configured and not held.configured):
            await self._to_its_end(self._change(name, configured, now, pool.name))
            held = self.ledger.holding(name, pool.name)
            if held is None:
                raise PoolFull(name, pool.name)
        self._use(held.address)
        return held.address

    def _use(self, address: int) -> None:
        now = self._clock.time()
        self.ledger.use(address, now)
        self._used[address] = now

    async def _change(self, name: str, configured: bool, now: float, pool: str) -> None:
        async with self._lock:
            if self.ledger.pool(pool) is None:  # exchanged meanwhile
                raise NoPool(pool)
            planned = self.ledger.plan(name, configured, now, pool)
            if not isinstance(planned, Outcome):
                await self._commit([planned])

    async def _sweep(self) -> int:
        async with self._lock:
            used, self._used = self._used, {}
            await self._in_thread(self._store.mark_used, used)
            now = self._clock.time()
            released = self.ledger.plan_idle(self._catalogue.spelled_out, now) if now >= self._settled else []
            if released:
                await self._commit(released)
            return len(released)

    async def _commit(self, records: list[Record]) -> None:
        await self._in_thread(self._store.append, records)
        for record in records:
            self.ledger.apply(record)

    async def _in_thread(self, function: Callable[[A], T], argument: A) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, argument)

    async def _to_its_end(self, change: Coroutine[Any, Any, T]) -> T:
        # A record that is stored and not applied would block the sequence for good.
        return await asyncio.shield(asyncio.ensure_future(change))


def fold(store: LedgerStore, pools: Iterable[Pool]) -> Ledger:
    """Read a store's records and uses into a ledger of some pools.

    Raises:
        LedgerError: it cannot be read, or its records contradict each other.
    """
    try:
        ledger = Ledger(pools, store.records(), single_until=store.single_until)
    except ValueError as error:
        raise LedgerError(f"{store.path}: {error}; choose pools that are apart, or restore the file from a backup") from error
    ledger.recall(store.used())
    return ledger
