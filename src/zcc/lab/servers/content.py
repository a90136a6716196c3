"""The bytes of a download: deterministic, cheap to make, different in every megabyte.

Used by the web server to send and by the scenarios to know the checksum.
"""

import hashlib
from collections.abc import Iterator
from functools import lru_cache

BLOCK_BYTES = 1 << 20
_STEP = 4099  # prime, so that block i starts at another offset of the base for the first million blocks


@lru_cache(maxsize=1)
def _base() -> bytes:
    """Two equal megabytes: every rotation of the first is a slice."""
    return hashlib.shake_128(b"zcc lab").digest(BLOCK_BYTES) * 2


def blocks(size: int) -> Iterator[memoryview]:
    """Yield the `size` bytes of a download in blocks of at most a megabyte."""
    base = memoryview(_base())
    for number, begin in enumerate(range(0, size, BLOCK_BYTES)):
        at = number * _STEP % BLOCK_BYTES
        yield base[at : at + min(BLOCK_BYTES, size - begin)]


@lru_cache(maxsize=8)
def checksum(size: int) -> str:
    """Return the SHA-256 of a download of `size` bytes, in hexadecimal."""
    digest = hashlib.sha256()
    for block in blocks(size):
        digest.update(block)
    return digest.hexdigest()
