"""Capture files: the frames of a .pcap or .pcapng file, one after the other.

Journey: a file → here → `link` finds the IP packet → `replay`. Spec: draft-ietf-opsawg-pcap (microseconds and nanoseconds,
both byte orders), draft-ietf-opsawg-pcapng (sections, interfaces with their own clock, enhanced, simple and old packet
blocks; other blocks are passed over). Total on any bytes: what is wrong is a CaptureError with the offset, after the
frames before it. It holds one frame at a time and knows no protocol.

    pcap     header 24: magic, version, …, snapshot length, link type    then records: seconds, fraction, captured, original
    pcapng   blocks: type, length, body, length again                    a section header says the byte order of what follows
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NoReturn

from zcc.errors import CaptureError

__all__ = ["Frame", "read_frames"]

FRAME_LIMIT = 1 << 24  # bytes; the largest capture length in use is 256 KiB, so a larger one is damage
TIME_LIMIT_NS = 1 << 62
PCAP_FRACTIONS = {0xA1B2C3D4: 1000, 0xA1B23C4D: 1}  # magic → nanoseconds a unit
SECTION = 0x0A0D0D0A
ORDER_MAGIC = 0x1A2B3C4D
INTERFACE, OLD_PACKET, SIMPLE_PACKET, ENHANCED_PACKET = 1, 2, 3, 6
OPTION_END, OPTION_RESOLUTION, OPTION_OFFSET = 0, 9, 14


@dataclass(frozen=True, slots=True)
class Frame:
    """One captured frame."""

    offset: int  # of its record in the file
    time_ns: int  # since 1970
    link_type: int  # as registered for pcap
    little_endian: bool  # byte order of the machine that wrote it, which the null link type uses
    data: bytes
    missing: int  # bytes of the frame that the capture left out


@dataclass(frozen=True, slots=True)
class Interface:
    """Where a pcapng section's packets come from."""

    link_type: int
    snapshot: int  # 0 = unlimited
    units: int  # of time a second
    offset_s: int


class Source:
    """A file that knows where it is, so that every error can say so."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path, self.file, self.offset = path, file, 0

    def take(self, n: int, what: str) -> bytes:
        """Return the next n bytes.

        Raises:
            CaptureError: the file ends before.
        """
        data = self.file.read(n)
        if len(data) < n:
            self.fail(self.offset + len(data), f"the file ends inside {what}; it was cut, capture it again or copy it whole")
        self.offset += n
        return data

    def at_end(self) -> bool:
        """Say whether nothing is left."""
        if self.file.read(1):
            self.file.seek(self.offset)
            return False
        return True

    def fail(self, offset: int, why: str) -> NoReturn:
        """Raise CaptureError with the file and the offset."""
        raise CaptureError(f"{self.path}: offset {offset}: {why}")


def read_frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of a capture file in the order of the file.

    Raises:
        CaptureError: it cannot be opened, is no capture, or is damaged; frames before the damage have been yielded.
    """
    try:
        file = path.open("rb")
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror}; give a .pcap or .pcapng file") from error
    with file:
        source = Source(path, file)
        try:
            yield from _frames(source)
        except OSError as error:
            raise CaptureError(f"{path}: offset {source.offset}: {error.strerror}") from error


def _frames(source: Source) -> Iterator[Frame]:
    magic = source.take(4, "the first four bytes, which say what kind of capture it is")
    if int.from_bytes(magic, "big") == SECTION:
        return _pcapng(source)
    for little in (False, True):
        number = int.from_bytes(magic, "little" if little else "big")
        if number in PCAP_FRACTIONS:
            return _pcap(source, PCAP_FRACTIONS[number], little)
    if magic[:2] == b"\x1f\x8b":
        source.fail(0, "this is compressed; unpack it first: gunzip FILE")
    source.fail(0, f"bytes {magic.hex(' ')} begin no .pcap and no .pcapng file; save the capture in one of these formats")


# ---- pcap ----


def _pcap(source: Source, unit_ns: int, little: bool) -> Iterator[Frame]:
    order = "<" if little else ">"
    major, _, _, _, _, link_type = Struct(order + "HHiIII").unpack(source.take(20, "the file header"))
    if major != 2:
        source.fail(4, f"version {major} of pcap is not known; version 2 is")
    record = Struct(order + "IIII")
    while not source.at_end():
        offset = source.offset
        seconds, fraction, captured, original = record.unpack(source.take(16, "a record header"))
        if captured > FRAME_LIMIT:
            source.fail(offset, f"a frame of {captured} bytes; the file is damaged from here on")
        data = source.take(captured, f"a frame of {captured} bytes")
        time_ns = seconds * 1_000_000_000 + fraction * unit_ns
        yield Frame(offset, time_ns, link_type & 0xFFFF, little, data, max(0, original - captured))


