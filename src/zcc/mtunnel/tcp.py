"""A kernel TCP connection with the face of a microtunnel stream.

Journey: the app connector's last hop, and whatever else is spliced with a stream. One event loop, at most one
reader and one writer. Reading pauses while nobody reads, writing waits while the kernel has enough; both
directions close on their own; reset() sends RST, and a peer's RST is StreamGone.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import cast

from zcc.mtunnel.errors import StreamGone

__all__ = ["TcpStream"]

READ_HIGH_BYTES = 1024 * 1024  # held for a reader before reading pauses
READ_LOW_BYTES = 256 * 1024
WRITE_HIGH_BYTES = 1024 * 1024
RESET_LINGER = struct.pack("ii", 1, 0)  # socket(7): on, zero seconds: close sends RST


class TcpStream(asyncio.Protocol):
    """One connection; make it with loop.create_connection or loop.create_server."""

    def __init__(self, connected: Callable[[TcpStream], None] | None = None) -> None:
        """Prepare.

        Args:
            connected: called once the kernel has the connection; for servers.
        """
        self._connected = connected
        self._transport: asyncio.Transport | None = None
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._eof = False
        self._finished = False
        self._gone = ""
        self._reading_paused = False
        self._writing_paused = False
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The kernel has the connection."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WRITE_HIGH_BYTES)
        if self._connected is not None:
            self._connected(self)

    def data_received(self, data: bytes) -> None:
        """Octets came."""
        self._chunks.append(data)
        self._held += len(data)
        if self._held > READ_HIGH_BYTES and not self._reading_paused:
            self._reading_paused = True
            self._live().pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        """FIN came; our direction stays open."""
        self._eof = True
        _wake(self._reader)
        self._close_if_done()
        return True

    def connection_lost(self, error: Exception | None) -> None:
        """The socket is closed."""
        if not (error is None and self._eof and self._finished):
            self._gone = self._gone or (str(error) or type(error).__name__ if error else "closed")
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        """The kernel has enough."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """The kernel takes more."""
        self._writing_paused = False
        _wake(self._writer)

    @property
    def local(self) -> tuple[str, int]:
        """This end's address and port."""
        name = self._live().get_extra_info("sockname")
        return str(name[0]), int(name[1])

    @property
    def remote(self) -> tuple[str, int]:
        """The other end's address and port."""
        name = self._live().get_extra_info("peername")
        return str(name[0]), int(name[1])

    async def read(self, n: int = READ_HIGH_BYTES) -> bytes:
        """Return the next octets as soon as there are any, at most n; b"" = the peer finished.

        Raises:
            StreamGone: reset, or the connection failed.
        """
        while not self._chunks:
            if self._gone:
                raise StreamGone(self._gone)
            if self._eof:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        data = self._chunks.popleft()
        if len(data) > n:
            self._chunks.appendleft(data[n:])
            data = data[:n]
        self._held -= len(data)
        if self._reading_paused and self._held <= READ_LOW_BYTES and not self._gone:
            self._reading_paused = False
            self._live().resume_reading()
        return data

    async def write(self, data: bytes) -> None:
        """Hand all of data to the kernel, waiting while it has enough.

        Raises:
            StreamGone: reset, or the connection failed.
            ValueError: after finish().
        """
        if self._finished:
            raise ValueError("data: the connection was finished, nothing more can be sent on it")
        if self._gone:
            raise StreamGone(self._gone)
        self._live().write(data)
        while self._writing_paused:
            if self._gone:
                raise StreamGone(self._gone)
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer

    async def finish(self) -> None:
        """Send FIN after what was written; the other direction goes on. Repeating it is harmless."""
        if not self._finished and not self._gone:
            self._finished = True
            self._live().write_eof()
            self._close_if_done()

    def reset(self) -> None:
        """Send RST and drop what is held, both ways."""
        if self._transport is not None and not self._gone:
            self._gone = "reset by this side"
            self._chunks.clear()
            kernel = self._transport.get_extra_info("socket")
            if kernel is not None and not self._transport.is_closing():
                kernel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_LINGER)
            self._transport.abort()
            _wake(self._reader)
            _wake(self._writer)

    def _close_if_done(self) -> None:
        if self._eof and self._finished:
            self._live().close()

    def _live(self) -> asyncio.Transport:
        if self._transport is None:
            raise ValueError("the connection is used before it was made")
        return self._transport


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
