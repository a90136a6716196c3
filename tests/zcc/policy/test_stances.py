"""What becomes of a rule's flows while something has failed."""

import pytest
from pydantic import ValidationError

from zcc.policy.model import Method, Policy, Rule
from zcc.policy.stances import Failure, GatewayDown, effective, fails_open, meanwhile, parse_trouble

GROUPS = {"source_workload_groups": ["g"]}


def methods(rules, *failures):
    listed = [Rule.model_validate({"name": f"r{n}", **rule}) for n, rule in enumerate(rules)]
    return [str(rule.method) for rule in effective(listed, frozenset(failures))]


def zia(stance):
    return {"method": "ZIA", "on_failure": {"edge_down": stance} if stance else {}}


@pytest.mark.parametrize(("stance", "method"), [("open", "DIRECT"), ("closed", "DROP"), ("hold", "ZIA"), (None, "ZIA")])
def test_a_stance_counts_while_no_internet_edge_is_up(stance, method):
    assert methods([zia(stance)], Failure.ZIA_DOWN) == [method]
    assert methods([zia(stance)]) == methods([zia(stance)], Failure.ZPA_DOWN, Failure.TAGS_STALE) == ["ZIA"]


@pytest.mark.parametrize(("stance", "method"), [("closed", "DROP"), ("hold", "ZPA")])
def test_a_stance_counts_while_no_private_edge_is_up(stance, method):
    rule = {"method": "ZPA", "all_applications": True, "on_failure": {"edge_down": stance}}
    assert methods([rule], Failure.ZPA_DOWN) == [method] and methods([rule], Failure.ZIA_DOWN) == ["ZPA"]


def test_a_stance_counts_while_the_rule_s_own_gateway_is_down_and_no_other():
    near, all_edges = {**zia("closed"), "gateway": "near"}, zia("closed")
    assert methods([near, all_edges], GatewayDown("near")) == ["DROP", "ZIA"]
    assert methods([near, all_edges], GatewayDown("far")) == ["ZIA", "ZIA"]
    assert methods([near, all_edges], Failure.ZIA_DOWN, GatewayDown("near")) == ["DROP", "DROP"]


@pytest.mark.parametrize("for_all", [False, True])
@pytest.mark.parametrize(("gateway", "stance", "opens"), [
    (None, None, None), ("near", None, True), ("far", None, False), ("near", "hold", False), (None, "open", False)])
def test_without_a_stance_the_gateway_says_what_the_data_plane_does_and_without_one_the_file(for_all, gateway, stance, opens):
    rule = {"name": "r", **zia(stance), "gateway": gateway}
    policy = Policy.model_validate({
        "rules": [rule], "fail_open": for_all, "edges": ["ie-1"],
        "gateways": [{"name": "near", "primary": "ie-1", "fail": "open"}, {"name": "far", "primary": "ie-1"}]})
    assert fails_open(policy.rules[0], policy) == (for_all if opens is None else opens)
    assert fails_open(policy.ordered()[-1], policy) == for_all      # the default rule
    assert not fails_open(policy.ordered()[-2], policy)             # DROP


@pytest.mark.parametrize(("stance", "method"), [("open", "LOCAL"), ("closed", "DROP")])
def test_a_stance_counts_while_tags_are_stale(stance, method):
    rule = {"method": "LOCAL", "on_failure": {"tags_stale": stance}, **GROUPS}
    assert methods([rule], Failure.TAGS_STALE) == [method] and methods([rule], Failure.ZIA_DOWN) == ["LOCAL"]


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"method": "DROP", "on_failure": {"edge_down": "open"}}, "ZIA and ZPA"),
        ({"method": "ZPA", "on_failure": {"edge_down": "open"}}, "allowed: closed, hold"),
        ({"method": "ZIA", "on_failure": {"tags_stale": "open"}}, "tags_stale is for rules with"),
        ({"method": "ZIA", "on_failure": {"tags_stale": "hold"}, **GROUPS}, "allowed: open, closed"),
        ({"method": "ZIA", "on_failure": {"pool_full": "open"}}, "pool_full is for the method ZPA"),
        ({"method": "ZIA", "on_failure": {"edge_down": "maybe"}}, "'open', 'closed' or 'hold'"),
    ],
)
def test_a_stance_that_can_not_be_is_refused(rule, message):
    with pytest.raises(ValidationError, match=message):
        Rule.model_validate({"name": "r", **rule})


def test_a_rule_keeps_its_criteria_and_place():
    closed = Rule(name="a", method=Method.ZIA, on_failure={"edge_down": "closed"}, countries=("DE",))
    rules = [closed, Rule(name="b", method=Method.LOCAL)]
    a, b = effective(rules, frozenset({Failure.ZIA_DOWN}))
    assert (a.name, a.countries, a.method) == ("a", ("DE",), Method.DROP) and b is rules[1]


GATEWAYS = [{"name": "near", "primary": "ie-1", "fail": "open"}, {"name": "far", "primary": "ie-1"}]


@pytest.mark.parametrize(("rule", "failed", "method"), [
    ({}, ["zia"], "ZIA"), ({"gateway": "near"}, ["near"], "DIRECT"), ({"gateway": "near"}, ["zia"], "DIRECT"),
    ({"gateway": "near"}, ["far"], "ZIA"), ({"gateway": "far"}, ["far"], "ZIA"),
    ({"gateway": "near", "on_failure": {"edge_down": "closed"}}, ["near"], "DROP"),
    ({"gateway": "near", "on_failure": {"edge_down": "hold"}}, ["near"], "ZIA"),
    ({"on_failure": {"edge_down": "open"}}, ["zia"], "DIRECT"), ({"on_failure": {"edge_down": "open"}}, ["zpa"], "ZIA"),
    ({"on_failure": {"tags_stale": "closed"}, **GROUPS}, ["tags"], "DROP"),
])
def test_what_becomes_of_a_flow_meanwhile_can_be_asked(rule, failed, method):
    policy = Policy.model_validate({
        "edges": ["ie-1"], "gateways": GATEWAYS, "workload_groups": [{"name": "g", "expression": "vm-tag-a=b"}],
        "rules": [{"name": "r", "method": "ZIA", **rule}]})
    troubles = frozenset(parse_trouble(word, policy) for word in failed)
    assert str(meanwhile(policy.rules[0], policy, troubles)) == method
    with pytest.raises(ValueError, match="'nea' can not fail; allowed: zia, zpa, tags, near, far"):
        parse_trouble("nea", policy)
