"""DNS rules: which one decides, why not those above it, and what a file may not say."""

from __future__ import annotations

import re
import textwrap
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.zcc.connector.fakes import CONNECTOR

from zcc.connector.settings import ConnectorSettings
from zcc.document import read_document
from zcc.policy.dns_decide import DnsDecider, DnsQuery
from zcc.policy.dns_rule import APPLICATION_RULE, DNS_DEFAULT_RULE, DnsRule
from zcc.policy.domains import DomainSet
from zcc.policy.names import patterns_of
from zcc.policy.objects.catalogue import Catalogue
from zcc.policy.world import World

A, AAAA, TXT = 1, 28, 16
CATALOGUE = {
    "locations": ["aws-1", "aws-2"], "location_groups": [{"name": "aws", "locations": ["aws-1", "aws-2"]}],
    "namespaces": [{"name": "co1", "id": 1}], "source_groups": [{"name": "office", "addresses": ["10.9.0.0/16"]}],
    "applications": [{"name": "portal", "domains": ["*.corp.example"], "tcp": [443]}],
}  # fmt: skip
WORLD = World(categories={"ads": DomainSet([b"ads.example\n"])})


def query(name: str = "www.example", **more) -> DnsQuery:
    fields = {"type": A, "source": ip_address("10.8.6.4"), "namespace": "co1", "location": "aws-1", "group": "g1"}
    return DnsQuery(name=name, **{**fields, **more})


def decider(*rules: dict) -> DnsDecider:
    made = [DnsRule.model_validate(rule) for rule in rules]
    return DnsDecider(made, Catalogue.model_validate(CATALOGUE), lambda: WORLD)


@pytest.mark.parametrize(
    ("criteria", "hit", "miss", "seen"),
    [
        ({"names": ["www.example"]}, query(), query("a.www.example"), "a.www.example"),
        ({"names": ["*.example"]}, query("a.b.example"), query("example"), "example"),
        ({"categories": ["ads"]}, query("x.ads.example"), query(), "no category"),
        ({"types": ["AAAA", "TYPE16"]}, query(type=TXT), query(), "A"),
        ({"locations": ["aws-1"]}, query(), query(location="aws-2"), "aws-2"),
        ({"location_groups": ["aws"]}, query(location="aws-2"), query(location=None), "no location"),
        ({"connector_groups": ["g1"]}, query(), query(group="g2"), "g2"),
        ({"namespaces": ["co1"]}, query(), query(namespace=None), "no namespace"),
        ({"sources": ["10.8.0.0/16"], "source_groups": ["office"]}, query(source=ip_address("10.9.1.1")),
         query(source=ip_address("fd00::1")), "fd00::1"),
        ({"tunnel_score": 50}, query(tunnel_score=50), query(tunnel_score=49), "a score of 49"),
        ({"enabled": True}, query(), None, ""),
    ],
)  # fmt: skip
def test_each_criterion_matches_and_says_what_it_saw(criteria: dict, hit: DnsQuery, miss: DnsQuery, seen: str) -> None:
    made = decider({"name": "rule", "action": "BLOCK", **criteria})
    assert made.decide(hit).rule.name == "rule"
    if miss is not None:
        decision = made.decide(miss)
        assert decision.rule.name == DNS_DEFAULT_RULE
        why = {one.rule: one.seen for one in made.above(miss, decision)}
        assert why["rule"] == seen


def test_names_of_applications_are_zpa_unless_a_rule_says_otherwise() -> None:
    made = decider({"name": "direct there", "action": "ALLOW", "locations": ["aws-2"]})
    assert made.decide(query("a.corp.example")).rule.name == APPLICATION_RULE
    assert made.decide(query("a.corp.example", location="aws-2")).rule.name == "direct there"
    assert made.decide(query("_https._tcp.a.corp.example", owned="a.corp.example")).rule.name == APPLICATION_RULE


def test_a_zpa_rule_is_for_names_of_applications_only() -> None:
    made = decider({"name": "all", "action": "ZPA"}, {"name": "rest", "action": "BLOCK"})
    decision = made.decide(query())
    assert decision.rule.name == "rest"
    (above,) = made.above(query(), decision)
    assert above.criterion == "applications" and "belongs to no application" in above.seen


