"""QUIC Initial: the cryptographic stream in the Initial packets that a client sends, versions 1 and 2.

Their keys come from what the first packet shows, so that anybody on the path can read them. Journey: zcc.names.reader → here, a
datagram at a time; several packets of a datagram, and frames in any order. Total.
Spec: RFC 9000 §12.2, §17.2.2, §19, §16; RFC 9001 §5.2, §5.3, §5.4; RFC 9369 §3; packet numbers RFC 9000 appendix A.3.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

__all__ = ["Frame", "Initials", "Keys", "NotQuic", "UnknownVersion"]

LONG = 0xC0  # long header, and the fixed bit
CONNECTION_ID_MAX = 20
SAMPLE = 16
TAG = 16
PACKETS = 8  # of one datagram
PADDING, PING, ACK, ACK_ECN, CRYPTO, CLOSE = 0x00, 0x01, 0x02, 0x03, 0x06, 0x1C
ACK_RANGES = 64
REASON_MAX = 1 << 14


class NotQuic(Exception):
    """These bytes begin no QUIC connection."""


class UnknownVersion(Exception):
    """It may be QUIC, but of a version whose Initials this can not read."""


class Frame(NamedTuple):
    """A piece of the cryptographic stream."""

    offset: int
    octets: bytes


@dataclass(frozen=True, slots=True)
class Version:
    """What versions differ in."""

    salt: bytes
    label: str
    initial: int  # the packet type, bits 4 and 5


VERSIONS = {
    0x00000001: Version(bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), "quic", 0x00),
    0x6B3343CF: Version(bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"), "quicv2", 0x10),
}


@dataclass(frozen=True, slots=True)
class Keys:
    """What protects the client's Initial packets."""

    key: bytes
    iv: bytes
    hp: bytes

    @classmethod
    def of(cls, version: Version, connection: bytes) -> Keys:
        """Derive them from the destination connection id of the client's first packet."""
        initial = hmac.digest(version.salt, connection, hashlib.sha256)
        client = _expand(initial, "client in", 32)
        return cls(*(_expand(client, f"{version.label} {name}", length)
                     for name, length in (("key", 16), ("iv", 12), ("hp", 16))))  # fmt: skip


def _expand(secret: bytes, label: str, length: int) -> bytes:
    """HKDF-Expand-Label of RFC 8446 §7.1 with no context, at most 32 octets long."""
    text = b"tls13 " + label.encode()
    info = length.to_bytes(2) + bytes([len(text)]) + text + b"\x00"
    return hmac.digest(secret, info + b"\x01", hashlib.sha256)[:length]


class _Short(Exception):
    """A field is longer than what it is in."""


