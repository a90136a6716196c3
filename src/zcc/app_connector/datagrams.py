"""The last hop of a UDP stream: datagrams between a microtunnel stream and a connected socket.

Journey: opener opens one when a request says udp. One event loop. What the server sends faster than the
stream takes is dropped and counted, as UDP does; an ICMP error from the server ends the stream with a reset;
silence in both directions for the idle time ends it with a finish.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import cast

from zcc.clock import Clock
from zcc.mtunnel.errors import StreamGone
from zcc.mtunnel.splice import SpliceCount
from zcc.mtunnel.stream import MuxStream

__all__ = ["DatagramPath", "DatagramRelay"]

HELD_LIMIT = 512  # datagrams from the server that wait for the stream
FINISH_TIMEOUT_S = 5.0


class DatagramPath(asyncio.DatagramProtocol):
    """A connected UDP socket with a bounded queue."""

    def __init__(self) -> None:
        self.dropped = 0  # from the server, because the stream was slow
        self._transport: asyncio.DatagramTransport | None = None
        self._held: deque[bytes] = deque()
        self._error = ""
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is there."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """The server sent something."""
        if len(self._held) >= HELD_LIMIT:
            self.dropped += 1
            return
        self._held.append(data)
        self._wake()

    def error_received(self, exc: Exception) -> None:
        """An ICMP error came for something that we sent."""
        self._error = str(exc) or type(exc).__name__
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is closed."""
        self._error = self._error or (str(exc) if exc else "closed")
        self._wake()

    @property
    def local(self) -> tuple[str, int]:
        """This end's address and port."""
        name = self._transport.get_extra_info("sockname") if self._transport else ("", 0)
        return str(name[0]), int(name[1])

    def send(self, data: bytes) -> None:
        """Send one datagram to the server."""
        if self._transport is not None and not self._error:
            self._transport.sendto(data)

    async def receive(self) -> bytes:
        """Return the next datagram of the server.

        Raises:
            StreamGone: an error was reported, or the socket is closed.
        """
        while not self._held:
            if self._error:
                raise StreamGone(self._error)
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._held.popleft()

    def close(self) -> None:
        """Close the socket."""
        if self._transport is not None:
            self._transport.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class DatagramRelay:
    """One UDP stream joined to its socket."""

    def __init__(
        self, stream: MuxStream, path: DatagramPath, count: SpliceCount, clock: Clock, idle_s: float
    ) -> None:
        """Prepare.

        Args:
            count: octets to the server first; its reason says how it ended.
            idle_s: how long neither side may say anything.
        """
        self._stream = stream
        self._path = path
        self._count = count
        self._clock = clock
        self._idle_s = idle_s
        self._touched_ns = clock.monotonic_ns()

    async def run(self) -> None:
        """Carry datagrams both ways until the peer finishes, an error, or silence; then neither is open."""
        tasks = [asyncio.ensure_future(part()) for part in (self._to_server, self._to_client, self._silence)]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            await self._stream.finish()
            if self._count.reason:
                tasks[0].cancel()
                await self._until_finished()
        except StreamGone as error:
            self._count.reason = str(error)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._path.close()
            self._stream.reset()

    async def _to_server(self) -> None:
        while (data := await self._stream.read_datagram()) is not None:
            self._path.send(data)
            self._count.octets[0] += len(data)
            self._touched_ns = self._clock.monotonic_ns()

    async def _to_client(self) -> None:
        while True:
            data = await self._path.receive()
            await self._stream.write_datagram(data)
            self._count.octets[1] += len(data)
            self._touched_ns = self._clock.monotonic_ns()

    async def _silence(self) -> None:
        while (left_s := self._idle_s - (self._clock.monotonic_ns() - self._touched_ns) / 1e9) > 0:
            await asyncio.sleep(left_s)
        self._count.reason = "idle"

    async def _until_finished(self) -> None:
        """Give the peer time to finish as well; a reset would look like a failure to it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FINISH_TIMEOUT_S):
                while await self._stream.read():
                    pass
