"""Lints of DNS rules: each with what it finds, where, and what must not be told of."""

from __future__ import annotations

import random
from ipaddress import ip_address

import pytest
from tests.zcc.connector.fakes import CONNECTOR

from zcc.connector.settings import ConnectorSettings
from zcc.policy.dns_decide import DnsDecider, DnsQuery
from zcc.policy.domains import DomainSet
from zcc.policy.lint.dns_rules import lint_dns
from zcc.policy.world import World

FEEDS = frozenset({"countries", "categories"})
OBJECTS = {
    "source_groups": [{"name": "none"}, {"name": "office", "addresses": ["10.9.0.0/16"]}],
    "location_groups": [{"name": "nowhere"}, {"name": "all", "locations": ["aws-1", "aws-2"]}],
    "destination_groups": [{"name": "nets", "destinations": ["192.0.2.0/24"]},
                           {"name": "bad", "destinations": ["*.evil.example"]}],
    "dns_gateways": [{"name": "inhouse", "primary": "10.0.0.53"}],
}  # fmt: skip


def rule(name: str, action: str = "BLOCK", **more) -> dict:
    return {"name": name, "action": action, **more}


def found(rules: list[dict], world: World | None = None, feeds: frozenset[str] = FEEDS, **more) -> list[tuple]:
    made = ConnectorSettings.model_validate({**CONNECTOR, **OBJECTS, **more, "dns_rules": rules})
    return [(one.code, one.place) for one in lint_dns(made.dns_rules, made.policy(), made.own_ranges(), world, feeds)]


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ({}, {"names": ["www.example"]}),
        ({"names": ["*.example"]}, {"names": ["www.example", "*.evil.example"]}),
        ({"destination_groups": ["bad"]}, {"names": ["a.evil.example"], "types": ["A"]}),
        ({"types": ["A", "AAAA"]}, {"types": ["AAAA"], "tunnel_score": 90}),
        ({"tunnel_score": 50}, {"tunnel_score": 51}),
        ({"sources": ["10.9.0.0/16"]}, {"source_groups": ["office"]}),
        ({"location_groups": ["all"]}, {"locations": ["aws-2"], "namespaces": ["co1"]}),
        ({"answer_countries": ["FR", "DE"]}, {"answer_countries": ["DE"], "names": ["a.example"]}),
        ({"connector_groups": ["g1", "g2"]}, {"connector_groups": ["g1"], "categories": ["ads"]}),
        ({"names": ["a.corp.example"]}, {"action": "ZPA", "names": ["a.corp.example"]}),
        ({"action": "ZPA", "names": ["*.corp.example"]}, {"names": ["b.corp.example"]}),
        ({"action": "ZPA"}, {"names": ["*.x.corp.example"]}),
    ],
)
def test_a_rule_that_one_above_covers_is_shadowed(above: dict, below: dict) -> None:
    assert found([rule("a", **above), rule("b", **below)]) == [("shadowed", ("dns_rules", 1))]


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ({"names": ["*.evil.example"]}, {"names": ["evil.example"]}),
        ({"types": ["A"]}, {"types": ["A", "AAAA"]}),
        ({"tunnel_score": 51}, {"tunnel_score": 50}),
        ({}, {"answer_countries": ["DE"]}),  # one is for queries, the other for answers
        ({"answer_countries": ["DE"]}, {}),
        ({"connector_groups": ["g1"]}, {}),
        ({"enabled": False}, {}),
        ({"action": "ZPA"}, {"names": ["*.example"]}),
        ({"action": "ZPA", "names": ["*.example"]}, {"names": ["*.example"]}),  # not all of them are an application's
    ],
)
def test_a_rule_that_decides_sometimes_is_not_told_of(above: dict, below: dict) -> None:
    assert found([rule("a", **above), rule("b", **below)]) == []


def test_rules_together_make_one_unreachable() -> None:
    assert found([rule("a", types=["A"]), rule("b", types=["AAAA"]), rule("c", types=["A", "AAAA"])]) == [
        ("unreachable", ("dns_rules", 2))
    ]


