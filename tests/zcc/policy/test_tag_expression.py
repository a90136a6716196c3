"""The language of workload groups: text, JSON, and what they mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcc.policy.objects.tag_containers import read_containers, write_containers
from zcc.policy.objects.tag_expression import (
    Operator,
    Tag,
    TagError,
    TagType,
    join,
    parse_expression,
    terms_of,
)
from zcc.policy.objects.workload_group import WorkloadGroup
from zcc.policy.workload import Workload

SEED = "vm-tag-group=Dev OR vm-tag-group=Prod\nAND\nvm-tag-app=API\nAND\nattr-Vpc-id=vpc-1 OR attr-Vpc-id=vpc-2\n"

words = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=0, max_size=8).filter(
    str.isprintable
)
tags = st.builds(Tag, st.sampled_from(list(TagType)), words, words)
expressions = st.recursive(
    tags,
    lambda inner: st.builds(join, st.sampled_from(list(Operator)), st.lists(inner, min_size=1, max_size=4)),
    max_leaves=12,
)


@given(expressions)
def test_an_expression_prints_to_what_reads_as_it(expression):
    assert parse_expression(str(expression)) == expression


@given(expressions)
def test_containers_hold_the_same_expression(expression):
    assert read_containers(write_containers(expression)) == expression
    assert read_containers({"expressionJson": write_containers(expression)}) == expression


@given(expressions, st.dictionaries(words, words, max_size=3))
def test_both_forms_mean_the_same_workloads(expression, own):
    picked = [(tag.key, tag.value) for tag in terms_of(expression)][::2]
    workload = Workload("", None, {TagType.VM: {**own, **dict(picked)}}, {})
    truth = expression.matches(workload)
    assert parse_expression(str(expression)).matches(workload) is truth
    assert read_containers(write_containers(expression)).matches(workload) is truth


@pytest.mark.parametrize(
    ("group", "app", "vpc", "meant"),
    [
        ("Dev", "API", "vpc-1", True),
        ("Prod", "API", "vpc-2", True),
        ("Test", "API", "vpc-1", False),
        ("Dev", "Web", "vpc-1", False),
        ("Dev", "API", "vpc-3", False),
    ],
)
def test_rows_with_an_operator_between_them_are_a_table(group, app, vpc, meant):
    workload = Workload("", None, {TagType.VM: {"group": group, "app": app}}, {"Vpc-id": vpc})
    assert parse_expression(SEED).matches(workload) is meant


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("vm-tag-a=1", "vm-tag-a=1"),
        ("VM-TAG-a=1 and eni-tag-b=2", "vm-tag-a=1 AND eni-tag-b=2"),
        ("vm-tag-a=1 OR vm-tag-b=2 AND vm-tag-c=3", "vm-tag-a=1 OR (vm-tag-b=2 AND vm-tag-c=3)"),
        ("(vm-tag-a=1 OR vm-tag-b=2) AND vm-tag-c=3", "(vm-tag-a=1 OR vm-tag-b=2) AND vm-tag-c=3"),
        ("((any-tag-a=1))", "any-tag-a=1"),
        ('subnet-tag-"cost center"="R & D"', 'subnet-tag-"cost center"="R & D"'),
        ('vpc-tag-a=""', 'vpc-tag-a=""'),
        ("(vm-tag-a=1\nOR\nvm-tag-b=2) AND vm-tag-c=3", "(vm-tag-a=1 OR vm-tag-b=2) AND vm-tag-c=3"),
        ("attr-IamInstanceProfile-Arn=arn:aws:iam::1:x/y", "attr-IamInstanceProfile-Arn=arn:aws:iam::1:x/y"),
    ],
)
def test_what_is_read_is_printed_without_doubt(text, printed):
    assert str(parse_expression(text)) == printed


@pytest.mark.parametrize(
    ("text", "where", "allowed"),
    [
        ("", "column 1: the end", "a tag such as"),
        ("vm-tag-a=1 AND", "column 15: the end", "a tag such as"),
        ("(vm-tag-a=1", "column 12: the end", "AND, OR or )"),
        ("vm-tag-a=1)", "column 11: ')'", "AND, OR or the end"),
        ("vm-tag-a=1 vm-tag-b=2", "column 12: 'vm-tag-b=2'", "AND, OR or the end"),
        ("host-tag-a=1", "column 1: 'host-tag-a=1'", "a tag such as"),
        ("vm-tag-a", "column 1: 'vm-tag-a'", "a tag such as"),
        ("vm-tag-a=1\nAND\n(vm-tag-b=2 XOR vm-tag-c=3)", "line 3, column 13: 'XOR'", "AND, OR or )"),
        ("(" * 40 + "vm-tag-a=1" + ")" * 40, "column 34", "at most 32"),
        (" OR ".join(["vm-tag-a=1"] * 1025), "", "at most 1024 tags"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_its_place_and_what_is_allowed(text, where, allowed):
    with pytest.raises(TagError) as found:
        parse_expression(text)
    assert where in str(found.value) and allowed in str(found.value)


CONTAINER = {"tagType": "VM", "operator": "AND", "tagContainer": {"operator": "OR", "tags": [{"key": "a", "value": "1"}]}}


@pytest.mark.parametrize(
    ("containers", "message"),
    [
        ([], "container 0: the end"),
        ([{**CONTAINER, "tagType": "HOST"}], "container 0: HOST; allowed here: tagType ANY, VPC, SUBNET, VM, ENI, ATTR"),
        ([{**CONTAINER, "operator": "NOT"}], "container 0: NOT"),
        ([CONTAINER, {"operator": "CLOSE_PARENTHESES"}], "container 1: CLOSE_PARENTHESES"),
        ([{"operator": "OPEN_PARENTHESES"}, CONTAINER], "container 2: the end"),
        ([{**CONTAINER, "tagContainer": {"operator": "OR", "tags": [{"key": 1}]}}], "key and value"),
        ([{**CONTAINER, "tagContainer": {"operator": "OR", "tags": []}}], "tags of one key and value or more"),
        (["x"], "container 0: x"),
        ("x", "a list expressionContainers"),
    ],
)
def test_a_wrong_container_is_told_with_its_number(containers, message):
    with pytest.raises(TagError, match=r".") as found:
        read_containers({"expressionContainers": containers})
    assert message in str(found.value)


def test_the_operator_inside_parentheses_joins_what_comes_after_them():
    listed = [{"operator": "OPEN_PARENTHESES"}, {**CONTAINER, "operator": "OR"}, {**CONTAINER, "tagType": "ENI"},
              {"operator": "CLOSE_PARENTHESES"}, {**CONTAINER, "tagType": "VPC"}]  # fmt: skip
    found = read_containers({"expressionContainers": listed})
    assert str(found) == "(vm-tag-a=1 OR eni-tag-a=1) AND vpc-tag-a=1"


def test_a_group_reads_either_form_and_prints_text():
    listed = {"expressionContainers": [CONTAINER]}
    for expression in ("vm-tag-a=1", listed):
        group = WorkloadGroup.model_validate({"name": "g", "expression": expression})
        assert group.model_dump(mode="json")["expression"] == "vm-tag-a=1"
