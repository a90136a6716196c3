"""The ledger: one address a name, kept for good, decided by what was recorded and never by position or hash.

Journey: the private edge plans a change here, stores the record, then applies it; only then it answers.
Pure: time is an argument, storage is the caller's. One thread.

    fresh ──LEASED──▶ held ──RELEASED──▶ resting ──quarantine over──▶ reusable ──LEASED──▶ held
                        ▲                   │                             │
                        └── LEASED, same name: its own address again ─────┘

Rules: no event on one name changes another. Fresh addresses go first, then those that rested longest. Names
under wildcards never take the last of the reserved share, whatever floods in. Only time releases a lease,
never pressure; a configured name is not released at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum

from zcc.synthetic.pool import Pool
from zcc.synthetic.record import Record, RecordKind

__all__ = ["Holding", "Ledger", "Outcome"]


class Outcome(Enum):
    """Why plan() needs no record."""

    HELD = "held"  # the name has its address
    FULL = "full"  # no address for this kind of name


@dataclass(slots=True)
class Holding:
    """A name and its address at present."""

    name: str
    address: int  # IPv4, host order
    configured: bool
    since: float  # seconds since 1970, of the lease
    seen: float  # last asked for


@dataclass(frozen=True, slots=True)
class _Rest:
    name: str
    released: float


class Ledger:
    """The state that all records together amount to."""

    def __init__(
        self, pool: Pool, *, quarantine_s: float, idle_s: float, records: Iterable[Record] = ()
    ) -> None:
        """Fold what was stored.

        Args:
            quarantine_s: how long a released address rests before another name gets it.
            idle_s: how long a name under a wildcard may go unasked before it is released.
            records: all stored ones, by sequence.

        Raises:
            ValueError: records are not in sequence, or contradict each other.
        """
        self.pool = pool
        self.sequence = 0  # of the last record applied
        self._quarantine_s = quarantine_s
        self._idle_s = idle_s
        self._names: dict[str, Holding] = {}
        self._addresses: dict[int, Holding] = {}
        self._resting: dict[int, _Rest] = {}  # in the order of release
        self._reusable: dict[int, _Rest] = {}  # likewise
        self._own: dict[str, int] = {}  # the address that a released name had
        self._history: dict[int, list[Record]] = {}
        self._configured = 0  # held by configured names, inside the pool
        self._held = 0  # held, inside the pool
        self._rested = 0  # resting, inside the pool
        self._fresh = pool.low
        for record in records:
            self.apply(record)

    def holding(self, name: str) -> Holding | None:
        """Return what a name holds inside the pool."""
        held = self._names.get(name)
        return held if held is not None and held.address in self.pool else None

    def holder(self, address: int) -> Holding | None:
        """Return who holds an address."""
        held = self._addresses.get(address)
        return held if held is not None and address in self.pool else None

    def former(self, address: int) -> str | None:
        """Return the name that lost this address last, while nobody else has it."""
        rest = self._resting.get(address) or self._reusable.get(address)
        return rest.name if rest is not None else None

    def history(self, address: int) -> tuple[Record, ...]:
        """Return all that ever happened to an address, oldest first."""
        return tuple(self._history.get(address, ()))

    def holdings(self) -> list[Holding]:
        """Return all that is held inside the pool, in the order of the leases."""
        return [held for held in self._names.values() if held.address in self.pool]

    def free(self, now: float) -> tuple[int, int]:
        """Return how many addresses configured names and names under wildcards can still get."""
        self._settle(now)
        free = self.pool.capacity - self._held - self._rested
        unused_share = max(0, self.pool.reserved - self._configured)
        return free, max(0, free - unused_share)

    def plan(self, name: str, configured: bool, now: float) -> Record | Outcome:
        """Return the record that gives a name its address, or why there is none to store. Changes nothing.

        Args:
            name: lower case, no trailing dot.
            configured: spelled out in the configuration, rather than under a wildcard.
            now: seconds since 1970.
        """
        held = self.holding(name)
        if held is not None:
            if held.configured or not configured:
                return Outcome.HELD
            return Record(self.sequence + 1, RecordKind.CONFIGURED, name, held.address, True, now)
        address = self._own_address(name)
        if address is None:
            if not self.free(now)[0 if configured else 1]:
                return Outcome.FULL
            address = self._choose()
        return Record(self.sequence + 1, RecordKind.LEASED, name, address, configured, now)

    def plan_idle(self, configured: Callable[[str], bool], now: float) -> list[Record]:
        """Return the records that release every name not asked for in idle_s. Changes nothing.

        Args:
            configured: whether the configuration spells a name out at present; such a name is never released.
        """
        idle = [held for held in self._names.values()
                if now - held.seen >= self._idle_s and not configured(held.name)]
        first, kind = self.sequence + 1, RecordKind.RELEASED
        return [
            Record(sequence, kind, held.name, held.address, held.configured, now)
            for sequence, held in enumerate(idle, first)
        ]

    def touch(self, name: str, now: float) -> None:
        """Note that a name was asked for; it stays at least idle_s longer."""
        held = self._names.get(name)
        if held is not None:
            held.seen = max(held.seen, now)

    def apply(self, record: Record) -> None:
        """Take a stored record in.

        Raises:
            ValueError: it is not the next one, or does not follow from those before.
        """
        if record.sequence != self.sequence + 1:
            raise ValueError(f"record: sequence {record.sequence} after {self.sequence}")
        {
            RecordKind.LEASED: self._apply_leased,
            RecordKind.RELEASED: self._apply_released,
            RecordKind.CONFIGURED: self._apply_configured,
        }[record.kind](record)
        self.sequence = record.sequence
        self._history.setdefault(record.address, []).append(record)

    def _apply_leased(self, record: Record) -> None:
        if record.address in self._addresses:
            raise ValueError(f"record: {record.sequence} leases an address that is held")
        if record.name in self._names:
            # Its address lay outside the pool of that time.
            self._release(self._names[record.name], record.at)
        if record.address in self.pool:
            self._rested -= record.address in self._resting
        rest = self._resting.pop(record.address, None) or self._reusable.pop(record.address, None)
        if rest is not None and self._own.get(rest.name) == record.address:
            del self._own[rest.name]
        held = Holding(record.name, record.address, record.configured, record.at, record.at)
        self._names[record.name] = self._addresses[record.address] = held
        self._count(held, 1)

    def _apply_released(self, record: Record) -> None:
        self._release(self._expect(record), record.at)

    def _apply_configured(self, record: Record) -> None:
        held = self._expect(record)
        self._count(held, -1)
        held.configured = True
        self._count(held, 1)

    def _release(self, held: Holding, at: float) -> None:
        del self._names[held.name], self._addresses[held.address]
        self._resting[held.address] = _Rest(held.name, at)
        self._own[held.name] = held.address
        self._rested += held.address in self.pool
        self._count(held, -1)

    def _expect(self, record: Record) -> Holding:
        held = self._names.get(record.name)
        if held is None or held.address != record.address:
            raise ValueError(f"record: {record.sequence} is about a lease that does not exist")
        return held

    def _count(self, held: Holding, step: int) -> None:
        if held.address in self.pool:
            self._held += step
            self._configured += step * held.configured

    def _settle(self, now: float) -> None:
        """Make addresses whose quarantine is over reusable."""
        while self._resting:
            address, rest = next(iter(self._resting.items()))
            if now - rest.released < self._quarantine_s:
                break
            self._reusable[address] = self._resting.pop(address)
            self._rested -= address in self.pool

    def _own_address(self, name: str) -> int | None:
        """The address that the name itself lost, while nobody else has it; its own name need not wait."""
        own = self._own.get(name)
        return own if own is not None and own in self.pool and self.former(own) == name else None

    def _choose(self) -> int:
        while self._fresh <= self.pool.high:
            if self._fresh not in self._history:
                return self._fresh
            self._fresh += 1
        return next(address for address in self._reusable if address in self.pool)
