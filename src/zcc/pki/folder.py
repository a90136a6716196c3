"""Files that are either the old or the new ones, whole, whatever happens meanwhile.

Used by the authority and by issued identities; nothing here knows what the bytes mean.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

__all__ = ["PRIVATE", "PUBLIC", "locked", "replace_file", "write_folder"]

PRIVATE = 0o600
PUBLIC = 0o644


def replace_file(path: Path, data: bytes, mode: int = PUBLIC) -> None:
    """Write a file beside the old one, flush it to the disk, then take the old one's place.

    Args:
        path: the file; its folder exists.
        data: all of its new content.
        mode: permission bits, set before the first byte is written.

    Raises:
        OSError: nothing has changed.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    try:
        _write_new(beside, data, mode)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    _flush_folder(path.parent)


def write_folder(path: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    """Make a folder that appears with all its files at once.

    Args:
        path: must be absent or an empty folder; parents are made.
        files: name → (content, permission bits).

    Raises:
        OSError: the folder has files already, or cannot be written; nothing has appeared.
    """
    path = path.absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    beside.mkdir(mode=0o755)
    try:
        for name, (data, mode) in files.items():
            _write_new(beside / name, data, mode)
        _flush_folder(beside)
        os.rename(beside, path)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    _flush_folder(path.parent)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock: two commands that change one authority wait for each other."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)  # the umask has narrowed what open() was asked for
        file.write(data)
        file.flush()
        os.fsync(descriptor)


def _flush_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
