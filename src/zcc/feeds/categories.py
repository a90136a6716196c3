"""Categories: lists of domains in a directory, a category each.

    categories/ads/domains              category "ads"            one domain a line; # begins a comment
    categories/social/chat/list.txt     category "social/chat"
    categories/news.txt                 category "news"

Journey: the directory → here → a DomainSet a category. In a category's directory, files named `domains` or ending in .txt
or .domains are read; others, such as lists of URLs, are not. A category is bounded and read in pieces, so that a list of
millions takes little more memory than its set.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from zcc.errors import FeedError
from zcc.policy.domains import DomainSet

__all__ = ["read_categories"]

PIECE_BYTES = 1 << 22
FILE_BYTES_LIMIT = 1 << 31
CATEGORIES_LIMIT = 4_096
SUFFIXES = (".txt", ".domains")


def read_categories(directory: Path) -> Mapping[str, DomainSet]:
    """Read every category below a directory.

    Raises:
        FeedError: the directory or a file can not be read, or there are too many or too large ones.
    """
    try:
        files = sorted(path for path in directory.rglob("*") if _is_list(path))
        if not directory.is_dir():
            raise FeedError(f"{directory}: no directory of categories; give one with a directory or .txt file a category")
        named: dict[str, list[Path]] = {}
        for path in files:
            named.setdefault(_category(directory, path), []).append(path)
        if len(named) > CATEGORIES_LIMIT:
            raise FeedError(f"{directory}: {len(named)} categories are too many; at most {CATEGORIES_LIMIT} are allowed")
        return {name: DomainSet(piece for path in paths for piece in _pieces(path)) for name, paths in named.items()}
    except OSError as error:
        raise FeedError(f"{error.filename or directory}: categories can not be read: {error.strerror}") from None


def _is_list(path: Path) -> bool:
    return path.is_file() and (path.name == "domains" or path.suffix in SUFFIXES) and not path.name.startswith(".")


def _category(directory: Path, path: Path) -> str:
    place = path.relative_to(directory)
    return place.stem if place.parent == Path() else place.parent.as_posix()


def _pieces(path: Path) -> Iterator[bytes]:
    """A file in pieces that end with a line."""
    if path.stat().st_size > FILE_BYTES_LIMIT:
        raise FeedError(f"{path}: a list of domains may have at most {FILE_BYTES_LIMIT} bytes")
    rest = b""
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            whole, line_end, rest = (rest + piece).rpartition(b"\n")
            if line_end:
                yield whole
            elif len(rest) > PIECE_BYTES:
                raise FeedError(f"{path}: a line is longer than {PIECE_BYTES} bytes; one domain a line is allowed")
    if rest:
        yield rest
