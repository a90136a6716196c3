"""A connector's own copy of the leases that it was told, kept on disk.

Journey: the connector's DNS service and stray handling look here before they ask the edge; after a restart
the known addresses work at once, also while no edge is reachable. One thread. It is a copy: a file that is
damaged or of another version is set aside and filled again by asking. Every change survives kill -9 (WAL).
What a lease may be used for is the policy's decision, every time; a record here proves nothing.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from zcc.errors import LedgerError
from zcc.synthetic.lease import Lease
from zcc.synthetic.pool import DEFAULT_POOL

__all__ = ["CachedLease", "LeaseCache"]

SCHEMA_VERSION = 2
SCHEMA = """
CREATE TABLE lease (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    address INTEGER NOT NULL,
    application TEXT NOT NULL,
    ttl INTEGER NOT NULL,
    fetched REAL NOT NULL,
    pool TEXT NOT NULL,
    keeps INTEGER NOT NULL,
    PRIMARY KEY (namespace, pool, name)
) STRICT, WITHOUT ROWID;
"""
SIDE_FILES = ("-wal", "-shm")
Key = tuple[str, str, str]  # namespace, pool, name

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CachedLease:
    """A lease and when the edge said so."""

    namespace: str  # that it was asked for; "" = learned by who-is
    lease: Lease
    fetched: float  # seconds since 1970

    def fresh(self, now: float) -> bool:
        """Whether it may be used without asking again."""
        return self.fetched <= now < self.fetched + self.lease.ttl

    def safe_s(self, now: float) -> float:
        """For how long no other name can have got its address; 0 = one may have."""
        return max(0.0, self.fetched + self.lease.keeps - now) if self.fetched <= now else 0.0

    @property
    def key(self) -> Key:
        """What it is found by."""
        return self.namespace, self.lease.pool, self.lease.name


class LeaseCache:
    """Leases by name and by address; reading never touches the disk."""

    def __init__(self, path: Path) -> None:
        """Open the file and read it; one that cannot be read is set aside.

        Raises:
            LedgerError: no file can be made there.
        """
        self._path = path
        self._names: dict[Key, CachedLease] = {}
        self._addresses: dict[IPv4Address, dict[str, CachedLease]] = {}  # then by namespace
        self._namespaces: set[str] = set()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = self._open_or_set_aside()
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(f"{path}: {error}; the connector must be able to write there") from error

    def __len__(self) -> int:
        return len(self._names)

    def __iter__(self) -> Iterator[CachedLease]:
        return iter(list(self._names.values()))

    def get(self, namespace: str, name: str, pool: str = DEFAULT_POOL) -> CachedLease | None:
        """Return what the edge last said about a name for a namespace, however long ago."""
        return self._names.get((namespace, pool, name))

    def at(self, address: IPv4Address) -> CachedLease | None:
        """Return what is known about an address: of several namespaces the one fetched last."""
        known = self._addresses.get(address)
        return max(known.values(), key=lambda cached: cached.fetched) if known else None

    def put(self, namespace: str, lease: Lease, now: float) -> None:
        """Note a lease; what contradicts it (its address under another name, or the reverse) is forgotten.

        Raises:
            LedgerError: the file cannot be written; the lease is not noted.
        """
        mine = (lease.name, lease.pool)
        stale = [
            cached
            for cached in (*self._addresses.get(lease.address, {}).values(), *self._of(lease))
            if ((cached.lease.name, cached.lease.pool) == mine) != (cached.lease.address == lease.address)
        ]
        row = (namespace, lease.name, int(lease.address), lease.application, lease.ttl, now, lease.pool, lease.keeps)
        self._write("INSERT OR REPLACE INTO lease VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row, stale)
        for cached in stale:
            self._drop(cached)
        self._hold(CachedLease(namespace, lease, now))

    def forget(self, namespace: str, name: str, pool: str = DEFAULT_POOL) -> None:
        """Drop a lease that the edge no longer gives.

        Raises:
            LedgerError: the file cannot be written.
        """
        cached = self._names.get((namespace, pool, name))
        if cached is not None:
            self._write("", (), [cached])
            self._drop(cached)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _of(self, lease: Lease) -> list[CachedLease]:
        keys = ((namespace, lease.pool, lease.name) for namespace in self._namespaces)
        return [self._names[key] for key in keys if key in self._names]

    def _hold(self, cached: CachedLease) -> None:
        self._namespaces.add(cached.namespace)
        self._names[cached.key] = cached
        self._addresses.setdefault(cached.lease.address, {})[cached.namespace] = cached

    def _drop(self, cached: CachedLease) -> None:
        self._names.pop(cached.key, None)
        by_namespace = self._addresses.get(cached.lease.address, {})
        by_namespace.pop(cached.namespace, None)
        if not by_namespace:
            self._addresses.pop(cached.lease.address, None)

    def _write(self, insert: str, row: tuple[object, ...], stale: list[CachedLease]) -> None:
        try:
            with self._database:
                self._database.executemany(
                    "DELETE FROM lease WHERE namespace = ? AND pool = ? AND name = ?",
                    [cached.key for cached in stale],
                )
                if insert:
                    self._database.execute(insert, row)
        except sqlite3.Error as error:
            raise LedgerError(f"{self._path}: {error}; is the disk full?") from error

    def _open_or_set_aside(self) -> sqlite3.Connection:
        try:
            return self._open()
        except (sqlite3.DatabaseError, ValueError) as error:
            aside = next(
                place for number in range(1, 1_000_000)
                if not (place := self._path.with_name(f"{self._path.name}.broken-{number}")).exists()
            )
            log.warning("%s: %s; set aside as %s, leases are asked for again", self._path, error, aside.name)
            self._names.clear()
            self._addresses.clear()
            self._path.replace(aside)
            for side in SIDE_FILES:
                with suppress(FileNotFoundError):
                    self._path.with_name(self._path.name + side).unlink()
            return self._open()

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect(self._path)
        try:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            self._check(database)
            for namespace, name, address, application, ttl, fetched, pool, keeps in database.execute(
                "SELECT namespace, name, address, application, ttl, fetched, pool, keeps FROM lease"
            ):
                self._hold(CachedLease(namespace, Lease(
                    name=name, address=IPv4Address(address), application=application, ttl=ttl, pool=pool, keeps=keeps
                ), fetched))
        except BaseException:
            database.close()
            raise
        return database

    def _check(self, database: sqlite3.Connection) -> None:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version == 0:
            database.executescript(
                f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )
        elif version != SCHEMA_VERSION:
            raise ValueError(f"schema {version}, here {SCHEMA_VERSION}")
        (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise ValueError(str(verdict))
