"""Is one internet edge alive? Probes out, answers in, time as an argument; no socket, no clock.

    DOWN ──first answer──▶ UP ──`limit` probes unanswered in a row──▶ DOWN

One object a DTLS session; the client makes a new one after every handshake. One thread.
"""

from __future__ import annotations

from collections import OrderedDict

from zcc.itunnel.wire import Probe, ProbeAnswer

__all__ = ["ProbeSession"]

RTT_WEIGHT = 8      # RFC 6298 §2: smoothed by one eighth


class ProbeSession:
    """Watches one established session."""

    def __init__(self, interval_ns: int, limit: int, now_ns: int) -> None:
        """Start watching.

        Args:
            interval_ns: between two probes.
            limit: unanswered probes in a row after which the edge is down.
            now_ns: monotonic; the first probe is due at once.
        Raises:
            ValueError: interval_ns or limit is not positive.
        """
        if interval_ns <= 0 or limit <= 0:
            raise ValueError(f"interval_ns and limit must be positive, not {interval_ns} and {limit}")
        self._interval_ns, self._limit = interval_ns, limit
        self._open: OrderedDict[int, int] = OrderedDict()       # sequence → time sent; the last `limit`
        self._next_ns = now_ns
        self._sequence = 0
        self.up = False
        self.rtt_ns = 0             # smoothed; valid iff answered > 0
        self.sent = self.answered = 0
        self.lost = 0               # probes in a row that nobody answered in time

    @property
    def failed(self) -> bool:
        """`limit` probes in a row were not answered: the session is of no use."""
        return self.lost >= self._limit

    @property
    def next_ns(self) -> int:
        """When probe() has something to do."""
        return self._next_ns

    def probe(self, now_ns: int) -> Probe | None:
        """Return the probe to send now; None = not yet. One still unanswered before it counts as lost."""
        if now_ns < self._next_ns:
            return None
        if self._sequence in self._open:
            self.lost += 1
            self.up = self.up and not self.failed
        self._sequence += 1
        self.sent += 1
        self._open[self._sequence] = now_ns
        if len(self._open) > self._limit:
            self._open.popitem(last=False)
        # From now, not from when it was due: a process that slept does not send what it missed.
        self._next_ns = now_ns + self._interval_ns
        return Probe(self._sequence, now_ns)

    def answer(self, message: ProbeAnswer, now_ns: int) -> bool:
        """Take an answer; return whether it was to a probe of ours that still waited.

        A late one counts as well: the edge is there.
        """
        if self._open.get(message.sequence) != message.time_ns:
            return False
        del self._open[message.sequence]
        measured = max(now_ns - message.time_ns, 0)
        self.rtt_ns = measured if not self.answered else self.rtt_ns + (measured - self.rtt_ns) // RTT_WEIGHT
        self.answered += 1
        self.lost = 0
        self.up = True
        return True
