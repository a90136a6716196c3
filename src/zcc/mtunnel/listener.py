"""The edge's open port: accepts TCP, does the TLS handshake, hands over verified connections.

Journey: the private edge's daemon starts one. Sockets are accepted here rather than by a server object, so
that a failed handshake is known, counted and logged with the peer's address. Handshakes under way are bounded.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

from zcc.errors import ListenError
from zcc.fields import HostPort
from zcc.mtunnel.transport import MuxConnection

__all__ = ["MuxListener"]

HANDSHAKE_LIMIT = 512
HANDSHAKE_TIMEOUT_S = 10.0
BACKLOG = 1024
# Out of descriptors: accepting again at once would spin.
ACCEPT_PAUSE_S = 0.1

log = logging.getLogger(__name__)


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
        self._socket: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._handshakes: set[asyncio.Task[None]] = set()

    async def start(self, listen: HostPort) -> HostPort:
        """Listen; return the address with the port that the kernel chose, if 0 was given.

        Raises:
            ListenError: the address cannot be bound.
        """
        family = socket.AF_INET6 if listen.address.version == 6 else socket.AF_INET
        listening = socket.socket(family, socket.SOCK_STREAM)
        try:
            listening.setblocking(False)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind((str(listen.address), listen.port))
            listening.listen(BACKLOG)
        except OSError as error:
            listening.close()
            raise ListenError(
                f"cannot listen on TCP {listen}: {error.strerror}; is it this host's, and the port free?"
            ) from error
        self._socket = listening
        self._accepting = asyncio.get_running_loop().create_task(self._accept(listening))
        return HostPort(listen.address, int(listening.getsockname()[1]))

    async def close(self) -> None:
        """Accept nothing more; established connections go on."""
        tasks = list(self._handshakes)
        if self._accepting is not None:
            tasks.append(self._accepting)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._socket is not None:
            self._socket.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, name = await loop.sock_accept(listening)
            except OSError as error:
                log.error("cannot accept a connection: %s", error)
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            remote = f"{name[0]}:{name[1]}"
            if len(self._handshakes) >= HANDSHAKE_LIMIT:
                accepted.close()
                self._refused(remote, "too many handshakes at once")
                continue
            task = loop.create_task(self._handshake(accepted, remote))
            self._handshakes.add(task)
            task.add_done_callback(self._handshakes.discard)

    async def _handshake(self, accepted: socket.socket, remote: str) -> None:
        loop = asyncio.get_running_loop()
        connection = self._make()   # held here: uvloop returns its own TLS protocol in place of ours
        try:
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=self._tls, ssl_handshake_timeout=HANDSHAKE_TIMEOUT_S
            )
        except (OSError, ssl.SSLError) as error:
            self._refused(remote, f"TLS: {str(error) or type(error).__name__}")
            accepted.close()
            return
        if connection.refused is not None:
            self._refused(remote, str(connection.refused))
        elif connection.alive:
            self._established(connection)
