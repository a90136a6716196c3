"""Ring: what one thread puts in, the other takes out, in order, or it is counted as lost."""

import select
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import ring as compiled
from model import ring as model


@pytest.fixture(params=[compiled, model], ids=["fastpath", "model"])
def impl(request):
    return request.param


def test_records_come_out_in_order(impl):
    ring = impl.Ring(4096)
    assert ring.push(b"one") and ring.push(b"") and ring.push(b"three")
    assert ring.drain() == [b"one", b"", b"three"]
    assert ring.drain() == []


def test_full_ring_refuses_and_counts_and_keeps_what_it_has(impl):
    ring = impl.Ring(4096)
    assert all(ring.push(bytes(1016)) for _ in range(4))
    assert not ring.push(b"x")
    assert ring.lost == 1
    assert ring.drain() == [bytes(1016)] * 4
    assert ring.push(b"x")


def test_record_larger_than_half_the_ring_is_refused(impl):
    ring = impl.Ring(4096)
    assert not ring.push(bytes(2049))
    assert ring.lost == 1


@pytest.mark.parametrize("size", [0, 4095, 5000, 1 << 31])
def test_size_that_is_no_power_of_two_in_range_is_named(impl, size):
    with pytest.raises(ValueError, match="size"):
        impl.Ring(size)


def test_drain_stops_at_the_limit_and_wakes_again():
    ring = compiled.Ring(4096)
    for n in range(5):
        ring.push(bytes([n]))
    assert ring.drain(2) == [b"\0", b"\1"]
    assert select.select([ring.fileno()], [], [], 0)[0]
    assert len(ring.drain(10)) == 3
    assert not select.select([ring.fileno()], [], [], 0)[0]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=1500), st.integers(1, 5)), max_size=60))
def test_any_interleaving_gives_what_the_model_gives(steps):
    fast, slow = compiled.Ring(4096), model.Ring(4096)
    for step in steps:
        if isinstance(step, bytes):
            assert fast.push(step) == slow.push(step)
        else:
            assert fast.drain(step) == slow.drain(step)
    assert fast.drain() == slow.drain()
    assert fast.lost == slow.lost


def test_two_threads_lose_nothing_that_was_accepted():
    ring = compiled.Ring(1 << 14)
    accepted, got = [], []

    def write():
        for n in range(20_000):
            record = n.to_bytes(4, "big") * (n % 50)
            if ring.push(record):
                accepted.append(record)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        got += ring.drain()
    got += ring.drain(1 << 20)
    assert got == accepted
    assert len(got) + ring.lost == 20_000
