"""Yamux frame headers: twelve bytes to fields and back.

Journey: session uses it for every frame of a microtunnel; nobody else. Pure, total on any twelve bytes.

     0       1       2       3       4               8               12
    +-------+-------+---------------+---------------+---------------+
    |version| type  |     flags     |   stream id   |    length     |   big-endian
    +-------+-------+---------------+---------------+---------------+

`length`: DATA the octets that follow; WINDOW_UPDATE the octets granted; PING an opaque value; GO_AWAY a code.
Source: the yamux specification, "Framing" (version 0).
"""

from __future__ import annotations

import struct
from enum import IntEnum, IntFlag

__all__ = [
    "HEADER",
    "HEADER_BYTES",
    "INITIAL_WINDOW",
    "STREAM_ID_LIMIT",
    "VERSION",
    "WINDOW_LIMIT",
    "Flag",
    "FrameType",
    "GoAwayCode",
    "encode_header",
]

VERSION = 0
HEADER = struct.Struct("!BBHII")
HEADER_BYTES = HEADER.size
# Specification, "Flow Control": every stream starts with this much in both directions.
INITIAL_WINDOW = 256 * 1024
# Windows and stream ids are 32-bit fields.
WINDOW_LIMIT = 0xFFFF_FFFF
STREAM_ID_LIMIT = 0xFFFF_FFFF


class FrameType(IntEnum):
    """What a frame is. Source: "Type Field"."""

    DATA = 0
    WINDOW_UPDATE = 1
    PING = 2
    GO_AWAY = 3


class Flag(IntFlag):
    """Stream life, on DATA and WINDOW_UPDATE; SYN and ACK also on PING. Source: "Flag Field"."""

    SYN = 1
    ACK = 2
    FIN = 4
    RST = 8


class GoAwayCode(IntEnum):
    """Why a session ends. Source: "Go Away"."""

    NORMAL = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


def encode_header(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    """Lay out one header.

    Raises:
        struct.error: a value does not fit its field.
    """
    return HEADER.pack(VERSION, kind, flags, stream_id, length)
