"""What `zcc explain --query` says is what the connector does, for any rules."""

from __future__ import annotations

import tempfile
from ipaddress import IPv4Address, ip_address
from pathlib import Path

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from tests.zcc.connector.fakes import CONNECTOR
from tests.zcc.connector.test_dns_control import GATEWAY, INHOUSE, response
from tests.zcc.connector.test_dns_review import Somewhere
from tests.zcc.connector.test_dns_service import CLIENT, SERVER, Bench, query

from zcc.connector.dns_explained import Asking, explain_query
from zcc.connector.ports import Punt
from zcc.connector.settings import ConnectorSettings
from zcc.policy.domains import DomainSet
from zcc.policy.world import World

WORLD = World(Somewhere(), {"ads": DomainSet([b"ads.example\n"])})
NAMES = ("www.example", "x.ads.example", "a.corp.example", "_dns.resolver.arpa", "_443._tcp.a.corp.example", "dns.google",
         "9.0.254.10.in-addr.arpa")  # fmt: skip
ANSWERS = ("192.0.2.7", "192.0.2.200", "203.0.113.1")


def some(*values: object):
    return st.lists(st.sampled_from(values), max_size=2, unique=True)


@st.composite
def rules(draw) -> list[dict]:
    made = []
    for index in range(draw(st.integers(0, 5))):
        action = draw(st.sampled_from(["ALLOW", "BLOCK", "ZPA", "REDIRECT", "OVERWRITE"]))
        rule = {
            "name": f"r{index}", "action": action, "enabled": draw(st.integers(0, 4)) > 0,
            "names": draw(some("*.example", "www.example", "*.corp.example", "_dns.resolver.arpa")),
            "destination_groups": draw(some("encrypted_dns")) if draw(st.integers(0, 4)) == 0 else [],
            "types": draw(some("A", "AAAA", "HTTPS")), "categories": draw(st.sampled_from([[], [], ["ads"]])),
            "sources": draw(st.sampled_from([[], ["10.8.0.0/16"], ["10.9.0.0/16"]])),
            "locations": draw(st.sampled_from([[], ["aws-1"], ["aws-2"]])),
            "namespaces": draw(st.sampled_from([[], ["co1"], ["co2"]])),
            "connector_groups": draw(st.sampled_from([[], ["group-1"], ["group-2"]])),
            "tunnel_score": draw(st.sampled_from([None, None, 10])),
        }  # fmt: skip
        if action in ("BLOCK", "OVERWRITE", "ALLOW") and draw(st.booleans()):
            rule["answer_countries"] = ["FR"]
        if action == "REDIRECT":
            rule["gateway"] = "inhouse"
        if action == "OVERWRITE":
            rule["addresses"] = ["198.51.100.1"]
        if action == "BLOCK":
            how = ["nxdomain", "nodata", "refused", *([] if "answer_countries" in rule else ["silent"])]
            rule["block"] = draw(st.sampled_from(how))
        made.append(rule)
    return made


class Connector(Bench):
    """A connector's DNS with the rules of a test."""

    def __init__(self, path: Path, listed: list[dict]) -> None:
        super().__init__(path, dns_rules=listed, dns_gateways=[GATEWAY])
        self.helpers.control._world = lambda: WORLD
        policy = {**CONNECTOR, "dns_rules": listed, "dns_gateways": [GATEWAY]}
        self.helpers.control.adopt(ConnectorSettings.model_validate(policy))
        self.service._journal.labels.locations[1] = "aws-1"

    def did(self, name: str, kind: str) -> str:
        """Send a query; say what became of it in the words of an explanation."""
        self.servers.answers[INHOUSE] = response(name, f"{name}. 60 IN A 203.0.113.99")
        self.send(query(name, kind))
        if not self.datapath.verbs or self.datapath.verbs[-1] not in ("reply", "resume"):
            return "silence"
        if self.datapath.verbs[-1] == "resume":
            return "forward"
        if self.servers.asked:
            return "gateway"
        said = dns.message.from_wire(bytes(IP(self.datapath.said[-1][2])[UDP].payload))
        if any(verb[:1] == ("reply",) for verb in self.datapath.said) and self.edge.asked:
            return "synthetic" if any(key[0] == "resolve" for key in self.edge.asked) else "name"
        return f"{dns.rcode.to_text(said.rcode())} {[record.address for rrset in said.answer for record in rrset]}"

    def passes(self, name: str, kind: str, address: str) -> str:
        """Send the answer of the query's server; return the first address or rcode that the workload gets."""
        message = dns.message.make_response(dns.message.make_query(name, kind, use_edns=0, id=7))
        message.answer = [dns.rrset.from_text(f"{name}.", 60, "IN", "A", address)]
        packet = IP(src=SERVER, dst=CLIENT) / UDP(sport=53, dport=40000) / message.to_wire()
        punt = Punt(2, 1, 1, 0, packet=bytes(packet))
        self.service.answer(punt)
        verb, *rest = self.datapath.said[-1]
        said = dns.message.from_wire(bytes(IP(rest[1] if verb == "reply" else rest[0].packet)[UDP].payload))
        return "ALLOW" if verb == "resume" else "OVERWRITE" if said.answer else _block(said)


