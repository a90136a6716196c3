"""DomainSet: millions of domains in eight bytes each.

Journey: zcc.feeds reads lists of domains into sets, one a category; a name is asked for once, when it gets its number. A
domain stands for itself and every name below it.

What is kept of a domain is its hash of 64 bits (CPython's keyed hash of bytes, SipHash), sorted. Among n domains another name
is taken for a listed one with the chance n / 2**64: with ten million, once in 10**12 names; the key differs from process to
process, so that nobody can aim. Pure; never changed once made.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["DomainSet", "upwards"]


class DomainSet:
    """Domains, and all names below them.

    Args:
        chunks: text of domain lists, cut at ends of lines: one domain a line, lower or upper case, with or without a final
            dot or a leading `*.` or dot; what follows # is not read, nor are empty lines.
    """

    def __init__(self, chunks: Iterable[bytes]) -> None:
        parts = [_hashes(chunk) for chunk in chunks]
        hashes = np.concatenate(parts) if parts else np.zeros(0, np.int64)
        hashes.sort()
        # numpy.unique would hash them once more, which takes 25 times as long as sorting.
        self.hashes: npt.NDArray[np.int64] = hashes[np.diff(hashes, prepend=~hashes[:1]) != 0]

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def nbytes(self) -> int:
        """Bytes that it holds."""
        return int(self.hashes.nbytes)

    def holds(self, name: str) -> bool:
        """Tell whether a name, lower case and without final dot, or a domain above it is listed."""
        wanted = np.fromiter((hash(domain) for domain in upwards(name.encode())), np.int64)
        at = np.searchsorted(self.hashes, wanted)
        return bool((self.hashes[np.minimum(at, len(self) - 1)] == wanted).any()) if len(self) else False


def upwards(name: bytes) -> Iterator[bytes]:
    """Yield a name and every domain above it."""
    while name:
        yield name
        name = name.partition(b".")[2]


def _hashes(chunk: bytes) -> npt.NDArray[np.int64]:
    lines = chunk.lower().splitlines()
    if b"#" in chunk or b"*" in chunk or b" " in chunk or b"\t" in chunk or b".\n" in chunk or b"\n." in chunk \
            or chunk[:1] == b"." or chunk.endswith(b"."):  # fmt: skip
        lines = [_bare(line) for line in lines]
    return np.fromiter(map(hash, filter(None, lines)), np.int64)


def _bare(line: bytes) -> bytes:
    """A domain without what may stand around it."""
    return line.partition(b"#")[0].strip().removeprefix(b"*.").strip(b".")
