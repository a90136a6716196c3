"""Watch: the World as the files say it is, and a new one when a file changes.

Journey: a role or a command asks for `world` once; a role then asks `look` from time to time. A file is read again when its
time or size has changed; the others are kept as they were. A file that has become wrong leaves what was read before in
force, and is told once. Reading a large file takes seconds, so a role looks in a thread of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from zcc.errors import FeedError
from zcc.feeds.categories import read_categories
from zcc.feeds.countries import CountryFile
from zcc.feeds.settings import FeedSettings
from zcc.feeds.workloads import read_workloads
from zcc.policy.world import World

__all__ = ["Watch"]

Mark = tuple[tuple[str, int, int], ...]  # of each file: path, time of change in ns, size
READERS: dict[str, Callable[[Path], Any]] = {
    "countries": CountryFile,
    "categories": read_categories,
    "workloads": read_workloads,
}


class Watch:
    """The files of some settings. One thread at a time."""

    def __init__(self, settings: FeedSettings) -> None:
        """Read every file.

        Raises:
            FeedError: one can not be read or is wrong.
        """
        self._paths: dict[str, Path] = {name: path for name in READERS if (path := getattr(settings, name)) is not None}
        self._marks: dict[str, Mark] = {}
        self.world = World()
        for name in self._paths:
            self._marks[name] = mark(self._paths[name])
            self._read(name)

    def look(self) -> list[str | FeedError]:
        """Read again what has changed; `world` is then another one.

        Returns:
            What was read, by name, and what is wrong; nothing when nothing has changed.
        """
        done: list[str | FeedError] = []
        for name, path in self._paths.items():
            seen = mark(path)
            if seen == self._marks[name]:
                continue
            self._marks[name] = seen
            try:
                self._read(name)
                done.append(name)
            except FeedError as error:
                done.append(error)
        return done

    def _read(self, name: str) -> None:
        self.world = replace(self.world, **{name: READERS[name](self._paths[name])})


def mark(path: Path) -> Mark:
    """Return what changes when a file, or one of a directory's, is written."""
    return tuple(_marks(path))


def _marks(path: Path) -> Iterator[tuple[str, int, int]]:
    for file in sorted([path, *(path.rglob("*") if path.is_dir() else ())]):
        try:
            status = file.stat()
        except OSError:
            continue  # it went away meanwhile; what is missing is seen by its absence
        yield str(file), status.st_mtime_ns, status.st_size
