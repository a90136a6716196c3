"""The ledger in use: names to leases, addresses back to names, everything stored before it is said.

Journey: broker asks for resolve and who-is. One event loop; the store works in a thread of its own, so that a
slow disk delays new names only. A name that already has its address is answered without it. Changes run one
at a time and to their end, also when the asker is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from typing import Any, TypeVar

from zcc.clock import Clock
from zcc.private_edge.catalogue import Catalogue
from zcc.synthetic.lease import Lease
from zcc.synthetic.ledger import Ledger, Outcome
from zcc.synthetic.record import Record
from zcc.synthetic.store import LedgerStore

__all__ = ["Leasing", "PoolFull"]

T = TypeVar("T")


class PoolFull(Exception):
    """No address is left for this kind of name; caught by broker, never by daemons."""


class Leasing:
    """Leases of the tenant's names."""

    def __init__(
        self, ledger: Ledger, store: LedgerStore, catalogue: Catalogue, clock: Clock, renew_s: float
    ) -> None:
        """Take a loaded ledger and its store over.

        Args:
            renew_s: the ttl of leases.
        """
        self.ledger = ledger
        self._store = store
        self._catalogue = catalogue
        self._clock = clock
        self._renew_s = renew_s
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "ledger")
        self._seen: dict[str, float] = {}

    async def resolve(self, namespace: str, name: str) -> Lease | None:
        """Return the name's lease, made now if need be; None = no application of the namespace covers it.

        Raises:
            PoolFull: nothing is left for it.
            LedgerError: it cannot be stored.
        """
        application = self._catalogue.covering(namespace, name)
        if application is None:
            return None
        return self._lease(name, await self._hold(name), application.name)

    async def who_is(self, address: IPv4Address) -> tuple[Lease | None, str]:
        """Return the lease that an address belongs to, and else the name that had it last.

        A name that lost the address and is still covered gets it back.

        Raises:
            LedgerError: it cannot be stored.
        """
        held = self.ledger.holder(int(address))
        name = held.name if held is not None else self.ledger.former(int(address))
        application = self._catalogue.covering(None, name) if name is not None else None
        if name is None or application is None:
            return None, name or ""
        try:
            holds = await self._hold(name)
        except PoolFull:
            return None, name
        # A released name may have got another address since; then this one is nobody's.
        return (self._lease(name, holds, application.name), "") if holds == int(address) else (None, name)

    async def sweep(self) -> int:
        """Release idle names and store when names were seen; return how many were released.

        Raises:
            LedgerError: it cannot be stored.
        """
        return await self._to_its_end(self._sweep())

    async def close(self) -> None:
        """Store what is not yet stored and stop the thread; the store stays open."""
        async with self._lock:
            await self._in_thread(self._store.mark_seen, self._seen)
            self._thread.shutdown()

    def _lease(self, name: str, address: int, application: str) -> Lease:
        return Lease(name=name, address=IPv4Address(address), application=application, ttl=int(self._renew_s))

    async def _hold(self, name: str) -> int:
        now = self._clock.time()
        configured = self._catalogue.spelled_out(name)
        held = self.ledger.holding(name)
        if held is None or (configured and not held.configured):
            await self._to_its_end(self._change(name, configured, now))
            held = self.ledger.holding(name)
            if held is None:
                raise PoolFull(name)
        self.ledger.touch(name, now)
        self._seen[name] = now
        return held.address

    async def _change(self, name: str, configured: bool, now: float) -> None:
        async with self._lock:
            planned = self.ledger.plan(name, configured, now)
            if not isinstance(planned, Outcome):
                await self._commit([planned])

    async def _sweep(self) -> int:
        async with self._lock:
            seen, self._seen = self._seen, {}
            await self._in_thread(self._store.mark_seen, seen)
            released = self.ledger.plan_idle(self._catalogue.spelled_out, self._clock.time())
            if released:
                await self._commit(released)
            return len(released)

    async def _commit(self, records: list[Record]) -> None:
        await self._in_thread(self._store.append, records)
        for record in records:
            self.ledger.apply(record)

    async def _in_thread(self, function: Any, argument: object) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, function, argument)

    async def _to_its_end(self, change: Coroutine[Any, Any, T]) -> T:
        # A record that is stored and not applied would block the sequence for good.
        return await asyncio.shield(asyncio.ensure_future(change))
