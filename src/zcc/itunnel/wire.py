"""Control messages of the internet tunnel: Geneve packets with the O bit, one option, and nothing inside.

     0                   1                   2                   3
    |Ver|  Opt Len  |1|0|   0       |     protocol type 0x0000      |   RFC 8926 §3.4, O bit set
    |                     VNI 0                     |       0       |
    |    option class 0xFF5A        |     type      |0 0 0| length  |   RFC 8926 §3.5, class of experimenters
    |    0x10 hello: version, 4 bytes                               |
    |    0x11 probe: sequence, 8 bytes; sender's time in ns, 8 bytes|
    |    0x12 probe answer: both as they came                       |
    |    0x13 goodbye: nothing                                      |

Bytes in, messages out, and back; total on any bytes. Both ends of the tunnel use it; it knows no session.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["VERSION", "Goodbye", "Hello", "Message", "Probe", "ProbeAnswer", "decode", "encode"]

VERSION = 1
OPTION_CLASS = 0xFF5A
FLAG_CONTROL = 0x80
HELLO, PROBE, PROBE_ANSWER, GOODBYE = 0x10, 0x11, 0x12, 0x13
HEADER = struct.Struct("!BBHIHBB")       # Geneve base header, then the option's
PAIR = struct.Struct("!QQ")
WORD = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of both sides: the version of the tunnel's inside that the sender speaks."""

    version: int


@dataclass(frozen=True, slots=True)
class Probe:
    """Are you there? sequence counts the sender's probes; time_ns is the sender's own clock."""

    sequence: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class ProbeAnswer:
    """Yes: both numbers of the probe."""

    sequence: int
    time_ns: int


@dataclass(frozen=True, slots=True)
class Goodbye:
    """The sender ends the session on purpose."""


Message = Hello | Probe | ProbeAnswer | Goodbye


def encode(message: Message) -> bytes:
    """Return the Geneve packet of a message.

    Raises:
        ValueError: a number does not fit its field.
    """
    try:
        match message:
            case Hello(version):
                return _packet(HELLO, WORD.pack(version))
            case Probe(sequence, time_ns):
                return _packet(PROBE, PAIR.pack(sequence, time_ns))
            case ProbeAnswer(sequence, time_ns):
                return _packet(PROBE_ANSWER, PAIR.pack(sequence, time_ns))
            case Goodbye():
                return _packet(GOODBYE, b"")
    except struct.error:
        raise ValueError(f"message: a number is too large for its field in {message}") from None


def decode(packet: bytes) -> Message | None:
    """Return the message of a Geneve packet.

    Args:
        packet: any bytes.
    Returns:
        None for all that is no message of this version; a later hello may be longer.
    """
    if len(packet) < HEADER.size:
        return None
    first, flags, _, _, option_class, kind, length = HEADER.unpack_from(packet)
    data = packet[HEADER.size:]
    words = length & 0x1F
    if first != 1 + words or not flags & FLAG_CONTROL or option_class != OPTION_CLASS:
        return None
    if len(data) != 4 * words:
        return None
    if kind == HELLO and words >= 1:
        return Hello(WORD.unpack_from(data)[0])
    if kind == PROBE and words == 4:
        return Probe(*PAIR.unpack(data))
    if kind == PROBE_ANSWER and words == 4:
        return ProbeAnswer(*PAIR.unpack(data))
    return Goodbye() if kind == GOODBYE and words == 0 else None


def _packet(kind: int, data: bytes) -> bytes:
    words = len(data) // 4
    return HEADER.pack(1 + words, FLAG_CONTROL, 0, 0, OPTION_CLASS, kind, words) + data
