"""Targets: thresholds, fail-open, draining, and which target a flow gets."""

from ipaddress import IPv4Address
from random import Random

import pytest

from zcc.lab.emulator.settings import HealthSettings
from zcc.lab.emulator.targets import Choice, State, Targets

ONE, TWO = IPv4Address("10.1.200.11"), IPv4Address("10.1.200.12")


def targets(*, rebalance: bool = True) -> Targets:
    return Targets((ONE, TWO), HealthSettings(healthy=3, unhealthy=2), rebalance=rebalance)


def test_the_first_good_check_makes_a_new_target_healthy() -> None:
    made = targets()
    assert made.by_address[ONE].state is State.INITIAL
    assert made.note(ONE, None)
    assert made.choice().eligible == (int(ONE),)


def test_a_target_is_unhealthy_after_the_threshold_of_bad_checks_in_a_row() -> None:
    made = targets()
    made.note(ONE, None)
    for problem in ("answered 503", None, "answered 503"):
        assert not made.note(ONE, problem)
    assert made.note(ONE, "no answer within 5 s")
    assert made.by_address[ONE].state is State.UNHEALTHY
    assert made.by_address[ONE].reason == "no answer within 5 s"


def test_an_unhealthy_target_needs_the_threshold_of_good_checks_in_a_row() -> None:
    made = targets()
    made.note(ONE, "refused")
    made.note(ONE, "refused")
    assert [made.note(ONE, None) for _ in range(3)] == [False, False, True]


def test_flows_of_an_unhealthy_target_move_only_with_rebalance() -> None:
    for rebalance, moving in ((True, frozenset({int(ONE)})), (False, frozenset())):
        made = targets(rebalance=rebalance)
        made.note(ONE, "refused")
        made.note(ONE, "refused")
        assert made.choice().abandoned == moving


def test_a_deregistered_target_keeps_its_flows_until_the_delay_is_over() -> None:
    made = targets()
    made.note(ONE, None)
    made.deregister(ONE, until_s=30.0)
    assert made.choice().eligible == ()
    assert made.choice().registered == (int(TWO),)
    assert not made.finish_draining(29.9)
    assert made.choice().abandoned == frozenset()
    assert made.finish_draining(30.0)
    assert made.choice().abandoned == {int(ONE)}
    made.register(ONE)
    assert made.by_address[ONE].state is State.INITIAL


def test_deregistering_a_stranger_is_refused() -> None:
    with pytest.raises(KeyError):
        targets().deregister(IPv4Address("192.0.2.1"), 0)


def test_each_choice_is_newer_than_the_one_before() -> None:
    made = targets()
    assert made.choice().generation < made.choice().generation


def test_a_lost_target_moves_only_its_own_flows() -> None:
    random = Random(1)
    all_three = Choice((11, 12, 13), (11, 12, 13), frozenset())
    two_left = Choice((11, 13), (11, 13), frozenset())
    for _ in range(500):
        flow = random.getrandbits(64)
        before = all_three.pick(flow, random)
        if before != 12:
            assert two_left.pick(flow, random) == before


def test_flows_spread_evenly_over_targets() -> None:
    random = Random(2)
    choice = Choice((11, 12), (11, 12), frozenset())
    first = sum(choice.pick(random.getrandbits(64), random) == 11 for _ in range(2000))
    assert 850 < first < 1150


def test_with_all_targets_unhealthy_any_registered_one_is_picked() -> None:
    choice = Choice((), (11, 12), frozenset({11, 12}))
    assert {choice.pick(7, Random(seed)) for seed in range(20)} == {11, 12}


def test_without_any_target_none_is_picked() -> None:
    assert Choice((), (), frozenset()).pick(7, Random(0)) is None
