"""Streams: TLS over TCP at the edge's own address, for connectors whose UDP does not get through.

    stranger ─connect─▶ half open, one of a bounded number ─TLS 1.3─▶ peer check ─▶ accepted ─▶ a session, readable or not

Journey: the datapath asks who is readable and reads packets by itself; what is not yet a session is answered here. One epoll
stands for all sockets. An address has a bound of its own on half-open handshakes; the oldest gives way at the bound for all.
The datapath's thread only. Source: design §3.
"""

from __future__ import annotations

import contextlib
import logging
import select
import socket
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from OpenSSL import SSL

from zcc.errors import PeerRefused
from zcc.fields import HostPort
from zcc.internet_edge.cookie import PeerAddress
from zcc.internet_edge.settings import LimitSettings
from zcc.itunnel.dial import prepare_stream
from zcc.itunnel.handshake import HandshakeFailed, StreamHandshake
from zcc.pki.peer import Peer

__all__ = ["AcceptedStream", "Streams"]

HANDSHAKE_NS = 10_000_000_000
ACCEPTS = 16               # strangers a turn
READ_BYTES = 1 << 16
BACKLOG = 128

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AcceptedStream:
    """A session that is established, its peer verified; the socket is the taker's."""

    address: PeerAddress
    connection: SSL.Connection
    socket: socket.socket
    peer: Peer


@dataclass(slots=True)
class _HalfOpen:
    socket: socket.socket
    address: PeerAddress
    handshake: StreamHandshake
    since_ns: int


class Streams:
    """The TCP listener, handshakes in progress, and which sessions have something to read."""

    def __init__(self, context: SSL.Context, verify: Callable[[bytes], Peer], limits: LimitSettings, listen: HostPort) -> None:
        """Listen.

        Args:
            context: zcc.pki.context.stream_server.
            verify: takes the peer's certificate (DER), raises PeerRefused.
        Raises:
            OSError: the address is taken or not ours.
        """
        self._context, self._verify, self._limits = context, verify, limits
        self._listener = socket.create_server((str(listen.address), listen.port), backlog=BACKLOG)
        self._listener.setblocking(False)
        self._epoll = select.epoll()
        self._epoll.register(self._listener, select.EPOLLIN)
        self._half_open: OrderedDict[int, _HalfOpen] = OrderedDict()       # by descriptor
        self._per_address: Counter[int] = Counter()
        self.accepted: list[AcceptedStream] = []
        self.counts: Counter[str] = Counter()      # begun, accepted, refused, failed, expired, crowded

    def __len__(self) -> int:
        return len(self._half_open)

    @property
    def fd(self) -> int:
        """Readable when ready() has something to do."""
        return self._epoll.fileno()

    def watch(self, fd: int) -> None:
        """Tell of a session's descriptor from now on, until it is closed."""
        self._epoll.register(fd, select.EPOLLIN)

    def ready(self, now_ns: int) -> list[int]:
        """Go on with handshakes; return the descriptors of sessions that have something to read."""
        readable = []
        for fd, _ in self._epoll.poll(0):
            if fd == self._listener.fileno():
                self._accept(now_ns)
            elif fd in self._half_open:
                self._advance(self._half_open[fd])
            else:
                readable.append(fd)
        return readable

    def tick(self, now_ns: int) -> None:
        """Forget handshakes that take too long."""
        for half in list(self._half_open.values()):
            if now_ns - half.since_ns > HANDSHAKE_NS:
                self.counts["expired"] += 1
                self._forget(half)

    def close(self) -> None:
        """Listen no more."""
        for half in list(self._half_open.values()):
            self._forget(half)
        for accepted in self.accepted:
            accepted.socket.close()
        self._listener.close()
        self._epoll.close()

    def _accept(self, now_ns: int) -> None:
        for _ in range(ACCEPTS):
            try:
                sock, (host, port) = self._listener.accept()
            except OSError:         # none is there, or no descriptor is left: later
                return
            address = int(IPv4Address(host)), port
            if self._per_address[address[0]] >= self._limits.half_open_per_address:
                self.counts["crowded"] += 1
                sock.close()
                continue
            if len(self._half_open) >= self._limits.half_open:
                self.counts["crowded"] += 1
                self._forget(next(iter(self._half_open.values())))
            sock.setblocking(False)
            prepare_stream(sock)
            connection = SSL.Connection(self._context, None)
            connection.set_accept_state()
            self.counts["begun"] += 1
            self._per_address[address[0]] += 1
            self._half_open[sock.fileno()] = _HalfOpen(sock, address, StreamHandshake(connection), now_ns)
            self._epoll.register(sock, select.EPOLLIN)

    def _advance(self, half: _HalfOpen) -> None:
        where = f"{IPv4Address(half.address[0])}:{half.address[1]}"
        try:
            received = half.socket.recv(READ_BYTES)
            if not received:
                raise HandshakeFailed("the peer closed the connection")
            _send(half.socket, half.handshake.receive(received))
            if half.handshake.done:
                peer = self._verify(half.handshake.certificate())
                self.counts["accepted"] += 1
                self._forget(half, keep=True)
                self.accepted.append(AcceptedStream(half.address, half.handshake.connection, half.socket, peer))
        except BlockingIOError:
            return
        except HandshakeFailed as failure:
            self.counts["failed"] += 1
            log.info("handshake with %s by TCP failed: %s", where, failure)
            for said in failure.farewell:
                _send(half.socket, said)
            self._forget(half)
        except PeerRefused as refusal:
            self.counts["refused"] += 1
            log.warning("%s by TCP: %s", where, refusal)
            self._forget(half)
        except OSError as error:
            self.counts["failed"] += 1
            log.info("handshake with %s by TCP failed: %s", where, error)
            self._forget(half)

    def _forget(self, half: _HalfOpen, keep: bool = False) -> None:
        self._epoll.unregister(half.socket)
        del self._half_open[half.socket.fileno()]
        self._per_address[half.address[0]] -= 1
        if not self._per_address[half.address[0]]:
            del self._per_address[half.address[0]]
        if not keep:
            half.socket.close()


def _send(sock: socket.socket, said: bytes) -> None:
    """A flight of a handshake fits every socket's buffer; one that does not go is a peer that does not read."""
    if said:
        with contextlib.suppress(OSError):
            sock.send(said)
