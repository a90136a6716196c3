"""The connector's end of the internet tunnel: a session to every edge, kept alive, and the choice between
them.

    per edge:  Keeper: dial ─▶ attach to the data plane ─▶ probes, renewal ─▶ lost: detach, again
    all edges: Gateways says which one takes new flows of which gateway; the data plane is told when that changes

Sessions to all edges stay up, so that moving is one command and not a handshake. Once attached, a session
and its socket belong to the worker; control packets come back through on_control and on_closed, called by
the daemon. One event loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from OpenSSL import SSL

from zcc.clock import Clock, SystemClock
from zcc.itunnel import pathmtu
from zcc.itunnel.dial import Dialler
from zcc.itunnel.gateways import EVERY_EDGE, Gateways, Route
from zcc.itunnel.keeper import Datapath, Keeper, Ways
from zcc.itunnel.settings import SLOTS, TunnelSettings

__all__ = ["Datapath", "EdgeStatus", "TunnelClient"]

PROTOCOLS = {"DTLS": "DTLSv1.2", "TLS": "TLSv1.3"}

log = logging.getLogger(__name__)


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
    transport: str = ""        # of the present session: DTLS or TLS; "" when there is none
    path_mtu: int = 0          # largest IP packet outside that goes through, as far as known; 0 = unknown
    inner_mtu: int = 0         # largest packet inside; 0 = unknown
    path_state: str = ""       # base, search, complete, error; "" when there is no session
    black_holes: int = 0       # of the present session: how often its size was lost
    renewals: int = 0          # sessions that took over from one that lived


class TunnelClient:
    """Sessions to the internet edges of one connector."""

    def __init__(
        self,
        settings: TunnelSettings,
        dialler: Dialler,
        datapath: Datapath,
        make_session: Callable[[SSL.Connection], Any],
        *,
        report: Callable[..., None] = lambda **fields: None,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Prepare; run() connects.

        Args:
            make_session: fastpath.dtls.Session, handed in so that this package stays free of fastpath.
            report: Logs.tunnel.
            jitter: 0 … 1, spreads reconnects and renewals.
        """
        self._datapath, self._report = datapath, report
        self._clock = clock or SystemClock()
        ways = Ways(dialler, datapath, make_session, self._choose, self._alone, self._clock, jitter)
        self._keepers = [Keeper(slot, edge, settings, ways) for slot, edge in enumerate(settings.edges)]
        self._was_up = [False] * len(self._keepers)
        self._gateways = Gateways(len(self._keepers), round(settings.hold_down.total_seconds() * 1e9))

    def steer(self, routes: Mapping[str, Route]) -> None:
        """Have each gateway's new flows go by the first of its edges that is up, from now on; see Gateways."""
        self._gateways.steer(routes)
        self._choose()

    def active(self, gateway: str = EVERY_EDGE) -> str | None:
        """Name of the edge that takes new flows of a gateway; None = none of its edges is up."""
        slot = self._gateways.active(gateway)
        return None if slot is None else self._keepers[slot].edge.name

    def gateways(self) -> dict[str, tuple[str, ...]]:
        """Return the edges of every gateway by name, in the order in which they are tried."""
        return {name: tuple(self._keepers[slot].edge.name for slot in route.edges) for name, route in self._gateways}

    @property
    def up(self) -> bool:
        """Whether any edge is up."""
        return any(keeper.up for keeper in self._keepers)

    def status(self) -> list[EdgeStatus]:
        """Return the state of every edge, in order."""
        return [self._status(keeper) for keeper in self._keepers]

    def renew(self) -> None:
        """Have new sessions take over from all that live, as when they are too old."""
        for keeper in self._keepers:
            keeper.renew()

    async def run(self) -> None:
        """Keep a session to every edge until cancelled; then say goodbye to all."""
        async with asyncio.TaskGroup() as group:
            for keeper in self._keepers:
                group.create_task(keeper.run(), name=f"tunnel {keeper.edge.name}")

    def on_control(self, place: int, packet: bytes) -> None:
        """Take a control packet that came in the session of a place."""
        self._keepers[place % SLOTS].hear(place, packet)

    def on_closed(self, place: int) -> None:
        """Take the news that the session of a place ended."""
        self._keepers[place % SLOTS].lost(place)

    def _alone(self, slot: int) -> bool:
        return any(not any(self._keepers[other].by_datagrams for other in others) for others in self._gateways.beside(slot))

    def _choose(self) -> None:
        now_ns = self._clock.monotonic_ns()
        up, by_datagrams = [keeper.up for keeper in self._keepers], [keeper.by_datagrams for keeper in self._keepers]
        for move in self._gateways.update(up, by_datagrams, now_ns):
            self._datapath.activate_tunnel(move.route.number, move.slot, move.route.edges)
            of = f" of gateway {move.gateway}" if move.gateway else ""
            log.info("internet tunnel: new flows%s go by %s", of, self.active(move.gateway) or "no edge: none is up")
        for keeper in self._keepers:
            if keeper.up != self._was_up[keeper.slot]:
                self._was_up[keeper.slot] = keeper.up
                self._tell(keeper)

    def _tell(self, keeper: Keeper) -> None:
        address, leg = keeper.edge.address, keeper.leg
        if keeper.up:
            keeper.failures, keeper.reason = 0, ""
        reason = "None" if keeper.up or leg is None else leg.closed
        transport = "DTLS" if leg is None else leg.transport
        if keeper.up:
            log.info("internet edge %s is up by %s", keeper, transport)
        else:
            log.warning("internet edge %s is down: %s", keeper, reason)
        self._report(tunnelactionname="Tunnel Event", event="UP" if keeper.up else "DOWN", eventreason=reason,
                     tunneltype=transport, protocol=PROTOCOLS[transport], destvip=address.address, destport=address.port,
                     sourceip=keeper.source[0], srcport=keeper.source[1], peer=keeper.edge.name)

    def _status(self, keeper: Keeper) -> EdgeStatus:
        leg, version = keeper.leg, keeper.edge.address.address.version
        path = None if leg is None else leg.path
        state = "down" if keeper.reason and leg is None else "connecting"
        if leg is not None:
            state = "up" if keeper.up else "probing"
        return EdgeStatus(
            name=keeper.edge.name, address=str(keeper.edge.address), state=state,
            active=keeper.slot == self._gateways.active(),
            rtt_ms=0.0 if leg is None else leg.probes.rtt_ns / 1e6,
            probes_sent=0 if leg is None else leg.probes.sent,
            probes_answered=0 if leg is None else leg.probes.answered,
            reason=keeper.reason, transport="" if leg is None else leg.transport,
            path_mtu=0 if path is None else pathmtu.outer_mtu(path.size, version),
            inner_mtu=0 if path is None else pathmtu.inner_mtu(path.size),
            path_state="" if path is None else path.phase.value,
            black_holes=0 if path is None else path.black_holes, renewals=keeper.renewals)
