"""zcc.synthetic.store: what was appended is there again, also after kill -9; nothing is ever changed."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from zcc.errors import LedgerError
from zcc.synthetic.record import Record, RecordKind
from zcc.synthetic.store import LedgerStore

WRITER = """
import sys
from pathlib import Path
from zcc.synthetic.record import Record, RecordKind
from zcc.synthetic.store import LedgerStore
store = LedgerStore(Path(sys.argv[1]))
for number in range(1, 1_000_000):
    store.append([Record(number, RecordKind.LEASED, f"{number}.example", number, False, 0.0)])
    print(number, flush=True)
"""


def record(number: int, name: str = "a.example") -> Record:
    return Record(number, RecordKind.LEASED, name, 0x0AFE0000 + number, True, 12.5)


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "state" / "ledger.sqlite"
    store = LedgerStore(path)
    store.append([record(1), record(2, "b.example")])
    store.mark_used({7: 99.0})
    store.mark_used({7: 100.0, 8: 1.0})
    store.close()
    again = LedgerStore(path)
    assert again.records() == [record(1), record(2, "b.example")]
    assert again.used() == {7: 100.0, 8: 1.0}
    assert again.single_until == 0
    again.close()


def test_a_file_of_the_time_of_one_pool_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    before = LedgerStore(path)
    before.append([record(1), record(2, "b.example"), Record(3, RecordKind.RELEASED, "b.example", 0x0AFE0002, True, 13.0)])
    before.close()
    database = sqlite3.connect(path)
    database.executescript("""
        DROP TABLE used; DROP TABLE single_until;
        CREATE TABLE seen (name TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID;
        INSERT INTO seen VALUES ('a.example', 50.0), ('b.example', 12.5), ('gone.example', 1.0);
        PRAGMA user_version = 1;""")
    database.close()
    for _ in range(2):
        store = LedgerStore(path)
        assert store.used() == {0x0AFE0001: 50.0, 0x0AFE0002: 12.5} and store.single_until == 3
        assert len(store.records()) == 3
        store.close()


def test_all_records_of_one_append_are_stored_or_none(tmp_path: Path) -> None:
    store = LedgerStore(tmp_path / "ledger")
    store.append([record(1)])
    with pytest.raises(LedgerError, match="another private edge"):
        store.append([record(2), record(1)])
    assert store.records() == [record(1)]
    store.close()


def test_a_second_writer_of_the_same_file_is_noticed(tmp_path: Path) -> None:
    one, two = LedgerStore(tmp_path / "ledger"), LedgerStore(tmp_path / "ledger")
    one.append([record(1)])
    with pytest.raises(LedgerError, match="Give each its own"):
        two.append([record(1, "b.example")])
    one.close()
    two.close()


@pytest.mark.parametrize("statement", ["UPDATE record SET address = 1", "DELETE FROM record"])
def test_records_cannot_be_changed(tmp_path: Path, statement: str) -> None:
    store = LedgerStore(tmp_path / "ledger")
    store.append([record(1)])
    store.close()
    database = sqlite3.connect(tmp_path / "ledger")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        database.execute(statement)
    database.close()


def test_a_damaged_file_is_an_error_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    path.write_bytes(b"this is no database, and it is long enough to be looked at" * 20)
    before = path.read_bytes()
    with pytest.raises(LedgerError, match="backup"):
        LedgerStore(path)
    assert path.read_bytes() == before


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    LedgerStore(tmp_path / "ledger").close()
    database = sqlite3.connect(tmp_path / "ledger")
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(LedgerError, match="newer"):
        LedgerStore(tmp_path / "ledger")


def test_what_append_returned_for_survives_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        promised = 0
        while promised < 50:
            promised = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        promised = max([promised, *(int(line) for line in writer.stdout if line.endswith("\n"))])
    store = LedgerStore(path)
    stored = [one.sequence for one in store.records()]
    store.close()
    assert stored == list(range(1, len(stored) + 1))
    assert len(stored) >= promised
