"""Flows of the load balancer: stickiness, cookies, idle timeouts, what comes back, rebalance.

Time is a number here.
"""

from ipaddress import IPv4Address
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import flowkey, geneve, gwlb, packet
from fastpath.batch import PacketBatch
from zcc.lab.emulator.flows import HEADER_BYTES, Flows, describe
from zcc.lab.emulator.settings import GwlbSettings
from zcc.lab.emulator.targets import Choice

from .datagram import ACK, FIN, RST, SYN, ip, tcp, udp

ONE, TWO = int(IPv4Address("10.1.200.11")), int(IPv4Address("10.1.200.12"))
BOTH = Choice((ONE, TWO), (ONE, TWO), frozenset(), 1)
A, B = "10.8.6.4", "203.0.113.10"
ENDPOINTS = (0x0AAAAAAAAAAAAAA1, 0x0BBBBBBBBBBBBBB2)
SECOND = 1_000_000_000


class Balancer:
    """The flows with a batch around them: packets in, what would be sent out."""

    def __init__(self, **changes: Any) -> None:
        base = {
            "listen": "10.1.200.5",
            "endpoints": [{"id": f"vpce-{name:017x}", "interface": f"e{name:x}"} for name in ENDPOINTS],
            "targets": [{"address": "10.1.200.11"}, {"address": "10.1.200.12"}],
            "flows": 1024,
        }
        secret = flowkey.Secret(bytes(range(32)))
        self.flows = Flows(GwlbSettings.model_validate({**base, **changes}), secret, Random(4))
        self.flows.follow(BOTH)
        self.batch = PacketBatch(64, 2048)
        self.now_ns = SECOND

    def out(self, *frames: bytes, endpoint: int = 0) -> list[dict[str, Any]]:
        """Packets from an endpoint; return the flows by which they would be sent."""
        n = self.batch.load(frames)
        self.batch.inner_start[:n], self.batch.inner_length[:n] = self.batch.start[:n], self.batch.length[:n]
        self.batch.namespace[:n] = endpoint
        packet.parse_batch(self.batch)
        rows = self.flows.steer(self.batch, self.now_ns)
        return [self.flows.table.get(int(index)) for index in self.batch.entry[rows]]

    def back(self, header: bytes, inner: bytes, target: int) -> list[int]:
        """A Geneve packet from a target; return the endpoints that would get its inside."""
        n = self.batch.load([header + inner])
        self.batch.peer_address[:n] = target
        geneve.decode_batch(self.batch)
        gwlb.decode_batch(self.batch)
        packet.parse_batch(self.batch)
        rows = self.flows.admit(self.batch, self.now_ns)
        return self.batch.namespace[rows].tolist()

    def wait(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)


def answer_to(flow: dict[str, Any]) -> bytes:
    return bytes(flow["header"])


def test_both_directions_of_a_flow_have_one_target_and_cookie() -> None:
    made = Balancer()
    (there,) = made.out(tcp(A, 40000, B, 443, SYN))
    (back,) = made.out(tcp(B, 443, A, 40000, SYN | ACK))
    assert (there["peer_address"], there["owner"]) == (back["peer_address"], back["owner"])
    assert there["peer_address"] in (ONE, TWO)


def test_the_header_carries_endpoint_and_cookie() -> None:
    made = Balancer()
    (flow,) = made.out(udp("fd00::1", 5000, "fd00::2", 53), endpoint=1)
    batch = PacketBatch(1)
    batch.load([answer_to(flow) + udp("fd00::1", 5000, "fd00::2", 53)])
    geneve.decode_batch(batch)
    gwlb.decode_batch(batch)
    assert batch.reason[0] == 0
    assert (int(batch.endpoint[0]), int(batch.cookie[0])) == (ENDPOINTS[1], flow["owner"])
    assert flow["header_length"] == HEADER_BYTES
    assert 49152 <= flow["peer_port"] <= 65535


