"""One edge's life, on a clock that only moves when told."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.itunnel.session import ProbeSession
from zcc.itunnel.wire import ProbeAnswer

MS = 1_000_000
INTERVAL = 500 * MS


def answered(session: ProbeSession, now: int, delay: int = 5 * MS) -> None:
    """Probe at `now` and answer it `delay` later."""
    probe = session.probe(now)
    assert probe is not None
    assert session.answer(ProbeAnswer(probe.sequence, probe.time_ns), now + delay)


def test_first_probe_is_due_at_once_and_the_next_an_interval_later() -> None:
    session = ProbeSession(INTERVAL, 4, 0)
    assert session.probe(0) is not None
    assert session.probe(INTERVAL - 1) is None
    assert session.next_ns == INTERVAL
    assert session.probe(INTERVAL) is not None


def test_it_is_up_with_the_first_answer_and_measures_the_way() -> None:
    session = ProbeSession(INTERVAL, 4, 0)
    assert not session.up
    answered(session, 0, 8 * MS)
    assert session.up
    assert session.rtt_ns == 8 * MS
    answered(session, INTERVAL, 16 * MS)
    assert session.rtt_ns == 9 * MS


def test_it_fails_after_exactly_so_many_lost_probes() -> None:
    session = ProbeSession(INTERVAL, 4, 0)
    answered(session, 0)
    for number in range(1, 5):
        session.probe(number * INTERVAL)
        assert not session.failed
    session.probe(5 * INTERVAL)
    assert session.failed
    assert not session.up


def test_defaults_notice_a_dead_edge_within_five_seconds() -> None:
    session = ProbeSession(INTERVAL, 4, 0)
    answered(session, 0)
    now = INTERVAL
    while not session.failed:
        session.probe(now)
        now = session.next_ns
    assert now <= 5_000 * MS


def test_a_lost_probe_now_and_then_does_no_harm() -> None:
    session = ProbeSession(INTERVAL, 2, 0)
    for number in range(0, 40, 2):
        answered(session, number * INTERVAL)
        session.probe((number + 1) * INTERVAL)
        assert session.up


def test_a_late_answer_counts() -> None:
    session = ProbeSession(INTERVAL, 4, 0)
    probe = session.probe(0)
    assert probe is not None
    session.probe(INTERVAL)
    assert session.answer(ProbeAnswer(probe.sequence, probe.time_ns), INTERVAL + 1)
    assert session.lost == 0


def test_answers_to_nothing_are_refused() -> None:
    session = ProbeSession(INTERVAL, 4, 0)
    probe = session.probe(0)
    assert probe is not None
    good = ProbeAnswer(probe.sequence, probe.time_ns)
    assert not session.answer(ProbeAnswer(99, 0), 1)
    assert not session.answer(ProbeAnswer(probe.sequence, 12345), 1)
    assert session.answer(good, 1)
    assert not session.answer(good, 2)


def test_a_process_that_slept_does_not_send_what_it_missed() -> None:
    session = ProbeSession(INTERVAL, 4, 0)
    answered(session, 0)
    answered(session, 100 * INTERVAL)
    assert session.probe(100 * INTERVAL + 1) is None
    assert session.up


def test_nonsense_is_a_bad_call() -> None:
    for interval, limit in ((0, 4), (1, 0)):
        with pytest.raises(ValueError, match="positive"):
            ProbeSession(interval, limit, 0)


@given(st.lists(st.booleans(), max_size=60))
@settings(max_examples=100, deadline=None)
def test_it_is_up_exactly_when_one_of_the_last_probes_was_answered(answers: list[bool]) -> None:
    session = ProbeSession(INTERVAL, 3, 0)
    for number, answer in enumerate(answers):
        if session.failed:
            return
        if answer:
            answered(session, number * INTERVAL)
        else:
            session.probe(number * INTERVAL)
        so_far = answers[:number + 1]
        # A probe counts as lost only when the next one is sent.
        assert session.up == any(so_far[-4:] if not so_far[-1] else so_far)
