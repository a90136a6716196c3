"""Packets behind their lengths: every cut of a stream gives the same packets, and no bytes break it."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath.action import DropReason
from fastpath.batch import PacketBatch
from fastpath.frames import Frames as Compiled
from model.frames import Frames as Model


def framed(*packets: bytes) -> bytes:
    return b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets)


def play(kind: type, data: bytes, cut: random.Random | None, capacity: int = 7, room: int = 512) -> list[tuple[bytes, int]]:
    """Feed a stream in pieces; return every row with its reason."""
    frames, batch, found = kind(), PacketBatch(capacity, room), []
    while True:
        n = cut.randrange(1, 400) if cut else len(data)
        taken = frames.feed(data[:n])
        data = data[taken:]
        got = frames.recv(batch)
        found += [(batch.frame(row), int(batch.reason[row])) for row in range(got)]
        if not got and not data:
            return found
        assert got or taken, "it stands still"


@pytest.mark.parametrize("kind", [Compiled, Model])
def test_frames_are_rows_and_an_empty_one_is_none(kind: type) -> None:
    assert play(kind, framed(b"one", b"", b"two") + b"\0\5cut", None) == [(b"one", 0), (b"two", 0)]


@pytest.mark.parametrize("kind", [Compiled, Model])
def test_a_frame_longer_than_a_row_is_a_dropped_row_and_the_next_is_read(kind: type) -> None:
    found = play(kind, framed(b"a", bytes(60_000), b"b"), random.Random(1))
    assert [(packet[:1], reason) for packet, reason in found] == [
        (b"a", 0), (b"\0", DropReason.DROP_IO_TRUNCATED), (b"b", 0)]


@given(st.lists(st.binary(max_size=300), max_size=40), st.integers(0, 2**32))
@settings(deadline=None)
def test_what_was_framed_comes_out_however_it_is_cut(packets: list[bytes], seed: int) -> None:
    assert play(Compiled, framed(*packets), random.Random(seed)) == [(packet, 0) for packet in packets if packet]


@given(st.one_of(st.binary(max_size=2000), st.lists(st.binary(max_size=9), max_size=90).map(lambda some: framed(*some))),
       st.integers(0, 2**32))
@settings(deadline=None, max_examples=200)
def test_any_bytes_are_what_the_model_says(data: bytes, seed: int) -> None:
    expected = play(Model, data, None)
    assert play(Compiled, data, random.Random(seed)) == expected == play(Compiled, data, None)


def test_it_takes_no_more_than_it_has_room_for() -> None:
    frames, batch = Compiled(), PacketBatch(4)
    full = b"\xff\xff" + bytes(200_000)
    assert frames.feed(full) == 3 * 32768
    assert frames.feed(full) == 0
    assert frames.recv(batch) == 1 and batch.reason[0] == DropReason.DROP_IO_TRUNCATED
    assert frames.feed(full) == 3 * 32768 - 1, "the rest was empty frames, and a byte of the next"


def test_rows_are_fresh() -> None:
    frames, batch = Compiled(), PacketBatch(4)
    batch.load([b"old"])
    batch.entry[0], batch.rule[0], batch.action[0], batch.reason[0] = 5, 5, 5, 5
    frames.feed(framed(b"new"))
    assert frames.recv(batch) == 1
    assert (batch.entry[0], batch.rule[0], batch.action[0], batch.reason[0], batch.frame(0)) == (-1, -1, 0, 0, b"new")


def test_a_wrong_call_names_its_argument() -> None:
    with pytest.raises(TypeError, match="data"):
        Compiled().feed(7)
