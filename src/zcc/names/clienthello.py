"""ClientHello: the server name that a TLS client asks for, over records (TCP) or without (QUIC).

Journey: zcc.names.reader → here, each time more of the beginning is there. Total: any bytes give an answer, or None while
more are needed.
Spec: RFC 8446 §4.1.2, §4.2 and §5.1; server_name RFC 6066 §3; encrypted_client_hello draft-ietf-tls-esni §5.
"""

from __future__ import annotations

from zcc.names.said import NO_NAME, NOT_WEB, UNREAD, How, Said, of_host

__all__ = ["read_message", "read_records"]

HANDSHAKE = 22  # content type
CLIENT_HELLO = 1  # handshake type
RECORD_HEADER = 5
RECORD_MAX = 1 << 14
MESSAGE_HEADER = 4
SERVER_NAME = 0
ENCRYPTED_CLIENT_HELLO = 0xFE0D  # also where it is only grease, which is made to look the same
HOST_NAME = 0


class _Short(Exception):
    """A field is longer than what it is in."""


class _Octets:
    """A cursor over some octets; a read beyond them raises _Short."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __len__(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > len(self):
            raise _Short
        self._at += count
        return self._data[self._at - count : self._at]

    def number(self, octets: int) -> int:
        return int.from_bytes(self.take(octets))

    def vector(self, octets: int) -> _Octets:
        """What stands behind its own length of so many octets."""
        return _Octets(self.take(self.number(octets)))


def read_records(data: bytes) -> Said | None:
    """Read a ClientHello in the records at the beginning of a TCP stream; None = more octets are needed."""
    if data[:1] and data[0] != HANDSHAKE:
        return NOT_WEB
    message, at = bytearray(), 0
    while len(data) >= at + RECORD_HEADER:
        kind, major, length = data[at], data[at + 1], int.from_bytes(data[at + 3 : at + 5])
        if kind != HANDSHAKE or major != 3 or not 1 <= length <= RECORD_MAX:
            return UNREAD if at else NOT_WEB
        message += data[at + RECORD_HEADER : at + RECORD_HEADER + length]
        at += RECORD_HEADER + length
        said = read_message(bytes(message), How.SNI)
        if said is not None or at > len(data):
            return said
    return NOT_WEB if len(data) >= 2 and at == 0 and data[1] != 3 else None


def read_message(data: bytes, how: How) -> Said | None:
    """Read a ClientHello as a handshake message; None = more octets are needed.

    Args:
        how: what a name is to be told as: SNI or QUIC.
    """
    if data[:1] and data[0] != CLIENT_HELLO:
        return NOT_WEB if how is How.SNI else UNREAD
    if len(data) < MESSAGE_HEADER or len(data) < MESSAGE_HEADER + int.from_bytes(data[1:MESSAGE_HEADER]):
        return None
    try:
        return _said(_Octets(_Octets(data[1:]).vector(3).take(int.from_bytes(data[1:MESSAGE_HEADER]))), how)
    except _Short:
        return UNREAD


def _said(hello: _Octets, how: How) -> Said:
    hello.take(2 + 32)  # legacy_version, random
    session, ciphers, compressions = hello.vector(1), hello.vector(2), hello.vector(1)
    if len(session) > 32 or len(ciphers) < 2 or len(ciphers) % 2 or not len(compressions):
        return UNREAD
    extensions = hello.vector(2) if len(hello) else _Octets(b"")
    if len(hello):
        return UNREAD
    found: dict[int, _Octets] = {}
    while len(extensions):
        kind, content = extensions.number(2), extensions.vector(2)
        if kind in found:
            return UNREAD  # forbidden, and servers differ in which of the two they take
        found[kind] = content
    said = _server_name(found[SERVER_NAME], how) if SERVER_NAME in found else NO_NAME
    if ENCRYPTED_CLIENT_HELLO in found and said != UNREAD:
        return Said(How.ECH, said.name)
    return said


def _server_name(extension: _Octets, how: How) -> Said:
    names = extension.vector(2)
    kind, host = names.number(1), names.vector(2)
    # Other types than a host name were never defined, and a second name is forbidden.
    if len(extension) or len(names) or kind != HOST_NAME or not len(host):
        return UNREAD
    return of_host(host.take(len(host)), how)
