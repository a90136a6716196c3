"""Keeper: one edge of a connector. It dials, attaches what it has dialled to the data plane, and keeps it fresh.

    dial ─▶ leg in the edge's slot ─▶ probes … ─▶ lost: detach, dial again
                    ▲ swap        │ too old, too many records, or asked
                    └── leg beside ◀─ dial ─▶ proved by a probe ─▶ takes over; the former one drains, says goodbye

A session is renewed by a new handshake beside it, not inside it: the new one proves the certificate again, has keys, a socket
and a port of its own, and is known to carry packets before one is moved. Packets are taken from both meanwhile: none is lost.
While no edge of a gateway answers by DTLS, the session is one of TLS; a DTLS session beside it takes over once it has carried
probes without loss for the hold down. One event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from zcc.clock import Clock
from zcc.errors import PeerRefused, ZccError
from zcc.itunnel import pathmtu, wire
from zcc.itunnel.dial import Dialled, Dialler, interface_mtu
from zcc.itunnel.handshake import HandshakeFailed
from zcc.itunnel.leg import Leg
from zcc.itunnel.session import ProbeSession
from zcc.itunnel.settings import SLOTS, EdgeSettings, TunnelSettings

__all__ = ["Datapath", "Keeper", "Ways"]

BACKOFF_S = (0.25, 5.0)        # first wait after a failure, and the longest
TRY_S = 0.1                    # how often it is asked whether TLS is to be tried
LOOK_S = 0.5                   # how often age and records are looked at
PROVE_S = 5.0                  # a session that carries no probe by then takes nothing over
STREAM_MTU = 1400              # inside TLS, which cuts as it likes: what DTLS will carry too, mostly
DRAIN_S = 2.0                  # longer than a packet is on its way
FAILURES = (HandshakeFailed, PeerRefused, OSError, TimeoutError)

log = logging.getLogger(__name__)


class Datapath(Protocol):
    """What the client needs of the data plane. A place is a slot, or SLOTS more: beside it."""

    def attach_tunnel(self, place: int, session: Any, sock_fd: int, mtu: int) -> None:
        """Take over an established session and its connected socket (duplicated); `mtu`: largest inner packet."""

    def attach_stream(self, place: int, connection: Any, sock_fd: int, mtu: int) -> None:
        """Take over an established TLS session and its connected socket (duplicated)."""

    def resize_tunnel(self, place: int, mtu: int, parts: bool) -> None:
        """Let packets of up to `mtu` bytes go by a session; with `parts` its edge takes packets in parts."""

    def swap_tunnel(self, slot: int) -> None:
        """Exchange the session in a slot with the one beside it."""

    def tunnel_records(self, place: int) -> tuple[int, int]:
        """Return how many records a session has sealed and opened."""

    def detach_tunnel(self, place: int) -> None:
        """Let go of the session in a place."""

    def send_control(self, place: int, packet: bytes) -> None:
        """Seal a Geneve packet and send it."""

    def activate_tunnel(self, gateway: int, slot: int | None, edges: Iterable[int]) -> None:
        """Send new flows of a gateway by that slot, and let those that have one of these slots stay there."""


@dataclass(frozen=True, slots=True)
class Ways:
    """What the keepers of one connector share."""

    dialler: Dialler
    datapath: Datapath
    make_session: Callable[[Any], Any]
    changed: Callable[[], None]      # called when a keeper's `up` may have changed
    alone: Callable[[int], bool]     # whether a gateway has no edge but this slot's, or none that is up by DTLS
    clock: Clock
    jitter: Callable[[], float]


class Keeper:
    """One edge."""

    def __init__(self, slot: int, edge: EdgeSettings, settings: TunnelSettings, ways: Ways) -> None:
        """Prepare; run() dials."""
        self.slot, self.edge, self._settings, self._ways = slot, edge, settings, ways
        self._datapath, self._changed, self._clock = ways.datapath, ways.changed, ways.clock
        self._wake, self._asked = asyncio.Event(), asyncio.Event()
        self.leg: Leg | None = None          # in the slot
        self.beside: Leg | None = None
        self.failures = self.renewals = 0
        self._fell_silent = False
        self._size_told = 0
        self.reason = ""                     # of the last failure
        self.source: tuple[str, int] = ("", 0)

    def __str__(self) -> str:
        return f"{self.edge.name} at {self.edge.address}"

    @property
    def up(self) -> bool:
        """Whether the edge takes flows."""
        return self.leg is not None and self.leg.up

    @property
    def by_datagrams(self) -> bool:
        """Whether it does so by DTLS."""
        return self.up and self.leg is not None and self.leg.transport == "DTLS"

    def renew(self) -> None:
        """Make a new session and have it take over, whether it is time or not."""
        self._asked.set()

    async def run(self) -> None:
        """Keep a session until cancelled; then say goodbye."""
        while True:
            try:
                await self._serve(await self._dial())
            except FAILURES as error:
                self.reason = _text(error)
                self.failures += 1
                log.warning("internet edge %s: %s", self, self.reason)
            wait = min(BACKOFF_S[0] * 2 ** min(self.failures, 10), BACKOFF_S[1])
            await asyncio.sleep(wait * (0.5 + self._ways.jitter() / 2))

    def hear(self, place: int, packet: bytes) -> None:
        """Take a control packet that came in the session of a place."""
        leg = self._at(place)
        if leg is None:
            return
        before = self._carries(leg)
        answer = leg.hear(wire.decode(packet), self._clock.monotonic_ns())
        if answer is not None:
            self._say(leg, answer)
        if self._carries(leg) != before:
            self._resize(leg)
        self._wake.set()
        self._changed()

    def lost(self, place: int) -> None:
        """Take the news that the session in a place has ended."""
        leg = self._at(place)
        if leg is not None:
            leg.close("edge closed the session")
            self._wake.set()
            self._changed()

    # ---- a session and its successors ----

    async def _dial(self) -> Dialled:
        """Return a session by DTLS; by TLS when DTLS stays without answer and no other edge can take the flows."""
        dialler, address = self._ways.dialler, self.edge.address
        limits, begin_ns = self._settings.fallback, self._clock.monotonic_ns()
        # One that was up and fell silent has been waited for already.
        patience_ns = 0 if self._fell_silent else _ns(limits.after)
        self._fell_silent = False
        both = [asyncio.create_task(dialler.dtls(address))]
        try:
            while pending := [task for task in both if not task.done()]:
                waited = self._clock.monotonic_ns() - begin_ns >= patience_ns
                if len(both) == 1 and waited and limits.tls and dialler.has_tls and self._ways.alone(self.slot):
                    both.append(asyncio.create_task(dialler.tls(address)))
                    continue
                await asyncio.wait(pending, timeout=TRY_S, return_when=asyncio.FIRST_COMPLETED)
                won = next((task for task in both if task.done() and task.exception() is None), None)
                if won is not None:
                    both.remove(won)
                    return won.result()
            return both[0].result()      # raises
        finally:
            for task in both:
                task.cancel()
                task.add_done_callback(_forget)

    async def _serve(self, dialled: Dialled) -> None:
        self.leg = self._attach(dialled, self.slot)
        renewing = asyncio.create_task(self._renew(), name=f"renewal {self.edge.name}")
        try:
            await self._watch()
        finally:
            renewing.cancel()
            try:
                await asyncio.wait([renewing])      # not the task itself: our own cancellation would look like its
            finally:
                self._detach_last()

    async def _watch(self) -> None:
        while self.leg is not None and not self.leg.closed:
            self._wake.clear()
            waits = []
            for leg in (self.leg, self.beside):
                if leg is not None:
                    self._speak(leg)
                    waits += [] if leg.next_ns is None else [leg.next_ns]
            self._changed()
            wait_ns = min(waits, default=0) - self._clock.monotonic_ns()
            if not self.leg.closed:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(max(wait_ns, 0) / 1e9):
                        await self._wake.wait()
        if self.leg is not None:
            self._fell_silent = self.leg.probes.failed
            self.reason = self.leg.closed
            self.failures += self.leg.probes.answered == 0

    async def _renew(self) -> None:
        failures = 0
        while True:
            await self._renewal_due(failures)
            try:
                await self._replace(await self._ways.dialler.dtls(self.edge.address))
                failures = 0
            except (*FAILURES, ZccError) as error:
                failures += 1
                level = logging.WARNING if self.by_datagrams or failures == 1 else logging.DEBUG
                log.log(level, "internet edge %s: no new session by DTLS beside the old one: %s", self, _text(error))

    async def _renewal_due(self, failures: int) -> None:
        """Wait until the session is to be renewed; after failures not before some time."""
        if self.leg is not None and self.leg.transport == "TLS":
            await asyncio.sleep(self._settings.fallback.retry.total_seconds())
            return
        await asyncio.sleep(min(BACKOFF_S[0] * 2 ** min(failures, 10), BACKOFF_S[1]) if failures else 0)
        limits = self._settings.renew
        age_ns = round(_ns(limits.age) * (1 - self._ways.jitter() / 10))      # edges and connectors not all at once
        while not self._asked.is_set() and self.leg is not None:
            old = self._clock.monotonic_ns() - self.leg.since_ns >= age_ns
            if old or max(self._datapath.tunnel_records(self.leg.place)) >= limits.records:
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._asked.wait()

    async def _replace(self, dialled: Dialled) -> None:
        """Have what was dialled take over, once it has proved itself, and the former session drain."""
        assert self.leg is not None
        patience_s = self._settings.hold_down.total_seconds() if self.leg.transport == "TLS" else 0.0
        self.beside = self._attach(dialled, self.slot + SLOTS, self.leg.path)
        self._wake.set()
        try:
            await self._prove(self.beside, patience_s)
            self._swap()
            await asyncio.sleep(DRAIN_S)
        finally:
            former, self.beside = self.beside, None
            self._part(former)

    async def _prove(self, leg: Leg, patience_s: float) -> None:
        """Wait until a leg carries probes, and has done so for some time.

        Raises:
            ZccError: it ended, or lost a probe meanwhile. TimeoutError: it carries none.
        """
        look_s = self._settings.probe_interval.total_seconds() / 10
        async with asyncio.timeout(PROVE_S):
            while not leg.probes.answered and not leg.closed:
                await asyncio.sleep(look_s)
        until_ns = self._clock.monotonic_ns() + round(patience_s * 1e9)
        while self._clock.monotonic_ns() < until_ns and not leg.closed and not leg.probes.lost:
            await asyncio.sleep(look_s)
        if leg.closed or leg.probes.lost:
            raise ZccError(leg.closed or "a probe was lost")

    def _swap(self) -> None:
        old, new = self.leg, self.beside
        assert old is not None
        assert new is not None
        self._datapath.swap_tunnel(self.slot)
        old.place, new.place = new.place, old.place
        self.leg, self.beside = new, old
        old.retired = True
        new.take_over(old.number)
        self._speak(new)
        self._asked.clear()
        self.renewals += 1
        log.info("internet edge %s: a new %s session has taken over", self, new.transport)
        self._wake.set()

    # ---- the data plane ----

    def _attach(self, dialled: Dialled, place: int, former: pathmtu.PathMtu | None = None) -> Leg:
        now_ns = self._clock.monotonic_ns()
        with dialled.socket:             # the data plane has its own
            self.source = dialled.source
            probes = ProbeSession(_ns(self._settings.probe_interval), self._settings.probe_lost, now_ns)
            if dialled.transport == "TLS":
                self._datapath.attach_stream(
                    place, dialled.connection, dialled.socket.fileno(), min(self._settings.inner_mtu, STREAM_MTU))
                return Leg(place, dialled.transport, probes, None, now_ns)
            version = self.edge.address.address.version
            ceiling = min(pathmtu.datagram_of(self._settings.inner_mtu),
                          pathmtu.datagram_in(interface_mtu(dialled.socket), version))
            path = pathmtu.PathMtu(version, ceiling, now_ns, former)
            leg = Leg(place, dialled.transport, probes, path, now_ns)
            self._datapath.attach_tunnel(
                place, self._ways.make_session(dialled.connection), dialled.socket.fileno(), pathmtu.inner_mtu(path.size))
        return leg

    @staticmethod
    def _carries(leg: Leg) -> tuple[int, bool]:
        """What the data plane is told of a leg: the size of its datagrams, and whether it takes parts."""
        return (0, False) if leg.path is None else (leg.path.size, leg.takes_parts)

    def _resize(self, leg: Leg) -> None:
        assert leg.path is not None
        self._datapath.resize_tunnel(leg.place, pathmtu.inner_mtu(leg.path.size), leg.takes_parts)

    def _tell_size(self, path: pathmtu.PathMtu) -> None:
        """Log what a search has found, unless it is what was said last."""
        if path.phase is pathmtu.Phase.COMPLETE and path.size != self._size_told:
            self._size_told = path.size
            log.info("internet edge %s: its path carries packets of %d bytes, %d inside", self,
                     pathmtu.outer_mtu(path.size, self.edge.address.address.version), pathmtu.inner_mtu(path.size))

    def _speak(self, leg: Leg) -> None:
        before = self._carries(leg)
        for message in leg.due(self._clock.monotonic_ns()):
            self._say(leg, message)
        if self._carries(leg) != before:
            self._resize(leg)
        if leg is self.leg and leg.path is not None:
            self._tell_size(leg.path)

    def _say(self, leg: Leg, message: wire.Message) -> None:
        self._datapath.send_control(leg.place, wire.encode(message))

    def _detach_last(self) -> None:
        leg = self.leg
        assert leg is not None
        ours = not leg.closed
        leg.close("we end the session")
        self._changed()          # first the other edge, then the end of this one
        self._part(leg, ours)
        self.leg = None

    def _part(self, leg: Leg | None, aloud: bool = True) -> None:
        if leg is not None:
            if aloud:
                self._say(leg, wire.Goodbye())
            self._datapath.detach_tunnel(leg.place)

    def _at(self, place: int) -> Leg | None:
        return next((leg for leg in (self.leg, self.beside) if leg is not None and leg.place == place), None)


def _ns(duration: timedelta) -> int:
    return round(duration.total_seconds() * 1e9)


def _text(error: BaseException) -> str:
    return str(error) or "no answer within the time for a handshake"


def _forget(task: asyncio.Task[Dialled]) -> None:
    """Close what was dialled for nothing."""
    if not task.cancelled() and task.exception() is None:
        task.result().drop()
