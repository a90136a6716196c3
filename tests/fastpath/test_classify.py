"""fastpath.classify and its model, by one suite: one criterion at a time."""

from ipaddress import ip_address

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from criteria_strategies import (
    NAMES,
    NOW,
    batch_of,
    columns,
    criteria,
    labels,
    packed,
    packets,
    patterns,
    ranges,
    tables,
)
from fastpath import classify as native
from fastpath.action import DropReason, Fragment
from fastpath.criteria import Ages, Countries, Criteria, Ports, Services
from fastpath.lpm import Lpm4, Lpm6
from fastpath.workloads import Workloads
from model import classify as reference

TCP, UDP, ICMP = 6, 17, 1
NONE, FIRST, LATER = Fragment.FRAGMENT_NONE, Fragment.FRAGMENT_FIRST, Fragment.FRAGMENT_LATER
ITSELF = [[], [1], [2], [3]]     # numbers 1 to 3 carry themselves


@pytest.fixture(params=[native, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def ruleset(impl, clauses=1, *, rule_of=None, names=(), capacity=16, generation=1, tables=None, **wanted):
    """Clause n is rule n; one rule more is for what none matches."""
    rule_of = np.arange(clauses, dtype=np.int32) if rule_of is None else np.array(rule_of, np.int32)
    return impl.RuleSet(
        generation, actions=np.zeros(int(rule_of[-1]) + 2, np.uint8), rule_of=rule_of, criteria=Criteria(**wanted),
        names="".join(f"{name}\n" for name in names).encode(), name_capacity=capacity, **(tables or {}))  # fmt: skip


def packet(source="10.8.6.4", destination="192.0.2.1", protocol=TCP, port=443, fragment=NONE, **more):
    pair = ip_address(source), ip_address(destination)
    return (pair, protocol, more.get("source_port", 40_000), port, fragment, more.get("namespace", 1),
            more.get("location", 0), more.get("name", 0))  # fmt: skip


def decided(rules, *packets):
    batch, locations, names = batch_of(packets)
    out = np.full(len(packets), -7, np.int32)
    assert rules.decide_batch(batch, locations, names, out, NOW) == len(packets)
    return out.tolist()


def test_without_criteria_the_first_rule_decides(impl):
    assert decided(ruleset(impl, 3), packet()) == [0]


def test_what_no_clause_matches_is_the_last_rules(impl):
    assert decided(ruleset(impl, 2, location=labels([(0, 1), (1, 2)], ITSELF)), packet(location=3)) == [2]


def test_a_location_carries_its_groups_too(impl):
    rules = ruleset(impl, 3, location=labels([(0, 1), (1, 7), (2, 2)], [[], [1], [2, 7], [3, 7]]))
    assert [decided(rules, packet(location=n))[0] for n in (0, 1, 2, 3, 4, 2**32 - 1)] == [3, 0, 1, 1, 3, 3]


def test_a_namespace_is_told_by_its_number(impl):
    rules = ruleset(impl, namespace=labels([(0, 2)], ITSELF))
    assert [decided(rules, packet(namespace=n))[0] for n in (1, 2, 65_535)] == [1, 0, 1]


def test_a_source_is_in_one_of_the_ranges_of_a_clause(impl):
    source = ranges([(0, "10.0.0.0/8", False), (0, "fd00::/8", False), (0, "192.0.2.5-192.0.2.9", False)])
    rules = ruleset(impl, source=source)
    seen = [packet("10.9.0.1"), packet("11.0.0.1"), packet("192.0.2.4"), packet("192.0.2.5"), packet("192.0.2.9"),
            packet("192.0.2.10"), packet("fd00::1", "fd00::2"), packet("fe00::1", "fd00::2")]  # fmt: skip
    assert decided(rules, *seen) == [0, 1, 1, 0, 0, 1, 0, 1]


def test_an_excluded_source_does_not_match_wherever_else_it_is(impl):
    rules = ruleset(impl, 2, source=ranges([(0, "10.0.0.0/8", False), (0, "10.8.0.0/16", True), (0, "10.8.6.0/24", False),
                                            (1, "10.8.6.4/32", True)]))  # fmt: skip
    assert decided(rules, packet("10.9.0.1"), packet("10.8.6.5"), packet("10.8.6.4"), packet("11.0.0.1")) == [0, 1, 2, 1]


@pytest.mark.parametrize(("span", "within", "beside"), [
    ("0.0.0.0/0", ["0.0.0.0", "255.255.255.255"], ["::", "::ffff:10.0.0.1"]),
    ("::/0", ["::", "::ffff:10.0.0.1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"], ["0.0.0.0", "255.255.255.255"]),
    ("255.255.255.255/32", ["255.255.255.255"], ["255.255.255.254"]),
    ("0.0.0.1-255.255.255.254", ["0.0.0.1", "255.255.255.254", "128.0.0.0"], ["0.0.0.0", "255.255.255.255"]),
    ("::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", ["::1", "8000::"], ["::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]),
])  # fmt: skip
def test_a_range_ends_where_it_ends(impl, span, within, beside):
    rules = ruleset(impl, source=ranges([(0, span, False)]))
    assert {decided(rules, packet(a, a))[0] for a in within} == {0}
    assert {decided(rules, packet(a, a))[0] for a in beside} == {1}


def workloads(**changes):
    made = {
        "namespaces": np.array([1, 2, 1], np.uint16),
        "addresses": np.array([packed(a) for a in ("10.8.6.4", "10.8.6.4", "192.0.2.1")], np.uint8),
        "sets": np.array([0, 1, 1], np.uint32), "feeds": np.array([0, 1, 1], np.uint8),
        "confirmed_ns": np.array([NOW - 10, NOW - 60], np.int64),
    } | changes  # fmt: skip
    return {"workloads": Workloads(*made.values())}


def test_a_workload_is_known_by_namespace_and_address(impl):
    wanted = labels([(0, 5), (1, 6)], [[5], [6]])
    rules = ruleset(impl, 2, source_workload=wanted, tables=workloads())
    assert [decided(rules, packet(namespace=n))[0] for n in (1, 2, 3)] == [0, 1, 2]
    assert decided(rules, packet("::ffff:10.8.6.4", "::1")) == [2]
    rules = ruleset(impl, 2, destination_workload=wanted, tables=workloads())
    assert decided(rules, packet(), packet(destination="192.0.2.2")) == [1, 2]


def test_the_age_of_tags_is_that_of_their_feed(impl):
    ages = columns(Ages, [(0, 0, 11), (1, 11, 61), (2, 61, 2**64 - 1)])
    table = workloads()
    rules = ruleset(impl, 3, tag_age=ages, tables=table)
    assert [decided(rules, packet(namespace=n))[0] for n in (1, 2, 3)] == [0, 1, 2]
    table["workloads"].confirm(1, NOW + 5)      # later than the worker's clock: no age below 0
    assert decided(rules, packet(namespace=2)) == [0]


def test_networks_names_countries_and_categories_of_a_destination_are_alternatives(impl):
    tables = {"countries": Countries(Lpm4(0), Lpm6(0)), "name_categories": np.array([0, 9, 1], np.uint32)}
    tables["countries"].v4.insert("198.51.100.0/24", 3)
    rules = ruleset(
        impl, tables=tables, names=("a.corp", "b.example"),
        destination=ranges([(0, "192.0.2.0/24", False)]), destination_name=patterns(["a.corp"], [False], [(0, 0, False)]),
        destination_country=labels([(0, 3)], ITSELF), destination_category=labels([(0, 2)], [[1], [2]]))  # fmt: skip
    far = "203.0.113.1"
    seen = [packet(), packet(destination=far, name=1), packet(destination="198.51.100.7"), packet(destination=far, name=2),
            packet(destination=far), packet(destination=far, name=3)]  # fmt: skip
    assert decided(rules, *seen) == [0, 0, 0, 0, 1, 1]


def test_country_and_category_by_themselves_are_wanted_besides(impl):
    tables = {"countries": Countries(Lpm4(0), Lpm6(3)), "name_categories": np.array([0, 1], np.uint32)}
    tables["countries"].v4.insert("192.0.2.0/24", 3)
    rules = ruleset(impl, tables=tables, names=("a.corp",), destination=ranges([(0, "192.0.0.0/16", False)]),
                    country=labels([(0, 3)], ITSELF), category=labels([(0, 2)], [[1], [2]]))  # fmt: skip
    seen = [packet(name=1), packet(), packet(destination="192.0.3.1", name=1), packet(name=2)]
    assert decided(rules, *seen) == [0, 1, 1, 1]


def test_a_name_matches_every_pattern_above_it_and_belongs_to_the_nearest_owner(impl):
    texts = ["*.corp", "x.corp", "*.x.corp", "corp"]
    names = ("x.corp", "y.x.corp", "z.corp", "corp", "com")
    any_name = ruleset(impl, 2, names=names, destination_name=patterns(texts, [True] * 4, [(0, 2, False), (1, 0, False)]))
    far = [packet(name=n) for n in (1, 2, 3, 4, 5)]
    assert decided(any_name, *far) == [1, 0, 1, 2, 2]
    owned = ruleset(impl, names=names, destination_name=patterns(texts, [True, True, False, True], [(0, 0, True)]))
    assert decided(owned, *far) == [1, 0, 0, 1, 1]     # x.corp is another's, *.x.corp is no owner


def test_a_service_is_known_by_protocol_and_port(impl):
    services = columns(Services, [(0, TCP, 443, 443), (0, UDP, 50, 60), (1, 47, -1, 0), (2, -1, 80, 80), (3, ICMP, 0, 65_535)])
    rules = ruleset(impl, 4, service=services)
    seen = [packet(), packet(protocol=UDP, port=60), packet(protocol=UDP, port=61), packet(protocol=47, port=443),
            packet(port=80), packet(protocol=UDP, port=80), packet(protocol=ICMP, port=80)]  # fmt: skip
    assert decided(rules, *seen) == [0, 0, 4, 1, 2, 2, 4]


def test_overlapping_ports_of_a_clause_end_at_the_last_end(impl):
    services = columns(Services, [(0, TCP, 10, 20), (0, TCP, 15, 30), (0, TCP, 65_535, 65_535), (0, TCP, 0, 0)])
    rules = ruleset(impl, service=services)
    ports = (0, 1, 9, 10, 20, 21, 30, 31, 65_534, 65_535)
    assert decided(rules, *(packet(port=p) for p in ports)) == [0, 1, 1, 0, 0, 0, 0, 1, 1, 0]


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_a_later_fragment_matches_only_what_wants_no_port(impl, protocol):
    services = columns(Services, [(0, protocol, 0, 65_535), (1, protocol, -1, 0)])
    rules = ruleset(impl, 2, service=services)
    assert decided(rules, *(packet(protocol=protocol, fragment=f) for f in (FIRST, LATER))) == [0, 1]
    rules = ruleset(impl, 2, source_port=columns(Ports, [(0, 0, 65_535)]))
    assert decided(rules, *(packet(protocol=protocol, fragment=f) for f in (FIRST, LATER))) == [0, 1]


def test_a_source_port_is_one_of_tcp_or_udp(impl):
    rules = ruleset(impl, source_port=columns(Ports, [(0, 1024, 2047)]))
    assert [decided(rules, packet(source_port=p))[0] for p in (1023, 1024, 2047, 2048)] == [1, 0, 0, 1]
    assert decided(rules, packet(protocol=ICMP, source_port=1024)) == [1]


def test_clauses_of_one_rule_count_as_that_rule(impl):
    carried = [[], *([i] for i in range(5))]
    rules = ruleset(impl, rule_of=[0, 0, 2, 2, 3], location=labels([(i, i) for i in range(5)], carried))
    assert [decided(rules, packet(location=i + 1))[0] for i in range(5)] == [0, 0, 2, 2, 3]


@pytest.mark.parametrize("clauses", [63, 64, 65, 4096, 4097, 10_000])
def test_rules_of_more_than_one_word_keep_their_order(clauses):
    """Each clause wants a place of its own, and every third any at all; so a later one must not win."""
    lines = [(i, i) for i in range(clauses) if i % 3]
    rules = ruleset(native, clauses, location=labels(lines, [[i] for i in range(clauses)]),
                    namespace=labels([(i, 1) for i in range(0, clauses, 3)], ITSELF))  # fmt: skip
    wanted = [i for i in range(0, clauses, max(1, clauses // 50)) if i % 3]
    assert decided(rules, *(packet(location=i, namespace=2) for i in wanted)) == wanted
    assert decided(rules, *(packet(location=i) for i in wanted)) == [0] * len(wanted)


def test_a_dead_row_is_not_decided(impl):
    batch, locations, names = batch_of([packet()] * 3)
    batch.reason[1] = DropReason.DROP_PACKET_SHORT
    out = np.zeros(4, np.int32)
    assert ruleset(impl).decide_batch(batch, locations, names, out) == 2
    assert out.tolist() == [0, -1, 0, 0]


def test_a_name_seen_after_compilation_is_bound(impl):
    rules = ruleset(impl, names=("a.corp",), destination_name=patterns(["*.corp"], [False], [(0, 0, False)]))
    assert decided(rules, packet(name=1), packet(name=5)) == [0, 1]
    rules.bind_name(5, "b.corp")
    rules.bind_name(5, "b.corp")
    assert decided(rules, packet(name=5), packet(name=4), packet(name=2**32 - 1)) == [0, 1, 1]
    assert rules.speaks_of("c.corp") and not rules.speaks_of("corp")
    for number, name in ((0, "c.corp"), (16, "c.corp"), (5, "c.example")):
        with pytest.raises(ValueError, match="name_id"):
            rules.bind_name(number, name)


def test_a_name_is_bound_with_its_categories(impl):
    rules = ruleset(impl, category=labels([(0, 2)], [[1], [2]]))
    rules.bind_name(3, "a.corp", 1)
    assert decided(rules, packet(name=3), packet(name=4)) == [0, 1]


@pytest.mark.parametrize("short", ["locations", "name_ids", "out"])
def test_arrays_shorter_than_the_batch_are_refused(impl, short):
    arrays = {"locations": np.zeros(2, np.uint32), "name_ids": np.zeros(2, np.uint32), "out": np.zeros(2, np.int32)}
    arrays[short] = arrays[short][:1]
    with pytest.raises(ValueError, match=short):
        ruleset(impl).decide_batch(batch_of([packet()] * 2)[0], *arrays.values())


def test_arrays_are_copied_and_cannot_be_changed(impl):
    lines = labels([(0, 1)], ITSELF)
    rules = ruleset(impl, location=lines)
    lines.label[:] = 2
    assert decided(rules, packet(location=1)) == [0]
    with pytest.raises(ValueError, match="read-only"):
        rules.actions[0] = 1


@settings(max_examples=150, deadline=None)
@given(st.data(), st.sampled_from([1, 3, 64, 65, 130, 300]))
def test_random_rules_decide_as_the_model_decides(data, clauses):
    made = {
        "actions": np.zeros(clauses + 1, np.uint8), "criteria": data.draw(criteria(clauses)), "name_capacity": 10,
        "rule_of": np.arange(clauses, dtype=np.int32) // data.draw(st.integers(1, 3)), **data.draw(tables()),
    }  # fmt: skip
    known = data.draw(st.lists(st.sampled_from(NAMES), max_size=8))
    batch, locations, names = batch_of(data.draw(st.lists(packets, max_size=40)))
    outs = [np.full(batch.count, -7, np.int32) for _ in range(2)]
    for impl, out in zip((native, reference), outs, strict=True):
        rules = impl.RuleSet(1, names="".join(f"{name}\n" for name in known).encode(), **made)
        rules.bind_name(9, "y.x.b.corp", 2)
        rules.decide_batch(batch, locations, names, out, NOW)
    assert outs[0].tolist() == outs[1].tolist()
