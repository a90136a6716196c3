"""AliasTable and EndpointMap: two customers with one address stay two."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import alias as compiled
from fastpath.endpoint import EndpointMap
from model import alias as model

SECOND = 10**9


@pytest.fixture(params=[compiled, model], ids=["fastpath", "model"])
def impl(request):
    return request.param


def test_same_address_in_two_namespaces_gets_two_aliases(impl):
    table = impl.AliasTable("198.18.0.2", 10)
    one, two = table.alias(1, "10.8.6.4"), table.alias(2, "10.8.6.4")
    assert one != two
    assert table.workload(one) == (1, ipaddress.ip_address("10.8.6.4"))
    assert table.workload(two) == (2, ipaddress.ip_address("10.8.6.4"))


def test_exhausted_table_gives_none_and_keeps_the_old(impl):
    table = impl.AliasTable("198.18.0.2", 1)
    first = table.alias(1, "10.0.0.1")
    assert table.alias(1, "10.0.0.2") is None
    assert table.alias(1, "10.0.0.1") == first


def test_an_alias_that_no_flow_has_had_for_long_is_another_s_once_none_is_left(impl):
    table = impl.AliasTable("198.18.0.2", 2)
    held, quiet = table.alias(1, "10.0.0.1", 0), table.alias(1, "10.0.0.2", 0)
    table.hold_one(0)
    table.hold_one(1)
    table.give_one(1, 7 * SECOND)
    assert table.alias(1, "10.0.0.3", 306 * SECOND) is None
    assert table.alias(1, "10.0.0.3", 307 * SECOND) == quiet
    assert table.workload(quiet) == (1, ipaddress.ip_address("10.0.0.3"))
    assert table.workload(held) == (1, ipaddress.ip_address("10.0.0.1"))
    assert table.alias(1, "10.0.0.2", 308 * SECOND) is None                # who had it is as new as any other
    assert table.alias(1, "10.0.0.1", 9999 * SECOND) == held and table.size == 2


def test_who_asks_for_its_alias_keeps_it(impl):
    table = impl.AliasTable("198.18.0.2", 2)
    first, second = table.alias(1, "10.0.0.1", 0), table.alias(1, "10.0.0.2", 1)
    assert table.alias(1, "10.0.0.1", 200 * SECOND) == first
    assert table.alias(1, "10.0.0.3", 400 * SECOND) == second


def test_unknown_alias_is_none(impl):
    table = impl.AliasTable("198.18.0.2", 4)
    assert table.workload("198.18.0.2") is None
    assert table.workload("198.18.0.1") is None


@pytest.mark.parametrize(("base", "capacity"), [("198.18.0.2", 0), ("255.255.255.250", 10)])
def test_capacity_that_does_not_fit_is_named(impl, base, capacity):
    with pytest.raises(ValueError, match="capacity"):
        impl.AliasTable(base, capacity)


def test_namespace_out_of_range_is_named(impl):
    with pytest.raises(ValueError, match="namespace"):
        impl.AliasTable("198.18.0.2", 4).alias(65536, "10.0.0.1")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))), max_size=40)
)
def test_both_give_the_same_aliases(asked):
    fast, slow = compiled.AliasTable("198.18.0.2", 20), model.AliasTable("198.18.0.2", 20)
    for namespace, address in asked:
        mapped = getattr(address, "ipv4_mapped", None)
        one = mapped or address
        assert fast.alias(namespace, one) == slow.alias(namespace, one)
    assert fast.size == slow.size


STEPS = st.one_of(
    st.tuples(st.just("alias"), st.integers(0, 1), st.integers(0, 12)), st.tuples(st.just("hold"), st.integers(0, 7)),
    st.tuples(st.just("give"), st.integers(0, 7)), st.tuples(st.just("wait"), st.integers(1, 400)))


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS, max_size=80))
def test_any_steps_end_as_in_the_model(steps):
    tables, now = [made.AliasTable("198.18.0.2", 8) for made in (compiled, model)], 0
    for kind, *values in steps:
        if kind == "wait":
            now += values[0] * SECOND
            continue
        said = []
        for table in tables:
            try:
                if kind == "alias":
                    said.append(table.alias(values[0], f"10.0.0.{values[1]}", now))
                elif kind == "hold":
                    said.append(table.hold_one(values[0]))
                else:
                    said.append(table.give_one(values[0], now))
            except ValueError:
                said.append(ValueError)
        assert said[0] == said[1]
    addresses = [ipaddress.IPv4Address("198.18.0.2") + k for k in range(8)]
    assert [tables[0].workload(each) for each in addresses] == [tables[1].workload(each) for each in addresses]


def test_endpoints_are_found_also_when_they_collide():
    endpoints = [(k * 16 + 5, k + 1, k) for k in range(40)]
    table = EndpointMap(endpoints)
    assert [table.get(e[0]) for e in endpoints] == [(e[1], e[2]) for e in endpoints]
    assert table.get(6) is None


@pytest.mark.parametrize("endpoints", [[(1, 1, 0), (1, 2, 0)], [(1, 0, 0)], [(1, 65535, 0)]])
def test_bad_endpoints_are_named(endpoints):
    with pytest.raises(ValueError, match="endpoint"):
        EndpointMap(endpoints)