def test_equal_addresses_of_two_endpoints_are_two_flows() -> None:
    made = Balancer()
    (one,) = made.out(udp(A, 5000, B, 53), endpoint=0)
    (two,) = made.out(udp(A, 5000, B, 53), endpoint=1)
    assert one["owner"] != two["owner"]
    assert len(made.flows.table) == 2


@pytest.mark.parametrize(("stickiness", "flows"), [(5, 4), (3, 2), (2, 1)])
def test_stickiness_says_what_a_flow_is(stickiness: int, flows: int) -> None:
    made = Balancer(stickiness=stickiness)
    made.out(
        tcp(A, 1, B, 80, SYN), tcp(A, 2, B, 80, SYN), udp(A, 1, B, 80), udp(A, 2, B, 80), udp(B, 80, A, 2)
    )
    assert len(made.flows.table) == flows


@pytest.mark.parametrize("end", [(FIN | ACK, FIN | ACK), (RST, None), (None, RST | ACK)])
def test_a_port_used_again_after_the_end_gets_a_new_cookie(end: tuple[int | None, int | None]) -> None:
    made = Balancer()
    (first,) = made.out(tcp(A, 40000, B, 443, SYN))
    if end[0] is not None:
        made.out(tcp(A, 40000, B, 443, end[0]))
    if end[1] is not None:
        assert made.back(answer_to(first), tcp(B, 443, A, 40000, end[1]), first["peer_address"]) == [0]
    (second,) = made.out(tcp(A, 40000, B, 443, SYN))
    assert second["owner"] != first["owner"]
    assert made.flows.counts["flows_reused"] == 1


def test_a_repeated_syn_of_a_living_flow_keeps_the_cookie() -> None:
    made = Balancer()
    (first,) = made.out(tcp(A, 40000, B, 443, SYN))
    (again,) = made.out(tcp(A, 40000, B, 443, SYN))
    assert again["owner"] == first["owner"]


def test_an_idle_tcp_flow_is_forgotten_and_only_a_syn_opens_it_again() -> None:
    made = Balancer(idle={"tcp": "350s"})
    (first,) = made.out(tcp(A, 40000, B, 443, SYN))
    made.wait(350)
    assert len(made.out(tcp(A, 40000, B, 443, ACK))) == 1
    made.wait(350.1)
    assert made.out(tcp(A, 40000, B, 443, ACK)) == []
    assert made.flows.counts["drop_flow_unknown"] == 1
    (second,) = made.out(tcp(A, 40000, B, 443, SYN))
    assert second["owner"] != first["owner"]


def test_an_idle_udp_flow_is_forgotten_after_its_own_time() -> None:
    made = Balancer(idle={"tcp": "350s", "other": "120s"})
    (first,) = made.out(udp(A, 5000, B, 53))
    made.wait(121)
    (second,) = made.out(udp(A, 5000, B, 53))
    assert second["owner"] != first["owner"]


def test_answers_keep_a_flow_alive() -> None:
    made = Balancer(idle={"other": "120s"})
    (first,) = made.out(udp(A, 5000, B, 53))
    for _ in range(3):
        made.wait(100)
        assert made.back(answer_to(first), udp(B, 53, A, 5000), first["peer_address"]) == [0]
    (still,) = made.out(udp(A, 5000, B, 53))
    assert still["owner"] == first["owner"]


def test_what_comes_back_goes_out_of_the_endpoint_it_came_from() -> None:
    made = Balancer()
    (flow,) = made.out(udp(A, 5000, B, 53), endpoint=1)
    assert made.back(answer_to(flow), udp(B, 53, A, 5000), flow["peer_address"]) == [1]
    assert made.back(answer_to(flow), udp(A, 5000, B, 53), flow["peer_address"]) == [1]


def test_an_icmp_error_goes_back_by_the_cookie_of_the_flow_it_speaks_of() -> None:
    made = Balancer()
    (flow,) = made.out(udp(A, 5000, B, 53), endpoint=1)
    too_big = ip(B, A, 1, b"\x03\x04" + bytes(6) + udp(A, 5000, B, 53)[:28])
    assert made.back(answer_to(flow), too_big, flow["peer_address"]) == [1]
    assert made.back(gwlb.header(ENDPOINTS[1], 1, flow["owner"] ^ 1, 4), too_big, flow["peer_address"]) == []


