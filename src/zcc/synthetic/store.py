"""The ledger's records in a SQLite file: a record is on the disk before anybody hears of the lease.

Journey: the private edge loads it once and appends to it, one writer thread. WAL with synchronous=FULL: what
append() returned for survives kill -9 and a power cut. Records cannot be changed or deleted, triggers see to
it. When addresses were last used is kept beside them, some minutes behind: little beside the idle time.
PostgreSQL, for an edge that runs as more than one, is not here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from zcc.errors import LedgerError
from zcc.synthetic.record import Record, RecordKind

__all__ = ["LedgerStore", "read_records"]

SCHEMA_VERSION = 2
BUSY_TIMEOUT_S = 5.0
SCHEMA = """
CREATE TABLE record (
    sequence INTEGER PRIMARY KEY CHECK (sequence > 0),
    kind INTEGER NOT NULL,
    name TEXT NOT NULL,
    address INTEGER NOT NULL,
    configured INTEGER NOT NULL,
    at REAL NOT NULL
) STRICT;
CREATE TRIGGER record_is_never_changed BEFORE UPDATE ON record
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER record_is_never_deleted BEFORE DELETE ON record
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
"""
# What was used is an address since names may have several, one a pool. Until then a name that got another
# address lost the one before.
SCHEMA_2 = """
CREATE TABLE used (address INTEGER PRIMARY KEY, at REAL NOT NULL) STRICT;
CREATE TABLE single_until (sequence INTEGER NOT NULL) STRICT;
INSERT INTO single_until SELECT coalesce(max(sequence), 0) FROM record;
"""
FROM_1 = """
INSERT INTO used SELECT record.address, max(seen.at) FROM seen JOIN record ON record.name = seen.name
    WHERE record.kind = 1 GROUP BY record.address;
DROP TABLE seen;
"""


class LedgerStore:
    """An open ledger file. One thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            LedgerError: it cannot be opened, is damaged, or was written by a newer version.
        """
        self.path = path
        with self._operator_words():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        try:
            with self._operator_words():
                self._database.execute("PRAGMA journal_mode = WAL")
                self._database.execute("PRAGMA synchronous = FULL")
                self._migrate()
        except LedgerError:
            self._database.close()
            raise

    def records(self) -> list[Record]:
        """Return all records by sequence.

        Raises:
            LedgerError: the file cannot be read.
        """
        with self._operator_words():
            return _records(self._database)

    def used(self) -> dict[int, float]:
        """Return when addresses were last used, seconds since 1970.

        Raises:
            LedgerError: the file cannot be read.
        """
        with self._operator_words():
            return dict(self._database.execute("SELECT address, at FROM used").fetchall())

    @property
    def single_until(self) -> int:
        """The last sequence of the time when there was one pool; see Ledger.

        Raises:
            LedgerError: the file cannot be read.
        """
        with self._operator_words():
            (sequence,) = self._database.execute("SELECT sequence FROM single_until").fetchone()
            return int(sequence)

    def append(self, records: Iterable[Record]) -> None:
        """Store records, all or none; when this returns they are on the disk.

        Raises:
            LedgerError: they cannot be written, or another writer has used their sequence.
        """
        rows = [
            (one.sequence, int(one.kind), one.name, one.address, int(one.configured), one.at)
            for one in records
        ]
        with self._operator_words(), self._transaction():
            self._database.executemany("INSERT INTO record VALUES (?, ?, ?, ?, ?, ?)", rows)

    def mark_used(self, used: Mapping[int, float]) -> None:
        """Note when addresses were last used.

        Raises:
            LedgerError: it cannot be written.
        """
        with self._operator_words(), self._transaction():
            self._database.executemany("INSERT OR REPLACE INTO used VALUES (?, ?)", list(used.items()))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _migrate(self) -> None:
        (version,) = self._database.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            raise LedgerError(
                f"{self.path}: written by a newer zcc (schema {version}, here {SCHEMA_VERSION}); "
                "upgrade zcc or restore the older file"
            )
        if version < SCHEMA_VERSION:
            steps = {0: SCHEMA + SCHEMA_2, 1: SCHEMA_2 + FROM_1}[version]
            # executescript commits by itself; the version is set in the same transaction as the tables.
            self._database.executescript(
                f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")

    @contextmanager
    def _operator_words(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise LedgerError(
                f"{self.path}: {error}; does another private edge write the same file? Give each its own"
            ) from error
        except (sqlite3.Error, OSError, ValueError) as error:
            raise LedgerError(
                f"{self.path}: {error}; check the disk and the file's owner, or restore it from a backup"
            ) from error


def read_records(path: Path) -> list[Record]:
    """Return all records of a file that somebody else may have open; nothing is written or made.

    Raises:
        LedgerError: it is not there, cannot be read, or is no ledger.
    """
    try:
        database = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
        try:
            return _records(database)
        finally:
            database.close()
    except (sqlite3.Error, ValueError) as error:
        raise LedgerError(f"{path}: {error}; is this the state directory of a private edge?") from error


def _records(database: sqlite3.Connection) -> list[Record]:
    rows = database.execute(
        "SELECT sequence, kind, name, address, configured, at FROM record ORDER BY sequence"
    ).fetchall()
    return [
        Record(sequence, RecordKind(kind), name, address, bool(configured), at)
        for sequence, kind, name, address, configured, at in rows
    ]
