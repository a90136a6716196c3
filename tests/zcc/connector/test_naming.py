"""zcc.connector.naming and traffic_names: from copies of packets to names, what addresses are taught, and the bounds."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

import pytest

import quic_sealer as sealer
from hellos import hello, records
from inner_packets import WORKLOAD, read, tcp, udp
from zcc.clock import ManualClock
from zcc.connector import hearsay, naming
from zcc.connector.naming import Naming
from zcc.connector.ports import FlowRecord, Punt
from zcc.connector.traffic_names import TrafficNames
from zcc.policy.names import NameBook, patterns_of
from zcc.policy.objects.unnamed import NAMINGS

SERVER, BASE = "203.0.113.8", 0xFFF0        # low 16 bits of a sequence number that soon wraps
UPDATES, OTHER = "updates.example", "other.example"


class Plane:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.named: list[tuple[int, int, str]] = []        # slot, number, naming
        self.addresses: dict[tuple[int, str], tuple[int, str]] = {}

    def name_flow(self, punt: Punt, number: int, naming: int) -> None:
        self.named.append((punt.value, number, NAMINGS[naming]))

    def learn(self, namespace, address, name_id, ttl_s, naming=0) -> None:
        assert ttl_s == 600
        self.addresses[namespace, str(address)] = name_id, NAMINGS[naming]

    def forget(self, namespace, address, number, naming) -> None:
        assert self.addresses.pop((namespace, str(address))) == (number, NAMINGS[naming])


class Rig:
    def __init__(self, teachable: tuple[str, ...] = (UPDATES,)) -> None:
        self.plane, self.clock, self.book = Plane(), ManualClock(), NameBook(capacity=64)
        self.naming = Naming(self.plane, self.book.id_of, lambda name, address: name in teachable, self.clock)

    def punt(self, packet: bytes, slot: int = 5, **known: int) -> Punt:
        seen = read(packet)
        flow = FlowRecord(1, 4, seen.proto, ip_address(seen.src), seen.sport, ip_address(seen.dst), seen.dport, 1, 0,
                          known.get("name_id", 0), 1, started_ns=slot, naming=known.get("naming", 0))  # fmt: skip
        return Punt(11, 1, BASE, 77, packet, b"header", (1, 2), flow=flow, value=slot)

    def segment(self, octets: bytes, at: int = 0, **more: int) -> None:
        packet = read(tcp(WORKLOAD, SERVER, 40_000, 443, "PA", octets))
        packet["TCP"].seq = 0x1230000 + BASE + at
        del packet["TCP"].chksum
        self.naming.hear(self.punt(bytes(packet), **more))

    def says(self, name: str | None, slot: int, **more: int) -> None:
        self.segment(records(hello(name)), slot=slot, **more)


def test_a_hello_over_segments_in_any_order_names_its_flow_once() -> None:
    rig, stream = Rig(), records(hello(UPDATES, padding=600), 300)
    parts = [(at, stream[at:at + 200]) for at in range(0, len(stream), 200)]
    for at, octets in reversed(parts):
        assert rig.plane.named == []
        rig.segment(octets, at)
    assert rig.plane.named == [(5, rig.book.id_of(UPDATES), "sni")] and rig.naming.open_flows == 0
    assert rig.naming.counts["sni"] == 1


def test_a_datagram_and_a_request_are_named_too() -> None:
    rig = Rig()
    rig.naming.hear(rig.punt(udp(WORKLOAD, SERVER, 4000, 443, sealer.initial(sealer.crypto(0, hello(UPDATES))))))
    rig.segment(b"GET / HTTP/1.1\r\nHost: other.example\r\n\r\n", slot=6)
    rig.segment(b"SSH-2.0-x\r\n", slot=7)
    rig.segment(records(hello("outer.example", ech=True)), slot=8)
    assert [named[2] for named in rig.plane.named] == ["quic", "host", "not-web", "ech"]
    assert rig.plane.named[2][1] == 0 and rig.book.name_of(rig.plane.named[3][1]) == "outer.example"


def test_flows_with_the_same_slot_one_after_the_other_are_two() -> None:
    rig = Rig()
    stream = records(hello(UPDATES))
    first = rig.punt(tcp(WORKLOAD, SERVER, 40_000, 443, "PA", b"\x16"))
    rig.naming.hear(replace(first, location=read(first.packet)["TCP"].seq & 0xFFFF))
    rig.naming.hear(replace(first, endpoint=78, packet=tcp(WORKLOAD, SERVER, 40_000, 443, "PA", stream), location=0))
    assert len(rig.plane.named) == 1 and rig.naming.open_flows == 1


def test_who_says_nothing_more_is_given_up() -> None:
    rig = Rig()
    rig.segment(b"\x16\x03")
    rig.clock.advance(naming.WAIT_S - 1)
    rig.naming.expire()
    assert rig.plane.named == []
    rig.clock.advance(1)
    rig.naming.expire()
    assert rig.plane.named == [(5, 0, "unread")] and rig.naming.open_flows == 0 and rig.naming.counts["late"] == 1


def test_more_flows_at_a_time_than_may_be_are_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(naming, "FLOWS_LIMIT", 2)
    rig = Rig()
    for slot in range(3):
        rig.segment(b"\x16", slot=slot)
    assert rig.plane.named == [(2, 0, "unread")] and rig.naming.counts["overflow"] == 1
    rig.says(UPDATES, 0)
    rig.segment(b"\x16", slot=3)
    assert rig.naming.open_flows == 2


def test_what_can_not_be_read_as_a_packet_is_counted() -> None:
    rig = Rig()
    rig.naming.hear(replace(rig.punt(tcp(WORKLOAD, SERVER, 1, 443)), packet=b"\x45"))
    rig.naming.hear(Punt(11, 1, 0, 0))
    assert rig.naming.counts["unreadable"] == 2 and rig.plane.named == []


# ---- addresses ----


def taught(rig: Rig) -> dict[str, str]:
    return {address: rig.book.name_of(number) or "" for (_, address), (number, _) in rig.plane.addresses.items()}


def test_a_name_that_rules_speak_of_names_new_flows_to_its_address() -> None:
    rig = Rig()
    rig.says(UPDATES, 1)
    assert rig.plane.addresses == {(1, SERVER): (rig.book.id_of(UPDATES), "sni")}
    rig = Rig()
    rig.says(OTHER, 1)
    assert rig.plane.addresses == {}


@pytest.mark.parametrize("order", [(UPDATES, OTHER), (OTHER, UPDATES), (UPDATES, OTHER, UPDATES)])
def test_two_names_at_one_address_leave_it_without_one_in_any_order(order: tuple[str, ...]) -> None:
    rig = Rig()
    for slot, name in enumerate(order):
        rig.says(name, slot)
    assert rig.plane.addresses == {}
    rig.clock.advance(601)
    rig.says(UPDATES, 9)
    assert taught(rig) == {SERVER: UPDATES}, "nothing else was said for its time"


def test_causes_teach_nothing() -> None:
    rig = Rig(("outer.example",))
    rig.segment(records(hello("outer.example", ech=True)))
    assert rig.plane.addresses == {}


def test_addresses_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearsay, "ADDRESSES_LIMIT", 3)
    rig = Rig()
    for n in range(9):
        packet = tcp(WORKLOAD, f"203.0.113.{n}", 40_000, 443, "PA", records(hello(UPDATES)))
        rig.naming.hear(replace(rig.punt(packet), location=0))
    assert len(rig.naming.hearsay._heard) == 3


# ---- numbers ----


def test_behind_the_limit_names_share_the_number_of_the_widest_pattern_like_them() -> None:
    rules = {"*.blocked.test": 1, "*.b.blocked.test": 2, "exact.blocked.test": 3}

    def likeness(name: str) -> int:
        return next((rules[pattern] for pattern in patterns_of(name) if pattern in rules), 0)

    book = NameBook(capacity=64)
    numbers = TrafficNames(book, likeness, limit=1)
    assert book.name_of(numbers.number_of("first.example")) == "first.example"
    wanted = {
        "x.y.blocked.test": "*.blocked.test", "q.b.blocked.test": "*.b.blocked.test",
        "exact.blocked.test": "exact.blocked.test", "a.b.example": "*.example", "first.example": "first.example",
        "single": "single",
    }
    assert {name: book.name_of(numbers.number_of(name)) for name in wanted} == wanted
    size = len(list(book.items()))
    for n in range(100):
        numbers.number_of(f"{n}.x{n}.blocked.test")
    assert len(list(book.items())) == size and numbers.counts["stand_ins"] == 105


def test_without_numbers_a_name_has_none() -> None:
    numbers = TrafficNames(NameBook(capacity=2), lambda name: 0)
    assert [numbers.number_of(name) for name in ("a.test", "b.test")] == [1, 0] and numbers.counts["names_full"] == 1
