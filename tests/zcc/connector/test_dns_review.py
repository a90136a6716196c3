"""Answers under the rules: by the country of their addresses, and stripped of what lets clients hide."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, ip_network

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from tests.zcc.connector.test_dns_control import INHOUSE, make, response, rule  # noqa: F401 -- a fixture
from tests.zcc.connector.test_dns_service import CLIENT, SERVER, Bench, answer, error_of, query

from zcc.connector.dns_journal import Origin
from zcc.connector.ports import Punt
from zcc.dns.amending import KEYS, read_answer, stripped
from zcc.dns.pending import Asker
from zcc.policy.world import World


class Somewhere:
    """192.0.2.0/25 is in FR, the rest of it and 2001:db8::/32 in DE."""

    ALL = ((ip_network("192.0.2.0/25"), "FR"), (ip_network("192.0.2.128/25"), "DE"), (ip_network("2001:db8::/32"), "DE"))

    def of(self, address) -> str | None:
        return next((code for network, code in self.ALL if address in network), None)

    def networks(self, codes):
        return [(network, code) for network, code in self.ALL if code in codes]


@pytest.fixture
def bench(make):  # noqa: F811
    def made(*rules: dict) -> Bench:
        one = make(*rules)
        one.helpers.control.decider._world = lambda: World(Somewhere())
        return one

    return made


FR = rule("BLOCK", answer_countries=["FR"], block="refused")


def heard(one: Bench, *lines: str, name: str = "www.example", rdtype: str = "A") -> dns.message.Message:
    """Send a query and its answer through; return the answer that the workload gets."""
    one.send(query(name, rdtype))
    message = dns.message.make_response(dns.message.make_query(name, rdtype, use_edns=0, id=7))
    for line in lines:
        message.answer.append(dns.rrset.from_text(*line.split(maxsplit=4)))
    packet = IP(src=SERVER, dst=CLIENT) / UDP(sport=53, dport=40000) / message.to_wire()
    one.service.answer(Punt(2, 1, 1, 0, packet=bytes(packet)))
    verb, punt, *rest = one.datapath.said[-1]
    sent = IP(rest[0] if verb == "reply" else punt.packet)
    assert (sent.src, sent.dst, sent[UDP].sport, sent[UDP].dport) == (SERVER, CLIENT, 53, 40000)
    return dns.message.from_wire(bytes(sent[UDP].payload))


@pytest.mark.parametrize(
    ("lines", "blocked"),
    [
        (["www.example. 60 IN A 192.0.2.7"], True),
        (["www.example. 60 IN A 192.0.2.200"], False),
        (["www.example. 60 IN A 192.0.2.200", "www.example. 60 IN A 192.0.2.7"], True),
        (["www.example. 60 IN CNAME a.cdn.", "a.cdn. 60 IN A 192.0.2.7"], True),
        (["www.example. 60 IN AAAA 2001:db8::1"], False),
        (["www.example. 60 IN HTTPS 1 . ipv4hint=192.0.2.7"], True),
        (["other.example. 60 IN A 192.0.2.7"], True),  # who takes it from there takes it all the same
        ([], False),
    ],
)
def test_an_answer_with_an_address_of_a_country_is_blocked(bench, lines: list[str], blocked: bool) -> None:
    one = bench(FR)
    said = heard(one, *lines)
    assert (said.rcode() == dns.rcode.REFUSED and not said.answer) == blocked
    (record,) = one.records.exchanges
    assert record["req_action"] == "REQ_ALLOW"
    assert (record.get("res_action"), record.get("res_rulename")) == (("RES_BLOCK", "rule BLOCK") if blocked else (None, None))
    assert blocked == (one.helpers.gateways.counts["answer_changed"] == 1)
    if blocked:
        assert error_of(said) == dns.edns.EDECode.BLOCKED and "learn" not in one.datapath.verbs


def test_an_overwritten_answer_teaches_its_own_addresses_only(bench) -> None:
    one = bench(rule("OVERWRITE", answer_countries=["FR", "JP"], addresses=["198.51.100.1"]))
    said = heard(one, "evil.example. 60 IN A 192.0.2.7", name="evil.example")
    assert [record.address for record in said.answer[0]] == ["198.51.100.1"]
    assert [taught[2] for taught in one.datapath.said if taught[0] == "learn"] == ["198.51.100.1"]


def test_a_rule_above_may_except_and_the_other_criteria_hold_too(bench) -> None:
    ours = {"name": "ours", "action": "ALLOW", "answer_countries": ["FR"], "names": ["*.partner.example"]}
    blocked = FR | {"sources": ["10.8.0.0/16"], "types": ["A"]}
    line = "60 IN A 192.0.2.7"
    assert heard(bench(ours, blocked), f"a.partner.example. {line}", name="a.partner.example").answer
    assert not heard(bench(ours, blocked), f"www.example. {line}").answer
    assert heard(bench(FR | {"sources": ["10.9.0.0/16"]}), f"www.example. {line}").answer
    assert heard(bench(FR | {"types": ["AAAA"]}), f"www.example. {line}").answer


def test_an_answer_that_nobody_asked_for_passes_the_rules_too(bench) -> None:
    one = bench(FR)
    one.service.answer(answer("www.example", "www.example. 60 IN A 192.0.2.7", message_id=99))
    assert one.datapath.verbs == ["reply"] and one.helpers.gateways.counts["answer_unasked"] == 1


def test_what_a_gateway_says_is_looked_at_whether_new_or_remembered(bench) -> None:
    one = bench(FR, rule("REDIRECT", gateway="inhouse"))
    one.servers.answers[INHOUSE] = response("a.example", "a.example. 60 IN A 192.0.2.7")
    for _ in range(2):
        one.datapath.said.clear()
        one.send(query("a.example"))
        assert one.reply.rcode() == dns.rcode.REFUSED and one.datapath.verbs == ["reply"]
    assert len(one.servers.asked) == 1
    said = [(record["req_action"], record["res_action"]) for record in one.records.exchanges]
    assert said == [("REDIR_REQ", "RES_BLOCK")] * 2


def test_an_answer_that_breaks_off_is_not_let_through_where_a_rule_might_match(bench) -> None:
    for rules, rcode in (([FR], dns.rcode.SERVFAIL), ([FR | {"names": ["other.example"]}], dns.rcode.NOERROR)):
        one = bench(*rules)
        one.send(query("www.example"))
        whole = answer("www.example", "www.example. 60 IN A 192.0.2.200", "www.example. 60 IN A 192.0.2.7").packet
        wire = bytes(IP(whole)[UDP].payload)[:-2]
        asker = Asker(1, IPv4Address(CLIENT), 40000, IPv4Address(SERVER))
        said = one.service.hear(Origin(asker, 1, "UDP"), wire).message
        assert said[3] & 0xF == rcode and (said == wire) == (rcode == dns.rcode.NOERROR)


def test_over_tcp_the_answer_is_replaced_under_its_id(bench) -> None:
    one = bench(FR)
    origin = Origin(Asker(1, IPv4Address(CLIENT), 4000, IPv4Address(SERVER)), 1, "TCP")
    wire = dns.message.make_query("www.example", "A", id=5).to_wire()
    assert asyncio.run(one.service.resolve(origin, wire)) is None
    made = dns.message.make_response(dns.message.from_wire(wire))
    made.answer = [dns.rrset.from_text("www.example.", 60, "IN", "A", "192.0.2.7")]
    said = dns.message.from_wire(one.service.hear(origin, made.to_wire()).message)
    assert (said.id, said.rcode()) == (5, dns.rcode.REFUSED)


# ---- what clients hide behind ----

HTTPS = 'www.example. 60 IN HTTPS 1 . mandatory=alpn,ech alpn=h3,h2 ipv4hint=192.0.2.200 ech="AAT+DQAA"'
DOH = 'www.example. 60 IN SVCB 1 dns.example. alpn=h2 dohpath="/dns-query{?dns}"'


@pytest.mark.parametrize(
    ("hide", "line", "rdtype", "gone", "left"),
    [
        (["ech"], HTTPS, "HTTPS", [5], [0, 1, 4]),
        (["dohpath"], HTTPS, "HTTPS", [], [0, 1, 4, 5]),
        (["dohpath", "ech"], DOH, "SVCB", [7], [1]),
    ],
)
def test_hints_are_taken_out_and_the_rest_stays(bench, hide, line, rdtype, gone, left) -> None:
    said = heard(bench(rule("ALLOW", hide=hide)), line, rdtype=rdtype)
    (record,) = said.answer[0]
    assert sorted(map(int, record.params)) == left
    if 0 in record.params and gone:
        assert [int(key) for key in record.params[0].keys] == [1]


def test_a_mandatory_list_that_is_empty_then_goes_too_and_so_does_what_signed_it() -> None:
    message = dns.message.make_response(dns.message.make_query("a.example", "HTTPS", want_dnssec=True))
    message.flags |= dns.flags.AD
    message.answer = [
        dns.rrset.from_text("a.example.", 60, "IN", "HTTPS", '1 . mandatory=ech ech="AAT+DQAA"'),
        dns.rrset.from_text("a.example.", 60, "IN", "RRSIG", "HTTPS 13 2 60 20300101000000 20200101000000 1 example. AAAA"),
        dns.rrset.from_text("b.example.", 60, "IN", "RRSIG", "A 13 2 60 20300101000000 20200101000000 1 example. AAAA"),
    ]
    read = read_answer(message.to_wire())
    assert read is not None
    said = dns.message.from_wire(stripped(read, [KEYS["ech"]]) or b"")
    assert not said.flags & dns.flags.AD and [rrset.name.to_text() for rrset in said.answer] == ["a.example.", "b.example."]
    assert dict(said.answer[0][0].params) == {}


@given(st.binary(max_size=80), st.integers(0, 80))
def test_no_bytes_hurt(tail: bytes, cut: int) -> None:
    message = dns.message.make_response(dns.message.make_query("www.example", "HTTPS", use_edns=0))
    message.answer = [dns.rrset.from_text(*HTTPS.split(maxsplit=4))]
    wire = message.to_wire()
    for mutant in (tail, wire[:cut] + tail, wire[:-cut] + tail):
        read = read_answer(mutant)
        said = None if read is None else stripped(read, KEYS.values())
        assert said is None or KEYS["ech"] not in dns.message.from_wire(said).answer[0][0].params


MANY = [f"198.51.100.{n}" for n in range(1, 101)]


@pytest.mark.parametrize("waits", [False, True], ids=["for the query", "for the answer"])
def test_a_rule_of_more_addresses_than_fit_udp_has_the_client_ask_over_tcp(bench, waits: bool) -> None:
    one = bench(rule("OVERWRITE", addresses=MANY, **({"answer_countries": ["FR"]} if waits else {})))
    if waits:
        said = heard(one, "www.example. 60 IN A 192.0.2.7")
    else:
        one.send(query("www.example"))
        said = one.reply
    assert said.flags & dns.flags.TC and not said.answer
    origin = Origin(Asker(1, IPv4Address(CLIENT), 4000, IPv4Address(SERVER)), 1, "TCP")
    wire = dns.message.make_query("www.example", "A", id=5).to_wire()
    over_tcp = asyncio.run(one.service.resolve(origin, wire))
    if waits:
        made = dns.message.make_response(dns.message.from_wire(wire))
        made.answer = [dns.rrset.from_text("www.example.", 60, "IN", "A", "192.0.2.7")]
        over_tcp = one.service.hear(origin, made.to_wire()).message
    assert over_tcp is not None and len(dns.message.from_wire(over_tcp).answer[0]) == len(MANY)
