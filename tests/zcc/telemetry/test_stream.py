"""Log streams: nothing waits, nothing is lost without a gap record in its place."""

import errno
import json
import os
import threading
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.errors import ZccError
from zcc.telemetry import stream as stream_module
from zcc.telemetry.stream import LogStream


def records(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def accounted(path: Path) -> list[int]:
    """Numbers of all records and gaps, in the order of the file."""
    numbers: list[int] = []
    for record in records(path):
        first = record["recordid"]
        assert isinstance(first, int)
        if "gap" in record:
            assert record["until"] == first + record["gap"] - 1
            numbers.extend(range(first, first + record["gap"]))
        else:
            numbers.append(first)
    return numbers


class HeldWriter:
    """Stops the writer thread inside its first write until released."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.release = threading.Event(), threading.Event()
        real = LogStream._write_all

        def held(stream: LogStream, data: bytes) -> None:
            self.entered.set()
            assert self.release.wait(10)
            real(stream, data)

        monkeypatch.setattr(LogStream, "_write_all", held)


def test_records_are_numbered_lines_in_the_order_of_the_calls(tmp_path: Path) -> None:
    stream = LogStream(tmp_path / "deep" / "session.jsonl", 100)
    for number in range(50):
        stream.write({"n": number, "address": IPv4Address("10.8.6.4")})
    stream.close()
    written = records(tmp_path / "deep" / "session.jsonl")
    assert [(record["recordid"], record["n"]) for record in written] == [(100 + n, n) for n in range(50)]
    assert written[0]["address"] == "10.8.6.4" and (stream.written, stream.lost) == (50, 0)


def test_a_full_queue_becomes_a_gap_where_the_records_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = HeldWriter(monkeypatch)
    stream = LogStream(tmp_path / "s.jsonl", 0, limit=4)
    stream.write({})
    assert held.entered.wait(10)
    for _ in range(9):
        stream.write({})
    held.release.set()
    stream.close()
    gap = {"gap": 6, "recordid": 4, "until": 9, "reason": "queue full"}
    assert records(tmp_path / "s.jsonl")[-1] == gap
    assert accounted(tmp_path / "s.jsonl") == list(range(10))
    assert (stream.written, stream.lost) == (4, 6)


@given(bursts=st.lists(st.integers(0, 12), max_size=6), limit=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_every_number_is_a_record_or_in_a_gap(
    tmp_path_factory: pytest.TempPathFactory, bursts: list[int], limit: int
) -> None:
    path = tmp_path_factory.mktemp("stream") / "s.jsonl"
    stream = LogStream(path, 7, limit=limit)
    for burst in bursts:
        for _ in range(burst):
            stream.write({"text": "x"})
    stream.close()
    assert accounted(path) == list(range(7, 7 + sum(bursts)))
    assert stream.written + stream.lost == sum(bursts)


def test_a_full_disk_becomes_a_gap_and_leaves_no_torn_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.jsonl"
    stream = LogStream(path, 0)
    full, tried = threading.Event(), threading.Event()
    full.set()
    real = os.write

    def write(descriptor: int, data: memoryview) -> int:
        if threading.current_thread() is not stream._thread or not full.is_set():
            return real(descriptor, data)
        real(descriptor, data[:3])
        full.clear()
        tried.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(stream_module.os, "write", write)
    stream.write({"n": 0})
    assert tried.wait(10)
    stream.write({"n": 1})
    stream.close()
    assert records(path) == [
        {"gap": 1, "recordid": 0, "until": 0, "reason": "write failed"}, {"recordid": 1, "n": 1}
    ]
    assert (stream.written, stream.lost) == (1, 1)


def test_a_renamed_file_is_opened_anew(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    first = LogStream(path, 0)
    os.rename(path, tmp_path / "s.jsonl.1")
    first.write({"n": 1})
    first.close()
    assert [record["n"] for record in records(path)] == [1] and not records(tmp_path / "s.jsonl.1")


def test_write_after_close_counts_as_lost(tmp_path: Path) -> None:
    stream = LogStream(tmp_path / "s.jsonl", 0)
    stream.close()
    stream.write({})
    assert (stream.written, stream.lost) == (0, 1)


def test_without_a_path_lines_go_to_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    stream = LogStream(None, 5)
    stream.write({"name": "Bücher\udc80"})
    stream.close()
    assert json.loads(capfd.readouterr().out)["recordid"] == 5


def test_a_folder_that_cannot_be_written_is_an_error_at_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ZccError, match=r"logs\.directory"):
        LogStream(tmp_path / "file" / "s.jsonl", 0)


def lines_of(count: int) -> Callable[[int], tuple[bytes, int]]:
    return lambda number: (b"".join(b'{"recordid":%d}\n' % (number + k) for k in range(count)), count)


@given(steps=st.lists(st.integers(-6, 12), max_size=12), limit=st.integers(1, 5))
@settings(max_examples=60, deadline=None)
def test_lines_and_losses_are_numbered_with_the_records(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], limit: int
) -> None:
    path, numbered = tmp_path_factory.mktemp("stream") / "s.jsonl", 0
    stream = LogStream(path, 7, limit=limit)
    for step in steps:
        if step < 0:
            stream.lose(-step)
        elif step % 2:
            stream.write({"n": step})
        else:
            assert stream.write_lines(lines_of(step))
        numbered += -step if step < 0 else 1 if step % 2 else step
    stream.close()
    assert accounted(path) == list(range(7, 7 + numbered))
    assert stream.written + stream.lost == numbered


def test_lines_without_room_are_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = HeldWriter(monkeypatch)
    stream = LogStream(tmp_path / "s.jsonl", 0, lines_limit=40)
    assert stream.write_lines(lines_of(1))
    assert held.entered.wait(10)
    made = [stream.write_lines(lines_of(2)) for _ in range(4)]
    assert made == [True, False, False, False]
    assert stream.write_lines(lines_of(2), all_of_it=True)
    held.release.set()
    stream.close()
    assert accounted(tmp_path / "s.jsonl") == list(range(5)) and (stream.written, stream.lost) == (5, 0)
    assert not stream.write_lines(lines_of(1), all_of_it=True)


def test_lines_that_can_not_be_written_are_one_gap_with_their_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s.jsonl"
    stream = LogStream(path, 0)
    real, failed = LogStream._write_all, threading.Semaphore(0)

    def full(one: LogStream, data: bytes) -> None:
        failed.release()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LogStream, "_write_all", full)
    stream.write_lines(lines_of(3))
    stream.write({"n": 3})
    stream.write_lines(lines_of(2))
    for _ in range(3):
        assert failed.acquire(timeout=10)
    monkeypatch.setattr(LogStream, "_write_all", real)
    stream.write_lines(lines_of(1))
    stream.close()
    assert records(path) == [{"gap": 6, "recordid": 0, "until": 5, "reason": "write failed"}, {"recordid": 6}]
    assert (stream.written, stream.lost) == (1, 6)
