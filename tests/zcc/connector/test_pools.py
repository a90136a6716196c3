"""Several pools and full ones: which address a query gets, and what it gets when there is none."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address

import dns.edns
import dns.message
import dns.rcode
import pytest
from tests.zcc.connector.fakes import CONNECTOR
from tests.zcc.connector.test_dns_service import CLIENT, PORTAL, SERVER, Bench, error_of, query

from zcc.clock import ManualClock
from zcc.connector.dns_control import DnsControl
from zcc.connector.dns_journal import Origin
from zcc.connector.full_pools import Client, FullPools
from zcc.connector.in_use import LOOK_S, InUse
from zcc.connector.settings import ConnectorSettings
from zcc.dns.intercept import NeedLease
from zcc.dns.pending import Asker
from zcc.dns.question import parse_question
from zcc.mtunnel.errors import Code, EdgeDown, Refused
from zcc.mtunnel.messages import Welcome
from zcc.policy.objects.stance import Stance
from zcc.synthetic.lease import Lease

SECOND = Lease(name=PORTAL.name, address=IPv4Address("10.9.0.7"), application="portal", ttl=60, pool="second")
POOLS = [{"name": "second", "network": "10.9.0.0/24", "locations": ["aws-1"]}]
FAKE_LOCATION = "aws-co1"      # what the fakes call location 1


@pytest.fixture
def make(tmp_path):
    made = []

    def bench(**more) -> Bench:
        made.append(Bench(tmp_path, locations=[FAKE_LOCATION, "aws-1", "aws-2"], **more))
        made[-1].edge.leases.append(SECOND)
        return made[-1]

    yield bench
    for one in made:
        one.cache.close()


def given(bench: Bench, *punts) -> str:
    bench.datapath.said.clear()
    bench.send(*punts)
    return bench.reply.answer[0][0].address


def test_the_rule_s_pool_counts_before_the_location_s_and_that_before_the_default(make):
    here = [{"name": "second", "network": "10.9.0.0/24", "locations": [FAKE_LOCATION]}]
    grouped = {"pools": [{"name": "second", "network": "10.9.0.0/24", "location_groups": ["g"]}],
               "location_groups": [{"name": "g", "locations": [FAKE_LOCATION]}]}
    by_rule = {"name": "r", "action": "ZPA", "names": ["*.corp.example"]}
    assert given(make(pools=POOLS), query()) == "10.254.0.7"
    assert given(make(pools=here), query()) == "10.9.0.7"
    assert given(make(**grouped), query()) == "10.9.0.7"
    assert given(make(pools=POOLS, dns_rules=[{**by_rule, "pool": "second"}]), query()) == "10.9.0.7"
    assert given(make(pools=here, dns_rules=[{**by_rule, "pool": "default"}]), query()) == "10.254.0.7"
    assert given(make(pools=here, dns_rules=[by_rule]), query()) == "10.9.0.7"


def test_the_data_plane_answers_from_the_same_pool_from_then_on(make):
    bench = make(pools=[{"name": "second", "network": "10.9.0.0/24", "locations": [FAKE_LOCATION]}])
    assert [given(bench, query()), given(bench, query())] == ["10.9.0.7"] * 2
    assert [said[0] for said in bench.datapath.owned.values()] == ["10.9.0.7"]
    assert sum(bench.edge.asked.values()) == 1


FULL = [{"name": "apps", "method": "ZPA", "all_applications": True}]


def full(make, stance: str | None, **more) -> Bench:
    rule = {**FULL[0], "on_failure": {"pool_full": stance} if stance else {}}
    bench = make(rules=[rule], **more)
    bench.edge.refusal = Refused(Code.POOL_FULL)
    return bench


@pytest.mark.parametrize("stance", [None, "closed"])
def test_a_full_pool_is_servfail_with_the_rule_s_name(make, stance):
    bench = full(make, stance)
    bench.send(query())
    assert bench.reply.rcode() == dns.rcode.SERVFAIL and error_of(bench.reply) == dns.edns.EDECode.NO_REACHABLE_AUTHORITY
    (exchange,) = bench.records.exchanges
    assert exchange["dns_err"] == "SERVFAIL"
    assert exchange["reason"] == f"no synthetic address is left: closed by rule {'apps' if stance else 'none'}"
    assert bench.service.counts["pool_full_closed"] == 1 and bench.datapath.owned == {}


def test_a_full_pool_that_opens_lets_the_query_go_on(make):
    bench = full(make, "open")
    punt = query()
    bench.send(punt)
    assert bench.datapath.said == [("resume", punt)] and bench.service.counts["pool_full_open"] == 1
    assert len(bench.service._pending) == 1      # the log tells it with its answer


def test_a_full_pool_that_holds_says_nothing_over_udp_and_servfail_elsewhere(make):
    bench = full(make, "hold")
    bench.send(query())
    assert bench.datapath.said == []
    assert bench.records.exchanges[0]["reason"] == "no synthetic address is left: hold by rule apps"
    wire = dns.message.make_query(PORTAL.name, "A").to_wire()
    origin = Origin(Asker(1, IPv4Address(CLIENT), 40000, IPv4Address(SERVER)), 1, "TCP")
    message = asyncio.run(bench.service.resolve(origin, wire))
    assert dns.message.from_wire(message).rcode() == dns.rcode.SERVFAIL


def test_the_stance_is_that_of_the_rule_which_would_decide_the_flow():
    rules = [
        {**FULL[0], "name": "blue", "namespaces": ["co2"], "on_failure": {"pool_full": "open"}},
        {**FULL[0], "name": "off", "enabled": False, "on_failure": {"pool_full": "open"}},
        {"name": "barred", "method": "DROP", "applications": ["portal"], "sources": ["10.8.9.0/24"]},
        {**FULL[0], "name": "here", "locations": ["aws-2"], "on_failure": {"pool_full": "hold"}},
        {**FULL[0], "name": "rest"}]
    pools = FullPools(ConnectorSettings.model_validate({**CONNECTOR, "rules": rules}), ManualClock())
    asked = {("co2", "aws-2", "10.8.6.4"): ("blue", Stance.OPEN), ("co1", "aws-2", "10.8.6.4"): ("here", Stance.HOLD),
             ("co1", "aws-1", "10.8.6.4"): ("rest", Stance.CLOSED), ("co1", "aws-2", "10.8.9.4"): ("barred", Stance.CLOSED)}
    for _ in range(2):
        for (namespace, location, source), wanted in asked.items():
            taken = pools.stance(Client(namespace, location, IPv4Address(source)), "x.corp.example")
            assert (taken.rule, taken.stance) == wanted
    pools.adopt(ConnectorSettings.model_validate({**CONNECTOR, "rules": rules[4:]}))
    assert pools.stance(Client("co2", "aws-2", IPv4Address("10.8.6.4")), "x.corp.example").stance is Stance.CLOSED


# ---- what is in use ----

class Edge:
    def __init__(self, report_s: float | None, down: bool = False) -> None:
        self.welcome = None if report_s is None else Welcome(edge="pe-1", pool="10.254.0.0/19", report_s=report_s)
        self.down, self.told = down, []

    async def report(self, addresses) -> None:
        if self.down:
            raise EdgeDown("gone")
        self.told.append(list(addresses))


@pytest.mark.parametrize(("edge", "again_s", "told"), [
    (Edge(None), LOOK_S, 0), (Edge(0), LOOK_S, 0), (Edge(30), 30, 1), (Edge(30, down=True), LOOK_S, 0), (Edge(0.001), 0.1, 1)])
def test_the_edge_is_told_as_often_as_it_asked_for(edge, again_s, told):
    in_use = InUse(edge, lambda: [IPv4Address("10.254.0.7")])
    assert asyncio.run(in_use.once()) == again_s
    assert edge.told == [[IPv4Address("10.254.0.7")]] * told and in_use.counts["unsent"] == edge.down


def test_after_an_edit_its_pools_count():
    start = ConnectorSettings.model_validate({
        **CONNECTOR, "pools": [{"name": "second", "network": "10.9.0.0/24", "location_groups": ["g"]}],
        "location_groups": [{"name": "g", "locations": ["aws-1"]}]})
    control = DnsControl(start, ManualClock())
    need = NeedLease(parse_question(dns.message.make_query("a.corp.example", "A").to_wire()), "a.corp.example")
    assert control.pooled(need, None, "aws-1").pool == "second"
    control.adopt(ConnectorSettings.model_validate(CONNECTOR))
    assert control.pooled(need, None, "aws-1").pool == "default"
