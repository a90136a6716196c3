"""Control messages of the internet tunnel: Geneve packets with the O bit and one option; only a size probe has more.

     0                   1                   2                   3
    |Ver|  Opt Len  |1|0|   0       |     protocol type 0x0000      |   RFC 8926 §3.4, O bit set
    |                     VNI 0                     |       0       |
    |    option class 0xFF5A        |     type      |0 0 0| length  |   RFC 8926 §3.5, class of experimenters
    |    0x10 hello: version, 4 bytes; number of the session, 8, and|
    |         of the one that it replaces, 8; 0 = none;             |
    |         abilities, 4: bit 0, takes packets in parts           |
    |    0x11 probe: sequence, 8 bytes; sender's time in ns, 8 bytes|
    |    0x12 probe answer: both as they came                       |
    |    0x13 goodbye: nothing                                      |
    |    0x14 size probe: number, 4 bytes; padding behind the option|
    |    0x15 size answer: number; bytes of the probe, 4 bytes each |

Bytes in, messages out, and back; total on any bytes. Both ends of the tunnel use it; it knows no session.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

__all__ = ["VERSION", "Goodbye", "Hello", "Message", "Probe", "ProbeAnswer", "SizeAnswer", "SizeProbe", "decode",
           "encode"]

VERSION = 1
OPTION_CLASS = 0xFF5A
FLAG_CONTROL = 0x80
HEADER = struct.Struct("!BBHIHBB")       # Geneve base header, then the option's
PAIR = struct.Struct("!QQ")
WORD = struct.Struct("!I")
WORDS = struct.Struct("!II")
GREETING = struct.Struct("!IQQ")
ABLE_GREETING = struct.Struct("!IQQI")
TAKES_PARTS = 1
SIZE_PROBE_BYTES = HEADER.size + WORD.size


class Kind(IntEnum):
    """Types of the option."""

    HELLO = 0x10
    PROBE = 0x11
    PROBE_ANSWER = 0x12
    GOODBYE = 0x13
    SIZE_PROBE = 0x14
    SIZE_ANSWER = 0x15


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message of both sides: the version of the tunnel's inside that the sender speaks.

    An edge tells the number that it knows the session by; a connector names the session that this one takes over from.
    What else the sender is able to do it says too: a peer that has not said so is not sent it.
    """

    version: int
    session: int = 0
    replaces: int = 0
    takes_parts: bool = False      # fastpath.parts


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


@dataclass(frozen=True, slots=True)
class SizeProbe:
    """Does a packet of `size` bytes, this one, come through? At least 16."""

    number: int
    size: int


@dataclass(frozen=True, slots=True)
class SizeAnswer:
    """It did: its number, and the bytes that came."""

    number: int
    size: int


Message = Hello | Probe | ProbeAnswer | Goodbye | SizeProbe | SizeAnswer


def encode(message: Message) -> bytes:
    """Return the Geneve packet of a message.

    Raises:
        ValueError: a number does not fit its field.
    """
    try:
        match message:
            case Hello(version, session, replaces, takes_parts):
                return _packet(Kind.HELLO, ABLE_GREETING.pack(version, session, replaces, TAKES_PARTS * takes_parts))
            case Probe(sequence, time_ns):
                return _packet(Kind.PROBE, PAIR.pack(sequence, time_ns))
            case ProbeAnswer(sequence, time_ns):
                return _packet(Kind.PROBE_ANSWER, PAIR.pack(sequence, time_ns))
            case Goodbye():
                return _packet(Kind.GOODBYE, b"")
            case SizeProbe(number, size):
                if not SIZE_PROBE_BYTES <= size <= 0xFFFF:
                    raise ValueError(f"message: a size probe has {SIZE_PROBE_BYTES} to 65535 bytes, not {size}")
                return _packet(Kind.SIZE_PROBE, WORD.pack(number)).ljust(size, b"\0")
            case SizeAnswer(number, size):
                return _packet(Kind.SIZE_ANSWER, WORDS.pack(number, size))
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
    words = length & 0x1F
    if first != 1 + words or not flags & FLAG_CONTROL or option_class != OPTION_CLASS:
        return None
    if kind == Kind.SIZE_PROBE and words == 1 and len(packet) >= SIZE_PROBE_BYTES:
        return SizeProbe(WORD.unpack_from(packet, HEADER.size)[0], len(packet))
    data = packet[HEADER.size:]
    return _message(kind, data) if len(data) == 4 * words else None


def _message(kind: int, data: bytes) -> Message | None:
    match kind, len(data):
        case Kind.HELLO, size if size >= ABLE_GREETING.size:
            version, session, replaces, abilities = ABLE_GREETING.unpack_from(data)
            return Hello(version, session, replaces, bool(abilities & TAKES_PARTS))
        case Kind.HELLO, size if size >= GREETING.size:
            return Hello(*GREETING.unpack_from(data))
        case Kind.HELLO, size if size >= WORD.size:
            return Hello(WORD.unpack_from(data)[0])
        case Kind.PROBE, PAIR.size:
            return Probe(*PAIR.unpack(data))
        case Kind.PROBE_ANSWER, PAIR.size:
            return ProbeAnswer(*PAIR.unpack(data))
        case Kind.GOODBYE, 0:
            return Goodbye()
        case Kind.SIZE_ANSWER, WORDS.size:
            return SizeAnswer(*WORDS.unpack(data))
    return None


def _packet(kind: int, data: bytes) -> bytes:
    words = len(data) // 4
    return HEADER.pack(1 + words, FLAG_CONTROL, 0, 0, OPTION_CLASS, kind, words) + data
