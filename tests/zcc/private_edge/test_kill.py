"""kill -9 of any process at random moments: names keep their addresses, and none is given to two. And that the check can fail.

`python tests/kill_loop.py --kills 100` runs the same for longer.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from kill_audit import wrong_audits
from kill_history import Answer, contradictions
from zcc.synthetic.audit import Tenure
from zcc.synthetic.record import Record, RecordKind
from zcc.synthetic.store import LedgerStore

TESTS = Path(__file__).parents[2]
POOL = IPv4Network("10.254.0.0/24")
A, B = IPv4Address("10.254.0.2"), IPv4Address("10.254.0.3")
SPANS = [Tenure("x.wild", int(A), False, 10.0, 20.0), Tenure("y.wild", int(A), False, 30.0, None),
         Tenure("exact", int(B), True, 10.0, None), Tenure("x.wild", int(B) + 1, False, 31.0, None)]


def test_names_keep_their_addresses_while_processes_are_killed() -> None:
    """Until three are killed: how long that takes is chance, and the machine's."""
    loop = subprocess.run(
        [sys.executable, str(TESTS / "kill_loop.py"), "--kills", "3", "--seconds", "120"],
        capture_output=True, text=True, timeout=280, check=False)
    said = re.search(r"kills \{(.*?)\}, \{.*'answers': (\d+).*, (\d+) records, 0 contradictions", loop.stdout)
    assert loop.returncode == 0 and said, loop.stdout + loop.stderr
    assert sum(int(number) for number in re.findall(r": (\d+)", said[1])) >= 3 and int(said[2]) >= 8


def test_pools_move_while_processes_run() -> None:
    """`python tests/move_pools.py`: every connector follows, a mistake changes nothing."""
    moved = subprocess.run([sys.executable, str(TESTS / "move_pools.py")], capture_output=True, text=True, timeout=600,
                           check=False)  # fmt: skip
    assert moved.returncode == 0 and "moved, and back" in moved.stdout, moved.stdout + moved.stderr


@pytest.mark.parametrize(("answers", "words"), [
    pytest.param([("x.wild", A, 12)], "", id="held"),
    pytest.param([("x.wild", A, 25)], "", id="resting: told by a connector that could not ask"),
    pytest.param([("x.wild", A, 12), ("x.wild", IPv4Address(int(B) + 1), 32)], "", id="another after the first was given away"),
    pytest.param([("x.wild", A, 9)], "the ledger had not given it", id="before it was stored"),
    pytest.param([("x.wild", A, 31)], "y.wild held it since 30.000", id="another's"),
    pytest.param([("z.wild", A, 12)], "the ledger had not given it", id="nobody's"),
    pytest.param([("exact", B, 12), ("exact", A, 13)], "and it is spelled out", id="a configured name that moved"),
    pytest.param([("y.wild", A, 40), ("y.wild", B, 41)], "though nobody else had got the first", id="moved without need"),
    pytest.param([("y.wild", IPv4Address("10.9.0.2"), 40)], "not of its pool", id="of another pool"),
])
def test_the_check_finds_what_can_not_be(answers: list[tuple[str, IPv4Address, float]], words: str) -> None:
    history = [Answer("cc-1", name, address, at, at + 0.5) for name, address, at in answers]
    found = contradictions(history, SPANS, {name: POOL for name, _, _ in answers}, ["exact"])
    assert any(words in one for one in found) if words else found == []


def test_the_check_finds_two_names_at_one_address_in_the_records() -> None:
    spans = [Tenure("x.wild", int(A), False, 10.0, 31.0), SPANS[1]]
    assert contradictions([], spans, {}, []) == ["10.254.0.2 was x.wild's and y.wild's at once"]


def test_the_check_of_the_audit_finds_an_answer_that_the_records_contradict(tmp_path: Path) -> None:
    store = LedgerStore(tmp_path / "ledger.sqlite")
    kinds = (RecordKind.LEASED, RecordKind.RELEASED, RecordKind.LEASED, RecordKind.RELEASED)
    records = [Record(n, kind, "xxyy"[n - 1] + ".wild", int(A), False, 10.0 * n) for n, kind in enumerate(kinds, 1)]
    store.append(records)
    store.close()
    assert wrong_audits(tmp_path, records) == []
    other = [replace(record, name="z.wild") for record in records]
    assert len(wrong_audits(tmp_path, other)) == 2 and "says 'x.wild'" in wrong_audits(tmp_path, other)[0]
