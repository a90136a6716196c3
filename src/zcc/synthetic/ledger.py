"""The ledger: one address a name in each pool, kept for good, decided by what was recorded and never by position or hash.

Journey: the private edge plans a change here, stores the record, then applies it; only then it answers.
Pure: time is an argument, storage is the caller's. One thread.

    fresh ──LEASED──▶ held ──RELEASED──▶ resting ──quarantine over──▶ reusable ──LEASED──▶ held
                        ▲                 │   ▲ └─ a live flow: anew     │
                        └── LEASED, same name: its own address again ────┘

Rules: no event on one name changes another. Fresh addresses go first, then those that rested longest. Names
under wildcards never take the last of a pool's reserved share, whatever floods in. Only time releases a lease,
never pressure; a configured name, and one whose address has live flows, is not released at all. Pools have nothing to
do with each other but the sequence of their records. An address that no pool has any more, since one was moved or made
smaller, is leaving: it keeps its name and is given to nobody, not even to that name again, until it was not used for so long
that no connector can still say it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from enum import Enum

from zcc.synthetic.pool import DEFAULT_POOL, Pool
from zcc.synthetic.record import Record, RecordKind
from zcc.synthetic.shelf import Holding, Rest, Shelf

__all__ = ["Holding", "Ledger", "Outcome", "Rest"]


class Outcome(Enum):
    """Why plan() needs no record."""

    HELD = "held"  # the name has its address
    FULL = "full"  # no address for this kind of name


class Ledger:
    """The state that all records together amount to."""

    def __init__(self, pools: Iterable[Pool], records: Iterable[Record] = (), *, single_until: int = 0) -> None:
        """Fold what was stored.

        Args:
            pools: they neither overlap nor share a name.
            records: all stored ones, by sequence.
            single_until: up to this sequence there was one pool at a time, so that a name that got an address lost the one
                before without a record of it.

        Raises:
            ValueError: pools overlap, or records are not in sequence or contradict each other.
        """
        self.pools = tuple(sorted(pools, key=lambda pool: pool.low))
        self.sequence = 0  # of the last record applied
        for one, other in zip(self.pools, self.pools[1:], strict=False):
            if one.network.overlaps(other.network):
                raise ValueError(f"pools: {one.name} {one.network} overlaps {other.name} {other.network}")
        self._shelves = {pool.name: Shelf(pool) for pool in self.pools}
        if len(self._shelves) != len(self.pools):
            raise ValueError("pools: two have one name")
        self._lows = [pool.low for pool in self.pools]
        self._leaving: dict[int, Holding] = {}  # held outside every pool
        self._history: dict[int, list[Record]] = {}
        self._single_until = single_until
        for record in records:
            self.apply(record)

    def pool(self, name: str) -> Pool | None:
        """Return a pool by its name."""
        shelf = self._shelves.get(name)
        return None if shelf is None else shelf.pool

    def pool_of(self, address: int) -> Pool | None:
        """Return the pool that gives out an address."""
        shelf = self._shelf_of(address)
        return None if shelf is None else shelf.pool

    def holding(self, name: str, pool: str = DEFAULT_POOL) -> Holding | None:
        """Return what a name holds in a pool; None also where there is no such pool."""
        shelf = self._shelves.get(pool)
        return None if shelf is None else shelf.holding(name)

    def holder(self, address: int) -> Holding | None:
        """Return who holds an address, be it leaving."""
        shelf = self._shelf_of(address)
        return self._leaving.get(address) if shelf is None else shelf.holder(address)

    def former(self, address: int) -> Rest | None:
        """Return who lost this address last, while nobody else has it."""
        shelf = self._shelf_of(address)
        return None if shelf is None else shelf.former(address)

    def history(self, address: int) -> tuple[Record, ...]:
        """Return all that ever happened to an address, oldest first."""
        return tuple(self._history.get(address, ()))

    def holdings(self) -> list[Holding]:
        """Return everything held, pool by pool in the order of the leases."""
        return [held for shelf in self._shelves.values() for held in shelf.holdings()]

    @property
    def leaving(self) -> tuple[Holding, ...]:
        """What is held outside every pool, in the order of the leases."""
        return tuple(self._leaving.values())

    def free(self, now: float, pool: str = DEFAULT_POOL) -> tuple[int, int]:
        """Return how many addresses of a pool configured names and names under wildcards can still get."""
        return self._shelves[pool].free(now)

    def resting(self, pool: str = DEFAULT_POOL) -> int:
        """Return how many addresses of a pool rest."""
        return self._shelves[pool].resting()

    def plan(self, name: str, configured: bool, now: float, pool: str = DEFAULT_POOL) -> Record | Outcome:
        """Return the record that gives a name its address, or why there is none to store. Changes nothing.

        Args:
            name: lower case, no trailing dot.
            configured: spelled out in the configuration, rather than under a wildcard.
            now: seconds since 1970.
            pool: a pool's name.
        """
        shelf = self._shelves[pool]
        held = shelf.holding(name)
        if held is not None:
            if held.configured or not configured:
                return Outcome.HELD
            return Record(self.sequence + 1, RecordKind.CONFIGURED, name, held.address, True, now)
        address = shelf.address_for(name, configured, now)
        if address is None:
            return Outcome.FULL
        return Record(self.sequence + 1, RecordKind.LEASED, name, address, configured, now)

    def plan_idle(self, configured: Callable[[str], bool], now: float) -> list[Record]:
        """Return the records that release every name neither asked for nor in use for its pool's idle_s, and every address
        that is leaving and was not used while a connector could say it. Changes nothing.

        Args:
            configured: whether the configuration spells a name out at present; such a name is never released.
        """
        idle = [held for shelf in self._shelves.values() for held in shelf.idle(configured, now)]
        leaves_s = max(pool.renew_s for pool in self.pools)
        idle += [held for held in self._leaving.values() if now - held.used >= leaves_s]
        first, kind = self.sequence + 1, RecordKind.RELEASED
        return [
            Record(sequence, kind, held.name, held.address, held.configured, now)
            for sequence, held in enumerate(idle, first)
        ]

    def use(self, address: int, at: float) -> bool:
        """Note that an address's name was asked for, or that it has live flows; return whether it was ever a name's."""
        shelf = self._shelf_of(address)
        if shelf is not None:
            return shelf.use(address, at)
        held = self._leaving.get(address)
        if held is not None:
            held.used = max(held.used, at)
        return held is not None

    def recall(self, used: Mapping[int, float]) -> None:
        """Take in when addresses were last used, seconds since 1970, as it was stored."""
        for shelf in self._shelves.values():
            shelf.recall({address: at for address, at in used.items() if address in shelf.pool})
        for address in self._leaving.keys() & used.keys():
            self.use(address, used[address])

    def apply(self, record: Record) -> None:
        """Take a stored record in.

        Raises:
            ValueError: it is not the next one, or does not follow from those before.
        """
        if record.sequence != self.sequence + 1:
            raise ValueError(f"record: sequence {record.sequence} after {self.sequence}")
        if record.sequence <= self._single_until and record.kind is RecordKind.LEASED:
            self._forget_elsewhere(record)
        shelf = self._shelf_of(record.address)
        if shelf is not None:
            self._fold(shelf, record)
        else:
            self._fold_outside(record)
        self.sequence = record.sequence
        self._history.setdefault(record.address, []).append(record)

    def _fold(self, shelf: Shelf, record: Record) -> None:
        if record.kind is RecordKind.LEASED:
            try:
                shelf.lease(Holding(record.name, record.address, record.configured, record.at, record.at))
            except ValueError as error:
                raise ValueError(f"record: {record.sequence} {error}") from None
            return
        held, rest = shelf.holding(record.name), shelf.former(record.address)
        if record.kind is RecordKind.RELEASED and rest is not None and rest.name == record.name:
            # It was leaving then, and lies in a pool again; here it rests since its name got another one.
            shelf.use(record.address, record.at)
            return
        if held is None or held.address != record.address:
            raise ValueError(f"record: {record.sequence} is about a lease that does not exist")
        if record.kind is RecordKind.RELEASED:
            shelf.release(held, record.at)
        else:
            shelf.configure(held)

    def _fold_outside(self, record: Record) -> None:
        if record.kind is RecordKind.LEASED:
            held = Holding(record.name, record.address, record.configured, record.at, record.at)
            self._leaving[record.address] = held
        elif record.kind is RecordKind.RELEASED:
            self._leaving.pop(record.address, None)

    def _forget_elsewhere(self, record: Record) -> None:
        for shelf in self._shelves.values():
            held = shelf.holding(record.name)
            if held is not None and held.address != record.address:
                shelf.release(held, record.at)
        for held in self.leaving:
            if held.name == record.name and held.address != record.address:
                del self._leaving[held.address]

    def _shelf_of(self, address: int) -> Shelf | None:
        place = bisect_right(self._lows, address) - 1
        pool = self.pools[place] if place >= 0 else None
        return self._shelves[pool.name] if pool is not None and address in pool else None
