"""Packets to addresses without a name, and packets that are refused."""

import asyncio
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from tests.zcc.connector.fakes import (
    PORTAL,
    FakeDatapath,
    FakeEdge,
    FakeNames,
    FakeRecords,
    labels,
    networks_of,
)

from zcc.clock import ManualClock
from zcc.connector import stray as module
from zcc.connector.ports import Punt
from zcc.connector.resolver import Resolver
from zcc.connector.stray import Stray
from zcc.synthetic.lease import Tombstone
from zcc.synthetic.leases import LeaseCache


class Bench:
    def __init__(self, path) -> None:
        self.edge, self.datapath, self.records = FakeEdge(PORTAL), FakeDatapath(), FakeRecords()
        self.cache = LeaseCache(path / "leases.sqlite")
        names = FakeNames()
        resolver = Resolver(
            self.edge, self.cache, self.datapath, names, ManualClock(), lambda number: f"co{number}", networks_of)
        self.stray = Stray(self.datapath, resolver, self.records, labels(names))

    def send(self, *punts: Punt) -> None:
        async def run():
            for punt in punts:
                self.stray.unknown(punt)
            await asyncio.gather(*self.stray._tasks)

        asyncio.run(run())


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.cache.close()


def punt(layer, destination: str = str(PORTAL.address), **fields) -> Punt:
    return Punt(3, 1, 1, 0, packet=bytes(IP(src="10.8.6.4", dst=destination) / layer), **fields)


SYN = TCP(sport=40000, dport=443, flags="S", seq=9)


def test_known_to_the_edge_is_learned_then_resumed(bench):
    bench.send(punt(SYN))
    assert bench.datapath.verbs == ["learn", "resume"]


def test_packets_to_one_address_share_a_question_and_keep_their_order(bench):
    packets = [punt(TCP(sport=port, flags="S")) for port in (1, 2, 3)]
    bench.send(*packets)
    assert [said[1] for said in bench.datapath.said if said[0] == "resume"] == packets
    assert sum(bench.edge.asked.values()) == 1


def test_address_of_nobody_is_refused_at_once_and_logged(bench):
    bench.send(punt(SYN, "10.254.0.99"))
    (said,) = bench.datapath.said
    assert IP(said[2])[TCP].flags == "RA"
    (record,) = bench.records.sessions
    assert record["fwdtypename"] == "DROP" and record["rdrrulename"] == "ZPA Pool For Stray Traffic"
    assert str(record["clt_dst_ip"]) == "10.254.0.99" and record["reason"] == "nobody's address"


def test_udp_to_nobody_gets_an_icmp_error(bench):
    bench.send(punt(UDP(sport=1, dport=2), "10.254.0.99"))
    assert IP(bench.datapath.said[0][2])[ICMP].code == 13


def test_edge_down_refuses_with_the_reason(bench):
    bench.edge.down = True
    bench.send(punt(SYN))
    assert bench.datapath.verbs == ["reply"]
    assert "no private edge" in bench.records.sessions[0]["reason"]


def test_more_packets_than_may_wait_are_refused(bench, monkeypatch):
    monkeypatch.setattr(module, "WAITING_OF_ADDRESS_LIMIT", 2)
    bench.send(*[punt(TCP(sport=port, flags="S")) for port in (1, 2, 3)])
    assert sorted(bench.datapath.verbs) == ["learn", "reply", "resume", "resume"]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 1 << 32))
def test_any_packet_is_survived(packet, value):
    stray = Stray(FakeDatapath(), None, FakeRecords(), labels(FakeNames()))
    stray._refuse(Punt(3, 1, 1, 0, packet=packet, value=value), "nobody's address")


@pytest.mark.parametrize(("released", "reason"), [
    (1_764_115_200.0, "stale since 2025-11-26T00:00:00Z: it was old.corp.example's"),
    (None, "stale: it was old.corp.example's")])
def test_a_tombstone_is_refused_at_once_and_the_log_says_whose_it_was(bench, released, reason):
    bench.edge.tombstones[IPv4Address("10.254.0.99")] = Tombstone("old.corp.example", released)
    bench.send(punt(SYN, "10.254.0.99"))
    assert IP(bench.datapath.said[0][2])[TCP].flags == "RA" and bench.datapath.verbs == ["reply"]
    assert bench.records.sessions[0]["reason"] == reason and bench.stray.counts["tombstones"] == 1
