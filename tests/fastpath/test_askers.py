"""fastpath.askers and its model, by one suite; what the table's fixed size means, on the compiled one."""

from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import askers as native
from model import askers as reference

SEED, SECOND = bytes(range(1, 33)), 10**9
PLACES, GROUP = 8192, 4


@pytest.fixture(params=[native, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def source(number):
    return IPv6Address(0xFFFF_0A00_0000 + number).packed


def granted(table, namespace, who, times, now_ns):
    return sum(table.ask(namespace, who, now_ns) for _ in range(times))


def test_a_source_may_ask_its_share_at_once_and_again_as_time_goes_by(impl):
    table = impl.AskerTable(10, seed=SEED)
    assert granted(table, 1, source(1), 50, 5 * SECOND) == 10
    assert granted(table, 1, source(1), 50, 5 * SECOND + SECOND // 2) == 5
    assert granted(table, 1, source(1), 50, 500 * SECOND) == 10


def test_another_address_and_the_same_one_elsewhere_have_shares_of_their_own(impl):
    table = impl.AskerTable(3, seed=SEED)
    askers = [(1, source(1)), (1, source(2)), (2, source(1))]
    assert [granted(table, *who, 9, SECOND) for who in askers] == [3, 3, 3]


def test_no_rate_is_no_bound(impl):
    assert granted(impl.AskerTable(0, seed=SEED), 1, source(1), 5000, SECOND) == 5000


def test_without_a_rate_there_is_a_bound(impl):
    assert impl.AskerTable(seed=SEED).rate == 250


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, SECOND)), max_size=80), st.sampled_from([1, 3, 7, 1000]))
def test_compiled_one_grants_what_the_model_grants(questions, rate):
    tables = [made.AskerTable(rate, seed=SEED) for made in (native, reference)]
    now = SECOND
    for who, later in questions:
        now += later
        assert tables[0].ask(1, source(who), now) == tables[1].ask(1, source(who), now)


def test_a_flood_from_many_sources_gets_no_more_than_all_places_together_may_ask():
    table = native.AskerTable(2, seed=SEED)
    asked = sum(table.ask(1, source(number), SECOND) for number in range(20 * PLACES))
    assert asked <= 2 * PLACES


def test_a_flood_from_fewer_sources_than_places_leaves_a_stranger_his_share():
    table = native.AskerTable(100, seed=SEED)
    for number in range(PLACES // 2):
        granted(table, 1, source(number), 99, SECOND)
    assert granted(table, 1, source(1 << 20), 10, SECOND) >= 1


@pytest.mark.parametrize("arguments", [{"rate": -1}, {"rate": 1_000_001}, {"seed": bytes(32)}, {"seed": b"short"}])
def test_wrong_arguments_are_refused(impl, arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        impl.AskerTable(**{"rate": 5, "seed": SEED, **arguments})


@pytest.mark.parametrize(("namespace", "who", "name"), [(-1, source(1), "namespace"), (1 << 16, source(1), "namespace"),
                                                        (1, bytes(15), "source")])
def test_wrong_questions_are_refused_and_cost_nothing(impl, namespace, who, name):
    table = impl.AskerTable(1, seed=SEED)
    with pytest.raises(ValueError, match=name):
        table.ask(namespace, who, SECOND)
    assert table.ask(1, source(1), SECOND)
