"""Session records by compiled code: the same bytes that the Python of one record writes, the same numbers, the same gaps."""

import asyncio
import itertools
import json
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fastpath.action import Action, PuntReason
from fastpath.message import Event, drain
from fastpath.ring import Ring
from model.flowlines import closed
from zcc.clock import ManualClock
from zcc.connector.events import Events
from zcc.connector.flow_log import AT_ONCE, FlowLog
from zcc.connector.record_pump import REST_S, RecordPump
from zcc.connector.sessions import Labels, session_fields
from zcc.telemetry.logs import Logs
from zcc.telemetry.settings import LogSettings

EGRESS = ip_address("198.51.100.7"), ip_address("198.51.100.8"), ip_address("2001:db8::7")
METHODS = {1: "DIRECT", 2: "LOCAL", 3: "DROP", 4: "ZIA", 5: "ZPA"}


def labels(**given_: Any) -> Labels:
    made: dict[str, Any] = {
        "namespaces": {1: "co1"}, "locations": {1: "aws-co1"}, "methods": METHODS, "rules": ["first", "second"],
        "name_of": {7: "portal.corp.example"}.get, "tunnels": {0: "ie-1"},
    }
    return Labels(**made | given_)


class Site:
    """A ring, its pump, and the file that they write to."""

    def __init__(self, folder: Path, labels_: Labels | None = None, size: int = 1 << 20) -> None:
        self.labels = labels_ or labels()
        self.ring, self.folder, self.events = Ring(size), folder, list[Event]()
        self.logs = Logs(LogSettings(directory=folder), 'cc "1"', group="Bücher", role="connector", clock=ManualClock())
        self.unrecorded = 0
        self.pump = RecordPump(self.ring, self.events.extend, lambda: self.unrecorded)
        self.pump.flow_log = FlowLog(self.labels, EGRESS, self.logs)

    def push(self, record: bytes) -> None:
        """What a worker does."""
        if not self.ring.push(record):
            self.unrecorded += 1

    def written(self) -> list[dict[str, Any]]:
        """Close, and read what was written."""
        self.logs.close()
        return [json.loads(line) for line in (self.folder / "session.jsonl").read_text(errors="surrogateescape").splitlines()]

    def run(self, meanwhile: Callable[[], Any], until: Callable[[], bool]) -> None:
        """Pump in a loop."""

        async def pumped() -> None:
            self.pump.start(asyncio.get_running_loop())
            meanwhile()
            async with asyncio.timeout(20):
                while not until():
                    await asyncio.sleep(0)
            self.pump.stop()

        asyncio.run(pumped())


def one_by_one(folder: Path, named: Labels, records: list[bytes]) -> bytes:
    """What the Python of one record makes of them."""
    logs = Logs(LogSettings(directory=folder), 'cc "1"', group="Bücher", role="connector", clock=ManualClock())
    ring, events = Ring(1 << 20), Events(IPv4Address("198.18.0.4"), EGRESS)
    for record in records:
        assert ring.push(record)
    for event in drain(ring):
        flow = events.punt(event).flow
        assert flow is not None
        logs.session(**session_fields(flow, named))
    logs.close()
    return (folder / "session.jsonl").read_bytes()


ODD = ('"', "\\", "\n\t\x01\x7f", "Bücher", "\udc80\udcff", "</script>", "𝔘", "\x85\u2028")
TEXT = st.text(max_size=12) | st.sampled_from(ODD)
WIDE, PORT = st.integers(0, 2**64 - 1), st.integers(0, 65535)
V4 = st.binary(min_size=4, max_size=4).map(lambda tail: bytes(10) + b"\xff\xff" + tail)
FLOWS = st.builds(
    closed, source=V4 | st.binary(min_size=16, max_size=16), destination=V4, packets=st.tuples(WIDE, WIDE),
    bytes=st.tuples(WIDE, WIDE), started_ns=WIDE, last_seen_ns=WIDE,
    name_id=st.builds(lambda how, number: how << 26 | number, st.integers(0, 7), st.integers(0, 3)),
    location=st.integers(0, 3), rule=st.integers(-1, 3), source_port=PORT,
    destination_port=st.sampled_from((22, 53, 80, 443)) | PORT, namespace=st.integers(0, 3), nat_port=PORT,
    ip_version=st.sampled_from((4, 6)), protocol=st.sampled_from((1, 6, 17, 47, 58)),
    action=st.sampled_from([action for action in Action if action != Action.ACTION_ZPA]), tunnel=st.sampled_from((0, 1, 255)),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(FLOWS, max_size=30), texts=st.lists(TEXT, min_size=12, max_size=12))
def test_lines_are_those_of_the_python_of_one_record(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes], texts: list[str]
) -> None:
    numbered = lambda first: dict(enumerate(texts[first : first + 3], 1))  # noqa: E731
    named = labels(namespaces=numbered(0), locations=numbered(3), rules=texts[6:9], name_of=numbered(9).get,
                   tunnels={0: texts[0]})  # fmt: skip
    site = Site(tmp_path_factory.mktemp("lines"), named)
    for record in records:
        site.push(record)
    site.pump.finish()
    site.logs.close()
    expected = one_by_one(tmp_path_factory.mktemp("ones"), named, records)
    assert (site.folder / "session.jsonl").read_bytes() == expected
    assert site.logs.written == len(records) and site.events == []


