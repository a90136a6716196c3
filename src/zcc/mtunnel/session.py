"""The yamux session: many streams with windows in one ordered byte stream, without any I/O.

Journey: transport feeds it what TLS delivered and writes out what it queues; one thread. Bytes in become
events; commands become bytes out. It reads no clock and draws no random numbers.

Two rules:
 1. The peer's bytes never raise. What the framing forbids ends the session: go-away, SessionEnded.
 2. Everything a peer can make us keep is bounded by Limits, whatever it sends and whether or not it reads.

    stream                  we FIN                    peer FINs, drained
      open ────────────▶ half closed (local) ──────────────▶ gone
      open ────────────▶ half closed (remote) ─────────────▶ gone     RST by either side: gone at once

A command on a stream that is gone does nothing and says so, since the peer's RST may be on its way.
Source: the yamux specification, version 0.
"""

from __future__ import annotations

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
from zcc.mtunnel.frames import (
    HEADER,
    HEADER_BYTES,
    INITIAL_WINDOW,
    STREAM_ID_LIMIT,
    VERSION,
    WINDOW_LIMIT,
    Flag,
    FrameType,
    GoAwayCode,
    encode_header,
)
from zcc.mtunnel.limits import Limits, StreamState
from zcc.mtunnel.outbox import Buffer, Outbox

__all__ = ["Session"]

# Plain integers: enum members cost an attribute look-up and an operator call each on the hot path.
DATA, WINDOW_UPDATE, PING, GO_AWAY = (int(kind) for kind in FrameType)
SYN, ACK, FIN, RST = (int(flag) for flag in Flag)

