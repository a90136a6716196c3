"""The search for a path's MTU: against paths whose size it can not see, with and without loss."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.itunnel.pathmtu import BASE_BYTES, FAN, TRIES, PathMtu, Phase, inner_mtu, outer_mtu, plain_bytes
from zcc.itunnel.wire import SizeAnswer

SECOND = 1_000_000_000


class Path:
    """A path of a size, with a round trip and loss; time passes as the machine asks."""

    def __init__(self, machine: PathMtu, size: int, rtt_ns: int = 20_000_000,
                 lost: Callable[[], bool] = lambda: False) -> None:
        self.machine, self.size, self.rtt_ns, self.lost = machine, size, rtt_ns, lost
        self.now, self.on_their_way, self.largest = 0, [], 0

    def run(self, until_ns: int) -> None:
        """Let time pass."""
        while self.now < until_ns:
            due = min([self.machine.next_ns, *(at for at, _ in self.on_their_way), until_ns])
            self.now = max(self.now, due)
            arrived = [answer for at, answer in self.on_their_way if at <= self.now]
            self.on_their_way = [(at, answer) for at, answer in self.on_their_way if at > self.now]
            for answer in arrived:
                self.machine.answer(answer, self.now)
            for probe in self.machine.probes(self.now):
                assert probe.size >= 16
                if probe.size <= plain_bytes(self.size) and not self.lost():
                    self.on_their_way.append((self.now + self.rtt_ns, SizeAnswer(probe.number, probe.size)))


@pytest.mark.parametrize(("version", "packet"), [(4, 1500), (4, 1492), (4, 1400), (4, 1229), (6, 1500), (6, 1281), (4, 9001)])
def test_the_size_of_a_path_is_found_to_the_byte(version: int, packet: int) -> None:
    size = packet - (28 if version == 4 else 48)
    path = Path(PathMtu(version, 8973, 0), size)
    path.run(10 * SECOND)
    assert path.machine.phase is Phase.COMPLETE
    assert outer_mtu(path.machine.size, version) == min(packet, outer_mtu(8973, version))


def test_a_path_that_takes_all_is_known_after_one_round_trip() -> None:
    path = Path(PathMtu(4, 1472, 0), 1472)
    path.run(20_000_001)
    assert (path.machine.phase, path.machine.size) == (Phase.COMPLETE, 1472)
    assert inner_mtu(1472) == 1407


def test_it_starts_at_the_base() -> None:
    machine = PathMtu(6, 1452, 0)
    assert (machine.size, machine.phase) == (BASE_BYTES[6], Phase.BASE)
    assert outer_mtu(machine.size, 6) == 1280


@given(size=st.integers(1200, 8973), ceiling=st.integers(1200, 8973), rtt_ms=st.integers(1, 150))
@settings(max_examples=150, deadline=None)
def test_it_converges_to_any_size_in_a_bounded_number_of_probes(size: int, ceiling: int, rtt_ms: int) -> None:
    path = Path(PathMtu(4, ceiling, 0), size, rtt_ms * 1_000_000)
    path.run(15 * SECOND)
    assert path.machine.size == min(size, ceiling)
    assert path.machine.phase is Phase.COMPLETE
    searched = path.machine.sent
    assert searched <= TRIES * (FAN + 1) * 6 + 8
    path.run(25 * SECOND)
    assert path.machine.sent - searched <= 10, "what is found is only looked at again"


@given(size=st.integers(1200, 1600), seed=st.integers(0, 2**32), loss=st.floats(0, 0.4))
@settings(max_examples=100, deadline=None)
def test_loss_never_makes_it_find_more_than_there_is(size: int, seed: int, loss: float) -> None:
    chance = random.Random(seed)
    machine = PathMtu(4, 1600, 0)
    path = Path(machine, size, lost=lambda: chance.random() < loss)
    for second in range(1, 30):
        path.run(second * SECOND)
        assert machine.size <= max(size, 1200)
    path.lost = lambda: False
    path.run(700 * SECOND)             # the raise timer finds what loss has hidden
    assert machine.size == size


def test_a_black_hole_lowers_at_once_and_the_new_size_is_found() -> None:
    path = Path(PathMtu(4, 1472, 0), 1472)
    path.run(9 * SECOND)
    path.size = 1272
    path.run(12 * SECOND)              # 2 s between looks, and three tries
    assert path.machine.size < 1273 and path.machine.black_holes == 1
    path.run(15 * SECOND)
    assert (path.machine.size, path.machine.phase) == (1272, Phase.COMPLETE)


@pytest.mark.parametrize(("before", "after"), [(1472, 1000), (1472, 548), (8973, 1199), (1000, 700)])
def test_a_path_that_shrinks_below_the_base_is_a_black_hole_too(before: int, after: int) -> None:
    path = Path(PathMtu(4, 8973, 0), before)
    path.run(20 * SECOND)
    assert path.machine.size == before
    path.size = after
    path.run(30 * SECOND)
    assert (path.machine.size, path.machine.black_holes, path.machine.phase) == (after, 1, Phase.COMPLETE)
    path.size = 1472
    path.run(700 * SECOND)
    assert path.machine.size == 1472


def test_a_silent_path_is_no_black_hole() -> None:
    path = Path(PathMtu(4, 1472, 0), 1472)
    path.run(9 * SECOND)
    path.lost = lambda: True
    path.run(60 * SECOND)
    assert (path.machine.size, path.machine.black_holes) == (1472, 0)


def test_a_path_that_has_grown_is_used_after_the_raise_timer() -> None:
    path = Path(PathMtu(4, 1472, 0), 1300)
    path.run(9 * SECOND)
    assert path.machine.size == 1300
    path.size = 1472
    path.run(620 * SECOND)
    assert path.machine.size == 1472


@given(size=st.integers(600, 1472), before=st.integers(1200, 1472), renewals=st.lists(st.integers(0, 4_000), max_size=6))
@settings(max_examples=200, deadline=None)
def test_sessions_renewed_at_any_time_find_what_one_finds(size: int, before: int, renewals: list[int]) -> None:
    path = Path(PathMtu(4, 1472, 0), before)
    path.run(9 * SECOND)
    path.size = size
    for at_ms in sorted(renewals):
        path.run(9 * SECOND + at_ms * 1_000_000)
        path.on_their_way.clear()
        path.machine = PathMtu(4, 1472, path.now, path.machine)
    path.run(path.now + 15 * SECOND)
    assert path.machine.size == min(size, before), "more is looked for when the raise timer ends"


def test_a_path_that_has_grown_is_used_though_sessions_are_renewed() -> None:
    path = Path(PathMtu(4, 1472, 0), 1300)
    path.run(9 * SECOND)
    path.size = 1472
    for minute in range(1, 10):
        path.run(minute * 60 * SECOND)
        path.machine = PathMtu(4, 1472, path.now, path.machine)
    assert path.machine.size == 1300
    path.run(620 * SECOND)
    assert path.machine.size == 1472


@pytest.mark.parametrize(("ceiling", "size"), [(1300, 1300), (1500, 1472)])
def test_a_session_whose_interface_has_changed_finds_what_it_carries(ceiling: int, size: int) -> None:
    path = Path(PathMtu(4, 1400, 0), 1472)
    path.run(9 * SECOND)
    path.machine = PathMtu(4, ceiling, path.now, path.machine)
    path.run(15 * SECOND)
    assert path.machine.size == size


def test_a_path_below_the_base_is_an_error_and_what_passes_is_found() -> None:
    path = Path(PathMtu(4, 1472, 0), 1000)
    path.run(3 * SECOND)
    assert path.machine.size <= 1200
    path.run(10 * SECOND)
    assert path.machine.size == 1000


def test_a_peer_that_does_not_answer_is_sent_the_base_and_asked_rarely() -> None:
    path = Path(PathMtu(4, 1472, 0), 0)
    path.run(300 * SECOND)
    assert path.machine.size == 1200
    assert path.machine.sent < 600


@pytest.mark.parametrize("which", ["first", "last"])
def test_answers_that_come_after_their_round_count(which: str) -> None:
    machine = PathMtu(4, 1472, 0)
    early = list(machine.probes(0))
    now = 0
    while machine.phase is not Phase.ERROR:
        now = machine.next_ns
        early += machine.probes(now)
    for probe in (early[:8] if which == "first" else early[-8:]):
        machine.answer(SizeAnswer(probe.number, probe.size), now)
    path = Path(machine, 1472)
    path.now = now
    path.run(now + 5 * SECOND)
    assert (machine.size, machine.phase) == (1472, Phase.COMPLETE)


def test_answers_nobody_asked_for_change_nothing() -> None:
    machine = PathMtu(4, 1472, 0)
    probes = machine.probes(0)
    assert not machine.answer(SizeAnswer(probes[-1].number, 9000), 1)
    assert not machine.answer(SizeAnswer(77, probes[-1].size), 1)
    assert machine.size == 1200


@pytest.mark.parametrize(("version", "ceiling"), [(5, 1500), (4, 547), (6, 1231)])
def test_what_can_not_be_is_refused(version: int, ceiling: int) -> None:
    with pytest.raises(ValueError, match=r"version|ceiling"):
        PathMtu(version, ceiling, 0)
