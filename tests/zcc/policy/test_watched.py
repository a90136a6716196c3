"""zcc.policy.watched and unnamed: which ports are heard, and the words for how a name is known."""

from __future__ import annotations

import numpy as np
import pytest

from fastpath.action import Naming
from zcc.names.said import How
from zcc.policy.compile import compile_policy
from zcc.policy.decide import Decider
from zcc.policy.explain import explain, parse_flow
from zcc.policy.model import Policy
from zcc.policy.objects.unnamed import NAMINGS, Unnamed

WEB = {6: {80, 443, 8080}, 17: {443}}


def ports(*rules: dict, **objects: list) -> dict[int, set[int]]:
    listed = [{"name": f"r{n}", "method": "DROP", **rule} for n, rule in enumerate(rules)]
    bits = compile_policy(Policy.model_validate({"rules": listed, **objects}), "g1").watched
    both = np.unpackbits(np.frombuffer(bits or bytes(16_384), np.uint8), bitorder="little").reshape(2, 65_536)
    return {protocol: set(np.flatnonzero(row).tolist()) for protocol, row in zip((6, 17), both, strict=True)}


def test_without_a_rule_that_looks_at_names_nothing_is_watched() -> None:
    application = {"name": "a", "domains": ["a.corp"], "tcp": [443]}
    assert ports({"destinations": ["10.0.0.0/8"]}, {"method": "ZPA", "all_applications": True}, applications=[application]) == \
        {6: set(), 17: set()}
    assert compile_policy(Policy(), "g1").watched == b""


@pytest.mark.parametrize("rule", [
    {"destinations": ["*.blocked.test"]}, {"destination_groups": ["named"]}, {"destination_groups": ["of-category"]},
    {"categories": ["ads"]}, {"unnamed": ["ech"]}, {"application_services": ["Zoom"]},
])  # fmt: skip
def test_rules_that_look_at_names_have_the_webs_ports_watched(rule: dict) -> None:
    groups = [{"name": "named", "destinations": ["a.test"]}, {"name": "of-category", "categories": ["ads"]}]
    assert ports(rule, destination_groups=groups) == WEB
    assert ports(rule | {"enabled": False}, destination_groups=groups) == {6: set(), 17: set()}
    assert ports(rule | {"connector_groups": ["g2"]}, destination_groups=groups) == {6: set(), 17: set()}


def test_a_rules_own_services_take_the_place_of_the_webs_and_dns_is_never_watched() -> None:
    named = {"destinations": ["a.test"]}
    assert ports(named | {"services": ["tcp/8443", "udp/52-54", "icmp"]}) == {6: {8443}, 17: {52, 54}}
    every = set(range(65_536)) - {53}
    assert ports(named | {"services": ["any"]}) == {6: every, 17: every}
    assert ports(named | {"services": ["tcp"]}, {"unnamed": "any"}) == {6: every, 17: {443}}


def test_the_words_are_the_same_everywhere() -> None:
    """The data plane's numbers, what readers of traffic say, and what rules and logs are written in."""
    wanted = [name.removeprefix("NAMING_").lower().replace("_", "-") for name in Naming.__members__]
    assert ["dns", *wanted[1:]] == list(NAMINGS) and wanted[0] == "address"
    assert {*map(str, How)} == {*NAMINGS} - {"dns"}
    assert [Naming.NAMING_ECH, len(NAMINGS)] == [NAMINGS.index(Unnamed.ECH), len(Naming)]


@pytest.mark.parametrize("value, wanted", [
    (["ech"], ("ech",)), ("any", tuple(Unnamed)), (["unread", "any"], ("unread", "ech", "no-name", "not-web")),
])  # fmt: skip
def test_causes_are_words(value: object, wanted: tuple) -> None:
    assert Policy.model_validate({"rules": [{"name": "r", "method": "DROP", "unnamed": value}]}).rules[0].unnamed == wanted


@pytest.mark.parametrize("rule, message", [
    ({"method": "DROP", "unnamed": ["sni"]}, "allowed: ech, no-name, not-web, unread, any"),
    ({"method": "ZPA", "unnamed": ["ech"]}, "unnamed cannot be used with method ZPA"),
    ({"method": "DROP", "unnamed": ["ech"], "all_applications": True}, "unnamed and applications cannot be used together"),
])  # fmt: skip
def test_what_is_no_cause_or_no_place_for_one_is_refused(rule: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Policy.model_validate({"rules": [{"name": "r", **rule}]})


def test_a_cause_decides_and_is_explained() -> None:
    policy = Policy.model_validate({"rules": [
        {"name": "no-ech", "method": "DROP", "unnamed": ["ech"]},
        {"name": "no-evil", "method": "DROP", "destinations": ["*.evil.test"]},
    ]})  # fmt: skip
    plain = parse_flow("10.0.0.1", "192.0.2.1", "tcp/443")
    hidden = parse_flow("10.0.0.1", "192.0.2.1", "tcp/443", name="outer.test", naming="ech")
    assert Decider(policy).decide(hidden).rule.name == "no-ech"
    above = Decider(policy).decide(plain).above
    assert next((m.criterion, m.seen) for m in above) == ("unnamed", "it has not said anything yet")
    said = explain(policy, plain).to_dict()
    assert "no-ech, no-evil" in said["notes"][0] and said["flow"]["naming"] is None
    assert explain(policy, parse_flow("10.0.0.1", "192.0.2.1", "tcp/22")).to_dict()["notes"] == []
    with pytest.raises(ValueError, match="allowed: dns, sni, host, quic, ech"):
        parse_flow("10.0.0.1", "192.0.2.1", naming="snni")