# ---- pcapng ----


def _pcapng(source: Source) -> Iterator[Frame]:
    little, interfaces = _section(source, 0), list[Interface]()
    while not source.at_end():
        offset = source.offset
        kind = source.take(4, "a block")
        if int.from_bytes(kind, "big") == SECTION:
            little, interfaces = _section(source, offset), []
            continue
        order = "<" if little else ">"
        body = _body(source, offset, order)
        number = int.from_bytes(kind, "little" if little else "big")
        if number == INTERFACE:
            interfaces.append(_interface(source, offset, order, body))
        elif number in (ENHANCED_PACKET, OLD_PACKET, SIMPLE_PACKET):
            yield _packet(source, offset, (number, order, body), interfaces)


def _section(source: Source, offset: int) -> bool:
    """Read a section header behind its type; return whether it is little-endian."""
    head = source.take(8, "a section header")
    for little in (False, True):
        if int.from_bytes(head[4:], "little" if little else "big") == ORDER_MAGIC:
            length = int.from_bytes(head[:4], "little" if little else "big")
            if not 28 <= length <= FRAME_LIMIT or length % 4:
                source.fail(offset, f"a section header of {length} bytes; the file is damaged from here on")
            rest = source.take(length - 12, "a section header")
            major = int.from_bytes(rest[:2], "little" if little else "big")
            if major != 1:
                source.fail(offset, f"version {major} of pcapng is not known; version 1 is")
            return little
    source.fail(offset + 8, "a section header without its byte-order mark; the file is damaged from here on")


def _body(source: Source, offset: int, order: str) -> bytes:
    length = Struct(order + "I")
    (total,) = length.unpack(source.take(4, "a block"))
    if not 12 <= total <= FRAME_LIMIT or total % 4:
        source.fail(offset, f"a block of {total} bytes; the file is damaged from here on")
    body = source.take(total - 12, f"a block of {total} bytes")
    (again,) = length.unpack(source.take(4, f"a block of {total} bytes"))
    if again != total:
        source.fail(offset, f"a block of {total} bytes that ends with length {again}; the file is damaged from here on")
    return body


def _interface(source: Source, offset: int, order: str, body: bytes) -> Interface:
    if len(body) < 8:
        source.fail(offset, f"an interface block of {len(body)} bytes, 8 are needed; the file is damaged from here on")
    link_type, _, snapshot = Struct(order + "HHI").unpack_from(body)
    units, offset_s, at, option = 1_000_000, 0, 8, Struct(order + "HH")
    while at + 4 <= len(body):
        code, size = option.unpack_from(body, at)
        value = body[at + 4 : at + 4 + size]
        if code == OPTION_END or len(value) < size:
            break
        if code == OPTION_RESOLUTION and size == 1:
            units = int(1 << (value[0] & 0x7F)) if value[0] & 0x80 else int(10 ** value[0])
        elif code == OPTION_OFFSET and size == 8:
            offset_s = int.from_bytes(value, "little" if order == "<" else "big", signed=True)
        at += 4 + (size + 3) // 4 * 4
    return Interface(link_type, snapshot, units, offset_s)


def _packet(source: Source, offset: int, block: tuple[int, str, bytes], interfaces: list[Interface]) -> Frame:
    kind, order, body = block
    head = Struct(order + {ENHANCED_PACKET: "IIIII", OLD_PACKET: "HHIIII", SIMPLE_PACKET: "I"}[kind])
    if len(body) < head.size:
        source.fail(offset, f"a packet block of {len(body)} bytes, {head.size} are needed; the file is damaged from here on")
    fields = head.unpack_from(body)
    index = 0 if kind == SIMPLE_PACKET else fields[0]
    if index >= len(interfaces):
        source.fail(offset, f"a packet of interface {index}, which no block describes; the file is damaged from here on")
    interface = interfaces[index]
    original = fields[-1]
    captured = original if kind == SIMPLE_PACKET else fields[-2]
    if kind == SIMPLE_PACKET:
        captured = min(original, interface.snapshot or original, len(body) - head.size)
    if head.size + captured > len(body):
        source.fail(offset, f"a frame of {captured} bytes in a block of {len(body)}; the file is damaged from here on")
    time_ns = 0
    if kind != SIMPLE_PACKET:
        ticks = fields[-4] << 32 | fields[-3]
        time_ns = ticks * 1_000_000_000 // interface.units + interface.offset_s * 1_000_000_000
    data = body[head.size : head.size + captured]
    time_ns = max(0, min(time_ns, TIME_LIMIT_NS))
    return Frame(offset, time_ns, interface.link_type, order == "<", data, max(0, original - captured))
