"""Wrong arguments of fastpath.classify and its model: each is named, and nothing is made."""

import numpy as np
import pytest

from criteria_strategies import columns, labels, patterns, ranges
from fastpath import classify as native
from fastpath.criteria import Ages, Countries, Criteria, Ports, Services
from model import classify as reference


@pytest.fixture(params=[native, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def arguments(**changes):
    return {"actions": np.zeros(2, np.uint8), "rule_of": np.zeros(1, np.int32), "criteria": Criteria()} | changes


@pytest.mark.parametrize(("argument", "value"), [
    ("actions", np.zeros(2, np.int8)),
    ("actions", np.zeros((2, 1), np.uint8)),
    ("rule_of", np.array([1, 0], np.int32)),
    ("rule_of", np.array([0, 2], np.int32)),
    ("rule_of", np.zeros(0, np.int32)),
    ("rule_of", np.array([-1, 1], np.int32)),
    ("rule_of", np.zeros((1 << 18) + 1, np.int32)),
    ("name_capacity", 0),
    ("name_capacity", (1 << 26) + 1),
    ("names", b"a.corp\n"),
    ("names", b"a.corp"),
    ("name_categories", np.zeros(1, np.int64)),
])  # fmt: skip
def test_a_wrong_argument_is_named(impl, argument, value):
    with pytest.raises(ValueError, match=argument):
        impl.RuleSet(1, **arguments(**{argument: value}))


CHANGED = labels([(0, 1)], [[1]])
SPAN, SERVICE = ranges([(0, "10.0.0.0/8", False)]), columns(Services, [(0, 6, 1, 2)])
NAMED = patterns(["a.corp"], [False], [(0, 0, False)])


@pytest.mark.parametrize(("column", "lines"), [
    ("location.clause", labels([(1, 1)], [[1]])),
    ("location.clause", labels([(-1, 1)], [[1]])),
    ("location.label", labels([(0, -1)], [[1]])),
    ("location.label", CHANGED._replace(label=np.zeros(2, np.int32))),
    ("location.label", CHANGED._replace(label=np.zeros(1, np.int64))),
    ("location.members", labels([(0, 1)], [[-1]])),
    ("location.offsets", CHANGED._replace(offsets=np.zeros(0, np.int32))),
    ("location.offsets", CHANGED._replace(offsets=np.array([0, 2], np.int32))),
    ("location.offsets", CHANGED._replace(offsets=np.array([0, 2, 1], np.int32))),
    ("source.version", SPAN._replace(version=np.array([5], np.uint8))),
    ("source.first", SPAN._replace(first=np.zeros((1, 16), np.uint8))),
    ("source.first", SPAN._replace(first=np.zeros((1, 4), np.uint8))),
    ("source.last", SPAN._replace(first=SPAN.last, last=SPAN.first)),
    ("destination.excluded", SPAN._replace(excluded=np.ones(1, bool))),
    ("destination_name.texts", NAMED._replace(texts=("a.corp", "a.corp"))),
    ("destination_name.texts", NAMED._replace(texts=("*.",))),
    ("destination_name.texts", NAMED._replace(texts=("a" * 256,))),
    ("destination_name.owner", NAMED._replace(owner=np.zeros(2, bool))),
    ("destination_name.pattern", NAMED._replace(pattern=np.ones(1, np.int32))),
    ("destination_name.owned", NAMED._replace(owned=np.ones(1, bool))),
    ("tag_age", columns(Ages, [(0, 2, 1)])),
    ("service.protocol", SERVICE._replace(protocol=np.array([256], np.int16))),
    ("service.low", SERVICE._replace(low=np.array([-2], np.int32))),
    ("service.high", SERVICE._replace(high=np.array([65_536], np.int32))),
    ("service", SERVICE._replace(low=np.array([3], np.int32))),
    ("source_port.low", columns(Ports, [(0, -1, 2)])),
    ("source_port.high", columns(Ports, [(0, 1, 65_536)])),
    ("source_port", columns(Ports, [(0, 2, 1)])),
])  # fmt: skip
def test_a_wrong_column_is_named(impl, column, lines):
    with pytest.raises(ValueError, match=column):
        impl.RuleSet(1, **arguments(criteria=Criteria(**{column.partition(".")[0]: lines})))


@pytest.mark.parametrize(("argument", "value"), [
    ("criteria", ()),
    ("criteria.source", Criteria(source=CHANGED)),
    ("countries", ()),
    ("countries", Countries(1, 2)),
    ("workloads", {}),
])  # fmt: skip
def test_an_argument_of_another_class_is_refused(impl, argument, value):
    with pytest.raises(TypeError, match=argument):
        impl.RuleSet(1, **arguments(**{argument.partition(".")[0]: value}))


@pytest.mark.parametrize(("criterion", "table"), [
    ("source_workload", "workloads"), ("destination_workload", "workloads"), ("country", "countries"),
    ("destination_country", "countries"),
])  # fmt: skip
def test_a_table_that_a_criterion_needs_is_asked_for(impl, criterion, table):
    with pytest.raises(ValueError, match=table):
        impl.RuleSet(1, **arguments(criteria=Criteria(**{criterion: CHANGED})))
