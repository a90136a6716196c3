"""The listener: from the first datagram of a stranger to an established session of a verified connector. No
socket.

    stranger ─ClientHello─▶ cookie back, nothing kept
             ─ClientHello with cookie─▶ half open, one of a bounded number ─▶ … ─▶ peer check ─▶ accepted

Journey: the datapath hands over datagrams that no session owns, and sends what comes back. The library's
own DTLSv1_listen does the cookie exchange on one connection that waits for the next stranger. When
half-open handshakes are at their bound the oldest gives way: each has proved its address, so a flood has to
own many, and each address has a bound of its own. It does not read packets. One thread. Source: RFC 6347
§4.2.1, §4.2.8.
"""

from __future__ import annotations

import logging
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from OpenSSL import SSL

from zcc.errors import PeerRefused
from zcc.internet_edge.cookie import Cookies, PeerAddress
from zcc.internet_edge.settings import LimitSettings
from zcc.itunnel.handshake import DATAGRAM_BYTES, Handshake, HandshakeFailed, use_fixed_mtu
from zcc.pki.peer import Peer

__all__ = ["Accepted", "Listener", "opens_handshake"]

HANDSHAKE_NS = 10_000_000_000
HANDSHAKE_TYPE = 22
CLIENT_HELLO = 1
RECORD_HEADER = 13
FLIGHT_BYTES = 1 << 14

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A session that is established, its peer verified."""

    address: PeerAddress
    connection: SSL.Connection
    peer: Peer


@dataclass(slots=True)
class _HalfOpen:
    handshake: Handshake
    since_ns: int
    repeat_ns: int


def opens_handshake(datagram: bytes) -> bool:
    """Whether a datagram is a ClientHello: a handshake record of epoch 0, message type 1 (RFC 6347 §4.2.2).
    """
    if len(datagram) <= RECORD_HEADER or datagram[3:5] != b"\0\0":
        return False
    return datagram[0] == HANDSHAKE_TYPE and datagram[RECORD_HEADER] == CLIENT_HELLO


class Listener:
    """Handshakes in progress."""

    def __init__(
        self, context: SSL.Context, verify: Callable[[bytes], Peer], limits: LimitSettings, cookies: Cookies
    ) -> None:
        """Prepare for strangers.

        Args:
            context: zcc.pki.context.dtls_server; its cookie callbacks are set here.
            verify: takes the peer's certificate (DER), raises PeerRefused.
        """
        use_fixed_mtu(context)
        context.set_cookie_generate_callback(lambda connection: cookies.make(connection.get_app_data()))
        context.set_cookie_verify_callback(
            lambda connection, cookie: cookies.check(connection.get_app_data(), cookie))
        self._context, self._verify, self._limits, self._cookies = context, verify, limits, cookies
        self._half_open: OrderedDict[PeerAddress, _HalfOpen] = OrderedDict()
        self._per_address: Counter[int] = Counter()
        self._listening: SSL.Connection | None = None
        self.accepted: list[Accepted] = []          # for the datapath to take
        # cookies, begun, accepted, refused, failed, expired, crowded
        self.counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._half_open)

    def wants(self, address: PeerAddress, datagram: bytes) -> bool:
        """Return whether a datagram can be part of a handshake; all else of strangers is not for us."""
        return address in self._half_open or opens_handshake(datagram)

    def receive(self, address: PeerAddress, datagram: bytes, now_ns: int) -> list[bytes]:
        """Take a datagram that belongs to no session; return what to send back to its sender."""
        self._cookies.rotate(now_ns)
        known = self._half_open.get(address)
        if known is None:
            return self._greet(address, datagram, now_ns) if opens_handshake(datagram) else []
        return self._advance(address, known, lambda: known.handshake.receive(datagram), now_ns)

    def tick(self, now_ns: int) -> list[tuple[PeerAddress, bytes]]:
        """Return what is due again, with its receivers; forget handshakes that take too long."""
        out: list[tuple[PeerAddress, bytes]] = []
        for address, half in list(self._half_open.items()):
            if now_ns - half.since_ns > HANDSHAKE_NS:
                self.counts["expired"] += 1
                self._forget(address)
            elif now_ns >= half.repeat_ns:
                said = self._advance(address, half, half.handshake.expired, now_ns)
                out.extend((address, datagram) for datagram in said)
        return out

    def _greet(self, address: PeerAddress, datagram: bytes, now_ns: int) -> list[bytes]:
        """The stateless part: a cookie for a first ClientHello, a half-open handshake for one that brings it
        back.
        """
        connection = self._listening or self._new_connection()
        self._listening = None
        connection.set_app_data(address)
        connection.bio_write(datagram)
        try:
            connection.DTLSv1_listen()
        except SSL.WantReadError:
            self._listening = connection          # as fresh as before: DTLSv1_listen clears it
            self.counts["cookies"] += 1
            return _waiting(connection)
        except SSL.Error:
            self.counts["failed"] += 1
            return []
        if not self._make_room(address):
            self.counts["crowded"] += 1
            return []
        self.counts["begun"] += 1
        half = _HalfOpen(Handshake(connection), now_ns, now_ns)
        self._half_open[address] = half
        self._per_address[address[0]] += 1
        return self._advance(address, half, half.handshake.start, now_ns)

    def _advance(
        self, address: PeerAddress, half: _HalfOpen, step: Callable[[], list[bytes]], now_ns: int
    ) -> list[bytes]:
        said: list[bytes] = []
        try:
            said = step()
            if half.handshake.done:
                peer = self._verify(half.handshake.certificate())
                self.accepted.append(Accepted(address, half.handshake.connection, peer))
                self.counts["accepted"] += 1
                self._forget(address)
        except HandshakeFailed as failure:
            self.counts["failed"] += 1
            log.info("handshake with %s:%d failed: %s", IPv4Address(address[0]), address[1], failure)
            self._forget(address)
            return list(failure.farewell)
        except PeerRefused as refusal:
            self.counts["refused"] += 1
            log.warning("%s:%d: %s", IPv4Address(address[0]), address[1], refusal)
            self._forget(address)
            return [*said, *half.handshake.refuse()]
        wait_s = half.handshake.wait_s()
        half.repeat_ns = now_ns + (HANDSHAKE_NS if wait_s is None else int(wait_s * 1e9))
        return said

    def _make_room(self, address: PeerAddress) -> bool:
        if self._per_address[address[0]] >= self._limits.half_open_per_address:
            return False
        if len(self._half_open) >= self._limits.half_open:
            self._forget(next(iter(self._half_open)))
        return True

    def _forget(self, address: PeerAddress) -> None:
        del self._half_open[address]
        self._per_address[address[0]] -= 1
        if not self._per_address[address[0]]:
            del self._per_address[address[0]]

    def _new_connection(self) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_accept_state()
        connection.set_ciphertext_mtu(DATAGRAM_BYTES)
        return connection


def _waiting(connection: SSL.Connection) -> list[bytes]:
    try:
        return [connection.bio_read(FLIGHT_BYTES)]
    except SSL.WantReadError:
        return []
