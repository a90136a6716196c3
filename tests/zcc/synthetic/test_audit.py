"""zcc.synthetic.audit and `zcc ledger`: who held an address when, from what was stored."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from zcc.ledger import ledger
from zcc.synthetic.audit import Tenure, tenures
from zcc.synthetic.ledger import Ledger, Outcome
from zcc.synthetic.pool import Pool
from zcc.synthetic.record import Record, RecordKind
from zcc.synthetic.store import LedgerStore

ADDRESS = 0x0AFE0307  # 10.254.3.7
DAY = 1_764_115_200.0  # 2025-11-26T00:00:00Z
HISTORY = [
    Record(1, RecordKind.LEASED, "a.example", ADDRESS, False, DAY),
    Record(2, RecordKind.CONFIGURED, "a.example", ADDRESS, True, DAY + 60),
    Record(3, RecordKind.RELEASED, "a.example", ADDRESS, True, DAY + 3600),
    Record(4, RecordKind.LEASED, "b.example", ADDRESS, False, DAY + 7200),
]


def test_tenures_follow_the_records() -> None:
    assert tenures(HISTORY) == [
        Tenure("a.example", ADDRESS, True, DAY, DAY + 3600),
        Tenure("b.example", ADDRESS, False, DAY + 7200, None),
    ]


@pytest.mark.parametrize("kind", [RecordKind.RELEASED, RecordKind.CONFIGURED])
def test_what_nobody_holds_can_not_end(kind: RecordKind) -> None:
    with pytest.raises(ValueError, match=r"record 1: a\.example does not hold"):
        tenures([Record(1, kind, "a.example", ADDRESS, False, DAY)])


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from([1.0, 40.0, 400.0])), max_size=60))
@settings(deadline=None)
def test_at_every_moment_the_ledger_and_the_audit_name_the_same_holder(
    steps: list[tuple[str, float]],
) -> None:
    made = Ledger([Pool(IPv4Network("10.254.0.0/29"), 0.0, quarantine_s=50, idle_s=100)])
    records, now, seen = [], 0.0, []
    for name, pause in steps:
        now += pause
        for planned in [*made.plan_idle(lambda _name: False, now), name]:
            record = made.plan(name, False, now) if planned is name else planned
            if not isinstance(record, Outcome):
                made.apply(record)
                records.append(record)
        now += 0.5
        seen.append((now + 0.25, {held.address: held.name for held in made.holdings()}))
    spans = tenures(records)
    for moment, held in seen:
        assert {one.address: one.name for one in spans if one.covers(moment)} == held


@pytest.fixture
def state(tmp_path: Path) -> Path:
    store = LedgerStore(tmp_path / "ledger.sqlite")
    store.append(HISTORY)
    store.close()
    return tmp_path


@pytest.mark.parametrize(
    ("what", "at", "names"),
    [
        ("10.254.3.7", None, ["a.example", "b.example"]),
        ("10.254.3.7", "2025-11-26T00:59:59Z", ["a.example"]),
        ("10.254.3.7", "2025-11-26T02:59:59+02:00", ["a.example"]),
        ("10.254.3.7", "2025-11-26T01:00:00", []),
        ("10.254.3.7", "1m", ["b.example"]),
        ("B.example.", "1m", ["b.example"]),
        ("10.254.3.8", None, []),
    ],
)
def test_who_answers_and_says_when_nobody_did(state: Path, what: str, at: str | None, names: list[str]) -> None:
    when = ["--at", at] if at else []
    done = CliRunner().invoke(ledger, ["who", what, *when, "--state", str(state), "--json"])
    said = [json.loads(line) for line in done.output.splitlines() if line.startswith("{")]
    assert [row["name"] for row in said] == names
    assert done.exit_code == (0 if names else 1)
    assert names or "nothing is recorded" in done.output


def test_the_list_is_what_is_held_now_or_all(state: Path) -> None:
    now = CliRunner().invoke(ledger, ["list", "--state", str(state)])
    everything = CliRunner().invoke(ledger, ["list", "--all", "--state", str(state)])
    assert "b.example" in now.output and "a.example" not in now.output
    assert "a.example" in everything.output and "2025-11-26T01:00:00Z" in everything.output


def test_it_reads_while_the_edge_writes_and_changes_nothing(state: Path) -> None:
    writer = LedgerStore(state / "ledger.sqlite")
    writer.append([Record(5, RecordKind.RELEASED, "b.example", ADDRESS, False, DAY + 9000)])
    done = CliRunner().invoke(ledger, ["who", "b.example", "--state", str(state), "--json"])
    assert json.loads(done.output)["until"] == "2025-11-26T02:30:00Z"
    writer.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["who", "10.254.3.7", "--at", "noon"], "is no time"),
        (["who", "not a name"], "neither an IPv4 address nor a name"),
    ],
)
def test_what_can_not_be_read_is_said(state: Path, arguments: list[str], words: str) -> None:
    done = CliRunner().invoke(ledger, [*arguments, "--state", str(state)])
    assert done.exit_code == 2 and words in " ".join(done.output.replace("│", " ").split())


def test_a_file_that_is_not_there_is_named_and_not_made(tmp_path: Path) -> None:
    done = CliRunner().invoke(ledger, ["list", "--state", str(tmp_path)])
    assert done.exit_code == 1 and "ledger.sqlite" in str(done.exception)
    assert list(tmp_path.iterdir()) == []
