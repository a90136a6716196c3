"""One stream of records as JSON lines, written by a thread of its own.

    caller ── write(dict) ─────────▶ bounded queue ──▶ writer thread ──▶ file, or standard output
           ── write_lines(bytes) ──▶

The caller never waits for a disk or a pipe. Every record has a number (recordid) that grows by one. What is
not written is counted and told in its place in the stream: {"gap": n, "recordid": first, "until": last,
"reason": "queue full" | "write failed"}; a reader that sees neither a record nor a gap has lost it itself.
Any thread may write, records one by one or lines that are ready. A file that is renamed away (logrotate) is
opened anew. Nothing here deletes old files.
"""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zcc.errors import ZccError

__all__ = ["LogStream"]

# Some seconds of a busy connector's records; at 1 KiB each about 16 MiB.
QUEUE_LIMIT = 16_384
LINES_LIMIT = 1 << 24  # bytes of lines, beside those

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Gap:
    """Records first to last, numbers included, that nobody will read."""

    first: int
    last: int
    reason: str

    def record(self) -> dict[str, object]:
        return {"gap": self.last - self.first + 1, "recordid": self.first, "until": self.last,
                "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Lines:
    """Records first to last as they are written; their text is not empty."""

    first: int
    last: int
    text: bytes


Item = dict[str, Any] | Lines | Gap


class LogStream:
    """A numbered stream of JSON lines. Any thread may write; one thread of its own does the output."""

    def __init__(
        self, path: Path | None, sequence: int, limit: int = QUEUE_LIMIT, lines_limit: int = LINES_LIMIT
    ) -> None:
        """Open the file and start the writer.

        Args:
            path: appended to, made with mode 0640 if absent; None = standard output.
            sequence: number of the first record; to be higher than any of an earlier run.
            limit: most records that wait.
            lines_limit: most bytes of lines that wait; what is written last may go beyond it.

        Raises:
            ZccError: the file cannot be opened.
        """
        self.written = 0
        self.lost = 0
        self._path = path
        self._begin = self._next = sequence
        self._limit, self._lines_limit = limit, lines_limit
        self._queue: deque[Item] = deque()
        self._waiting = self._waiting_bytes = 0
        self._ready = threading.Condition()
        self._closing = False
        self._descriptor = self._open()
        self._failed: Gap | None = None
        self._thread = threading.Thread(target=self._run, name=f"log {path or 'stdout'}", daemon=True)
        self._thread.start()

    def write(self, record: dict[str, Any]) -> None:
        """Queue a record; when the queue is full or closed, count it as lost. Never blocks on output.

        Args:
            record: JSON values, or objects whose str() is meant (addresses); not to be changed afterwards.
        """
        with self._ready:
            number = self._next
            self._next += 1
            if self._closing or self._waiting >= self._limit:
                self._lose(number, 1)
                return
            self._queue.append({"recordid": number, **record})
            self._waiting += 1
            self._ready.notify()

    def write_lines(self, make: Callable[[int], tuple[bytes, int]], *, all_of_it: bool = False) -> bool:
        """Queue lines; nothing is lost here: what there is no room for is not made.

        Args:
            make: called with the number of the first line, returns the lines and how many they are. Others wait meanwhile.
            all_of_it: also where there is no room, at the end of whoever makes them.
        Returns:
            False when there was no room, or the stream is closed, and `make` was not called.
        """
        with self._ready:
            if self._closing or (self._waiting_bytes >= self._lines_limit and not all_of_it):
                return False
            text, made = make(self._next)
            if made:
                self._queue.append(Lines(self._next, self._next + made - 1, text))
                self._next += made
                self._waiting_bytes += len(text)
                self._ready.notify()
        return True

    def lose(self, count: int) -> None:
        """Number records that were lost on their way to here; the gap stands where they are missing, or soon after."""
        with self._ready:
            if count:
                first, self._next = self._next, self._next + count
                self._lose(first, count)
                self._ready.notify()

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what waits, then stop; what a stuck pipe does not take in time is lost."""
        with self._ready:
            self._closing = True
            self._ready.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            unwritten = self._next - self._begin - self.written - self.lost
            log.error("%s: output is stuck, %d records not written", self._name, unwritten)
        elif self._path is not None:
            os.close(self._descriptor)

    @property
    def _name(self) -> str:
        return str(self._path or "standard output")

    def _lose(self, first: int, count: int) -> None:
        self.lost += count
        newest = self._queue[-1] if self._queue else None
        if isinstance(newest, Gap) and newest.last + 1 == first:
            newest.last += count
        else:
            self._queue.append(Gap(first, first + count - 1, "queue full"))

    def _run(self) -> None:
        while True:
            with self._ready:
                self._ready.wait_for(lambda: self._queue or self._closing)
                batch, self._queue = self._queue, deque()
            if not batch:
                return
            for piece in _pieces(batch):
                self._write_piece(piece)
                with self._ready:
                    self._waiting -= sum(isinstance(item, dict) for item in piece)
                    self._waiting_bytes -= sum(len(item.text) for item in piece if isinstance(item, Lines))

    def _write_piece(self, piece: list[Item]) -> None:
        items = [self._failed, *piece] if self._failed else piece
        data = _encode(items[0]) if len(items) == 1 else b"".join(map(_encode, items))
        records = sum(map(_records, piece))
        try:
            self._reopen_if_renamed()
            self._write_all(data)
        except OSError as error:
            if self._failed is None:
                log.error("%s: %s; records are lost until it can be written", self._name, error.strerror)
            self._failed = Gap(_first(items[0]), _last(items[-1]), "write failed")
            self.lost += records
            return
        self._failed = None
        self.written += records

    def _write_all(self, data: bytes) -> None:
        status = os.fstat(self._descriptor)
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._descriptor, view):]
        except OSError:
            # Half a line would spoil the next one too; a pipe cannot be cut back.
            if stat.S_ISREG(status.st_mode) and self._path is not None:
                os.ftruncate(self._descriptor, status.st_size)
            raise

    def _reopen_if_renamed(self) -> None:
        if self._path is None:
            return
        opened = os.fstat(self._descriptor)
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            named = None
        if named is None or (named.st_dev, named.st_ino) != (opened.st_dev, opened.st_ino):
            fresh = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            os.close(self._descriptor)
            self._descriptor = fresh

    def _open(self) -> int:
        if self._path is None:
            return sys.__stdout__.fileno() if sys.__stdout__ else 1
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise ZccError(f"{self._path}: {error.strerror}; choose another logs.directory") from None


def _pieces(batch: deque[Item]) -> Iterator[list[Item]]:
    """Lines one by one, so that they are not copied; what is between them together."""
    between: list[Item] = []
    for item in batch:
        if isinstance(item, Lines):
            if between:
                yield between
                between = []
            yield [item]
        else:
            between.append(item)
    if between:
        yield between


def _records(item: Item) -> int:
    if isinstance(item, Lines):
        return item.last - item.first + 1
    return 0 if isinstance(item, Gap) else 1


def _encode(item: Item) -> bytes:
    if isinstance(item, Lines):
        return item.text
    record = item.record() if isinstance(item, Gap) else item
    text = json.dumps(record, default=str, ensure_ascii=False, separators=(",", ":"))
    return text.encode(errors="backslashreplace") + b"\n"


def _first(item: Item) -> int:
    return int(item["recordid"]) if isinstance(item, dict) else item.first


def _last(item: Item) -> int:
    return int(item["recordid"]) if isinstance(item, dict) else item.last
