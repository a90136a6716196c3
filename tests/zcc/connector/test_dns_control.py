"""The DNS policy at work: what each action sends, teaches and writes into the log."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from tests.zcc.connector.fakes import CONNECTOR
from tests.zcc.connector.test_dns_service import PORTAL, SERVER, Bench, answer, error_of, query

from zcc.clock import ManualClock
from zcc.connector.dns_control import DnsControl
from zcc.connector.dns_journal import Origin
from zcc.connector.ports import Punt
from zcc.connector.settings import ConnectorSettings
from zcc.dns.intercept import Forward
from zcc.dns.pending import Asker
from zcc.dns.question import Question, parse_question
from zcc.policy.domains import DomainSet
from zcc.policy.world import World

INHOUSE, SPARE = IPv4Address("10.0.0.53"), IPv4Address("10.0.0.54")
GATEWAY = {"name": "inhouse", "primary": str(INHOUSE), "secondary": str(SPARE)}


def rule(action: str, **more) -> dict:
    return {"name": f"rule {action}", "action": action, **more}


@pytest.fixture
def make(tmp_path):
    made = []

    def bench(*rules: dict, fail: str = "error") -> Bench:
        made.append(Bench(tmp_path, dns_rules=list(rules), dns_gateways=[{**GATEWAY, "fail": fail}]))
        return made[-1]

    yield bench
    for one in made:
        one.cache.close()


def response(name: str, *lines: str) -> bytes:
    message = dns.message.make_response(dns.message.make_query(name, "A", use_edns=0))
    message.answer = [dns.rrset.from_text(*line.split(maxsplit=4)) for line in lines]
    return message.to_wire(max_size=65_535)


def logged(bench: Bench) -> dict:
    (record,) = bench.records.exchanges
    return record


@pytest.mark.parametrize(
    ("how", "rcode"),
    [("nxdomain", dns.rcode.NXDOMAIN), ("nodata", dns.rcode.NOERROR), ("refused", dns.rcode.REFUSED)],
)
def test_a_blocked_query_is_answered_with_the_rule_as_reason(make, how: str, rcode: int) -> None:
    bench = make(rule("BLOCK", names=["*.evil.example"], block=how))
    bench.send(query("a.evil.example"))
    assert bench.reply.rcode() == rcode and not bench.reply.answer
    assert error_of(bench.reply) == dns.edns.EDECode.BLOCKED
    assert bool(bench.reply.authority) == (how != "refused")
    assert logged(bench)["req_action"] == "REQ_BLOCK" and logged(bench)["req_rulename"] == "rule BLOCK"


def test_a_silent_block_says_nothing_over_udp_and_refused_over_tcp(make) -> None:
    bench = make(rule("BLOCK", block="silent"))
    bench.send(query("a.example"))
    assert bench.datapath.said == [] and logged(bench)["req_action"] == "REQ_BLOCK"
    origin = Origin(Asker(1, IPv4Address("10.8.6.4"), 4000, IPv4Address(SERVER)), 1, "TCP")
    wire = dns.message.make_query("a.example", "A").to_wire()
    said = asyncio.run(bench.service.resolve(origin, wire))
    assert dns.message.from_wire(said).rcode() == dns.rcode.REFUSED


def test_an_owned_name_goes_on_where_a_rule_allows_it(make) -> None:
    bench = make(rule("ALLOW", names=[PORTAL.name]))
    punt = query()
    bench.send(punt)
    assert bench.datapath.verbs[-1] == "resume"
    bench.service.answer(answer(PORTAL.name, f"{PORTAL.name}. 60 IN A 192.0.2.9"))
    assert logged(bench)["req_action"] == "REQ_ALLOW" and logged(bench)["req_rulename"] == "rule ALLOW"


def test_a_rule_s_own_addresses_are_answered_and_taught(make) -> None:
    bench = make(rule("OVERWRITE", names=["evil.example"], addresses=["192.0.2.66", "2001:db8::66"]))
    bench.send(query("evil.example"))
    assert bench.datapath.said[0][:3] == ("learn", 1, "192.0.2.66") and bench.datapath.verbs == ["learn", "reply"]
    assert bench.reply.answer[0][0].address == "192.0.2.66"
    bench.datapath.said.clear()
    bench.send(query("evil.example", "AAAA"))
    assert bench.reply.answer[0][0].address == "2001:db8::66"
    bench.datapath.said.clear()
    bench.send(query("evil.example", "HTTPS"))
    assert not bench.reply.answer and bench.reply.rcode() == dns.rcode.NOERROR and bench.reply.authority


def test_a_redirected_query_is_asked_of_the_gateway_and_teaches_before_the_answer_leaves(make) -> None:
    bench = make(rule("REDIRECT", gateway="inhouse"))
    bench.servers.answers[INHOUSE] = response("evil.example", "evil.example. 60 IN A 192.0.2.7")
    bench.send(query("evil.example", message_id=77))
    assert bench.datapath.verbs == ["learn", "reply"]
    assert bench.reply.id == 77 and bench.reply.answer[0][0].address == "192.0.2.7"
    assert [server for server, _ in bench.servers.asked] == [INHOUSE]
    record = logged(bench)
    assert record["req_action"] == "REDIR_REQ" and record["dnsgw_slot"] == 1
    assert record["dnsgw_flags"] == "PRIMARY_SERVER_RESPONSE_PASS"


def test_equal_questions_are_asked_once_then_answered_from_memory(make) -> None:
    bench = make(rule("REDIRECT", gateway="inhouse"))
    bench.servers.answers[INHOUSE] = response("a.example", "a.example. 60 IN A 192.0.2.7")
    bench.send(*(query("a.example", message_id=number) for number in (1, 2, 3)))
    bench.send(query("A.exAmple", message_id=4))
    assert len(bench.servers.asked) == 1
    replies = [said[2] for said in bench.datapath.said if said[0] == "reply"]
    assert sorted(int.from_bytes(packet[28:30]) for packet in replies) == [1, 2, 3, 4]
    assert b"\1A\7exAmple" in replies[-1]
    assert [record["dnsgw_flags"] for record in bench.records.exchanges][-1] == "CACHE_RESPONSE_PASS"


def test_the_spare_server_answers_and_the_silent_one_is_passed_over_for_a_while(make) -> None:
    bench = make(rule("REDIRECT", gateway="inhouse"))
    bench.servers.answers[SPARE] = response("a.example", "a.example. 1 IN A 192.0.2.7")
    bench.send(query("a.example"))
    assert [server for server, _ in bench.servers.asked] == [INHOUSE, SPARE]
    bench.clock.advance(5)
    bench.send(query("a.example"))
    assert [server for server, _ in bench.servers.asked][2:] == [SPARE]
    bench.clock.advance(30)
    bench.send(query("a.example"))
    assert [server for server, _ in bench.servers.asked][3:] == [INHOUSE, SPARE]
    assert bench.records.exchanges[0]["dnsgw_slot"] == 2


@pytest.mark.parametrize("fail", ["error", "original"])
def test_with_no_server_left_the_gateway_says_what_becomes_of_the_query(make, fail: str) -> None:
    bench = make(rule("REDIRECT", gateway="inhouse"), fail=fail)
    punt = query("a.example")
    bench.send(punt)
    if fail == "original":
        assert bench.datapath.said == [("resume", punt)]
        return
    assert bench.reply.rcode() == dns.rcode.SERVFAIL
    assert logged(bench)["dnsgw_flags"] == "FO_DEST_ERR"


def test_with_no_server_left_what_ran_out_not_long_ago_is_given(make) -> None:
    bench = make(rule("REDIRECT", gateway="inhouse"))
    bench.servers.answers[INHOUSE] = response("a.example", "a.example. 1 IN A 192.0.2.7")
    bench.send(query("a.example"))
    bench.servers.answers.clear()
    bench.clock.advance(100)
    bench.datapath.said.clear()
    bench.send(query("a.example"))
    assert bench.reply.answer[0][0].address == "192.0.2.7" and bench.reply.answer[0].ttl <= 30
    assert error_of(bench.reply) == dns.edns.EDECode.STALE_ANSWER


def test_an_answer_too_long_for_the_client_s_udp_is_cut(make) -> None:
    bench = make(rule("REDIRECT", gateway="inhouse"))
    lines = [f"a.example. 60 IN TXT {'x' * 200}{n}" for n in range(9)]
    bench.servers.answers[INHOUSE] = response("a.example", *lines)
    bench.send(query("a.example"))
    assert bench.reply.flags & dns.flags.TC and not bench.reply.answer


def test_the_pool_s_reverse_names_are_not_the_policy_s_to_hide(make) -> None:
    bench = make(rule("BLOCK"))
    bench.send(query("7.0.254.10.in-addr.arpa", "PTR"))
    assert bench.reply.answer[0][0].target.to_text() == f"{PORTAL.name}."


def test_an_edit_is_in_force_for_the_next_query(make) -> None:
    bench = make(rule("BLOCK", names=["a.example"]))
    other = make(rule("BLOCK", names=["b.example"]))
    bench.helpers.control.decider = other.helpers.control.decider
    bench.send(query("a.example"))
    assert bench.datapath.verbs == ["resume"]


WIRE = b"\6portal\4corp\7example\0"


def test_an_answered_name_is_handed_to_the_data_plane_while_its_lease_is_fresh(make) -> None:
    bench = make()
    bench.send(query("PORTAL.corp.example"))
    assert bench.datapath.owned == {(1, WIRE): ("10.254.0.7", 60, 60.0)}


@pytest.mark.parametrize(
    ("one", "handed"),
    [
        (rule("BLOCK", names=["other.example"]), True),
        (rule("BLOCK", names=["*.corp.example"], sources=["10.9.0.0/16"]), False),
        (rule("BLOCK", tunnel_score=90), False),
        (rule("BLOCK", tunnel_score=90, enabled=False), True),
    ],
)
def test_a_name_that_a_rule_may_speak_of_is_not(make, one: dict, handed: bool) -> None:
    bench = make(one)
    bench.send(query())
    assert bench.reply.answer and bool(bench.datapath.owned) == handed


def test_other_types_and_other_names_are_not(make) -> None:
    bench = make(rule("OVERWRITE", names=["evil.example"], addresses=["192.0.2.1"]))
    bench.send(query(rdtype="AAAA"), query("evil.example"), query("www.example"))
    assert bench.datapath.owned == {}


def test_what_the_data_plane_answered_is_in_the_log(make) -> None:
    bench = make()
    bench.send(query())
    packet = next(said[2] for said in bench.datapath.said if said[0] == "reply")
    bench.service.answered(Punt(10, 1, 1, 0, packet=packet))
    slow, quick = bench.records.exchanges
    same = ("dom_str", "clt_ip", "clt_port", "resolver", "resp_val_str", "req_action", "req_rulename", "outbytes", "protocol")
    assert {field: quick[field] for field in same} == {field: slow[field] for field in same}


def test_categories_are_those_that_are_known_when_the_query_comes(tmp_path) -> None:
    world = World()
    settings = ConnectorSettings.model_validate({**CONNECTOR, "dns_rules": [rule("BLOCK", categories=["ads"])]})
    control = DnsControl(settings, ManualClock(), lambda: world)
    question = parse_question(dns.message.make_query("x.ads.example", "A").to_wire())
    asker = Asker(1, IPv4Address("10.8.6.4"), 4000, IPv4Address(SERVER))
    assert isinstance(question, Question)
    before = control.rule(Forward(question), asker, "co1", "aws-1")
    world = World(categories={"ads": DomainSet([b"ads.example\n"])})
    after = control.rule(Forward(question), asker, "co1", "aws-1")
    assert (before.action, after.action) == ("REQ_ALLOW", "REQ_BLOCK")
