"""netlink: messages and attributes, as the kernel writes them in an answer.

Source: netlink(7).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["attributes", "messages"]

_NAME_BITS = 0x3FFF      # the others say how an attribute is made


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Part what was received into kinds and bodies."""
    at = 0
    while at + 16 <= len(data):
        size, kind = struct.unpack_from("=IH", data, at)
        if size < 16:
            return
        yield kind, data[at + 16 : at + size]
        at += (size + 3) & ~3


def attributes(data: bytes) -> dict[int, bytes]:
    """Part the end of a body into values by their numbers."""
    found, at = {}, 0
    while at + 4 <= len(data):
        size, name = struct.unpack_from("=HH", data, at)
        if size < 4:
            break
        found[name & _NAME_BITS] = data[at + 4 : at + size]
        at += (size + 3) & ~3
    return found
