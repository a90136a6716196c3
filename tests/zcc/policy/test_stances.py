"""What becomes of a rule's flows while something has failed."""

import pytest
from pydantic import ValidationError

from zcc.policy.model import Method, Rule
from zcc.policy.stances import Failure, effective

GROUPS = {"source_workload_groups": ["g"]}


def methods(rules, *failures, fail_open=False):
    listed = [Rule.model_validate({"name": f"r{n}", **rule}) for n, rule in enumerate(rules)]
    return [str(rule.method) for rule in effective(listed, frozenset(failures), fail_open)]


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


def test_what_the_file_says_for_all_counts_for_rules_that_say_nothing():
    rules = [zia("closed"), zia(None)]
    assert methods(rules, Failure.ZIA_DOWN, fail_open=True) == ["DROP", "DIRECT"]
    assert methods(rules, Failure.ZIA_DOWN) == ["DROP", "ZIA"]
    assert methods([zia(None)], Failure.ZIA_DOWN, fail_open=True) == ["ZIA"]  # the worker does it by itself


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
