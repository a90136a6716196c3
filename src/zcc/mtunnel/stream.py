"""One stream of a microtunnel as its user sees it: read, write, finish, reset, and datagrams.

Journey: made by transport for every stream opened or accepted; used by control, relays and splice. One event
loop, at most one reader and one writer at a time. What was delivered and not read counts against the window,
so a slow reader stops the sender. Cancelling read or finish leaves the stream usable; a cancelled write may
have sent a part.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

from zcc.mtunnel.errors import StreamGone
from zcc.mtunnel.session import Session

__all__ = ["DATAGRAM_LIMIT", "READ_BYTES", "Carrier", "MuxStream"]

READ_BYTES = 256 * 1024
# Smaller pieces are put together, so that one-octet frames do not cost an object each.
COALESCE_BYTES = 4 * 1024
COALESCED_LIMIT = 64 * 1024
DATAGRAM_LENGTH_BYTES = 2
DATAGRAM_LIMIT = 0xFFFF


class Carrier(Protocol):
    """What a stream needs of its connection."""

    session: Session
    peer: object

    @property
    def paused(self) -> bool:
        """Whether the transport has enough to write."""
        ...

    async def writable(self) -> None:
        """Wait until it may have more."""
        ...

    def kick(self) -> None:
        """Write out what the session queued, soon."""
        ...

    def forget(self, stream_id: int) -> None:
        """Deliver nothing more to this stream."""
        ...


class MuxStream:
    """A bidirectional byte stream with half-close."""

    def __init__(self, carrier: Carrier, stream_id: int) -> None:
        self.stream_id = stream_id
        self.bytes_in = 0  # delivered to the reader
        self.bytes_out = 0  # taken by the session
        self._carrier = carrier
        self._chunks: deque[bytes | bytearray] = deque()
        self._offset = 0  # of the first chunk, already read
        self._eof = False
        self._finished = False
        self._gone = ""  # why; "" = alive
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None

    @property
    def peer(self) -> object:
        """What the verification of the connection's certificate returned."""
        return self._carrier.peer

    async def read(self, n: int = READ_BYTES) -> bytes:
        """Return the next octets as soon as there are any, at most n; b"" = the peer finished.

        Raises:
            StreamGone: the stream was reset or its connection ended.
        """
        while not self._chunks:
            if self._gone:
                raise StreamGone(self._gone)
            if self._eof:
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        data = self._take(n)
        self.bytes_in += len(data)
        self._carrier.session.consume(self.stream_id, len(data))
        self._carrier.kick()
        if self._eof and self._finished and not self._chunks:
            self._carrier.forget(self.stream_id)
        return data

    def _take(self, n: int) -> bytes:
        chunk = self._chunks[0]
        start, rest = self._offset, len(chunk) - self._offset
        if rest > n:
            self._offset += n
            return bytes(memoryview(chunk)[start : start + n])
        self._chunks.popleft()
        self._offset = 0
        if start:
            return bytes(memoryview(chunk)[start:])
        return chunk if isinstance(chunk, bytes) else bytes(chunk)

    async def read_exactly(self, n: int) -> bytes | None:
        """Return n octets; None = the peer finished before the first.

        Raises:
            StreamGone: reset, or finished in between.
        """
        parts: list[bytes] = []
        missing = n
        while missing:
            part = await self.read(missing)
            if not part:
                if not parts:
                    return None
                raise StreamGone("the peer finished in the middle of a message")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of data, waiting for the window and the transport.

        Raises:
            StreamGone: the stream was reset or its connection ended.
            ValueError: after finish().
        """
        if self._finished:
            raise ValueError("data: the stream was finished, nothing more can be sent on it")
        view = memoryview(data if isinstance(data, bytes) else bytes(data))
        carrier, position = self._carrier, 0
        while position < len(view):
            if self._gone:
                raise StreamGone(self._gone)
            if carrier.paused:
                await carrier.writable()
                continue
            sent = carrier.session.send(self.stream_id, view[position:])
            if not sent:
                self._writer = asyncio.get_running_loop().create_future()
                await self._writer
                continue
            position += sent
            self.bytes_out += sent
            carrier.kick()
        if self._gone:
            raise StreamGone(self._gone)

    async def finish(self) -> None:
        """Close our direction; the other goes on. Repeating it is harmless."""
        if self._finished or self._gone:
            return
        self._finished = True
        self._carrier.session.finish(self.stream_id)
        self._carrier.kick()
        if self._eof and not self._chunks:
            self._carrier.forget(self.stream_id)

    def reset(self) -> None:
        """End the stream both ways at once; whoever waits on it gets StreamGone."""
        if self._gone:
            return
        self._carrier.session.reset(self.stream_id)
        self._carrier.kick()
        self._carrier.forget(self.stream_id)
        self.lost("reset by this side")

    async def read_datagram(self) -> bytes | None:
        """Return the next datagram of a UDP stream; None = the peer finished.

        Raises:
            StreamGone: reset, or finished inside a datagram.
        """
        head = await self.read_exactly(DATAGRAM_LENGTH_BYTES)
        if head is None:
            return None
        size = int.from_bytes(head, "big")
        body = await self.read_exactly(size)
        if body is None:
            raise StreamGone("the peer finished in the middle of a datagram")
        return body

    async def write_datagram(self, data: bytes) -> None:
        """Send one datagram whole.

        Raises:
            ValueError: longer than DATAGRAM_LIMIT.
            StreamGone: as write.
        """
        if len(data) > DATAGRAM_LIMIT:
            raise ValueError(f"data: a datagram of {len(data)} octets, at most {DATAGRAM_LIMIT} fit")
        await self.write(len(data).to_bytes(DATAGRAM_LENGTH_BYTES, "big") + data)

    # What the connection tells the stream.

    def deliver(self, data: bytes) -> None:
        """Octets came."""
        last = self._chunks[-1] if self._chunks else None
        if len(data) >= COALESCE_BYTES or last is None:
            self._chunks.append(data)
        elif isinstance(last, bytearray) and len(last) < COALESCED_LIMIT:
            last += data
        else:
            self._chunks.append(bytearray(data))
        _wake(self._reader)

    def finished_by_peer(self) -> None:
        """FIN came."""
        self._eof = True
        _wake(self._reader)
        if self._finished and not self._chunks:
            self._carrier.forget(self.stream_id)

    def window_opened(self) -> None:
        """More may be sent."""
        _wake(self._writer)

    def lost(self, reason: str) -> None:
        """RST came or the connection ended; undelivered octets are dropped, as TCP does."""
        if not self._gone:
            self._gone = reason
            self._chunks.clear()
            self._offset = 0
            _wake(self._reader)
            _wake(self._writer)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
