"""fastpath.moderation and its model, by one suite: who asks alone never waits, rests pay or end; in time that is made here."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import moderation as native
from model import moderation as reference

WINDOW, COMPARED = 4_000_000, 250_000_000
SECOND, BEGIN = 10**9, 5 * 10**9
LONGEST, TOGETHER = 250_000, 64
ROW_NS, TURN_NS = 3_000, 5_000          # what a server takes for a query, and for a turn besides


@pytest.fixture(params=[native, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def feed(port, begin, end, each_ns, rows):
    """A batch of so many rows each each_ns; the rests after them, and when the last one came."""
    rests = [port.rest(now, rows) for now in range(begin, end, each_ns)]
    return rests, begin + (len(rests) - 1) * each_ns


def resting(impl, gap_ns=6_000, rows=8):
    """A port that has just begun to rest, and when."""
    port = impl.Moderation()
    rests, now = feed(port, BEGIN, BEGIN + 3 * WINDOW, gap_ns * rows, rows)
    assert rests[-1] > 0
    return port, now


def open_loop(port, gap_ns, seconds):
    """Queries that come at even gaps, whatever happens: the longest time from one to its answer, and the mean batch."""
    now, asked, worst, batches, end = BEGIN, 0, 0, 0, seconds * SECOND
    while asked * gap_ns < end:
        due = BEGIN + asked * gap_ns
        now = max(now, due)
        rows = min((now - due) // gap_ns + 1, 256)
        batches += 1
        taken, now = now, now + TURN_NS + rows * ROW_NS
        asked += rows
        worst = max(worst, now - due)
        now = max(now, taken + port.rest(taken, rows))
    return worst, asked / batches


def closed_loop(port, clients, think_ns, seconds):
    """Clients that ask again a while after each answer: answers a second."""
    now, answered = BEGIN, 0
    due = sorted(BEGIN + number * 100 for number in range(clients))
    while now < BEGIN + seconds * SECOND:
        now = max(now, due[0])
        rows = sum(when <= now for when in due)
        taken, now = now, now + TURN_NS + rows * ROW_NS
        due = sorted(due[rows:] + [now + think_ns] * rows)
        answered += rows
        now = max(now, taken + port.rest(taken, rows))
    return answered / seconds


class Never:
    def rest(self, now_ns, rows):
        return 0


def test_a_port_that_was_silent_does_not_rest_after_its_first_row(impl):
    assert impl.Moderation().rest(BEGIN, 1) == 0


def test_a_port_whose_rows_come_sparsely_never_rests(impl):
    assert set(feed(impl.Moderation(), BEGIN, BEGIN + SECOND, 100_000, 7)[0]) == {0}


@pytest.mark.parametrize(("gap_ns", "rows", "wanted"), [
    (12_000, 8, LONGEST), (6_000, 8, LONGEST), (1_000, 40, 64_000), (500, 20, 32_000)])
def test_a_port_whose_rows_come_fast_in_small_batches_rests_for_as_long_as_64_rows_take(impl, gap_ns, rows, wanted):
    port = impl.Moderation()
    feed(port, BEGIN, BEGIN + 4 * WINDOW, gap_ns * rows, rows)
    assert port.rest(BEGIN + 4 * WINDOW, rows) == pytest.approx(wanted, rel=0.02)


def test_a_port_whose_batches_are_large_does_not_rest(impl):
    assert set(feed(impl.Moderation(), BEGIN, BEGIN + SECOND, 100_000, TOGETHER)[0]) == {0}


@pytest.mark.parametrize("rows", [0, TOGETHER, 256])
def test_an_empty_batch_and_a_large_one_are_followed_by_no_rest(impl, rows):
    port, now = resting(impl)
    assert port.rest(now + 1000, rows) == 0
    assert port.rest(now + 2000, 8) > 0


def test_one_window_in_which_rows_came_slowly_is_borne(impl):
    port, now = resting(impl)
    port.rest(now + 3 * WINDOW, 8)
    assert feed(port, now + 3 * WINDOW + 48_000, now + 5 * WINDOW, 48_000, 8)[0][-1] > 0


def test_a_burst_at_the_beginning_is_not_taken_for_how_it_would_be(impl):
    port = impl.Moderation()
    feed(port, BEGIN, BEGIN + WINDOW, 24_000, 8)
    rests, _ = feed(port, BEGIN + WINDOW, BEGIN + 50 * WINDOW, 48_000, 8)
    assert rests[-1] > 0
    assert sum(rest == 0 for rest in rests) * 48_000 <= 3 * WINDOW


def test_rests_that_slow_those_who_ask_end_and_do_not_begin_again_at_once(impl):
    port, now = resting(impl)
    _, now = feed(port, now, now + 4 * WINDOW, 64_000, 8)         # a row each 8 µs in the place of 6
    rests, now = feed(port, now + 48_000, now + COMPARED - 2 * WINDOW, 48_000, 8)
    assert set(rests) == {0}
    assert feed(port, now + 48_000, now + 4 * WINDOW, 48_000, 8)[0][-1] > 0


def test_two_windows_without_rests_each_quarter_of_a_second_tell_how_it_would_be(impl):
    port, now = resting(impl)
    rests, _ = feed(port, now, now + 2 * SECOND, 48_000, 8)
    free = sum(rest == 0 for rest in rests) * 48_000
    assert 13 * WINDOW <= free <= 20 * WINDOW


@pytest.mark.parametrize("gap_ns", [3_200, 3_500, 4_500, 6_000, 9_000, 12_000, 13_000, 50_000])
def test_who_asks_in_an_open_loop_waits_for_two_rests_longer_at_most(impl, gap_ns):
    free, small = open_loop(Never(), gap_ns, 0.5)
    worst, batch = open_loop(impl.Moderation(), gap_ns, 0.5)
    assert worst <= free + 2 * LONGEST
    assert (batch > 1.5 * small) == (gap_ns <= 12_000)


@pytest.mark.parametrize("clients", [1, 2, 4, 8, 16, 32, 64, 200])
@pytest.mark.parametrize("think_ns", [10_000, 60_000, 1_000_000])
def test_clients_that_wait_for_their_answers_get_nearly_as_many(impl, clients, think_ns):
    assert closed_loop(impl.Moderation(), clients, think_ns, 1) >= 0.8 * closed_loop(Never(), clients, think_ns, 1)


@given(st.lists(st.tuples(st.sampled_from([0, 1000, 30_000, 90_000, 700_000, WINDOW, COMPARED]), st.integers(0, 300),
                          st.integers(1, 200)), max_size=40))
def test_compiled_one_rests_as_the_model_does(story):
    ports, now = [native.Moderation(), reference.Moderation()], BEGIN
    for later, rows, times in story:
        for _ in range(times):
            now += later
            rest = ports[0].rest(now, rows)
            assert rest == ports[1].rest(now, rows)
            assert 0 <= rest <= LONGEST
            assert rest == 0 or 0 < rows < TOGETHER


@pytest.mark.parametrize(("arguments", "name"), [
    ((-1, 1), "now_ns"), ((1 << 64, 1), "now_ns"), ((5, -1), "rows"), ((5, 1 << 31), "rows")])
def test_wrong_calls_are_refused(impl, arguments, name):
    with pytest.raises(ValueError, match=name):
        impl.Moderation().rest(*arguments)
