"""Dialling an internet edge: a socket, a handshake, a peer that is who it should be.

Journey: keeper → here → a connection whose handshake is done, and its socket, for the data plane. One event loop.
Source: RFC 6347 §4.2.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from OpenSSL import SSL

from zcc.fields import HostPort
from zcc.itunnel.handshake import Handshake, HandshakeFailed, StreamHandshake, use_fixed_mtu

__all__ = ["DATAGRAM_MAX", "Dialled", "Dialler", "interface_mtu", "prepare_stream", "probe_path"]

HANDSHAKE_S = 10.0
DATAGRAM_MAX = 1 << 16
BUFFER_BYTES = 1 << 24
STREAM_BUFFER_BYTES = 1 << 19
STREAM_TIMEOUT_MS = 10_000
# linux/in.h, linux/in6.h, linux/sockios.h: names that Python's socket module does not have.
IP_MTU_DISCOVER, IP_MTU, IPV6_MTU_DISCOVER, IPV6_MTU = 10, 14, 23, 24
PMTUDISC_PROBE = 3
SIOCGIFADDR, SIOCGIFMTU = 0x8915, 0x8921
IF_INET6 = Path("/proc/net/if_inet6")


@dataclass(frozen=True, slots=True)
class Dialled:
    """An established session; the socket is the caller's."""

    connection: SSL.Connection
    socket: socket.socket
    transport: str = "DTLS"

    @property
    def source(self) -> tuple[str, int]:
        """Our end."""
        name = self.socket.getsockname()
        return name[0], name[1]

    def drop(self) -> None:
        """Close it: another one was faster. The edge hears of it by the end of TCP, or by silence."""
        self.socket.close()


class Dialler:
    """Dials edges for one connector."""

    def __init__(self, context: SSL.Context, verify: Callable[[bytes], object], stream: SSL.Context | None = None) -> None:
        """Prepare.

        Args:
            context: zcc.pki.context.dtls_client.
            verify: takes the edge's certificate (DER), raises PeerRefused.
            stream: zcc.pki.context.stream_client; None = TLS is never tried.
        """
        use_fixed_mtu(context)
        self._context, self._verify, self._stream = context, verify, stream

    @property
    def has_tls(self) -> bool:
        """Whether there is a way by TLS."""
        return self._stream is not None

    async def tls(self, address: HostPort) -> Dialled:
        """Establish a TLS session over TCP.

        Raises:
            HandshakeFailed, PeerRefused, OSError, TimeoutError: there is none.
        """
        assert self._stream is not None
        connection = SSL.Connection(self._stream, None)
        connection.set_connect_state()
        with _kept(_family(address), socket.SOCK_STREAM) as sock:
            prepare_stream(sock)
            async with asyncio.timeout(HANDSHAKE_S):
                await asyncio.get_running_loop().sock_connect(sock, (str(address.address), address.port))
                await self._shake_stream(StreamHandshake(connection), sock)
            return Dialled(connection, sock, "TLS")

    async def _shake_stream(self, handshake: StreamHandshake, sock: socket.socket) -> None:
        loop, received = asyncio.get_running_loop(), b""
        try:
            while True:
                said = handshake.receive(received)
                if said:
                    await loop.sock_sendall(sock, said)
                if handshake.done:
                    self._verify(handshake.certificate())
                    return
                received = await loop.sock_recv(sock, DATAGRAM_MAX)
                if not received:
                    raise HandshakeFailed("the edge closed the connection")
        except HandshakeFailed as failure:
            for said in failure.farewell:
                with contextlib.suppress(OSError):
                    sock.send(said)
            raise

    async def dtls(self, address: HostPort) -> Dialled:
        """Establish a DTLS session.

        Raises:
            HandshakeFailed, PeerRefused, OSError, TimeoutError: there is none.
        """
        with _kept(_family(address), socket.SOCK_DGRAM) as sock:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
            probe_path(sock)
            sock.connect((str(address.address), address.port))
            async with asyncio.timeout(HANDSHAKE_S):
                return Dialled(await self._shake_hands(sock), sock)

    async def _shake_hands(self, sock: socket.socket) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_connect_state()
        handshake = Handshake(connection)
        loop = asyncio.get_running_loop()
        flight = handshake.start()
        try:
            while True:
                for datagram in flight:
                    with contextlib.suppress(BlockingIOError):      # as good as lost: it is repeated
                        sock.send(datagram)
                if handshake.done:
                    self._verify(handshake.certificate())
                    return connection
                try:
                    # Not wait_for: before Python 3.12 it can lose a cancellation.
                    async with asyncio.timeout(handshake.wait_s()):
                        received = await loop.sock_recv(sock, DATAGRAM_MAX)
                    flight = handshake.receive(received)
                except TimeoutError:
                    flight = handshake.expired()
        except HandshakeFailed as failure:
            for datagram in failure.farewell:
                with contextlib.suppress(OSError):
                    sock.send(datagram)
            raise


def probe_path(sock: socket.socket) -> None:
    """Have the kernel send a UDP socket's datagrams whole, whatever ICMP has said: their size is found by probing (ip(7))."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_PROBE)
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_PROBE)


def prepare_stream(sock: socket.socket) -> None:
    """Have TCP send at once, and keep little: what waits in it delays all that is behind it."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, STREAM_BUFFER_BYTES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STREAM_TIMEOUT_MS)


def interface_mtu(sock: socket.socket) -> int:
    """Return the MTU of the interface that a connected socket sends by.

    What the route remembers would be asked more easily, but that is what ICMP has said; it is the answer only when the source
    address is none that an interface shows.
    """
    source = sock.getsockname()[0]
    names = _interfaces4(source) if sock.family == socket.AF_INET else _interfaces6(source)
    for name in names:
        with contextlib.suppress(OSError):
            found = fcntl.ioctl(sock, SIOCGIFMTU, struct.pack("16si20x", name.encode(), 0))
            return int(struct.unpack("16si20x", found)[1])
    if sock.family == socket.AF_INET:
        return sock.getsockopt(socket.IPPROTO_IP, IP_MTU)
    return sock.getsockopt(socket.IPPROTO_IPV6, IPV6_MTU)


def _interfaces4(source: str) -> Iterator[str]:
    wanted = socket.inet_aton(source)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            with contextlib.suppress(OSError):
                found = fcntl.ioctl(asked, SIOCGIFADDR, struct.pack("16sH22x", name.encode(), socket.AF_INET))
                if found[20:24] == wanted:
                    yield name


def _interfaces6(source: str) -> Iterator[str]:
    wanted = socket.inet_pton(socket.AF_INET6, source.partition("%")[0]).hex()
    with contextlib.suppress(OSError):
        for line in IF_INET6.read_text().splitlines():
            fields = line.split()
            if fields[0] == wanted:
                yield fields[5]


@contextmanager
def _kept(family: socket.AddressFamily, kind: socket.SocketKind) -> Iterator[socket.socket]:
    """A socket that is closed unless all goes well."""
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        yield sock
    except BaseException:
        sock.close()
        raise


def _family(address: HostPort) -> socket.AddressFamily:
    return socket.AF_INET if address.address.version == 4 else socket.AF_INET6
