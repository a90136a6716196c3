"""Pieces: the octets of a stream as they come, in any order, until its beginning is whole.

One rule for overlaps: an octet may come again with the same value; with another one nobody can tell which of the two the server
will read, and the stream is contradictory. Journey: inside zcc.names.reader. Bounded by its limit.
"""

from __future__ import annotations

__all__ = ["Contradiction", "Pieces"]


class Contradiction(Exception):
    """An octet came twice with two values."""


class Pieces:
    """The first `limit` octets of a stream; what lies behind them is not kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._data = bytearray()
        self._there = bytearray()  # 1 where an octet has come
        self.beyond = False  # whether octets behind the limit have come

    def add(self, offset: int, octets: bytes) -> None:
        """Take octets that begin at an offset of the stream, 0 or more.

        Raises:
            Contradiction: one of them differs from what was there before.
        """
        self.beyond |= offset + len(octets) > self._limit
        octets = octets[: max(0, self._limit - offset)]
        end = offset + len(octets)
        if not octets:
            return
        if end > len(self._data):
            more = end - len(self._data)
            self._data += bytes(more)
            self._there += bytes(more)
        there = self._there[offset:end]
        if any(there) and any(
            old and before != now
            for old, before, now in zip(there, self._data[offset:end], octets, strict=True)
        ):
            raise Contradiction
        self._data[offset:end] = octets
        self._there[offset:end] = b"\x01" * len(octets)

    @property
    def beginning(self) -> bytes:
        """The octets from the first on, as far as they came without a gap."""
        gap = self._there.find(0)
        return bytes(self._data if gap < 0 else self._data[:gap])
