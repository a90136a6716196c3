"""The last hop of a UDP stream: datagrams between a microtunnel stream and a connected socket.

Journey: opener opens one when a request says udp. One event loop. What the server sends faster than the
stream takes is dropped and counted, as UDP does; an ICMP error from the server ends the stream with a reset;
silence in both directions for the idle time ends it with a finish.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections import deque
from ipaddress import IPv4Address, IPv6Address

from zcc.clock import Clock
from zcc.mtunnel.errors import StreamGone
from zcc.mtunnel.splice import SpliceCount
from zcc.mtunnel.stream import DATAGRAM_LIMIT, MuxStream

__all__ = ["DatagramPath", "DatagramRelay"]

HELD_LIMIT = 512  # datagrams from the server that wait for the stream
READ_AT_ONCE = 64  # then other sockets have their turn
FINISH_TIMEOUT_S = 5.0


class DatagramPath:
    """A connected UDP socket with a bounded queue.

    A plain socket in the loop's watch rather than an asyncio transport: uvloop's does not send empty datagrams.
    """

    def __init__(self, address: IPv4Address | IPv6Address, port: int) -> None:
        """Connect.

        Raises:
            OSError: there is no route, or no port is left.
        """
        self.dropped = 0  # because the stream, or the kernel, was slow
        self._held: deque[bytes] = deque()
        self._error = ""
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._socket = socket.socket(
            socket.AF_INET6 if address.version == 6 else socket.AF_INET, socket.SOCK_DGRAM
        )
        try:
            self._socket.setblocking(False)
            self._socket.connect((str(address), port))
        except OSError:
            self._socket.close()
            raise
        self._loop.add_reader(self._socket.fileno(), self._on_readable)

    @property
    def local(self) -> tuple[str, int]:
        """This end's address and port."""
        name = self._socket.getsockname()
        return str(name[0]), int(name[1])

    def send(self, data: bytes) -> None:
        """Send one datagram to the server."""
        if not self._error:
            try:
                self._socket.send(data)
            except BlockingIOError:
                self.dropped += 1
            except OSError as error:
                self._on_error(error)

    async def receive(self) -> bytes:
        """Return the next datagram of the server.

        Raises:
            StreamGone: an error was reported, or the socket is closed.
        """
        while not self._held:
            if self._error:
                raise StreamGone(self._error)
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._held.popleft()

    def close(self) -> None:
        """Close the socket; harmless when it is."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()
            self._error = self._error or "closed"
            self._wake()

    def _on_readable(self) -> None:
        for _ in range(READ_AT_ONCE):
            try:
                data = self._socket.recv(DATAGRAM_LIMIT)
            except BlockingIOError:
                return
            except OSError as error:
                self._on_error(error)
                return
            if len(self._held) >= HELD_LIMIT:
                self.dropped += 1
            else:
                self._held.append(data)
                self._wake()

    def _on_error(self, error: OSError) -> None:
        # EMSGSIZE is about one datagram only; the others mean that nobody is there.
        if error.errno == errno.EMSGSIZE:
            self.dropped += 1
            return
        self._error = self._error or error.strerror or type(error).__name__
        self._wake()

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
