"""Shelf: one pool's addresses: who holds which, which rest after a release, which can be given out again.

Journey: the ledger keeps one a pool and folds records into it. A live flow to an address counts as use of it: its name is not
idle, and an address that rests begins its quarantine anew. Pure; time is an argument. One thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from zcc.synthetic.pool import Pool

__all__ = ["Holding", "Rest", "Shelf"]


@dataclass(slots=True)
class Holding:
    """A name and its address at present."""

    name: str
    address: int  # IPv4, host order
    configured: bool
    since: float  # seconds since 1970, of the lease
    used: float  # last asked for, or seen in use


@dataclass(frozen=True, slots=True)
class Rest:
    """A tombstone: who had an address last."""

    name: str
    released: float  # seconds since 1970
    since: float  # of the quarantine: the release, or a live flow seen after it


class Shelf:
    """The state of one pool."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._names: dict[str, Holding] = {}
        self._addresses: dict[int, Holding] = {}
        self._resting: dict[int, Rest] = {}  # in the order of `since`
        self._reusable: dict[int, Rest] = {}  # in the order of their quarantine's end
        self._own: dict[str, int] = {}  # the address that a released name had
        self._configured = 0  # held by configured names
        self._touched: set[int] = set()  # addresses that were ever leased
        self._fresh = pool.low

    # ---- what is ----

    def holding(self, name: str) -> Holding | None:
        """Return what a name holds."""
        return self._names.get(name)

    def holder(self, address: int) -> Holding | None:
        """Return who holds an address."""
        return self._addresses.get(address)

    def former(self, address: int) -> Rest | None:
        """Return who lost this address last, while nobody else has it."""
        return self._resting.get(address) or self._reusable.get(address)

    def holdings(self) -> Iterator[Holding]:
        """Yield everything held, in the order of the leases."""
        return iter(list(self._names.values()))

    def free(self, now: float) -> tuple[int, int]:
        """Return how many addresses configured names and names under wildcards can still get."""
        self._settle(now)
        free = self.pool.capacity - len(self._names) - len(self._resting)
        unused_share = max(0, self.pool.reserved - self._configured)
        return free, max(0, free - unused_share)

    def resting(self) -> int:
        """Return how many addresses rest, as of the last look at the time."""
        return len(self._resting)

    def address_for(self, name: str, configured: bool, now: float) -> int | None:
        """Choose the address for a name that holds none: its own again, then fresh ones, then those that rested longest."""
        free = self.free(now)[0 if configured else 1]
        own = self._own.get(name)
        if own is not None:
            rest = self.former(own)
            # What rests is promised to nobody, so that its own name need not wait. What is free again is other names' too.
            if rest is not None and rest.name == name and (own in self._resting or free):
                return own
        return self._choose() if free else None

    def idle(self, configured: Callable[[str], bool], now: float) -> list[Holding]:
        """Return the names to release; one that the configuration spells out is none of them."""
        return [held for held in self._names.values()
                if now - held.used >= self.pool.idle_s and not configured(held.name)]

    # ---- what happens ----

    def lease(self, held: Holding) -> None:
        """Give a name an address.

        Raises:
            ValueError: somebody holds it.
        """
        if held.address in self._addresses:
            raise ValueError("leases an address that is held")
        if held.name in self._names:
            # Its address lay outside the pool of that time.
            self.release(self._names[held.name], held.since)
        rest = self._resting.pop(held.address, None) or self._reusable.pop(held.address, None)
        if rest is not None and self._own.get(rest.name) == held.address:
            del self._own[rest.name]
        self._touched.add(held.address)
        self._names[held.name] = self._addresses[held.address] = held
        self._configured += held.configured

    def release(self, held: Holding, at: float) -> None:
        """Take a name's address away; it rests."""
        del self._names[held.name], self._addresses[held.address]
        self._resting[held.address] = Rest(held.name, at, at)
        self._own[held.name] = held.address
        self._configured -= held.configured

    def configure(self, held: Holding) -> None:
        """Note that a name is spelled out now."""
        self._configured += not held.configured
        held.configured = True

    def use(self, address: int, at: float) -> bool:
        """Note a use of an address: a question for its name, or a live flow; return whether it was ever a name's."""
        held = self._addresses.get(address)
        if held is not None:
            held.used = max(held.used, at)
            return True
        rest = self._resting.pop(address, None) or self._reusable.pop(address, None)
        if rest is None:
            return False
        self._resting[address] = Rest(rest.name, rest.released, max(rest.since, at))
        return True

    def recall(self, used: Mapping[int, float]) -> None:
        """Take in when addresses were last used, as it was stored."""
        for address, at in used.items():
            self.use(address, at)
        self._resting = dict(sorted(self._resting.items(), key=lambda item: item[1].since))

    def _settle(self, now: float) -> None:
        """Make addresses whose quarantine is over reusable."""
        while self._resting:
            address, rest = next(iter(self._resting.items()))
            if now - rest.since < self.pool.quarantine_s:
                break
            self._reusable[address] = self._resting.pop(address)

    def _choose(self) -> int:
        while self._fresh <= self.pool.high:
            if self._fresh not in self._touched:
                return self._fresh
            self._fresh += 1
        return next(iter(self._reusable))
