"""DNS over TCP connections: messages behind their lengths, bounds on connections, time and what is under way.

Journey: `dns_tcp` takes workloads' rewritten flows and `dns_asked_tcp` clients of the connector's own address; both say
here who a peer is and what becomes of its messages, and nothing else of TCP.
Spec: RFC 1035 §4.2.2 (two octets of length), RFC 7766 (pipelining, answers in any order, idle connections).
Bounded: connections as a whole and of each who shares them, queries of a connection, the time that a message or the
reading of an answer may take. One thread, the event loop's.
"""

import asyncio
import contextlib
import logging
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from typing import Protocol

from zcc.connector.shares import Shares

IDLE_S = 20.0  # RFC 7766 §6.2.3: some seconds; stubs hold connections for a burst of queries
CONNECTIONS_LIMIT = 1024
PIPELINE_LIMIT = 32  # queries of one connection that wait for an answer here

log = logging.getLogger(__name__)


class Talk(Protocol):
    """What is said over one connection."""

    @property
    def whose(self) -> tuple[Hashable, ...]:
        """Whose share of the connections it takes, from the whole to the part."""

    async def run(self, stream: "Stream") -> None:
        """Speak until it ends."""


class Stream:
    """One accepted connection: queries in, answers out."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter,
        spawn: Callable[[Coroutine[None, None, None]], object],
    ) -> None:
        """Take a connection over.

        Args:
            spawn: starts work that ends with the connection.
        """
        self.spawn = spawn
        self._reader, self._writer = reader, writer
        self._slots = asyncio.Semaphore(PIPELINE_LIMIT)

    async def each(self, answer: Callable[[bytes], Awaitable[None]]) -> None:
        """Give out every query until the peer ends, or is silent for too long; return when all are answered."""
        while (wire := await self._next()) is not None:
            # Taken here: who only asks and never reads is not read any further either.
            await self._slots.acquire()
            self.spawn(self._one(answer, wire))
        for _ in range(PIPELINE_LIMIT):
            await self._slots.acquire()

    async def send(self, wire: bytes) -> None:
        """Send one message.

        Raises:
            TimeoutError: the peer does not read.
            OSError: it is gone.
        """
        if self._writer.is_closing():
            return
        self._writer.write(frame(wire))
        async with asyncio.timeout(IDLE_S):
            await self._writer.drain()

    async def _next(self) -> bytes | None:
        try:
            async with asyncio.timeout(IDLE_S):  # for the whole message, however it drips
                return await read_message(self._reader)
        except TimeoutError:
            return None

    async def _one(self, answer: Callable[[bytes], Awaitable[None]], wire: bytes) -> None:
        try:
            await answer(wire)
        finally:
            self._slots.release()


class StreamListener:
    """Accepts connections, as many as there is room for."""

    def __init__(self, counts: Counter[str], talk: Callable[[str, int], Talk | None]) -> None:
        """Compose.

        Args:
            counts: gets tcp_connections and tcp_refused.
            talk: given a peer's address and port, says what is said with it; None = nothing.
        """
        self._counts = counts
        self._talk = talk
        self._server: asyncio.Server | None = None
        self._shares = Shares(CONNECTIONS_LIMIT)
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be bound.
        """
        self._server = await asyncio.start_server(self._serve, host, port, backlog=512)

    @property
    def port(self) -> int:
        """Port listened on; valid after `start`."""
        if self._server is None:
            raise ValueError("the listener has not been started")
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and cut what is open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host, port = writer.get_extra_info("peername")[:2]
        talk = self._talk(host, port)
        if talk is None or not self._shares.take(*talk.whose):
            self._counts["tcp_refused"] += 1
            reset(writer)
            return
        self._counts["tcp_connections"] += 1
        self._writers.add(writer)
        try:
            async with asyncio.TaskGroup() as group:
                await talk.run(Stream(reader, writer, group.create_task))
        except* (OSError, TimeoutError, asyncio.IncompleteReadError) as errors:
            log.debug("DNS over TCP of %s: %s", host, errors.exceptions[0])
            writer.transport.abort()  # what is left to send is nobody's to read
        finally:
            await _end(writer)
            self._writers.discard(writer)
            self._shares.give_back(*talk.whose)


async def _end(writer: asyncio.StreamWriter) -> None:
    """Close a connection; what the peer does not read in time is given up."""
    writer.close()
    with contextlib.suppress(OSError):
        async with asyncio.timeout(IDLE_S):
            await writer.wait_closed()
    writer.transport.abort()


def frame(wire: bytes) -> bytes:
    """Put the two octets of length before a message."""
    return len(wire).to_bytes(2) + wire


async def read_message(reader: asyncio.StreamReader) -> bytes | None:
    """Read one message behind its length; None = the stream ended before it.

    Raises:
        IncompleteReadError: it ended inside.
        OSError: it was reset.
    """
    head = await reader.read(1)
    if not head:
        return None
    head += await reader.readexactly(1)
    return await reader.readexactly(int.from_bytes(head))


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection by RST."""
    made = writer.get_extra_info("socket")
    if made is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
