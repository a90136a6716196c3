"""The edge's open port: accepts TCP, does the TLS handshake, hands over verified connections.

Journey: the private edge's daemon starts one. TLS is started here rather than by the server socket so that a
failed handshake is known, counted and logged with the peer's address. Handshakes under way are bounded.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import cast

from zcc.errors import ListenError
from zcc.fields import HostPort
from zcc.mtunnel.transport import MuxConnection

__all__ = ["MuxListener"]

HANDSHAKE_LIMIT = 512
HANDSHAKE_TIMEOUT_S = 10.0
BACKLOG = 1024


class _Plain(asyncio.Protocol):
    """A TCP connection before TLS: nothing is read from it."""

    def __init__(self, accepted: Callable[[asyncio.Transport], None]) -> None:
        self._accepted = accepted

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        plain = cast(asyncio.Transport, transport)
        plain.pause_reading()
        self._accepted(plain)


class MuxListener:
    """A listening socket and its handshakes."""

    def __init__(
        self,
        tls: ssl.SSLContext,
        make: Callable[[], MuxConnection],
        established: Callable[[MuxConnection], None],
        refused: Callable[[str, str], None],
    ) -> None:
        """Prepare.

        Args:
            tls: a server context with the ALPN of zcc.mtunnel.transport.
            make: returns a connection that waits for its transport.
            established: called with a connection whose peer is verified.
            refused: called with the peer's socket address and the reason.
        """
        self._tls = tls
        self._make = make
        self._established = established
        self._refused = refused
        self._server: asyncio.Server | None = None
        self._handshakes: set[asyncio.Task[None]] = set()

    async def start(self, listen: HostPort) -> HostPort:
        """Listen; return the address with the port that the kernel chose, if 0 was given.

        Raises:
            ListenError: the address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: _Plain(self._accepted), str(listen.address), listen.port, backlog=BACKLOG
            )
        except OSError as error:
            raise ListenError(
                f"cannot listen on TCP {listen}: {error}; is the address on this host and the port free?"
            ) from error
        return HostPort(listen.address, int(self._server.sockets[0].getsockname()[1]))

    def close(self) -> None:
        """Accept nothing more; established connections go on."""
        if self._server is not None:
            self._server.close()
        for task in self._handshakes:
            task.cancel()

    def _accepted(self, plain: asyncio.Transport) -> None:
        if len(self._handshakes) >= HANDSHAKE_LIMIT:
            self._refused(_remote(plain), "too many handshakes at once")
            plain.abort()
            return
        task = asyncio.get_running_loop().create_task(self._handshake(plain))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _handshake(self, plain: asyncio.Transport) -> None:
        remote = _remote(plain)
        connection = self._make()
        loop = asyncio.get_running_loop()
        try:
            transport = await loop.start_tls(
                plain, connection, self._tls, server_side=True, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
            )
        except (OSError, ssl.SSLError, TimeoutError) as error:
            self._refused(remote, f"TLS: {str(error) or type(error).__name__}")
            plain.abort()
            return
        if transport is None:
            self._refused(remote, "TLS: closed during the handshake")
            return
        connection.connection_made(transport)
        if connection.refused is not None:
            self._refused(remote, str(connection.refused))
        elif connection.alive:
            self._established(connection)


def _remote(transport: asyncio.Transport) -> str:
    name = transport.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if name else ""
