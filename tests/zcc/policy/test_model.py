"""Policy as an operator writes it: what is accepted, what is refused and how."""

import pytest
from pydantic import ValidationError

from zcc.policy.model import DEFAULT_RULE, STRAY_RULE, Method, Policy, Rule
from zcc.policy.objects.catalogue import Catalogue
from zcc.policy.references import problems

PORTAL = {"name": "portal", "domains": ["portal.corp.example"], "tcp": [80, 443, "8000-8100"], "udp": [7]}
EXAMPLE = {
    "locations": ["aws-co1", "aws-co2"],
    "applications": [PORTAL],
    "rules": [
        {"name": "apps", "method": "ZPA", "applications": ["portal"]},
        {"name": "no-evil", "method": "DROP", "destinations": ["evil.example", "*.bad.example"]},
        {"name": "east-west", "method": "LOCAL", "sources": ["10.8.6.0/24"],
         "destinations": ["10.8.0.0/16", "fd00:8::/32"]},
        {"name": "updates", "method": "DIRECT", "locations": ["aws-co1"], "connector_groups": ["cc-group-1"],
         "destinations": ["203.0.113.0/24"], "services": ["tcp/80", "udp/5000-5100", "icmp"]},
    ],
}  # fmt: skip


def test_the_predefined_rules_come_last():
    rules = Policy.model_validate(EXAMPLE).ordered()
    assert [rule.name for rule in rules[-3:]] == ["updates", STRAY_RULE, DEFAULT_RULE]
    assert [rule.method for rule in rules[-2:]] == [Method.DROP, Method.ZIA]


def test_a_policy_prints_back_to_what_was_written():
    policy = Policy.model_validate(EXAMPLE)
    assert policy.model_dump(mode="json")["rules"][3]["services"] == ["tcp/80", "udp/5000-5100", "icmp"]
    assert Policy.model_validate(policy.model_dump(mode="json")) == policy


def test_the_schema_can_be_exported():
    assert (
        Policy.model_json_schema()["$defs"]["Rule"]["properties"]["destinations"]["items"]["type"] == "string"
    )


@pytest.mark.parametrize(
    ("method", "criterion"),
    [
        ("ZIA", {"applications": ["a"]}),
        ("ZIA", {"all_applications": True}),
        ("DIRECT", {"applications": ["a"]}),
        ("LOCAL", {"all_applications": True}),
        ("ZPA", {"applications": ["a"], "destinations": ["10.0.0.0/8"]}),
        ("ZPA", {"applications": ["a"], "services": ["tcp"]}),
        ("DROP", {"applications": ["a"], "destinations": ["10.0.0.0/8"]}),
        ("DROP", {"applications": ["a"], "all_applications": True}),
    ],
)
def test_a_criterion_that_the_method_does_not_have_is_refused(method, criterion):
    with pytest.raises(ValidationError, match=r"cannot be used"):
        Rule(name="r", method=method, **criterion)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rules": [{"name": "r", "method": "ZIA", "locations": ["aws-c01"]}]}, "did you mean 'aws-co1'"),
        ({"rules": [{"name": "r", "method": "ZPA", "applications": ["portl"]}]}, "did you mean 'portal'"),
        ({"rules": [{"name": "r", "method": "ZIA", "locations": ["x"]}]}, "allowed: aws-co1, aws-co2"),
        ({"rules": [{"name": "r", "method": "ZIA"}] * 2}, "rule name 'r' is used twice"),
        ({"rules": [{"name": STRAY_RULE, "method": "ZIA"}]}, "is used twice"),
        ({"applications": [PORTAL, PORTAL]}, "application name 'portal' is used twice"),
        ({"applications": [PORTAL, {**PORTAL, "name": "other"}]}, "belongs to application 'portal' already"),
        ({"applications": [{"name": "a", "domains": ["a.example"]}]}, "has no ports"),
        ({"applications": [{**PORTAL, "domains": []}]}, "at least 1"),
        ({"rules": [{"name": "x" * 32, "method": "ZIA"}]}, "at most 31"),
        ({"rules": [{"name": "r", "method": "ZAP"}]}, "'ZIA', 'ZPA', 'DIRECT', 'DROP' or 'LOCAL'"),
        ({"rules": [{"name": "r", "method": "ZIA", "destination": ["10.0.0.0/8"]}]}, "Extra inputs"),
    ],
)
def test_a_wrong_policy_says_what_is_allowed(changes, message):
    with pytest.raises(ValidationError, match=message):
        Policy.model_validate(EXAMPLE | changes)


def test_a_problem_has_its_place_in_the_configuration():
    rules = [Rule(name="r", method="ZIA", locations=("aws-co1", "aws-co9"))]
    catalogue = Catalogue.model_validate({"locations": ["aws-co1"]})
    [(place, _)] = problems(catalogue, rules, [], [])
    assert place == ("rules", 0, "locations", 1)


def test_only_a_rule_that_drops_may_reject() -> None:
    assert Rule(name="no", method="DROP", reject=True).reject
    with pytest.raises(ValueError, match="reject is for the method DROP, not LOCAL"):
        Rule(name="no", method="LOCAL", reject=True)