def test_records_of_python_and_of_lines_have_one_numbering(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for source_port in (1, 2, 3):
        site.push(closed(source_port=source_port))
        site.pump.finish()
        site.logs.session(reason="refused")
    read = site.written()
    assert [record.get("clt_src_port", record.get("reason")) for record in read] == [1, "refused", 2, "refused", 3, "refused"]
    first = read[0]["recordid"]
    assert [record["recordid"] for record in read] == list(range(first, first + 6))


def test_what_is_no_flow_s_end_is_handed_over_in_its_place(tmp_path: Path) -> None:
    site = Site(tmp_path)
    answered = closed(kind=PuntReason.PUNT_DNS_ANSWERED, has_flow=0, packet=b"answer")
    zpa = closed(action=Action.ACTION_ZPA)
    for record in (closed(), answered, closed(), zpa, answered, closed()):
        site.push(record)
    site.pump.finish()
    assert [event.reason for event in site.events] == [10, 7, 10] and len(site.written()) == 3


def test_an_edit_gives_rules_their_new_names(tmp_path: Path) -> None:
    site = Site(tmp_path)
    for rules in (["first", "second"], ["other"], ["first", "second"]):
        site.labels.rules = rules
        for rule in (0, 1):
            site.push(closed(rule=rule))
        site.pump.finish()
    assert [record.get("rdrrulename") for record in site.written()] == ["first", "second", "other", None, "first", "second"]


def test_a_name_that_can_not_be_told_costs_no_other_record(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def name_of(number: int) -> str:
        raise LookupError(number)

    site = Site(tmp_path, labels(namespaces={}, name_of=name_of))
    for source_port in range(4):
        site.push(closed(source_port=source_port, name_id=0 if source_port != 2 else 9))
    site.labels.name_of = lambda number: name_of(number) if number else None
    site.pump.finish()
    assert [record["clt_src_port"] for record in site.written()] == [0, 1, 3]
    assert len(site.events) == 1 and "labels can not be told" in caplog.text


def test_others_of_the_loop_have_their_turn_between_steps(tmp_path: Path) -> None:
    site = Site(tmp_path, size=1 << 22)
    turns: list[int] = []

    def meanwhile() -> None:
        for _ in range(10 * AT_ONCE):
            site.push(closed())

        def turn() -> None:
            turns.append(waiting(site))
            asyncio.get_running_loop().call_soon(turn)

        turn()

    site.run(meanwhile, lambda: waiting(site) == 10 * AT_ONCE)
    steps = [after - before for before, after in itertools.pairwise(turns)]
    assert max(steps) == AT_ONCE and sum(steps) >= 9 * AT_ONCE
    assert len(site.written()) == 10 * AT_ONCE


def waiting(site: Site) -> int:
    """How many records the stream has got."""
    stream = site.logs._streams["session"]
    return stream._next - round(ManualClock().time() * 1e6)


def test_it_sleeps_when_there_is_nothing_and_is_woken_again(tmp_path: Path) -> None:
    site = Site(tmp_path)
    pushed: list[float] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        site.pump.start(loop)
        for _ in range(3):
            await asyncio.sleep(4 * REST_S)
            assert loop.remove_reader(site.ring.fileno())      # it sleeps: there is a reader
            loop.add_reader(site.ring.fileno(), site.pump._wake, loop)
            site.push(closed())
            pushed.append(loop.time())
            async with asyncio.timeout(10):
                while waiting(site) < len(pushed):
                    await asyncio.sleep(0)
        site.pump.stop()

    asyncio.run(run())
    assert len(site.written()) == 3


def test_what_the_ring_refused_is_a_gap(tmp_path: Path) -> None:
    site = Site(tmp_path, size=4096)
    for source_port in range(50):
        site.push(closed(source_port=source_port))
    assert site.unrecorded > 20
    site.pump.finish()
    site.push(closed(source_port=99))
    site.pump.finish()
    read = site.written()
    [gap] = [record for record in read if "gap" in record]
    assert gap["gap"] == site.unrecorded and gap["reason"] == "queue full"
    numbers = [n for record in read for n in range(record["recordid"], record.get("until", record["recordid"]) + 1)]
    assert numbers == list(range(numbers[0], numbers[0] + 51)) and site.logs.lost == site.unrecorded


def test_while_the_log_has_no_room_records_stay_in_the_ring_and_the_end_takes_them_all(tmp_path: Path) -> None:
    site = Site(tmp_path, size=1 << 22)
    stream = site.logs._streams["session"]
    stream._lines_limit = 0
    for _ in range(2 * AT_ONCE):
        site.push(closed())
    assert site.pump._take() == (None, 0) and waiting(site) == 0
    site.pump.finish()
    assert len(site.written()) == 2 * AT_ONCE and site.logs.lost == 0
    site.push(closed())
    site.pump.finish()      # the stream is closed, and this ends all the same
    assert site.logs.written == 2 * AT_ONCE


def test_without_a_log_everything_is_handed_over(tmp_path: Path) -> None:
    site = Site(tmp_path)
    site.pump.flow_log = None
    site.run(lambda: [site.push(closed(source_port=n)) for n in range(200)], lambda: len(site.events) == 200)
    assert [event.flow.source_port for event in site.events if event.flow] == list(range(200))
    assert site.written() == []


def test_ipv6_that_is_translated_has_the_address_of_its_family(tmp_path: Path) -> None:
    site = Site(tmp_path)
    far = IPv6Address("2001:db8::1")
    site.push(closed(ip_version=6, destination=far.packed, action=Action.ACTION_DIRECT, nat_port=2000, destination_port=53))
    [record] = site.written() if site.pump.finish() is None else []
    assert (record["srv_src_ip"], record["srv_src_port"]) == ("2001:db8::7", 2000)
    assert (record["srv_dst_ip"], record["srv_dst_port"]) == ("2001:db8::1", 53)