def _block(said: dns.message.Message) -> str:
    # An address of a rule that does not fit the type asked for is no data either, and says another reason.
    return "OVERWRITE" if any(option.otype == 15 and option.code == 4 for option in said.options) else "BLOCK"


@settings(max_examples=150, deadline=None)
@given(rules(), st.sampled_from(NAMES), st.sampled_from(["A", "AAAA", "HTTPS", "AXFR", "PTR"]), st.sampled_from(ANSWERS))
def test_an_explanation_is_what_the_connector_does(listed: list[dict], name: str, kind: str, address: str) -> None:
    made = ConnectorSettings.model_validate({**CONNECTOR, "dns_rules": listed, "dns_gateways": [GATEWAY]})
    asking = Asking(name, int(dns.rdatatype.from_text(kind)), ip_address(CLIENT), "co1", "aws-1", "group-1",
                    answers=(IPv4Address(address),))  # fmt: skip
    explained = explain_query(made, asking, WORLD)
    with tempfile.TemporaryDirectory() as folder:
        connector = Connector(Path(folder), listed)
        did = connector.did(name, kind)
        answer = explained.answer
        want = f"{answer['rcode']} {answer['addresses']}" if answer["kind"] == "answer" else answer["kind"]
        assert did == want, explained.to_dict()
        if did == "forward":
            assert explained.review is None or explained.review["action"] == connector.passes(name, kind, address)
        connector.cache.close()
    if explained.rule is not None:
        index, rule = explained.rule
        assert [missed.index for missed in explained.above] == list(range(index)) and explained.rules[index] == rule


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("www.example", "A", "that of the server which the workload asked"),
        ("a.corp.example", "A", "the synthetic address of a.corp.example; the private edge leases it from pool default"),
        ("a.corp.example", "AAAA", "no data, from the connector itself: name of a private application: it has type A only"),
        ("a.corp.example", "AXFR", "REFUSED, from the connector itself"),
        ("9.0.254.10.in-addr.arpa", "PTR", "the name that has the synthetic address 10.254.0.9"),
    ],
)
def test_without_rules_the_answers_are_those_of_the_predefined_ones(name: str, kind: str, words: str) -> None:
    asking = Asking(name, int(dns.rdatatype.from_text(kind)), ip_address(CLIENT))
    explained = explain_query(ConnectorSettings.model_validate(CONNECTOR), asking)
    assert words in explained.answer["words"] and explained.review is None


def test_a_rule_that_waits_for_the_answer_is_told_of() -> None:
    listed = [{"name": "embargo", "action": "BLOCK", "answer_countries": ["FR"]}]
    made = ConnectorSettings.model_validate({**CONNECTOR, "dns_rules": listed})
    asking = Asking("www.example", 1, ip_address(CLIENT), place="nowhere")
    explained = explain_query(made, asking, WORLD)
    assert "give its addresses with --answer" in (explained.review or {})["words"]
    assert next((missed.criterion, missed.seen) for missed in explained.above) == ("answer_countries", "no answer yet")
    assert explained.notes == ("location 'nowhere' does not exist in this file",)


def test_the_pool_of_an_address_is_told_and_what_happens_when_it_is_full() -> None:
    settings = ConnectorSettings.model_validate({
        **CONNECTOR, "pools": [{"name": "second", "network": "10.9.0.0/24", "locations": ["aws-2"]}],
        "rules": [{"name": "apps", "method": "ZPA", "all_applications": True, "on_failure": {"pool_full": "hold"}}]})
    asked = [Asking("a.corp.example", 1, ip_address(CLIENT), place=place) for place in ("aws-1", "aws-2")]
    told = [explain_query(settings, asking) for asking in asked]
    assert [(found.answer["pool"], found.answer["network"]) for found in told] == [
        ("default", "10.254.0.0/19"), ("second", "10.9.0.0/24")]
    assert told[0].to_dict()["answer"]["pool_full"] == {"stance": "hold", "rule": "apps"}


def test_an_address_that_leads_nowhere_is_told_of() -> None:
    served = {"name": "apps", "method": "ZPA", "all_applications": True, "sources": [CLIENT]}
    settings = ConnectorSettings.model_validate({**CONNECTOR, "rules": [served]})
    asked = [Asking("a.corp.example", 1, ip_address(source)) for source in (CLIENT, "10.99.0.1")]
    reached, unserved = (explain_query(settings, asking).notes for asking in asked)
    assert reached == () and unserved[0].startswith("no ZPA rule matches what 10.99.0.1 sends to a.corp.example at the ports")
