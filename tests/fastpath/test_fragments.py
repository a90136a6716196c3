"""The fragment table and its model, by one suite: fragments in any order, overlaps, floods, bounds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, fragment6
from scapy.packet import Raw

from fastpath import fragments
from fastpath.action import DropReason
from fastpath.batch import PacketBatch
from fastpath.fragments import Origin
from model import fragments as reference

from .test_refusal import row

SEED, SECOND = bytes(range(32)), 1_000_000_000
HELD, DROPPED = -2, -1
WORKLOAD, KERNEL, EDGE = Origin


@pytest.fixture(params=[fragments, reference], ids=["fastpath", "model"])
def table(request):
    return lambda capacity=64, held=8: request.param.FragmentTable(capacity, held, seed=SEED)


def part(first, length, more, identification=7, source="10.8.6.4"):
    """An IPv4 UDP fragment of these bytes of a datagram."""
    return bytes(IP(src=source, dst="10.8.7.4", id=identification, proto=17, flags="MF" if more else 0, frag=first // 8)
                 / Raw(bytes(length)))


def part6(first, length, more, identification=7):
    return bytes(IPv6(src="fd00:8::4", dst="fd00:8::5") / IPv6ExtHdrDestOpt()
                 / IPv6ExtHdrFragment(nh=17, offset=first // 8, m=more, id=identification) / Raw(bytes(length)))


def enter(table, data, now=0, origin=WORKLOAD, namespace=1, again=False):
    """(outcome, reason) of a fragment."""
    batch = row(data, 128)
    batch.namespace[0] = namespace
    return table.enter_one(batch, 0, origin, now, again), DropReason(int(batch.reason[0]))


def begin(table, flow=5, data=None, now=0):
    number, _ = enter(table, part(0, 64, True) if data is None else data, now)
    table.settle_one(number, flow, 99, 1)
    return number


@pytest.mark.parametrize("make", [part, part6], ids=["v4", "v6"])
def test_later_fragments_find_what_was_settled_for_the_first(table, make):
    made = table()
    number = begin(made, data=make(0, 64, True))
    assert enter(made, make(64, 64, True)) == (number, 0)
    assert made.follow_one(number) == (5, 99, 1)
    assert enter(made, make(128, 9, False)) == (number, 0)
    made.follow_one(number)
    with pytest.raises(ValueError, match="number"):
        made.follow_one(number)                        # all of it was seen


def test_another_identification_protocol_namespace_origin_or_end_is_another_datagram(table):
    made = table()
    number = begin(made)
    other = bytearray(part(64, 8, True))
    other[9] = 6
    assert enter(made, other)[0] == HELD
    assert enter(made, part(64, 8, True, 8))[0] == HELD
    assert enter(made, part(64, 8, True, source="10.8.6.5"))[0] == HELD
    assert enter(made, part(64, 8, True), namespace=2)[0] == HELD
    assert enter(made, part(64, 8, True), origin=KERNEL)[0] == HELD
    assert enter(made, part(64, 8, True))[0] == number


def test_ipv6_next_header_of_a_later_fragment_does_not_count(table):
    made = table()
    number = begin(made, data=part6(0, 64, True))
    later = bytearray(part6(64, 8, True))
    later[48] = 60
    assert enter(made, later)[0] == number


def test_what_comes_before_the_first_waits_and_is_released_as_it_came(table):
    made = table()
    early = [part(64, 64, True), part(128, 9, False)]
    assert [enter(made, data)[0] for data in early] == [HELD, HELD]
    assert (made.waiting, made.ready) == (2, 0)
    begin(made)
    assert (made.waiting, made.ready) == (2, 2)
    batch = PacketBatch(1)
    assert made.release_rows(batch, EDGE) == 0
    out = []
    while made.release_rows(batch, WORKLOAD):
        out.append(batch.frame(0))
    assert out == early
    assert (made.waiting, made.ready) == (0, 0)


def test_what_waits_for_too_long_is_lost_and_counted(table):
    made = table()
    enter(made, part(64, 64, True), now=0)
    enter(made, part(64, 64, True, 8), now=SECOND)
    assert made.sweep_held(SECOND) == 0
    assert made.sweep_held(SECOND + 1) == 1
    assert (made.waiting, made.sweep_held(SECOND + 1)) == (1, 0)


def test_no_more_frames_of_one_datagram_wait_than_may(table):
    made = table(held=64)
    outcomes = [enter(made, part(64 + 8 * k, 8, True)) for k in range(18)]
    assert outcomes == [(HELD, 0)] * 16 + [(DROPPED, DropReason.DROP_FRAGMENT_ORPHAN)] * 2


def test_a_flood_of_frames_that_wait_pushes_out_the_oldest():
    made = fragments.FragmentTable(64, 8, seed=SEED)
    for k in range(100):
        assert enter(made, part(64, 64, True, k))[0] == HELD
    assert (made.waiting, made.sweep_held(0)) == (8, 92)


def test_a_flood_of_datagrams_pushes_out_the_oldest_only(table):
    made = table(capacity=4)
    old = begin(made)
    for k in range(3):
        enter(made, part(0, 64, True, 100 + k))
    assert enter(made, part(64, 8, True))[0] == old
    enter(made, part(0, 64, True, 200))
    assert enter(made, part(72, 8, True))[0] == HELD


@pytest.mark.parametrize("make", [part, part6], ids=["v4", "v6"])
@pytest.mark.parametrize("again", [(0, 72, True), (8, 16, True), (56, 16, True), (120, 16, True)],
                         ids=["first once more, longer", "inside the first", "over its end", "over a later one"])
def test_an_overlap_drops_what_is_left_of_the_datagram(table, make, again):
    made = table()
    number = begin(made, data=make(0, 64, True))
    assert enter(made, make(128, 64, True))[0] == number
    assert enter(made, make(*again)) == (DROPPED, DropReason.DROP_FRAGMENT_OVERLAP)
    assert enter(made, make(64, 64, True)) == (DROPPED, DropReason.DROP_FRAGMENT_OVERLAP)


@pytest.mark.parametrize("last", [[(64, 8, False), (72, 8, True)], [(128, 8, True), (64, 8, False)],
                                  [(64, 8, False), (72, 8, False)]],
                         ids=["beyond the end", "an end before what was seen", "two ends"])
def test_a_datagram_has_one_end(table, last):
    made = table()
    begin(made)
    assert [enter(made, part(*one))[1] for one in last] == [0, DropReason.DROP_FRAGMENT_OVERLAP]


def test_the_same_fragment_again_is_dropped_alone(table):
    made = table()
    number = begin(made)
    assert enter(made, part(64, 64, True))[0] == number
    for same in ((64, 64, True), (0, 64, True)):
        assert enter(made, part(*same)) == (DROPPED, DropReason.DROP_FRAGMENT_DUPLICATE)
    assert enter(made, part(128, 8, True))[0] == number


def test_a_first_fragment_that_was_decided_late_may_come_again(table):
    made = table()
    number, _ = enter(made, part(0, 64, True))
    assert enter(made, part(64, 8, False))[0] == HELD
    assert enter(made, part(0, 64, True), again=True) == (number, 0)
    made.settle_one(number, 5, 99, 0)
    assert made.ready == 1
    assert enter(made, part(0, 64, True), again=True)[1] == DropReason.DROP_FRAGMENT_DUPLICATE


def test_a_dropped_first_fragment_takes_the_others_with_it(table):
    made = table()
    enter(made, part(64, 8, True))
    number, _ = enter(made, part(0, 64, True))
    made.settle_one(number, -1, verdict=DropReason.DROP_POLICY)
    assert made.ready == 1
    assert enter(made, part(72, 8, True)) == (DROPPED, DropReason.DROP_POLICY)


@pytest.mark.parametrize("shape", [(0, 60, True), (65_528, 8, False), (64, 0, True)],
                         ids=["no eights", "past the end", "empty"])
def test_what_no_datagram_can_have_is_dropped(table, shape):
    assert enter(table(), part(*shape)) == (DROPPED, DropReason.DROP_FRAGMENT_SHAPE)


def test_more_fragments_than_a_datagram_may_have_drop_it(table):
    made = table()
    begin(made)
    reasons = [enter(made, part(64 + 8 * k, 8, True))[1] for k in range(65)]
    assert reasons == [0] * 63 + [DropReason.DROP_FRAGMENT_SHAPE] * 2


def test_a_datagram_is_forgotten_after_its_time(table):
    made = table()
    number = begin(made)
    assert enter(made, part(64, 8, True), now=10 * SECOND)[0] == number
    assert enter(made, part(72, 8, True), now=10 * SECOND + 1)[0] == HELD


def test_scapys_fragments_of_both_families_go_one_way(table):
    whole = IP(src="10.8.6.4", dst="10.8.7.4", id=5) / UDP(sport=1, dport=2) / Raw(bytes(3000))
    whole6 = IPv6(src="fd00:8::4", dst="fd00:8::5") / IPv6ExtHdrFragment(id=5) / UDP(sport=1, dport=2) / Raw(bytes(3000))
    for pieces in (fragment(whole, 1000), fragment6(whole6, 1280)):
        made = table()
        first, *later = [bytes(piece) for piece in pieces]
        number = begin(made, data=first)
        assert len(later) >= 2
        for piece in later:
            assert enter(made, piece) == (number, 0)
            made.follow_one(number)


def test_wrong_calls_are_named(table):
    made = table()
    batch = row(part(0, 64, True), 128)
    for call, name in ((lambda: made.enter_one(batch, 1, 0, 0), "row_number"),
                       (lambda: made.enter_one(batch, 0, 3, 0), "origin"),
                       (lambda: made.settle_one(3, 1), "number"), (lambda: made.follow_one(-1), "number"),
                       (lambda: made.release_rows(batch, 9), "origin"), (lambda: table(0), "capacity"),
                       (lambda: table(1, 0), "held")):
        with pytest.raises(ValueError, match=name):
            call()
    whole = row(bytes(IP() / UDP()), 128)
    with pytest.raises(ValueError, match="row_number"):
        made.enter_one(whole, 0, 0, 0)


STEPS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 3), st.booleans(), st.integers(0, 2), st.integers(0, 3)), max_size=40)


@settings(max_examples=200, deadline=None)
@given(STEPS)
def test_any_order_of_fragments_ends_as_in_the_model(steps):
    made, model, now = fragments.FragmentTable(2, 64, seed=SEED), reference.FragmentTable(2, 64, seed=SEED), 0
    for first, length, more, identification, what in steps:
        now += what * SECOND // 2
        data = part(8 * first, 8 * length + (not more) * 3 + 8 * (first == 0), more, identification)
        if row(data, 128).reason[0] or not row(data, 128).fragment[0]:
            continue
        outcome = enter(made, data, now)
        assert outcome == enter(model, data, now)
        if outcome[0] >= 0 and first == 0:
            made.settle_one(outcome[0], identification, 1, 0)
            model.settle_one(outcome[0], identification, 1, 0)
        elif outcome[0] >= 0:
            assert made.follow_one(outcome[0]) == model.follow_one(outcome[0])
        assert made.sweep_held(now) == model.sweep_held(now)
        assert (made.waiting, made.ready) == (model.waiting, model.ready)
