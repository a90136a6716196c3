"""Which edge takes new flows."""

from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.itunnel.choice import Choice

S = 1_000_000_000


def test_first_edge_that_is_up_takes_flows_at_once() -> None:
    choice = Choice(3, 5 * S)
    assert choice.active is None
    assert choice.update([False, False, True], 0) == 2


def test_a_dead_edge_is_left_at_once() -> None:
    choice = Choice(2, 5 * S)
    choice.update([True, True], 0)
    assert choice.update([False, True], 1) == 1
    assert choice.update([False, False], 2) is None


def test_at_the_start_a_better_edge_is_not_kept_waiting() -> None:
    choice = Choice(2, 5 * S)
    assert choice.update([False, True], 0) == 1
    assert choice.update([True, True], 1) == 0


def test_a_better_edge_that_was_lost_waits_until_it_has_been_up_for_the_hold_down() -> None:
    choice = Choice(2, 5 * S)
    choice.update([True, True], 0)
    choice.update([False, True], 0)
    assert choice.update([True, True], 1 * S) == 1
    assert choice.next_ns(1 * S) == 6 * S
    assert choice.update([True, True], 6 * S - 1) == 1
    assert choice.update([True, True], 6 * S) == 0
    assert choice.next_ns(6 * S) is None


def test_an_edge_that_flaps_begins_its_wait_again() -> None:
    choice = Choice(2, 5 * S)
    choice.update([False, True], 0)
    choice.update([True, True], 1 * S)
    choice.update([False, True], 5 * S)
    assert choice.update([True, True], 5 * S + 1) == 1
    assert choice.update([True, True], 7 * S) == 1
    assert choice.update([True, True], 10 * S + 1) == 0


def test_a_worse_edge_never_takes_over_from_a_living_one() -> None:
    choice = Choice(2, 1 * S)
    choice.update([True, False], 0)
    assert choice.update([True, True], 100 * S) == 0


@given(st.lists(st.tuples(st.lists(st.booleans(), min_size=3, max_size=3), st.integers(0, 3 * S)), max_size=40))
@settings(max_examples=150, deadline=None)
def test_the_active_edge_is_up_whenever_one_is(steps: list[tuple[list[bool], int]]) -> None:
    choice, now = Choice(3, 2 * S), 0
    for up, pause in steps:
        now += pause
        active = choice.update(up, now)
        assert (active is None) == (not any(up))
        assert active is None or up[active]
