"""The connector's end of the internet tunnel: a session to every edge, kept alive, and the choice between
them.

    per edge:  connect ─▶ handshake ─▶ peer check ─▶ attach to the data plane ─▶ probes ─▶ lost: detach, again
    all edges: Gateways says which one takes new flows of which gateway; the data plane is told when that changes

Sessions to all edges stay up, so that moving is one command and not a handshake. Once attached, a session
and its socket belong to the worker; control packets come back through on_control and on_closed, called by
the daemon. One event loop.
Source: RFC 6347 §4.2 (handshake), design §3 (what is inside).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Protocol

from OpenSSL import SSL

from zcc.clock import Clock, SystemClock
from zcc.errors import PeerRefused
from zcc.itunnel import wire
from zcc.itunnel.gateways import EVERY_EDGE, Gateways, Route
from zcc.itunnel.handshake import Handshake, HandshakeFailed, use_fixed_mtu
from zcc.itunnel.session import ProbeSession
from zcc.itunnel.settings import EdgeSettings, TunnelSettings

__all__ = ["Datapath", "EdgeStatus", "TunnelClient"]

HANDSHAKE_S = 10.0
BACKOFF_S = (0.25, 5.0)        # first wait after a failure, and the longest
DATAGRAM_MAX = 1 << 16

log = logging.getLogger(__name__)


class Datapath(Protocol):
    """What the client needs of the data plane."""

    def attach_tunnel(self, slot: int, session: Any, sock_fd: int) -> None:
        """Take over an established session and its connected socket (duplicated)."""

    def detach_tunnel(self, slot: int) -> None:
        """Let go of the session in a slot."""

    def send_control(self, slot: int, packet: bytes) -> None:
        """Seal a Geneve packet and send it."""

    def activate_tunnel(self, gateway: int, slot: int | None, edges: Iterable[int]) -> None:
        """Send new flows of a gateway by that slot, and let those that have one of these slots stay there."""


@dataclass(frozen=True, slots=True)
class EdgeStatus:
    """One edge, for health and metrics."""

    name: str
    address: str
    state: str                 # connecting, probing, up, down
    active: bool
    rtt_ms: float              # valid iff state is up
    probes_sent: int           # of the present session
    probes_answered: int
    reason: str                # of the last failure; "" when there was none


@dataclass(slots=True)
class _Edge:
    slot: int
    settings: EdgeSettings
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    probes: ProbeSession | None = None        # of the attached session
    closed: str = ""                          # why the attached session is over; "" while it lives
    failures: int = 0
    was_up: bool = False
    reason: str = ""
    source: tuple[str, int] = ("", 0)

    @property
    def up(self) -> bool:
        return self.probes is not None and self.probes.up and not self.closed

    def __str__(self) -> str:
        return f"{self.settings.name} at {self.settings.address}"


class TunnelClient:
    """Sessions to the internet edges of one connector."""

    def __init__(
        self,
        settings: TunnelSettings,
        context: SSL.Context,
        verify: Callable[[bytes], object],
        datapath: Datapath,
        make_session: Callable[[SSL.Connection], Any],
        *,
        report: Callable[..., None] = lambda **fields: None,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare; run() connects.

        Args:
            context: zcc.pki.context.dtls_client.
            verify: takes the edge's certificate (DER), raises PeerRefused.
            make_session: fastpath.dtls.Session, handed in so that this package stays free of fastpath.
            report: Logs.tunnel.
            jitter: 0 … 1, spreads reconnects.
        """
        use_fixed_mtu(context)
        self._settings, self._context, self._verify = settings, context, verify
        self._datapath, self._make_session, self._report = datapath, make_session, report
        self._clock, self._jitter = clock or SystemClock(), jitter
        self._edges = [_Edge(slot, edge) for slot, edge in enumerate(settings.edges)]
        self._gateways = Gateways(len(self._edges), _ns(settings.hold_down))

    def steer(self, routes: Mapping[str, Route]) -> None:
        """Have each gateway's new flows go by the first of its edges that is up, from now on; see Gateways."""
        self._gateways.steer(routes)
        self._choose()

    def active(self, gateway: str = EVERY_EDGE) -> str | None:
        """Name of the edge that takes new flows of a gateway; None = none of its edges is up."""
        slot = self._gateways.active(gateway)
        return None if slot is None else self._edges[slot].settings.name

    def gateways(self) -> dict[str, tuple[str, ...]]:
        """Return the edges of every gateway by name, in the order in which they are tried."""
        return {name: tuple(self._edges[slot].settings.name for slot in route.edges) for name, route in self._gateways}

    @property
    def up(self) -> bool:
        """Whether any edge is up."""
        return any(edge.up for edge in self._edges)

    def status(self) -> list[EdgeStatus]:
        """Return the state of every edge, in order."""
        return [self._status(edge) for edge in self._edges]

    async def run(self) -> None:
        """Keep a session to every edge until cancelled; then say goodbye to all."""
        async with asyncio.TaskGroup() as group:
            for edge in self._edges:
                group.create_task(self._keep(edge), name=f"tunnel {edge.settings.name}")

    def on_control(self, slot: int, packet: bytes) -> None:
        """Take a control packet that came in a slot's session."""
        edge = self._edges[slot]
        if edge.probes is None:
            return
        match wire.decode(packet):
            case wire.ProbeAnswer() as answer:
                if edge.probes.answer(answer, self._clock.monotonic_ns()):
                    self._choose()
            case wire.Probe(sequence, time_ns):
                self._datapath.send_control(slot, wire.encode(wire.ProbeAnswer(sequence, time_ns)))
            case wire.Hello(version) if version != wire.VERSION:
                self._close(edge, f"edge speaks version {version} of the tunnel, we speak {wire.VERSION}")
            case wire.Goodbye():
                self._close(edge, "edge said goodbye")

    def on_closed(self, slot: int) -> None:
        """Take the news that a slot's DTLS session ended."""
        self._close(self._edges[slot], "edge closed the session")

    # ---- one edge ----

    async def _keep(self, edge: _Edge) -> None:
        while True:
            try:
                await self._serve(edge)
            except (HandshakeFailed, PeerRefused, OSError, TimeoutError) as error:
                edge.reason = str(error) or "no answer within the time for a handshake"
                edge.failures += 1
                log.warning("internet edge %s: %s", edge, edge.reason)
            wait = min(BACKOFF_S[0] * 2 ** min(edge.failures, 10), BACKOFF_S[1])
            await asyncio.sleep(wait * (0.5 + self._jitter() / 2))

    async def _serve(self, edge: _Edge) -> None:
        address = edge.settings.address
        family = socket.AF_INET if address.address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as sock:
            for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
                sock.setsockopt(socket.SOL_SOCKET, option, 1 << 24)
            sock.connect((str(address.address), address.port))
            edge.source = sock.getsockname()[:2]
            async with asyncio.timeout(HANDSHAKE_S):
                connection = await self._shake_hands(sock)
            self._datapath.attach_tunnel(edge.slot, self._make_session(connection), sock.fileno())
            try:
                await self._watch(edge)
            finally:
                self._detach(edge)

    async def _shake_hands(self, sock: socket.socket) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        connection.set_connect_state()
        handshake = Handshake(connection)
        loop = asyncio.get_running_loop()
        flight = handshake.start()
        try:
            while True:
                for datagram in flight:
                    with contextlib.suppress(BlockingIOError):      # as good as lost: it is repeated
                        sock.send(datagram)
                if handshake.done:
                    self._verify(handshake.certificate())
                    return connection
                try:
                    # Not wait_for: before Python 3.12 it can lose a cancellation.
                    async with asyncio.timeout(handshake.wait_s()):
                        received = await loop.sock_recv(sock, DATAGRAM_MAX)
                    flight = handshake.receive(received)
                except TimeoutError:
                    flight = handshake.expired()
        except HandshakeFailed as failure:
            for datagram in failure.farewell:
                with contextlib.suppress(OSError):
                    sock.send(datagram)
            raise

    async def _watch(self, edge: _Edge) -> None:
        interval_ns, now_ns = _ns(self._settings.probe_interval), self._clock.monotonic_ns()
        edge.probes = ProbeSession(interval_ns, self._settings.probe_lost, now_ns)
        edge.closed = ""
        self._datapath.send_control(edge.slot, wire.encode(wire.Hello(wire.VERSION)))
        while not edge.closed:
            probe = edge.probes.probe(self._clock.monotonic_ns())
            if probe is not None:
                self._datapath.send_control(edge.slot, wire.encode(probe))
            if edge.probes.failed:
                edge.closed = f"{edge.probes.lost} probes in a row were not answered"
            self._choose()
            edge.wake.clear()
            if not edge.closed:
                wait_ns = edge.probes.next_ns - self._clock.monotonic_ns()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(wait_ns, 0) / 1e9):
                        await edge.wake.wait()
        edge.reason = edge.closed
        if edge.probes.answered == 0:
            edge.failures += 1

    def _close(self, edge: _Edge, reason: str) -> None:
        if edge.probes is not None and not edge.closed:
            edge.closed = reason
            edge.wake.set()
            self._choose()

    def _detach(self, edge: _Edge) -> None:
        if not edge.closed:
            edge.closed = "we end the session"
            self._datapath.send_control(edge.slot, wire.encode(wire.Goodbye()))
        self._choose()          # first the other edge, then the end of this one
        self._datapath.detach_tunnel(edge.slot)
        edge.probes = None

    # ---- all edges ----

    def _choose(self) -> None:
        now_ns = self._clock.monotonic_ns()
        for move in self._gateways.update([edge.up for edge in self._edges], now_ns):
            self._datapath.activate_tunnel(move.route.number, move.slot, move.route.edges)
            of = f" of gateway {move.gateway}" if move.gateway else ""
            log.info("internet tunnel: new flows%s go by %s", of, self.active(move.gateway) or "no edge: none is up")
        for edge in self._edges:
            if edge.up != edge.was_up:
                edge.was_up = edge.up
                self._tell(edge)

    def _tell(self, edge: _Edge) -> None:
        address = edge.settings.address
        if edge.up:
            edge.failures, edge.reason = 0, ""
        reason = "None" if edge.up else edge.closed
        if edge.up:
            log.info("internet edge %s is up", edge)
        else:
            log.warning("internet edge %s is down: %s", edge, reason)
        self._report(tunnelactionname="Tunnel Event", event="UP" if edge.up else "DOWN", eventreason=reason,
                     tunneltype="DTLS", protocol="DTLSv1.2", destvip=address.address, destport=address.port,
                     sourceip=edge.source[0], srcport=edge.source[1], peer=edge.settings.name)

    def _status(self, edge: _Edge) -> EdgeStatus:
        probes = edge.probes
        state = "down" if edge.reason and probes is None else "connecting"
        if probes is not None:
            state = "up" if edge.up else "probing"
        return EdgeStatus(
            name=edge.settings.name, address=str(edge.settings.address), state=state,
            active=edge.slot == self._gateways.active(),
            rtt_ms=probes.rtt_ns / 1e6 if probes is not None else 0.0,
            probes_sent=probes.sent if probes is not None else 0,
            probes_answered=probes.answered if probes is not None else 0, reason=edge.reason)


def _ns(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1e9)
