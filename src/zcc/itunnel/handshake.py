"""A DTLS handshake without a socket: datagrams in, datagrams out, and when to repeat them.

Journey: the connector's client and the internet edge's listener drive one each until it is done; then the
peer's certificate is checked and the connection goes to fastpath.dtls. pyOpenSSL keeps the protocol (RFC
6347 §4.2); here are the edges of a memory BIO, which is a stream: what comes is fed only when its records
tile the datagram, what leaves is cut into datagrams.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

from zcc.errors import ZccError

__all__ = ["DATAGRAM_BYTES", "Handshake", "HandshakeFailed", "StreamHandshake", "datagrams", "records", "use_fixed_mtu"]

RECORD_HEADER = 13           # RFC 6347 §4.1
DATAGRAM_BYTES = 1200        # a handshake crosses every path without fragments (as QUIC's, RFC 9000 §14.1)
FLIGHT_BYTES = 1 << 16
ALERT, HANDSHAKE = 21, 22


class HandshakeFailed(ZccError):
    """The DTLS handshake ended without a session; the message says what OpenSSL found.

    `farewell` is what OpenSSL still wants the peer to know: the datagram of an alert, mostly.
    """

    def __init__(self, reason: str, farewell: Sequence[bytes] = ()) -> None:
        self.farewell = tuple(farewell)
        super().__init__(reason)


def records(datagram: bytes) -> Iterator[bytes]:
    """Cut a datagram into its records.

    Raises:
        ValueError: they do not tile it.
    """
    at = 0
    while at < len(datagram):
        end = at + RECORD_HEADER + int.from_bytes(datagram[at + 11:at + 13], "big")
        if len(datagram) - at <= RECORD_HEADER or end > len(datagram):
            raise ValueError("datagram: its records do not tile it")
        yield datagram[at:end]
        at = end


def datagrams(flight: bytes, limit: int = DATAGRAM_BYTES) -> list[bytes]:
    """Pack the records of a flight into datagrams of at most `limit` bytes (a larger record goes alone)."""
    packed: list[bytes] = []
    for record in records(flight):
        if packed and len(packed[-1]) + len(record) <= limit:
            packed[-1] += record
        else:
            packed.append(record)
    return packed


def use_fixed_mtu(context: SSL.Context) -> None:
    """Tell OpenSSL not to ask memory BIOs for an MTU; every context of a Handshake needs it once."""
    context.set_options(SSL.OP_NO_QUERY_MTU)


class Handshake:
    """One handshake; after `done`, `connection` is ready for fastpath.dtls.Session. One thread."""

    def __init__(self, connection: SSL.Connection) -> None:
        """Take a connection over memory BIOs whose connect or accept state is set."""
        connection.set_ciphertext_mtu(DATAGRAM_BYTES)
        self.connection = connection
        self.done = False

    def start(self) -> list[bytes]:
        """Return the first datagrams to send (a server's: none)."""
        return self._advance()

    def receive(self, datagram: bytes) -> list[bytes]:
        """Take a datagram; return what to send.

        Raises:
            HandshakeFailed: the peer refused us, or its certificate does not chain to our CA.
        """
        if not _tiles(datagram) or self.done:
            return []
        self.connection.bio_write(datagram)
        return self._advance()

    def wait_s(self) -> float | None:
        """Return how many seconds to wait for a datagram before expired(); None = nothing to repeat."""
        timeout = self.connection.DTLSv1_get_timeout()
        return None if timeout is None else float(timeout)

    def expired(self) -> list[bytes]:
        """Return what to send again, if its time has come.

        Raises:
            HandshakeFailed: it was repeated too often.
        """
        try:
            self.connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            raise HandshakeFailed(f"no answer to the handshake ({_reason(error)})") from None
        return datagrams(self._flight())

    def certificate(self) -> bytes:
        """Return the peer's certificate, DER; valid once done.

        Raises:
            HandshakeFailed: the peer showed none.
        """
        return _certificate(self.connection)

    def refuse(self) -> list[bytes]:
        """Return what ends the session again: the peer then knows that we will not have it."""
        try:
            self.connection.shutdown()
        except SSL.Error:
            return []
        return datagrams(self._flight())

    def _advance(self) -> list[bytes]:
        try:
            self.connection.do_handshake()
            self.done = True
        except SSL.WantReadError:
            pass
        except SSL.Error as error:
            raise HandshakeFailed(_reason(error), datagrams(self._flight())) from None
        return datagrams(self._flight())

    def _flight(self) -> bytes:
        try:
            return self.connection.bio_read(FLIGHT_BYTES)
        except SSL.WantReadError:
            return b""


def _tiles(datagram: bytes) -> bool:
    try:
        return sum(1 for _ in records(datagram)) > 0
    except ValueError:
        return False


def _reason(error: SSL.Error) -> str:
    parts = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(part[-1]) for part in parts) or "connection lost"


class StreamHandshake:
    """A TLS handshake without a socket: bytes in, bytes out; after `done`, `connection` is for fastpath.stream. One thread."""

    def __init__(self, connection: SSL.Connection) -> None:
        """Take a connection over memory BIOs whose connect or accept state is set."""
        self.connection = connection
        self.done = False

    def receive(self, data: bytes) -> bytes:
        """Take what has come, b"" to begin; return what to send.

        Raises:
            HandshakeFailed: the peer refused us, or its certificate does not chain to our CA. Its farewell is to be sent.
        """
        if data:
            self.connection.bio_write(data)
        try:
            self.connection.do_handshake()
            self.done = True
        except SSL.WantReadError:
            pass
        except (SSL.Error, ValueError) as error:
            reason = _reason(error) if isinstance(error, SSL.Error) else str(error)
            raise HandshakeFailed(reason, [said] if (said := self._said()) else []) from None
        return self._said()

    def certificate(self) -> bytes:
        """Return the peer's certificate, DER; valid once done.

        Raises:
            HandshakeFailed: the peer showed none.
        """
        return _certificate(self.connection)

    def _said(self) -> bytes:
        try:
            return self.connection.bio_read(FLIGHT_BYTES)
        except SSL.WantReadError:
            return b""


def _certificate(connection: SSL.Connection) -> bytes:
    shown = connection.get_peer_certificate(as_cryptography=True)
    if shown is None:
        raise HandshakeFailed("the peer showed no certificate")
    return shown.public_bytes(Encoding.DER)
