"""What one session may hold, and the state of one of its streams.

Written by session only; transport passes Limits through. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass

from zcc.mtunnel.frames import INITIAL_WINDOW

__all__ = ["Limits", "StreamState"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one session; sizes in bytes."""

    streams: int = 8192  # alive at once, both sides' together
    backlog: int = 256  # opened and not yet acknowledged, each side; the number other implementations use
    window: int = 4 * 1024 * 1024  # largest window a stream is raised to
    raised: int = 64 * 1024 * 1024  # sum over streams of what their windows exceed the initial one by
    buffered: int = 256 * 1024 * 1024  # delivered, not consumed, all streams; who passes it is reset
    control: int = 256 * 1024  # answers that wait because the peer does not read; beyond it the session ends
    frame: int = 64 * 1024  # longest DATA frame sent: bounds how long one stream holds the others up


@dataclass(slots=True)
class StreamState:
    """One stream; windows in octets."""

    send_window: int = INITIAL_WINDOW  # that we may still send
    receive_window: int = INITIAL_WINDOW  # that the peer may still send
    window: int = INITIAL_WINDOW  # what receive_window is brought back to
    buffered: int = 0  # delivered, not consumed
    consumed: int = 0  # since the last window update
    acknowledged: bool = False
    sent_fin: bool = False
    received_fin: bool = False

    @property
    def done(self) -> bool:
        """Both sides have finished and all that came was read."""
        return self.sent_fin and self.received_fin and not self.buffered
