"""One yamux session on one asyncio transport: bytes between TLS and the session, events to streams.

Journey: dial (agents) and listener (the edge) make one per TLS connection, after the handshake. One event
loop. The peer's certificate is verified in connection_made; not one byte of a peer that fails is looked at.
Writing stops while the transport has enough, reading never: windows bound what a peer can send, and so pings
always pass.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, cast

from zcc.clock import Clock
from zcc.errors import PeerRefused
from zcc.mtunnel.errors import StreamGone
from zcc.mtunnel.events import (
    DataReceived,
    Event,
    FinReceived,
    GoAwayReceived,
    PongReceived,
    SessionEnded,
    StreamAccepted,
    StreamOpened,
    StreamReset,
    WindowOpened,
)
from zcc.mtunnel.frames import GoAwayCode
from zcc.mtunnel.limits import Limits
from zcc.mtunnel.session import Session
from zcc.mtunnel.settings import KeepaliveSettings
from zcc.mtunnel.stream import MuxStream

__all__ = ["ALPN", "MuxConnection"]

ALPN = "zcc-mtunnel/1"
# The transport's own buffer: enough for the kernel to stay busy, small enough for pings to pass quickly.
WRITE_HIGH_BYTES = 1024 * 1024
WRITE_LOW_BYTES = 256 * 1024
# So much queued goes out at once; less waits for the end of the loop's turn, to be written together.
FLUSH_BYTES = 128 * 1024
PING_LIMIT = 1 << 32

log = logging.getLogger(__name__)


class MuxConnection(asyncio.Protocol):
    """A verified connection full of streams."""

    def __init__(
        self,
        *,
        initiator: bool,
        verify: Callable[[bytes], object],
        clock: Clock,
        keepalive: KeepaliveSettings | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Prepare; asyncio calls connection_made when TLS stands.

        Args:
            verify: given the peer's certificate in DER, returns who it is or raises PeerRefused.
        """
        loop = asyncio.get_running_loop()
        self.session = Session(initiator=initiator, limits=limits)
        self.peer: object = None  # what verify returned; valid once established
        self.remote = ""  # the peer's socket address
        self.closed: asyncio.Future[str] = loop.create_future()  # set to the reason
        self.refused: PeerRefused | None = None
        self.round_trip_ns = 0  # of the last ping; 0 = none yet
        self.bytes_in = 0
        self.bytes_out = 0
        self.going_away = asyncio.Event()  # the peer takes no new stream
        self._loop = loop
        self._verify = verify
        self._clock = clock
        self._keepalive = keepalive or KeepaliveSettings()
        self._transport: asyncio.Transport | None = None
        self._reason = ""
        self._streams: dict[int, MuxStream] = {}
        self._accepted: asyncio.Queue[MuxStream | None] = asyncio.Queue()  # bounded by the session's backlog
        self._openers: deque[asyncio.Future[None]] = deque()
        self._paused = False
        self._writers: list[asyncio.Future[None]] = []
        self._flushing = False
        self._ping: tuple[int, int] | None = None  # opaque and time of the one under way
        self._ping_count = 0
        self._timer: asyncio.TimerHandle | None = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TLS stands: verify the peer, then start."""
        self._transport = cast(asyncio.Transport, transport)
        self.remote = _printed(transport.get_extra_info("peername"))
        tls = transport.get_extra_info("ssl_object")
        try:
            self.peer = self._verify(_certificate(tls))
        except PeerRefused as error:
            self.refused = error
            self._abort(f"peer refused: {error}")
            return
        self._transport.set_write_buffer_limits(WRITE_HIGH_BYTES, WRITE_LOW_BYTES)
        self._timer = self._loop.call_later(self._keepalive.interval.total_seconds(), self._tick)

    def data_received(self, data: bytes) -> None:
        """Bytes of a verified peer."""
        if self.peer is None or self.closed.done():
            return
        self.bytes_in += len(data)
        for event in self.session.receive(data):
            self._on_event(event)
        self.kick()

    def eof_received(self) -> bool:
        """TLS ended; half a connection is of no use to a session."""
        self._reason = self._reason or "closed by the peer"
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Everything on it ends."""
        self._end(self._reason or (str(error) or type(error).__name__ if error else "closed"))

    def pause_writing(self) -> None:
        """The transport has enough."""
        self._paused = True

    def resume_writing(self) -> None:
        """The transport takes more."""
        self._paused = False
        self._flush()
        writers, self._writers = self._writers, []
        for waiter in writers:
            if not waiter.done():
                waiter.set_result(None)

    # For the owner of the connection.

    @property
    def alive(self) -> bool:
        """Whether streams can live on it."""
        return self.peer is not None and not self.closed.done() and self.session.ended is None

    @property
    def streams(self) -> int:
        """Number of streams alive."""
        return self.session.streams

    async def open(self) -> MuxStream:
        """Open a stream; waits while too many are not yet acknowledged.

        Raises:
            StreamGone: the connection ended or takes no new streams.
        """
        while True:
            if not self.alive or self.session.going_away or self.session.peer_going_away:
                raise StreamGone(self._reason or "the connection takes no new streams")
            if self.session.can_open:
                break
            waiter = self._loop.create_future()
            self._openers.append(waiter)
            await waiter
        stream = MuxStream(self, self.session.open())
        self._streams[stream.stream_id] = stream
        self.kick()
        return stream

    async def accept(self) -> MuxStream | None:
        """Return the next stream that the peer opens; None = the connection ended."""
        stream = await self._accepted.get()
        if stream is None:
            self._accepted.put_nowait(None)
            return None
        self.session.accept(stream.stream_id)
        self.kick()
        return stream

    def go_away(self) -> None:
        """Take no new streams; those alive go on."""
        self.session.go_away()
        self.kick()

    def close(self, reason: str) -> None:
        """Say goodbye, write out what is queued and end; streams alive are lost."""
        self._reason = self._reason or reason
        self.session.go_away()
        if self._transport is not None and not self.closed.done():
            self._paused = False
            self._flush()
            self._transport.close()
        self._end(self._reason)

    # For its streams (stream.Carrier).

    @property
    def paused(self) -> bool:
        """Whether writers wait."""
        return self._paused

    async def writable(self) -> None:
        """Wait until the transport takes more."""
        waiter = self._loop.create_future()
        self._writers.append(waiter)
        await waiter

    def kick(self) -> None:
        """Write out what is queued: at once if it is much, else together with the rest of this turn."""
        pending = self.session.pending
        if pending >= FLUSH_BYTES:
            self._flush()
        elif pending and not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def forget(self, stream_id: int) -> None:
        """Deliver nothing more to a stream; a place may have become free."""
        self._streams.pop(stream_id, None)
        self._wake_opener()

    # Inside.

    def _flush(self) -> None:
        self._flushing = False
        if self._paused or self._transport is None or self.closed.done():
            return
        pending = self.session.pending
        if pending:
            self.bytes_out += pending
            parts = self.session.bytes_to_send()
            if len(parts) == 1:
                self._transport.write(parts[0])
            else:
                self._transport.writelines(parts)

    def _on_event(self, event: Event) -> None:
        match event:
            case StreamOpened(stream_id):
                stream = self._streams[stream_id] = MuxStream(self, stream_id)
                self._accepted.put_nowait(stream)
            case StreamAccepted():
                self._wake_opener()
            case PongReceived() | GoAwayReceived() | SessionEnded():
                self._on_session_event(event)
            case _:
                target = self._streams.get(event.stream_id)
                if target is not None:
                    self._on_stream_event(target, event)
                elif isinstance(event, DataReceived):
                    self.session.consume(event.stream_id, len(event.data))

    def _on_stream_event(self, stream: MuxStream, event: Event) -> None:
        match event:
            case DataReceived(_, data):
                stream.deliver(data)
            case WindowOpened():
                stream.window_opened()
            case FinReceived():
                stream.finished_by_peer()
            case StreamReset(stream_id):
                self.forget(stream_id)
                stream.lost("reset by the peer")
            case _:
                pass

    def _on_session_event(self, event: PongReceived | GoAwayReceived | SessionEnded) -> None:
        match event:
            case PongReceived(opaque):
                if self._ping is not None and self._ping[0] == opaque:
                    self.round_trip_ns = self._clock.monotonic_ns() - self._ping[1]
                    self._ping = None
            case GoAwayReceived(code):
                self.going_away.set()
                self._wake_opener()
                if code != GoAwayCode.NORMAL:
                    self.close(f"the peer ended the session with code {code}")
            case SessionEnded(_, text):
                log.warning("microtunnel from %s breaks the framing: %s", self.remote, text)
                self.close(f"protocol error: {text}")

    def _tick(self) -> None:
        now_ns = self._clock.monotonic_ns()
        if self._ping is None:
            self._ping_count = (self._ping_count + 1) % PING_LIMIT
            self._ping = (self._ping_count, now_ns)
            self.session.ping(self._ping_count)
            self.kick()
        elif now_ns - self._ping[1] >= self._keepalive.timeout.total_seconds() * 1e9:
            self._abort("no answer to pings")
            return
        self._timer = self._loop.call_later(self._keepalive.interval.total_seconds(), self._tick)

    def _wake_opener(self) -> None:
        while self._openers and (self.session.can_open or not self.alive or self.going_away.is_set()):
            waiter = self._openers.popleft()
            if not waiter.done():
                waiter.set_result(None)
                if self.session.can_open:
                    return

    def _abort(self, reason: str) -> None:
        self._reason = self._reason or reason
        if self._transport is not None:
            self._transport.abort()
        self._end(self._reason)

    def _end(self, reason: str) -> None:
        if self.closed.done():
            return
        self.closed.set_result(reason)
        if self._timer is not None:
            self._timer.cancel()
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.lost(reason)
        self._accepted.put_nowait(None)
        self.going_away.set()
        self._wake_opener()
        for waiter in self._writers:
            if not waiter.done():
                waiter.set_result(None)


def _certificate(tls: Any) -> bytes:
    """Return the peer's certificate of an established TLS connection.

    Raises:
        PeerRefused: no TLS, no certificate, or another application protocol.
    """
    if tls is None or tls.selected_alpn_protocol() != ALPN:
        raise PeerRefused(f"the peer does not speak {ALPN}; connect a zcc agent to this port")
    certificate: bytes | None = tls.getpeercert(binary_form=True)
    if certificate is None:
        raise PeerRefused("the peer showed no certificate")
    return certificate


def _printed(address: object) -> str:
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) and len(address) >= 2 else str(address)
