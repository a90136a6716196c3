"""The decision of a flow, and its explanation."""

import json

import pytest
from rich.console import Console

from zcc.policy.decide import decide
from zcc.policy.explain import explain, parse_flow
from zcc.policy.model import DEFAULT_RULE, STRAY_RULE, Policy

POLICY = Policy.model_validate({
    "locations": ["aws-co1", "aws-co2"],
    "applications": [
        {"name": "portal", "domains": ["portal.corp.example"], "tcp": [80, 443, "8000-8100"], "udp": [7]},
        {"name": "dev", "domains": ["*.dev.corp.example"], "tcp": [22]},
        {"name": "secret", "domains": ["secret.corp.example"], "tcp": [443]},
    ],
    "rules": [
        {"name": "off", "method": "DROP", "enabled": False},
        {"name": "empty", "method": "ZPA"},
        {"name": "no-secret", "method": "DROP", "applications": ["secret"]},
        {"name": "apps", "method": "ZPA", "all_applications": True, "locations": ["aws-co1"]},
        {"name": "no-evil", "method": "DROP",
         "destinations": ["evil.example", "*.bad.example", "192.0.2.66"]},
        {"name": "east-west", "method": "LOCAL", "sources": ["10.8.6.0/24"], "destinations": ["10.8.0.0/16"]},
        {"name": "updates", "method": "DIRECT", "connector_groups": ["cc-group-1"],
         "destinations": ["203.0.113.0-203.0.113.9"], "services": ["tcp/80", "icmp"]},
    ],
})  # fmt: skip
SYNTHETIC, INTERNET = "10.254.0.7", "198.51.100.1"


def rule_of(
    destination, service="tcp/443", name=None, source="10.8.6.4", location="aws-co1", group="cc-group-1"
):
    flow = parse_flow(source, destination, service, name=name, location=location, group=group)
    return decide(POLICY, flow).rule.name


@pytest.mark.parametrize(
    ("arguments", "rule"),
    [
        ({"destination": SYNTHETIC, "name": "portal.corp.example"}, "apps"),
        ({"destination": SYNTHETIC, "name": "portal.corp.example", "service": "tcp/8100"}, "apps"),
        ({"destination": SYNTHETIC, "name": "portal.corp.example", "service": "udp/7"}, "apps"),
        ({"destination": SYNTHETIC, "name": "portal.corp.example", "service": "tcp/22"}, STRAY_RULE),
        ({"destination": SYNTHETIC, "name": "portal.corp.example", "service": "icmp"}, STRAY_RULE),
        ({"destination": SYNTHETIC, "name": "portal.corp.example", "service": "tcp"}, STRAY_RULE),
        ({"destination": SYNTHETIC, "name": "portal.corp.example", "location": "aws-co2"}, STRAY_RULE),
        ({"destination": SYNTHETIC, "name": "a.dev.corp.example", "service": "tcp/22"}, "apps"),
        ({"destination": SYNTHETIC, "name": "dev.corp.example", "service": "tcp/22"}, STRAY_RULE),
        ({"destination": SYNTHETIC, "name": "secret.corp.example"}, "no-secret"),
        ({"destination": SYNTHETIC}, STRAY_RULE),
        ({"destination": "10.253.255.255"}, DEFAULT_RULE),
        ({"destination": INTERNET}, DEFAULT_RULE),
        ({"destination": INTERNET, "name": "evil.example"}, "no-evil"),
        ({"destination": INTERNET, "name": "www.evil.example"}, DEFAULT_RULE),
        ({"destination": INTERNET, "name": "x.y.bad.example"}, "no-evil"),
        ({"destination": INTERNET, "name": "bad.example"}, DEFAULT_RULE),
        ({"destination": "192.0.2.66"}, "no-evil"),
        ({"destination": "10.8.9.9", "service": "udp/53"}, "east-west"),
        ({"destination": "10.8.9.9", "source": "10.9.0.1"}, DEFAULT_RULE),
        ({"destination": "203.0.113.9", "service": "tcp/80"}, "updates"),
        ({"destination": "203.0.113.10", "service": "tcp/80"}, DEFAULT_RULE),
        ({"destination": "203.0.113.9", "service": "tcp"}, DEFAULT_RULE),
        ({"destination": "203.0.113.9", "service": "icmp"}, "updates"),
        ({"destination": "203.0.113.9", "service": "tcp/80", "group": "cc-group-2"}, DEFAULT_RULE),
    ],
)
def test_the_first_rule_that_matches_decides(arguments, rule):
    assert rule_of(**arguments) == rule


def test_an_explanation_names_the_first_criterion_that_did_not_match():
    flow = parse_flow("10.8.6.4", SYNTHETIC, "tcp/22", name="Portal.Corp.Example.", location="aws-co1")
    found = explain(POLICY, flow).to_dict()
    assert found["rule"]["name"] == STRAY_RULE and found["method"] == "DROP"
    assert [(m["rule"], m["criterion"], m["seen"]) for m in found["above"]] == [
        ("off", "enabled", "the rule is switched off"),
        ("empty", "applications", "the rule names no application, so nothing matches it"),
        ("no-secret", "applications", "portal.corp.example belongs to application portal"),
        ("apps", "applications", "tcp/22 is no port of application portal"),
        ("no-evil", "destinations", "10.254.0.7 (portal.corp.example)"),
        ("east-west", "destinations", "10.254.0.7 (portal.corp.example)"),
        ("updates", "connector_groups", "no group"),
    ]
    assert found["above"][5]["wanted"] == ["10.8.0.0/16"] and found["flow"]["application"] == "portal"
    json.dumps(found)


def test_an_explanation_is_printed_whole():
    console = Console(width=160)
    flow = parse_flow("10.8.6.4", SYNTHETIC, "tcp/443", location="aws-co1")
    with console.capture() as captured:
        console.print(explain(POLICY, flow))
    text = captured.get()
    assert f"rule 7 '{STRAY_RULE}' decides: DROP" in text
    assert "every application" in text
    assert "ask the private edge" in text.replace("\n", " ")


@pytest.mark.parametrize("service", ["any", "tcp/1-2", "http"])
def test_the_service_of_a_flow_is_one_service(service):
    with pytest.raises(ValueError, match="allowed"):
        parse_flow("10.8.6.4", INTERNET, service)
