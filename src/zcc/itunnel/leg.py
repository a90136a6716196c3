"""Leg: one established session with an edge, as far as it speaks of itself: does it live, how large may packets be, is it over?

Messages in, messages out; time is an argument, there is no socket. The keeper of an edge has one, for a while two. One thread.
"""

from __future__ import annotations

from collections.abc import Iterator

from zcc.itunnel import wire
from zcc.itunnel.pathmtu import PathMtu
from zcc.itunnel.session import ProbeSession

__all__ = ["Leg"]


class Leg:
    """One session in a place of the data plane.

    Its hello goes out with every probe until the edge's has come: a datagram may be lost.
    """

    def __init__(self, place: int, transport: str, probes: ProbeSession, path: PathMtu | None, now_ns: int) -> None:
        """Begin with a hello.

        Args:
            place: of the data plane; it changes when a leg takes over.
            transport: DTLS or TLS.
            path: None where a stream carries the packets and cuts them as it likes.
        """
        self.place, self.transport, self.probes, self.path, self.since_ns = place, transport, probes, path, now_ns
        self.closed = ""              # why it is over; "" while it lives
        self.retired = False          # another one has taken over: it says and asks nothing more
        self.number = 0               # of the session at the edge; 0 = it has not told yet
        self.takes_parts = False      # the edge has said that it puts packets in parts together
        self._hello = wire.Hello(wire.VERSION, takes_parts=True)
        self._greeted = False         # the edge has answered it
        self._hello_due = True        # at once, not with the next probe

    @property
    def up(self) -> bool:
        """Whether it carries packets, as far as one can know."""
        return self.probes.up and not self.closed

    @property
    def next_ns(self) -> int | None:
        """When due() has something to say; None = never."""
        if self.closed or self.retired:
            return None
        return self.probes.next_ns if self.path is None else min(self.probes.next_ns, self.path.next_ns)

    def take_over(self, former: int) -> None:
        """Ask the edge to send what it sent by another session of ours by this one."""
        self._hello = wire.Hello(wire.VERSION, replaces=former, takes_parts=True)
        self._greeted, self._hello_due = False, True

    def due(self, now_ns: int) -> Iterator[wire.Message]:
        """Yield what is to be said now; a leg whose probes stay unanswered is closed by it."""
        if self.closed or self.retired:
            return
        probe = self.probes.probe(now_ns)
        if self._hello_due or (probe is not None and not self._greeted):
            self._hello_due = False
            yield self._hello
        if probe is not None:
            yield probe
        if self.path is not None:
            yield from self.path.probes(now_ns)
        if self.probes.failed:
            self.closed = f"{self.probes.lost} probes in a row were not answered"

    def hear(self, message: wire.Message | None, now_ns: int) -> wire.Message | None:
        """Take a message of the edge; return the answer to it."""
        match message:
            case wire.ProbeAnswer():
                self.probes.answer(message, now_ns)
            case wire.Probe(sequence, time_ns):
                return wire.ProbeAnswer(sequence, time_ns)
            case wire.SizeProbe(number, size):
                return wire.SizeAnswer(number, size)
            case wire.SizeAnswer():
                if self.path is not None:
                    self.path.answer(message, now_ns)
            case wire.Hello(version) if version != wire.VERSION:
                self.close(f"edge speaks version {version} of the tunnel, we speak {wire.VERSION}")
            case wire.Hello():
                self.number, self.takes_parts, self._greeted = message.session, message.takes_parts, True
            case wire.Goodbye():
                self.close("edge said goodbye")
        return None

    def close(self, reason: str) -> None:
        """Note that it is over; the first reason counts."""
        self.closed = self.closed or reason
