"""DNS that crosses the connector over UDP: what is sent, and in which order."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from tests.zcc.connector.fakes import (
    PORTAL,
    FakeDatapath,
    FakeEdge,
    FakeNames,
    FakeRecords,
    FakeServers,
    helpers,
    labels,
    networks_of,
)

from zcc.clock import ManualClock
from zcc.connector.dns import DnsService
from zcc.connector.dns_journal import Journal
from zcc.connector.ports import Punt
from zcc.connector.resolver import Resolver
from zcc.connector.shares import Shares
from zcc.connector.teaching import Teacher
from zcc.dns.intercept import Interceptor
from zcc.dns.settings import DnsSettings
from zcc.mtunnel.errors import Code, Refused
from zcc.synthetic.leases import LeaseCache

POOL = IPv4Network("10.254.0.0/19")
CLIENT, SERVER = "10.8.6.4", "192.0.2.53"


class Bench:
    def __init__(self, path, **more) -> None:
        self.clock = ManualClock(monotonic_ns=1_000_000_000)
        self.edge, self.datapath, self.records = FakeEdge(PORTAL), FakeDatapath(), FakeRecords()
        self.cache = LeaseCache(path / "leases.sqlite")
        self.names = FakeNames()
        resolver = Resolver(
            self.edge, self.cache, self.datapath, self.names, self.clock, lambda number: f"co{number}", networks_of)
        self.teacher = Teacher(self.datapath, self.names, lambda name: name == "evil.example", [POOL])
        self.servers = FakeServers()
        interceptor = Interceptor(self.names.application_of, (POOL,), 60)
        self.helpers = helpers(resolver, interceptor, self.teacher, self.clock, self.servers, **more)
        self.service = DnsService(
            DnsSettings(learn_floor=timedelta(seconds=30)), self.datapath, self.helpers,
            Journal(self.records, labels(self.names), self.clock))

    def send(self, *punts: Punt) -> None:
        async def run():
            for punt in punts:
                self.service.query(punt)
            await asyncio.gather(*self.service._tasks)

        asyncio.run(run())

    @property
    def reply(self) -> dns.message.Message:
        (packet,) = [IP(said[2]) for said in self.datapath.said if said[0] == "reply"]
        assert (packet.src, packet.dst, packet[UDP].sport, packet[UDP].dport) == (SERVER, CLIENT, 53, 40000)
        return dns.message.from_wire(bytes(packet[UDP].payload))


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.cache.close()


def query(name: str = PORTAL.name, rdtype: str = "A", message_id: int = 7, source: str = CLIENT) -> Punt:
    message = dns.message.make_query(name, rdtype, use_edns=0, id=message_id)
    packet = IP(src=source, dst=SERVER) / UDP(sport=40000, dport=53) / message.to_wire()
    return Punt(1, 1, 1, 0, packet=bytes(packet), header=b"geneve")


def answer(name: str, *lines: str, message_id: int = 7, port: int = 40000) -> Punt:
    message = dns.message.make_response(dns.message.make_query(name, "A", id=message_id))
    message.answer = [dns.rrset.from_text(*line.split(maxsplit=4)) for line in lines]
    packet = IP(src=SERVER, dst=CLIENT) / UDP(sport=53, dport=port) / message.to_wire()
    return Punt(2, 1, 1, 0, packet=bytes(packet))


def error_of(reply: dns.message.Message) -> int:
    (found,) = (int(option.code) for option in reply.options if isinstance(option, dns.edns.EDEOption))
    return found


def test_data_plane_learns_before_the_answer_leaves(bench):
    bench.send(query())
    assert bench.datapath.verbs == ["learn", "reply"]
    assert bench.reply.answer[0][0].address == "10.254.0.7"
    assert bench.datapath.said[0][1:4] == (None, "10.254.0.7", 1)


def test_known_lease_is_answered_without_asking_and_learned_again(bench):
    bench.send(query())
    bench.datapath.said.clear()
    bench.send(query())
    assert bench.datapath.verbs == ["learn", "reply"]
    assert sum(bench.edge.asked.values()) == 1


def test_other_names_go_on_along_the_policy(bench):
    punt = query("www.example")
    bench.send(punt)
    assert bench.datapath.said == [("resume", punt)]


def test_edge_down_is_told_at_once_with_an_extended_error(bench):
    bench.edge.down = True
    bench.send(query())
    assert bench.reply.rcode() == dns.rcode.SERVFAIL
    assert error_of(bench.reply) == dns.edns.EDECode.NO_REACHABLE_AUTHORITY


def test_edge_down_serves_the_lease_that_is_remembered(bench):
    bench.send(query())
    bench.clock.advance(1000)
    bench.datapath.said.clear()
    bench.edge.down = True
    bench.send(query())
    assert bench.datapath.verbs == ["learn", "reply"]
    assert bench.reply.rcode() == dns.rcode.NOERROR


@pytest.mark.parametrize("refusal", [None, Refused(Code.FORBIDDEN), Refused(Code.NO_APPLICATION)])
def test_owned_name_that_the_edge_does_not_give_is_nodata_and_not_forwarded(bench, refusal):
    bench.edge.leases.clear()
    bench.edge.refusal = refusal
    bench.send(query())
    assert bench.datapath.verbs == ["reply"]
    assert bench.reply.rcode() == dns.rcode.NOERROR and not bench.reply.answer
    assert bench.reply.authority[0].ttl == 5


def test_full_pool_is_a_failure(bench):
    bench.edge.refusal = Refused(Code.POOL_FULL)
    bench.send(query())
    assert bench.reply.rcode() == dns.rcode.SERVFAIL


def test_pointer_of_a_pool_address_names_it(bench):
    bench.send(query("7.0.254.10.in-addr.arpa", "PTR"))
    assert bench.reply.answer[0][0].target.to_text() == "portal.corp.example."


def test_pointer_of_an_unused_address_is_nxdomain(bench):
    bench.send(query("8.0.254.10.in-addr.arpa", "PTR"))
    assert bench.reply.rcode() == dns.rcode.NXDOMAIN


def test_one_workload_s_flood_of_names_leaves_room_for_the_first_questions_of_others(bench):
    bench.service._lookups = Shares(60)
    flood = [query(f"{n}.corp.example") for n in range(300)]
    neighbour, other = query(source="10.8.6.5"), replace(query(), namespace=2)
    bench.send(*flood, neighbour, other)
    assert bench.service.counts["overloaded"] == 300 - 20
    rcodes = {id(said[1]): bytes(IP(said[2])[UDP].payload)[3] & 15 for said in bench.datapath.said if said[0] == "reply"}
    assert rcodes[id(neighbour)] == rcodes[id(other)] == dns.rcode.NOERROR
    assert Counter(rcodes.values()) == {dns.rcode.NOERROR: 22, dns.rcode.SERVFAIL: 280}


def test_answer_teaches_before_it_goes_on(bench):
    bench.send(query("evil.example"))
    punt = answer("evil.example", "evil.example. 5 IN A 192.0.2.66")
    bench.service.answer(punt)
    assert bench.datapath.said[1:] == [("learn", 1, "192.0.2.66", 1, 30.0), ("resume", punt)]


@pytest.mark.parametrize("punt", [
    answer("evil.example", "evil.example. 5 IN A 192.0.2.66", message_id=8),
    answer("evil.example", "evil.example. 5 IN A 192.0.2.66", port=40001),
    answer("other.example", "other.example. 5 IN A 192.0.2.66"),
    replace(answer("evil.example", "evil.example. 5 IN A 192.0.2.66"), namespace=2),
], ids=["id", "port", "question", "namespace"])
def test_answer_that_nobody_asked_for_goes_on_and_teaches_nothing(bench, punt):
    bench.send(query("evil.example"))
    bench.service.answer(punt)
    assert bench.datapath.verbs == ["resume", "resume"]


def test_alias_chain_is_learned_under_the_name_a_rule_speaks_of(bench):
    bench.send(query("www.example"))
    bench.service.answer(answer(
        "www.example", "www.example. 60 IN CNAME evil.example.", "evil.example. 60 IN A 192.0.2.66"))
    assert bench.names.name_of(bench.datapath.said[1][3]) == "evil.example"


def test_alias_to_an_owned_name_teaches_the_asked_name_only(bench):
    bench.send(query("www.example"))
    bench.service.answer(answer(
        "www.example", "www.example. 60 IN CNAME portal.corp.example.", "portal.corp.example. 60 IN A 192.0.2.9"))
    assert bench.names.name_of(bench.datapath.said[1][3]) == "www.example"


def test_pool_addresses_are_never_learned_from_answers(bench):
    bench.send(query("evil.example"))
    bench.service.answer(answer("evil.example", "evil.example. 60 IN A 10.254.0.7"))
    assert bench.datapath.verbs == ["resume", "resume"]


def test_exchanges_are_recorded(bench):
    bench.send(query())
    bench.send(query("www.example"))
    bench.clock.advance(0.25)
    bench.service.answer(answer("www.example", "www.example. 60 IN A 192.0.2.9"))
    owned, passed = bench.records.exchanges
    assert owned["req_action"] == "REDIR_ZPA" and owned["resp_val_str"] == "10.254.0.7"
    assert passed["req_action"] == "REQ_ALLOW" and passed["req_duration"] == 250
    assert passed["dom_str"] == "www.example" and passed["namespace"] == "co1" and passed["protocol"] == "UDP"
    assert str(passed["clt_ip"]) == CLIENT and passed["resolver"] == IPv4Address(SERVER)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=120), st.booleans())
def test_any_packet_is_answered_or_goes_on(data, whole):
    datapath = FakeDatapath()
    names = FakeNames()
    teacher = Teacher(datapath, names, lambda name: True, [POOL])
    asked = helpers(None, Interceptor(lambda name: None, (POOL,), 60), teacher, ManualClock())
    service = DnsService(DnsSettings(), datapath, asked, Journal(FakeRecords(), labels(names), ManualClock()))
    packet = bytes(IP(src=CLIENT, dst=SERVER) / UDP(sport=1, dport=53) / data) if whole else data
    for take in (service.query, service.answer):
        take(Punt(1, 1, 1, 0, packet=packet))
    assert len(datapath.said) == 2
