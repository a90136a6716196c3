"""Flows and bindings live and die together: real tables, packets by scapy, no device."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address

import numpy as np
import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Packet, Raw

from fastpath import flowkey, geneve, nat, packet
from fastpath.action import DropReason
from fastpath.batch import PacketBatch
from fastpath.flowtable import FlowTable, TimeoutClass
from fastpath.geneve import encode_header
from fastpath.outlet import Outlet
from tunnel_client import LOCATION
from zcc.internet_edge.flows import FlowBook, FlowEnd, mapped, unmapped

S = 1_000_000_000
EGRESS = (IPv4Address("10.9.0.11"), IPv4Address("10.9.0.12"))


def packed(addresses: Iterable[IPv4Address | IPv6Address]) -> np.ndarray:
    """Return addresses as rows of 16 bytes."""
    return np.frombuffer(b"".join(map(mapped, addresses)), np.uint8).reshape(-1, 16)


class Desk:
    """A book over real tables."""

    def __init__(self, capacity: int = 64, ports: tuple[int, int] = (1024, 65535)) -> None:
        self.flows = FlowTable(capacity, {TimeoutClass.TIMEOUT_UDP: 10.0})
        self.nat = nat.NatTable(capacity, ports, bytes(range(32)))
        self.secret = flowkey.Secret(bytes(range(32)))
        self.outlet = Outlet(self.flows, self.nat, self.secret, packed(EGRESS), packed([ip_address("10.9.0.1")]))
        self.ends: list[FlowEnd] = []
        self.book = FlowBook(self.outlet, self.ends.extend)
        self.batch = PacketBatch(64)

    def admit(self, *packets: Packet, namespace: int = 1, now: int = 0) -> list[int]:
        """Take packets from a tunnel; return the drop reasons of their rows."""
        batch = self.batch
        batch.load([encode_header([LOCATION]) + bytes(one) for one in packets])
        rows = slice(0, batch.count)
        geneve.decode_batch(batch)
        batch.namespace[rows] = namespace
        packet.parse_batch(batch)
        flowkey.build_batch(batch, self.secret)
        if self.flows.lookup_batch(batch):
            self.book.admit(batch, now)
        self.flows.account_batch(batch, now)
        return [int(reason) for reason in batch.reason[rows]]


def udp(port: int, destination: str = "10.9.0.2", source: str = "10.8.6.4") -> Packet:
    """A datagram of a workload."""
    return IP(src=source, dst=destination) / UDP(sport=port, dport=7) / Raw(b"x")


@pytest.fixture
def desk() -> Desk:
    """An empty one."""
    return Desk()


def test_a_first_packet_makes_a_flow_with_a_binding_and_its_location(desk: Desk) -> None:
    assert desk.admit(udp(5), udp(5), udp(6)) == [0, 0, 0]
    assert (len(desk.flows), len(desk.nat)) == (2, 2)
    entry = int(desk.batch.entry[0])
    addresses, ports = desk.book.sources(np.array([entry], np.int32))
    assert unmapped(addresses[0].tobytes(), 4) in EGRESS
    assert desk.nat.find_one(17, addresses[0].tobytes(), int(ports[0]), mapped(ip_address("10.9.0.2")), 7) == entry
    assert desk.book.entries["location"][entry] == 9
    back, port = desk.book.initiators(np.array([entry], np.int32))
    assert (unmapped(back[0].tobytes(), 4), int(port[0])) == (ip_address("10.8.6.4"), 5)


def test_all_flows_of_a_workload_leave_from_one_address(desk: Desk) -> None:
    desk.admit(*[udp(port) for port in range(1, 31)])
    assert len(set(desk.book.entries["nat_slot"][desk.batch.entry[:30]].tolist())) == 1


def test_an_idle_flow_ends_with_its_binding_and_its_record(desk: Desk) -> None:
    desk.admit(udp(5), udp(5), now=1 * S)
    desk.book.expire(11 * S)
    assert not desk.ends
    desk.book.expire(11 * S + 1)
    assert (len(desk.flows), len(desk.nat)) == (0, 0)
    [end] = desk.ends
    assert (end.source, end.source_port, end.destination, end.destination_port) == (
        ip_address("10.8.6.4"), 5, ip_address("10.9.0.2"), 7)
    assert (end.packets, end.reason, end.namespace, end.location) == ((2, 0), "idle", 1, 9)
    assert end.bytes == (2 * 29, 0)


def test_a_full_table_ends_its_oldest_flows(desk: Desk) -> None:
    for port in range(1, 100):
        assert desk.admit(udp(port), now=port) == [0]
    assert (len(desk.flows), len(desk.nat)) == (64, 64)
    assert [end.source_port for end in desk.ends] == list(range(1, 36))
    assert {end.reason for end in desk.ends} == {"evicted"}


def test_a_row_whose_flow_was_ended_in_its_own_batch_is_dropped() -> None:
    desk = Desk(capacity=2)
    desk.admit(udp(1), udp(2))
    reasons = desk.admit(udp(1), udp(3), udp(4), now=1)
    assert reasons[0] == DropReason.DROP_FLOW_TABLE_FULL
    assert reasons[1:] == [0, 0]
    assert (len(desk.flows), len(desk.nat)) == (2, 2)


def test_no_port_left_drops_the_packet_and_keeps_no_flow() -> None:
    desk = Desk(ports=(5000, 5001))
    # One remote: each binding needs a port of its own.
    reasons = [desk.admit(udp(port)) for port in range(1, 4)]
    assert reasons == [[0], [0], [DropReason.DROP_NAT_EXHAUSTED]]
    assert (len(desk.flows), len(desk.nat)) == (2, 2)


def test_rows_that_share_a_flow_share_its_refusal() -> None:
    desk = Desk(ports=(5000, 5000))
    desk.admit(udp(1))
    assert desk.admit(udp(2), udp(2), udp(1)) == [DropReason.DROP_NAT_EXHAUSTED] * 2 + [0]


@pytest.mark.parametrize(("refused", "reason"), [
    (udp(5, "10.9.0.1"), DropReason.DROP_POLICY),
    (IPv6(src="fd00:8::4", dst="fd00:9::2") / UDP(sport=5, dport=7), DropReason.DROP_NAT_FAMILY),
    (IP(src="10.8.6.4", dst="10.9.0.2", proto=47) / Raw(b"gre"), DropReason.DROP_NAT_PROTOCOL),
    (IP(src="10.8.6.4", dst="10.9.0.2", proto=17, frag=100) / Raw(b"later"), DropReason.DROP_NAT_FRAGMENT),
], ids=["own address", "no IPv6 egress", "protocol", "fragment"])
def test_what_cannot_be_carried_is_dropped_and_leaves_nothing(desk: Desk, refused: Packet, reason: int) -> None:
    assert desk.admit(refused, udp(5)) == [reason, 0]
    assert (len(desk.flows), len(desk.nat)) == (1, 1)


def test_equal_packets_of_two_namespaces_are_two_flows(desk: Desk) -> None:
    desk.admit(udp(5), namespace=1)
    desk.admit(udp(5), namespace=2)
    assert (len(desk.flows), len(desk.nat)) == (2, 2)


def test_the_end_of_all(desk: Desk) -> None:
    desk.admit(udp(5), IP(src="10.8.6.4", dst="10.9.0.2") / TCP(sport=1, dport=80, flags="S"))
    desk.book.end_all()
    assert (len(desk.flows), len(desk.nat)) == (0, 0)
    assert sorted(end.protocol for end in desk.ends) == [6, 17]


def test_addresses_of_both_families_are_16_bytes() -> None:
    for address in (IPv4Address("10.0.0.1"), IPv6Address("fd00::1")):
        assert unmapped(mapped(address), address.version) == address
