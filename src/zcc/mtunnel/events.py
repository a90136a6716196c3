"""What a yamux session reports: one small frozen object for each thing that the peer's bytes meant.

Written by session, read by transport, in the order of the bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "DataReceived",
    "Event",
    "FinReceived",
    "GoAwayReceived",
    "PongReceived",
    "SessionEnded",
    "StreamAccepted",
    "StreamOpened",
    "StreamReset",
    "WindowOpened",
]


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream; it waits in the backlog until accepted or reset."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamAccepted:
    """The peer acknowledged a stream of ours."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Octets in order; they count against the window until consume() is told."""

    stream_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class FinReceived:
    """The peer sends nothing more; we still may."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The stream is gone, both ways, at once."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class WindowOpened:
    """More may be sent on the stream."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class PongReceived:
    """The answer to ping(opaque)."""

    opaque: int


@dataclass(frozen=True, slots=True)
class GoAwayReceived:
    """The peer takes no new stream; code as in frames.GoAwayCode, other values possible."""

    code: int


@dataclass(frozen=True, slots=True)
class SessionEnded:
    """The peer broke the framing; a go-away with this code is queued and nothing more is read."""

    code: int
    text: str


Event = (
    DataReceived
    | FinReceived
    | GoAwayReceived
    | PongReceived
    | SessionEnded
    | StreamAccepted
    | StreamOpened
    | StreamReset
    | WindowOpened
)