class _Octets:
    """A cursor over some octets; a read beyond them raises _Short."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise _Short
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self) -> int:
        """A variable-length integer."""
        first = self.take(1)[0]
        return int.from_bytes(bytes([first & 0x3F]) + self.take((1 << (first >> 6)) - 1))


class _Packet(NamedTuple):
    version: Version
    connection: bytes  # destination
    header: bytes  # as sent, as far as the packet number
    rest: bytes  # packet number and payload, protected
    initial: bool


class Initials:
    """The Initial packets of one client, datagram after datagram."""

    def __init__(self) -> None:
        self._begun = False  # a packet of a version known has come
        self._keys: Keys | None = None
        self._largest = -1  # packet number opened

    def read(self, datagram: bytes) -> list[Frame]:
        """Return the pieces in a datagram; empty = none, or none that can be opened.

        Raises:
            NotQuic: the first datagram holds no packet of a handshake.
            UnknownVersion: it is of a version that this does not know.
        """
        frames: list[Frame] = []
        at = 0
        for _ in range(PACKETS):
            try:
                packet, at = _packet(datagram, at)
            except _Short:
                break
            if packet is None:
                break
            self._begun = True
            if packet.initial:
                frames += self._open(packet)
        if not self._begun:
            raise NotQuic
        return frames

    def _open(self, packet: _Packet) -> list[Frame]:
        keys = self._keys
        opened = None if keys is None else _unprotected(packet, keys, self._largest)
        if opened is None:
            # The first packet; or, after a Retry, one under keys of the connection id that the client was given.
            keys = Keys.of(packet.version, packet.connection)
            opened = _unprotected(packet, keys, self._largest)
        if opened is None:
            return []
        self._keys, self._largest = keys, max(self._largest, opened[0])
        return _frames(opened[1])


def _packet(datagram: bytes, begin: int) -> tuple[_Packet | None, int]:
    """The packet that begins at a place, and where the next does; None: the rest is no packet with a long header."""
    if begin >= len(datagram) or datagram[begin] & LONG != LONG:
        return None, begin
    octets = _Octets(datagram, begin)
    first, number = octets.take(1)[0], int.from_bytes(octets.take(4))
    version = VERSIONS.get(number)
    connection, _ = _connection(octets), _connection(octets)
    if version is None:
        if begin == 0:
            raise UnknownVersion
        return None, begin
    initial = first & 0x30 == version.initial
    if initial:
        octets.take(octets.number())  # token
    length = octets.number()
    header = datagram[begin : octets.at]
    return _Packet(version, connection, header, octets.take(length), initial), octets.at


def _connection(octets: _Octets) -> bytes:
    length = octets.take(1)[0]
    if length > CONNECTION_ID_MAX:
        raise _Short
    return octets.take(length)


def _unprotected(packet: _Packet, keys: Keys, largest: int) -> tuple[int, bytes] | None:
    """The packet number and the payload; None: these are not its keys."""
    if len(packet.rest) < 4 + SAMPLE:
        return None
    encryptor = Cipher(algorithms.AES(keys.hp), modes.ECB()).encryptor()  # RFC 9001 §5.4.3
    mask = encryptor.update(packet.rest[4 : 4 + SAMPLE])
    first = packet.header[0] ^ (mask[0] & 0x0F)
    length = (first & 3) + 1
    shown = bytes(a ^ b for a, b in zip(packet.rest[:length], mask[1:], strict=False))
    number = _whole_number(int.from_bytes(shown), 8 * length, largest)
    nonce = bytes(a ^ b for a, b in zip(keys.iv, number.to_bytes(12), strict=True))
    header = bytes([first]) + packet.header[1:] + shown
    try:
        return number, AESGCM(keys.key).decrypt(nonce, packet.rest[length:], header)
    except InvalidTag:
        return None


def _whole_number(shown: int, bits: int, largest: int) -> int:
    expected, window = largest + 1, 1 << bits
    number = (expected & ~(window - 1)) | shown
    if number <= expected - window // 2 and number < (1 << 62) - window:
        return number + window
    return number - window if number > expected + window // 2 and number >= window else number


def _frames(payload: bytes) -> list[Frame]:
    """The CRYPTO frames of a payload; as many as stand in front of what an Initial may not have."""
    octets, found = _Octets(payload), []
    try:
        while octets.at < len(payload):
            kind = octets.take(1)[0]
            if kind == PADDING:
                octets.at = len(payload) - len(payload[octets.at :].lstrip(b"\x00"))
            elif kind == CRYPTO:
                offset = octets.number()
                found.append(Frame(offset, octets.take(octets.number())))
            elif not _skipped(kind, octets):
                break
    except _Short:
        pass
    return found


def _skipped(kind: int, octets: _Octets) -> bool:
    """Go past a frame that an Initial may have beside CRYPTO; False: it may not have this one."""
    if kind in (ACK, ACK_ECN):
        _, _, ranges, _ = (octets.number() for _ in range(4))
        for _ in range(2 * min(ranges, ACK_RANGES) + (3 if kind == ACK_ECN else 0)):
            octets.number()
        return ranges <= ACK_RANGES
    return kind == PING