@pytest.mark.parametrize(
    "criteria",
    [
        {"source_groups": ["none"]}, {"location_groups": ["nowhere"]}, {"destination_groups": ["nets"]},
        {"action": "ZPA", "names": ["www.example"]},
    ],
)  # fmt: skip
def test_a_rule_of_empty_groups_never_decides(criteria: dict) -> None:
    assert found([rule("a", **criteria)]) == [("never", ("dns_rules", 0))]


def test_zpa_without_applications_never_decides() -> None:
    assert found([rule("a", "ZPA")], applications=[]) == [("never", ("dns_rules", 0))]


@pytest.mark.parametrize(
    ("server", "code"),
    [("10.254.3.3", "redirect-loop"), ("198.18.0.1", "redirect-loop"), ("10.1.200.12", "redirect-loop"), ("127.0.0.1", None)],
)
def test_a_gateway_that_leads_back_is_told_of(server: str, code: str | None) -> None:
    told = found([], dns_gateways=[{"name": "g", "primary": "10.0.0.53", "secondary": server}],
                 dns={"listen": {"address": "10.1.200.12:53"}})  # fmt: skip
    assert told == ([(code, ("dns_gateways", 0, "secondary"))] if code else [])


def test_an_answer_of_a_synthetic_address_is_told_of() -> None:
    told = found([rule("a", "OVERWRITE", addresses=["192.0.2.1", "2001:db8::1", "10.254.0.9"])])
    assert told == [("overwrite-own", ("dns_rules", 0, "addresses", 2))]


def test_what_looks_into_files_that_are_not_there_is_told_of() -> None:
    rules = [rule("a", categories=["adz"]), rule("b", answer_countries=["DE"])]
    places = [("dns_rules", 0, "categories", 0), ("dns_rules", 1, "answer_countries", 0)]
    assert found(rules, feeds=frozenset()) == [("missing-feed", place) for place in places]
    world = World(categories={"ads": DomainSet([b"ads.example\n"])})
    assert found(rules, world) == [("unknown-category", places[0])]


def test_what_is_said_to_be_in_the_shadow_decides_no_query() -> None:
    """Random rules: none of a thousand queries each is decided by a rule that is told of; some rules are."""
    chance, told = random.Random(5), 0
    for _ in range(60):
        made = ConnectorSettings.model_validate({**CONNECTOR, **OBJECTS, "dns_rules": [_random(i, chance) for i in range(12)]})
        dead = {one.place[1] for one in lint_dns(made.dns_rules, made.policy(), {}, None, FEEDS)}
        decider = DnsDecider(made.dns_rules, made.policy())
        told += len(dead)
        for _ in range(1000):
            assert decider.decide(_query(chance)).index not in dead
    assert told > 50


def _random(i: int, chance: random.Random) -> dict:
    def some(*values: str) -> list[str]:
        return chance.sample(values, chance.randint(1, 2)) if chance.random() < 0.5 else []

    return rule(
        f"r{i}", chance.choice(["BLOCK", "ALLOW", "ZPA"]), types=some("A", "AAAA", "TXT"), locations=some("aws-1", "aws-2"),
        names=some("*.example", "*.corp.example", "a.corp.example", "b.example"),
        sources=some("10.8.0.0/16", "10.0.0.0/8", "10.8.4.0/24"), tunnel_score=chance.choice([None, None, 20, 60]),
    )  # fmt: skip


def _query(chance: random.Random) -> DnsQuery:
    return DnsQuery(
        name=chance.choice(["a.corp.example", "b.example", "x.b.example", "corp.example", "other", "x.a.corp.example"]),
        type=chance.choice([1, 28, 16, 15]),
        source=ip_address(chance.choice(["10.8.4.1", "10.8.9.1", "10.9.9.9", "192.0.2.1"])),
        location=chance.choice(["aws-1", "aws-2", None]), tunnel_score=chance.choice([0, 20, 59, 100]),
    )  # fmt: skip
