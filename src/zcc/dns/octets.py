"""Octets: the places in a DNS message that are changed without reading the rest of it.

Journey: `disguise` and `cache` change an id, the case of the question or TTLs in place, so that whatever else a server said
stays as it said it. Total on any bytes: what can not be walked is None.
Source: RFC 1035 §4.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["HEADER_BYTES", "OPT", "Record", "question_end", "records"]

HEADER_BYTES = 12  # RFC 1035 §4.1.1
POINTER = 0xC0
LABEL_LIMIT = 63
OPT = 41


@dataclass(frozen=True, slots=True)
class Record:
    """Where a record is: OPT has no TTL and is left out."""

    section: int  # 1 answer, 2 authority, 3 additional
    type: int
    ttl_at: int  # offset of the four octets
    ttl: int  # seconds; a value with the top bit set counts as 0 (RFC 2181 §8)
    data_at: int
    data_length: int


def question_end(wire: bytes) -> int | None:
    """Return the offset behind the one question of a message whose name is spelled out; None = it has none such."""
    if len(wire) < HEADER_BYTES or int.from_bytes(wire[4:6]) != 1:
        return None
    at = HEADER_BYTES
    while at < len(wire) and 0 < wire[at] <= LABEL_LIMIT:
        at += 1 + wire[at]
    if at >= len(wire) or wire[at] != 0 or at + 5 > len(wire):
        return None
    return at + 5


def records(wire: bytes) -> list[Record] | None:
    """Return the records behind the question, or None when the message ends before they do."""
    end = question_end(wire)
    if end is None:
        return None
    try:
        return list(_walk(wire, end))
    except IndexError:
        return None


def _walk(wire: bytes, at: int) -> Iterator[Record]:
    for section in (1, 2, 3):
        for _ in range(int.from_bytes(wire[4 + 2 * section : 6 + 2 * section])):
            at = _behind_name(wire, at)
            if at + 10 > len(wire):
                raise IndexError
            kind, ttl = int.from_bytes(wire[at : at + 2]), int.from_bytes(wire[at + 4 : at + 8])
            length = int.from_bytes(wire[at + 8 : at + 10])
            if at + 10 + length > len(wire):
                raise IndexError
            if kind != OPT:
                yield Record(section, kind, at + 4, 0 if ttl >> 31 else ttl, at + 10, length)
            at += 10 + length


def _behind_name(wire: bytes, at: int) -> int:
    while True:
        length = wire[at]
        if length == 0:
            return at + 1
        if length & POINTER == POINTER:
            return at + 2
        if length > LABEL_LIMIT:
            raise IndexError
        at += 1 + length