NAMES = st.sampled_from(["a.example", "b.a.example", "example", "other", "x.other"])
PATTERNS = st.sampled_from(["a.example", "*.example", "*.a.example", "other", "*.other"])
RULES = st.lists(st.tuples(st.lists(PATTERNS, max_size=2), st.booleans(), st.lists(st.sampled_from(["A", "TXT"]))))


@given(RULES, NAMES, st.sampled_from([A, TXT]))
def test_the_index_by_name_decides_as_reading_in_order(rules, name: str, kind: int) -> None:
    made = decider(*(
        {"name": f"r{index}", "action": "BLOCK", "names": names, "enabled": enabled, "types": types}
        for index, (names, enabled, types) in enumerate(rules)
    ))  # fmt: skip
    asked = query(name, type=kind)
    want = next(
        (rule.name for rule in made.rules[: len(rules)]
         if rule.enabled and (not rule.names or set(rule.names) & set(patterns_of(name)))
         and (not rule.types or kind in rule.types)),
        DNS_DEFAULT_RULE,
    )  # fmt: skip
    decision = made.decide(asked)
    assert decision.rule.name == want
    assert len(made.above(asked, decision)) == decision.index


@pytest.mark.parametrize(
    ("rule", "place", "words"),
    [
        ({"action": "REDIRECT"}, ("dns_rules", 0), "needs gateway"),
        ({"action": "REDIRECT", "gateway": "inhose"}, ("dns_rules", 0, "gateway"), "did you mean 'inhouse'"),
        ({"action": "BLOCK", "gateway": "inhouse"}, ("dns_rules", 0), "without action REDIRECT"),
        ({"action": "OVERWRITE"}, ("dns_rules", 0), "needs addresses"),
        ({"action": "ALLOW", "addresses": ["192.0.2.1"]}, ("dns_rules", 0), "without action OVERWRITE"),
        ({"action": "ALLOW", "block": "silent"}, ("dns_rules", 0), "without action BLOCK"),
        ({"action": "BLOCK", "types": ["ABC"]}, ("dns_rules", 0, "types", 0), "'ABC' is no record type"),
        ({"action": "BLOCK", "locations": ["aws-3"]}, ("dns_rules", 0, "locations", 0), "did you mean 'aws-"),
        ({"action": "BLOCK", "names": ["a*b"]}, ("dns_rules", 0, "names", 0), ""),
        ({"action": "BLOCK", "tunnel_score": 0}, ("dns_rules", 0, "tunnel_score"), "greater than or equal to 1"),
    ],
)  # fmt: skip
def test_what_a_file_may_not_say_is_told_at_its_place(rule: dict, place: tuple, words: str) -> None:
    gateways = [{"name": "inhouse", "primary": "10.0.0.53"}]
    file = {**CONNECTOR, "dns_gateways": gateways, "dns_rules": [{"name": "rule", **rule}]}
    with pytest.raises(ValidationError) as found:
        ConnectorSettings.model_validate(file)
    said = {problem["loc"]: problem["msg"] for problem in found.value.errors()}
    assert words in said[place]


def test_two_rules_of_one_name_are_told() -> None:
    rule = {"name": "twice", "action": "BLOCK"}
    with pytest.raises(ValidationError, match="'twice' is used twice"):
        ConnectorSettings.model_validate({**CONNECTOR, "dns_rules": [rule, rule]})


def test_the_examples_in_the_documentation_are_taken() -> None:
    text = (Path(__file__).parents[3] / "docs" / "dns.md").read_text()
    blocks = re.findall(r"\n\n((?:    .*\n)+)", text)
    file = {**CONNECTOR, "locations": ["blue-production"], "namespaces": [{"name": "blue", "id": 1}], "dns_rules": []}
    for block in blocks:
        document = read_document(textwrap.dedent(block).encode(), "docs/dns.md")
        assert document.problems == []
        file |= {**document.value, "dns_rules": [*file["dns_rules"], *document.value.get("dns_rules", ())]}
    settings = ConnectorSettings.model_validate(file)
    assert len(settings.dns_rules) == 7 and settings.dns.listen is not None