class Session:
    """One end of a session. Not safe for concurrent use."""

    def __init__(self, *, initiator: bool, limits: Limits | None = None) -> None:
        """Start with no stream.

        Args:
            initiator: True on the side that dialled; it opens odd streams, the other side even ones.
            limits: what may be kept; None = the defaults.
        """
        self.limits = limits or Limits()
        self.ended: SessionEnded | None = None
        self.peer_going_away = False
        self.going_away = False
        self.buffered = 0  # delivered and not consumed, all streams
        self._peer_parity = 0 if initiator else 1
        self._next_id = 1 if initiator else 2
        self._highest_peer_id = 0
        self._streams: dict[int, StreamState] = {}
        self._half_open = [0, 0]  # unacknowledged streams by parity of their id
        self._raised = 0
        self._out = Outbox()
        self._head = bytearray()
        self._body = 0  # octets of the current DATA frame still to come
        self._body_stream = 0  # 0 = they are discarded
        self._body_fin = False

    @property
    def streams(self) -> int:
        """Number of streams not yet gone."""
        return len(self._streams)

    @property
    def pending(self) -> int:
        """Octets that bytes_to_send would return."""
        return self._out.pending

    @property
    def can_open(self) -> bool:
        """Whether open() would succeed now."""
        return (
            self.ended is None
            and not self.going_away
            and not self.peer_going_away
            and len(self._streams) < self.limits.streams
            and self._half_open[1 - self._peer_parity] < self.limits.backlog
            and self._next_id <= STREAM_ID_LIMIT
        )

    def send_window(self, stream_id: int) -> int:
        """Return how many octets send() would take now; 0 also for a stream that is gone or finished."""
        stream = self._streams.get(stream_id)
        return 0 if stream is None or stream.sent_fin or self.ended else stream.send_window

    def open(self) -> int:
        """Open a stream and return its id.

        Raises:
            ValueError: can_open is false.
        """
        if not self.can_open:
            raise ValueError("open: the session takes no further stream; ask can_open first")
        stream_id = self._next_id
        self._next_id += 2
        self._streams[stream_id] = StreamState()
        self._half_open[stream_id & 1] += 1
        self._queue(encode_header(WINDOW_UPDATE, SYN, stream_id, 0))
        return stream_id

    def accept(self, stream_id: int) -> None:
        """Acknowledge a stream that the peer opened; it leaves the backlog."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream_id & 1 == self._peer_parity and not stream.acknowledged:
            stream.acknowledged = True
            self._half_open[self._peer_parity] -= 1
            self._queue(encode_header(WINDOW_UPDATE, ACK, stream_id, 0))

    def send(self, stream_id: int, data: Buffer) -> int:
        """Queue as much of `data` as one frame and the window take; return how much that was.

        The buffer is kept until bytes_to_send is written; the caller does not change it before.

        Raises:
            ValueError: the stream was finished by us.
        """
        stream = self._streams.get(stream_id)
        if stream is None or self.ended:
            return 0
        if stream.sent_fin:
            raise ValueError(f"stream_id: {stream_id} was finished, nothing more can be sent on it")
        size = min(len(data), stream.send_window, self.limits.frame)
        if not size:
            return 0
        stream.send_window -= size
        part = data if size == len(data) else memoryview(data)[:size]
        self._out.put_data(encode_header(DATA, 0, stream_id, size), part)
        return size

    def finish(self, stream_id: int) -> None:
        """Send FIN: nothing more comes from us; the peer's data is still delivered. Repeating is harmless."""
        stream = self._streams.get(stream_id)
        if stream is None or stream.sent_fin:
            return
        stream.sent_fin = True
        self._queue(encode_header(WINDOW_UPDATE, FIN, stream_id, 0))
        self._forget_if_done(stream_id, stream)

    def reset(self, stream_id: int) -> None:
        """Send RST and forget the stream with all that was delivered on it."""
        if stream_id in self._streams:
            self._forget(stream_id)
            self._queue(encode_header(WINDOW_UPDATE, RST, stream_id, 0))

    def consume(self, stream_id: int, size: int) -> None:
        """Say that `size` delivered octets were read; windows move and grow on that alone.

        Raises:
            ValueError: more than was delivered.
        """
        stream = self._streams.get(stream_id)
        if stream is None:
            return
        if not 0 <= size <= stream.buffered:
            raise ValueError(f"size: {size} of {stream.buffered} delivered octets")
        stream.buffered -= size
        self.buffered -= size
        if stream.received_fin:
            self._forget_if_done(stream_id, stream)
            return
        stream.consumed += size
        # Half a window: the sender never waits a round trip for the other half, and updates stay rare.
        if stream.consumed * 2 >= stream.window:
            self._update_window(stream_id, stream)

    def ping(self, opaque: int) -> None:
        """Ask for a sign of life; PongReceived carries the same 32-bit value."""
        self._queue(encode_header(PING, SYN, 0, opaque))

    def go_away(self, code: GoAwayCode = GoAwayCode.NORMAL) -> None:
        """Say that no new stream is taken; those alive may end in their own time."""
        if not self.going_away:
            self.going_away = True
            self._queue(encode_header(GO_AWAY, 0, 0, code))

    def bytes_to_send(self) -> list[Buffer]:
        """Return what is to be written, in order, and forget it; small neighbours are joined."""
        return self._out.take()

    def receive(self, data: Buffer) -> list[Event]:
        """Take the next bytes of the connection, cut anywhere, and return what they mean.

        DataReceived carries copies; the caller may reuse its buffer. After the session's end nothing is read.
        """
        events: list[Event] = []
        view = memoryview(data)
        position, end = 0, len(view)
        while position < end and self.ended is None:
            if self._body:
                step = min(self._body, end - position)
                self._on_body(view[position : position + step], events)
            elif self._head or end - position < HEADER_BYTES:
                step = min(HEADER_BYTES - len(self._head), end - position)
                self._head += view[position : position + step]
                if len(self._head) == HEADER_BYTES:
                    fields = HEADER.unpack(self._head)
                    self._head.clear()
                    self._on_header(fields, events)
            else:
                step = HEADER_BYTES
                self._on_header(HEADER.unpack_from(view, position), events)
            position += step
        return events

    def _on_header(self, fields: tuple[int, int, int, int, int], events: list[Event]) -> None:
        version, kind, flags, stream_id, length = fields
        if version != VERSION or kind > GO_AWAY:
            self._fail(f"frame of version {version}, type {kind}", events)
        elif kind in (PING, GO_AWAY):
            self._on_session_frame(fields, events)
        elif stream_id == 0:
            self._fail("a stream frame for stream 0", events)
        else:
            if kind == DATA and length:
                # Set first: whatever becomes of the stream, these octets follow and are not headers.
                self._body, self._body_stream, self._body_fin = length, 0, False
            if flags & SYN and not self._on_syn(stream_id, events):
                self._bound_discard(events)
                return
            stream = self._streams.get(stream_id)
            if stream is None:
                self._on_stray(stream_id, events)
            else:
                self._on_stream_frame(fields, stream, events)

    def _on_session_frame(self, fields: tuple[int, int, int, int, int], events: list[Event]) -> None:
        _, kind, flags, stream_id, length = fields
        if stream_id:
            self._fail("a ping or go-away with a stream id", events)
        elif kind == GO_AWAY:
            self.peer_going_away = True
            events.append(GoAwayReceived(length))
        elif flags & SYN:
            self._answer(encode_header(PING, ACK, 0, length), events)
        elif flags & ACK:
            events.append(PongReceived(length))

    def _on_syn(self, stream_id: int, events: list[Event]) -> bool:
        """Create the stream, refuse it with RST, or end the session; True = created."""
        if stream_id & 1 != self._peer_parity or stream_id in self._streams:
            self._fail(f"stream {stream_id} opened with an id that is ours or in use", events)
            return False
        self._highest_peer_id = max(self._highest_peer_id, stream_id)
        limits = self.limits
        if (
            self.going_away
            or len(self._streams) >= limits.streams
            or self._half_open[self._peer_parity] >= limits.backlog
            or self.buffered >= limits.buffered
        ):
            self._answer(encode_header(WINDOW_UPDATE, RST, stream_id, 0), events)
            return False
        self._streams[stream_id] = StreamState()
        self._half_open[self._peer_parity] += 1
        events.append(StreamOpened(stream_id))
        return True

    def _on_stray(self, stream_id: int, events: list[Event]) -> None:
        """A frame for no living stream: late if it ever was one, otherwise against the framing."""
        never = (
            stream_id > self._highest_peer_id
            if stream_id & 1 == self._peer_parity
            else stream_id >= self._next_id
        )
        if never:
            self._fail(f"a frame for stream {stream_id}, never opened", events)
        else:
            self._bound_discard(events)

    def _bound_discard(self, events: list[Event]) -> None:
        # No window was ever larger, so a longer body cannot have been in flight.
        if self._body > max(self.limits.window, INITIAL_WINDOW):
            self._fail(f"{self._body} octets for no stream", events)

    def _on_stream_frame(
        self, fields: tuple[int, int, int, int, int], stream: StreamState, events: list[Event]
    ) -> None:
        _, kind, flags, stream_id, length = fields
        if flags & ACK and not stream.acknowledged and stream_id & 1 != self._peer_parity:
            stream.acknowledged = True
            self._half_open[stream_id & 1] -= 1
            events.append(StreamAccepted(stream_id))
        if flags & RST:
            self._forget(stream_id)
            events.append(StreamReset(stream_id))
            self._bound_discard(events)
        elif kind == WINDOW_UPDATE:
            self._on_window(stream_id, stream, length, events)
            if flags & FIN and self.ended is None:
                self._on_fin(stream_id, stream, events)
        elif length > stream.receive_window:
            self._fail(f"{length} octets on stream {stream_id}, window {stream.receive_window}", events)
        elif stream.received_fin:
            if length:
                self._shed(stream_id, events)
        elif length:
            stream.receive_window -= length
            self._body_stream, self._body_fin = stream_id, bool(flags & FIN)
        elif flags & FIN:
            self._on_fin(stream_id, stream, events)

    def _on_window(self, stream_id: int, stream: StreamState, length: int, events: list[Event]) -> None:
        stream.send_window += length
        if stream.send_window > WINDOW_LIMIT:
            self._fail(f"window of stream {stream_id} beyond 32 bits", events)
        elif length and not stream.sent_fin:
            events.append(WindowOpened(stream_id))

    def _on_fin(self, stream_id: int, stream: StreamState, events: list[Event]) -> None:
        if not stream.received_fin:
            stream.received_fin = True
            events.append(FinReceived(stream_id))
            self._forget_if_done(stream_id, stream)

    def _on_body(self, part: memoryview, events: list[Event]) -> None:
        size = len(part)
        self._body -= size
        stream = self._streams.get(self._body_stream)
        if stream is None:
            return
        stream_id = self._body_stream
        if self.buffered + size > self.limits.buffered:
            self._body_stream = 0
            self._shed(stream_id, events)
            return
        stream.buffered += size
        self.buffered += size
        events.append(DataReceived(stream_id, bytes(part)))
        if not self._body and self._body_fin:
            self._on_fin(stream_id, stream, events)

    def _update_window(self, stream_id: int, stream: StreamState) -> None:
        limits = self.limits
        # A reader that keeps up earns a larger window, so that one stream fills a long path.
        growth = max(0, min(stream.window, limits.window - stream.window, limits.raised - self._raised))
        stream.window += growth
        self._raised += growth
        granted = stream.consumed + growth
        stream.consumed = 0
        stream.receive_window += granted
        self._queue(encode_header(WINDOW_UPDATE, 0, stream_id, granted))

    def _forget_if_done(self, stream_id: int, stream: StreamState) -> None:
        if stream.done:
            self._forget(stream_id)

    def _forget(self, stream_id: int) -> None:
        stream = self._streams.pop(stream_id)
        self.buffered -= stream.buffered
        self._raised -= stream.window - INITIAL_WINDOW
        if not stream.acknowledged:
            self._half_open[stream_id & 1] -= 1

    def _shed(self, stream_id: int, events: list[Event]) -> None:
        """Reset one stream for what the peer did on it; the others live."""
        self._forget(stream_id)
        events.append(StreamReset(stream_id))
        self._answer(encode_header(WINDOW_UPDATE, RST, stream_id, 0), events)

    def _queue(self, frame: bytes) -> None:
        if self.ended is None:
            self._out.put_control(frame)

    def _answer(self, frame: bytes, events: list[Event]) -> None:
        """Queue a frame that the peer provoked; a peer that provokes and does not read ends the session."""
        if self._out.control > self.limits.control:
            self._fail("too many answers wait for a peer that does not read", events)
        else:
            self._queue(frame)

    def _fail(self, text: str, events: list[Event]) -> None:
        if self.ended is None:
            self._queue(encode_header(GO_AWAY, 0, 0, GoAwayCode.PROTOCOL_ERROR))
            self.ended = SessionEnded(GoAwayCode.PROTOCOL_ERROR, text)
            self._body = 0
            events.append(self.ended)
