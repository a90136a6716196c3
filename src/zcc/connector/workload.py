"""Workload: one TCP connection that the kernel accepted, as bytes to read and write, with half-close and reset.

Journey: workload ─ worker ─ kernel ─▶ here ─▶ `relay` ─▶ stream of a microtunnel. Reading is stopped
while the stream does not take more, writing waits while the kernel does not; so the slower end sets the
pace and nothing piles up. One thread, the event loop's.
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from typing import cast

READ_AHEAD_BYTES = 1 << 20
WRITE_BEHIND_BYTES = 1 << 20


class Workload(asyncio.Protocol):
    """A connection. `accepted` is called with it once it is there; `gone` when it ended before `close`."""

    def __init__(self, accepted: Callable[["Workload"], None]) -> None:
        self.peer: tuple[str, int] = ("", 0)
        self.gone: Callable[[], None] = lambda: None
        self._accepted = accepted
        self._transport: asyncio.Transport | None = None
        self._chunks: deque[bytes] = deque()
        self._ahead = 0
        self._reading = False
        self._eof = False
        self._closing = False
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()

    # ---- what the loop calls ----

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Hold reading until someone takes the bytes."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WRITE_BEHIND_BYTES)
        # Not at once: with Debian 12's Python, 3.11.2, a transport begins to read after this call whatever was said in it, and
        # takes every later pause for one that stands already, so that nothing would bound what a workload sends ahead.
        asyncio.get_running_loop().call_soon(self._hold)
        self._writable.set()
        peer = transport.get_extra_info("peername")
        self.peer = (str(peer[0]), int(peer[1]))
        self._accepted(self)

    def _hold(self) -> None:
        """Stop reading, unless someone has begun to take the bytes meanwhile."""
        if self._transport is not None and not self._reading:
            self._transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        """Take bytes; stop the kernel when enough wait."""
        self._chunks.append(data)
        self._ahead += len(data)
        self._readable.set()
        if self._ahead >= READ_AHEAD_BYTES and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Note the workload's FIN; our direction stays open."""
        self._eof = True
        self._readable.set()
        return True

    def pause_writing(self) -> None:
        """Let `write` wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let `write` go on."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end; whoever waits is told."""
        self._transport = None
        self._readable.set()
        self._writable.set()
        if not self._closing:
            self._closing = True
            self.gone()

    # ---- what the relay calls ----

    async def read(self) -> bytes:
        """Return the next bytes; b"" = the workload finished.

        Raises:
            ConnectionResetError: the connection is gone.
        """
        while not self._chunks:
            if self._eof:
                return b""
            if self._transport is None:
                raise ConnectionResetError("the workload reset the connection")
            if not self._reading:
                self._reading = True
                self._transport.resume_reading()
            self._readable.clear()
            await self._readable.wait()
        data = self._chunks.popleft()
        self._ahead -= len(data)
        return data

    async def write(self, data: bytes) -> None:
        """Send bytes, waiting while the kernel has enough.

        Raises:
            ConnectionResetError: the connection is gone.
        """
        if self._transport is None:
            raise ConnectionResetError("the workload reset the connection")
        self._transport.write(data)
        await self._writable.wait()

    def finish(self) -> None:
        """Send our FIN; reading goes on."""
        if self._transport is not None:
            self._transport.write_eof()

    def close(self) -> None:
        """End: both directions have finished."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """End at once by RST; bytes not yet sent are dropped."""
        self._closing = True
        if self._transport is None:
            return
        made = self._transport.get_extra_info("socket")
        if made is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