def test_what_comes_back_wrong_is_counted_and_dropped() -> None:
    made = Balancer()
    (flow,) = made.out(udp(A, 5000, B, 53))
    target, answer = flow["peer_address"], udp(B, 53, A, 5000)
    cookie = gwlb.header(ENDPOINTS[0], 1, flow["owner"] ^ 1, 4)
    stranger = gwlb.header(0xDEAD, 1, flow["owner"], 4)
    other = gwlb.header(ENDPOINTS[1], 1, flow["owner"], 4)
    assert made.back(cookie, answer, target) == []
    assert made.back(stranger, answer, target) == []
    assert made.back(other, answer, target) == []
    assert made.back(answer_to(flow), answer, ONE + TWO - target) == []
    assert made.back(answer_to(flow), udp(B, 53, A, 5001), target) == []
    assert {name: n for name, n in made.flows.counts.items() if name.startswith("drop_")} == {
        "drop_cookie_wrong": 1,
        "drop_endpoint_unknown": 1,
        "drop_flow_unknown_from_target": 2,
        "drop_target_wrong": 1,
    }


def test_flows_of_an_abandoned_target_get_another_one() -> None:
    made = Balancer()
    before = made.out(*(udp(A, port, B, 53) for port in range(1000, 1040)))
    lost = sum(flow["peer_address"] == ONE for flow in before)
    assert 0 < lost < 40
    assert made.flows.follow(Choice((TWO,), (ONE, TWO), frozenset({ONE}), 2)) == lost
    after = made.out(*(udp(A, port, B, 53) for port in range(1000, 1040)))
    assert {flow["peer_address"] for flow in after} == {TWO}
    kept = [(old, new) for old, new in zip(before, after, strict=True) if old["peer_address"] == TWO]
    assert all(old["owner"] == new["owner"] for old, new in kept)


def test_flows_stay_when_no_target_is_eligible() -> None:
    made = Balancer()
    made.out(udp(A, 5000, B, 53))
    assert made.flows.follow(Choice((), (ONE, TWO), frozenset({ONE, TWO}), 2)) == 0
    assert len(made.out(udp(A, 5000, B, 53), udp(A, 5001, B, 53))) == 2


def test_without_any_target_packets_are_counted_and_dropped() -> None:
    made = Balancer()
    made.flows.follow(Choice((), (), frozenset(), 2))
    assert made.out(udp(A, 5000, B, 53)) == []
    assert made.flows.counts["drop_target_none"] == 1


@pytest.mark.parametrize("destination", ["224.0.0.251", "255.255.255.255", "ff02::2", "fe80::1"])
def test_only_unicast_beyond_the_link_is_carried(destination: str) -> None:
    source = "fe80::9" if ":" in destination else A
    made = Balancer()
    assert made.out(udp(source, 5353, destination, 5353)) == []
    assert made.flows.counts["drop_not_unicast"] == 1


def test_a_flow_is_described_from_its_initiator() -> None:
    made = Balancer()
    made.out(tcp(B, 443, A, 40000, SYN))
    (record,) = describe(made.flows, [0], lambda address, _: str(IPv4Address(address[12:])))
    assert (record["source"], record["source_port"]) == (B, 443)
    assert (record["destination"], record["destination_port"]) == (A, 40000)
    assert record["target"] in ("10.1.200.11", "10.1.200.12")


@given(
    frames=st.lists(st.binary(max_size=200), max_size=16),
    headers=st.lists(st.binary(max_size=60), max_size=16),
)
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_carried_or_dropped_without_error(frames: list[bytes], headers: list[bytes]) -> None:
    made = Balancer()
    made.out(*frames)
    for header in headers:
        made.back(header, b"", ONE)
        made.back(gwlb.header(ENDPOINTS[0], 1, 2, 4) + header, b"", ONE)
    assert len(made.flows.table) == np.count_nonzero(made.flows.entries["used"])
