"""The edge's doorway to fastpath: the thread that its packets are carried in, and what they need thought for.

    tunnels ⇄ fastpath.carrier ⇄ device          a batch at a time, compiled, without the GIL
                  │ ▲
             wants│ │goes on                      strangers and control: gate │ fragments, ICMP, TTL: odd │ parts: apart
                  ▼ │                             no room for new flows: flows │ whose session has moved: sessions
               datapath

The thread owns every table and session. Between batches it does what others have submitted, reads TLS streams, and ends what is
idle. Ends of flows and tunnels leave by the callbacks, called in this thread. Source: design §3.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from fastpath import flowkey, nat
from fastpath.action import DropReason
from fastpath.batch import PacketBatch
from fastpath.carrier import Carrier
from fastpath.flowtable import FlowTable, TimeoutClass
from fastpath.fragments import Origin
from fastpath.inward import Inward
from fastpath.links import Links
from fastpath.outlet import Outlet
from fastpath.outward import Outward
from fastpath.packetio import Device, UdpSocket
from fastpath.stages import Stage, Want
from zcc.clock import Clock
from zcc.internet_edge.apart import Apart
from zcc.internet_edge.drops import TAKEN
from zcc.internet_edge.flows import Address, FlowBook, FlowEnd, mapped
from zcc.internet_edge.gate import Gate
from zcc.internet_edge.listener import Listener
from zcc.internet_edge.live import groups, live_rows
from zcc.internet_edge.odd import OddPackets
from zcc.internet_edge.sessions import SILENT_NS, EdgeSession, SessionBook
from zcc.internet_edge.settings import InternetEdgeSettings
from zcc.internet_edge.streams import Streams

__all__ = ["Datapath"]

BURSTS = 4                  # batches from one stream before the next has its turn
TICK_NS = 100_000_000

Rows = NDArray[np.uint16]

log = logging.getLogger(__name__)


class Datapath:
    """Packets of one internet edge. run() is its thread; all else but stop() and status is called in it."""

    def __init__(
        self,
        settings: InternetEdgeSettings,
        device: tuple[str, str],
        listener: Listener,
        streams: Streams,
        *,
        forbidden: Iterable[Address],
        clock: Clock,
        ended: Callable[[list[tuple[FlowEnd, str]]], None],
        tunnel: Callable[[str, EdgeSession, str], None],
    ) -> None:
        """Open the socket and the device, make the tables.

        Args:
            device: kind and name, as the doorway made it.
            forbidden: addresses of this host, closed to what comes out of tunnels.
            ended: called with flows that ended, each with its connector's name.
            tunnel: called with "UP" or "DOWN", the session, and why.
        Raises:
            OSError: the address is taken or not ours, or the device cannot be opened.
        """
        self._clock, self._ended = clock, ended
        self._mtu = settings.inner_mtu
        self._batch = PacketBatch()
        outlet = _outlet(settings, forbidden)
        self.sessions = SessionBook(Links(settings.limits.sessions, secrets.token_bytes(32)))
        self.book = FlowBook(outlet, self._flows_ended)
        self._odd = OddPackets(self._batch, outlet, self.book, secrets.token_bytes(32))
        self._udp = UdpSocket.bind(str(settings.listen.address), settings.listen.port, merged=True)
        self._wire = socket.socket(fileno=os.dup(self._udp.fd))
        self.gate = Gate(self._batch, listener, self.sessions, self._wire, tunnel, settings.inner_mtu, streams)
        self._device = Device.tun(device[1]) if device[0] == "tun" else Device.veth(device[1])
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        links, odd = self.sessions.links, self._odd
        self._outward = Outward(self._device, links, outlet, odd.fragments, odd.identifications, odd.datagrams, self._mtu)
        self._inward = Inward(self._udp, links, outlet, self._mtu, SILENT_NS)
        self._carrier = Carrier(self._batch, self._outward, self._inward, (self._wake, streams.fd))
        self.drops: NDArray[np.int64] = self._carrier.drops
        self.to_internet: NDArray[np.int64] = self._outward.carried
        self.to_tunnels: NDArray[np.int64] = self._inward.carried
        self._apart = Apart(self._batch, self.sessions, self._udp, self.drops)
        self._large: list[tuple[int, int]] = []      # rows to be cut, and the size of the pieces
        self._thoughts: dict[int, Callable[[int], None]] = {
            Want.WANT_GATE: self._greet, Want.WANT_CONTROL: self._control, Want.WANT_FLOWS: self._admit_odd,
            Want.WANT_EXPIRED: self._tell_expired, Want.WANT_ERRORS: self._return_odd, Want.WANT_WAYS: self._choose_ways,
            Want.WANT_CUT: self._send_large}
        self._stop = threading.Event()
        self._calls: deque[Callable[[], None]] = deque()
        self._due_ns = self.heartbeat_ns = 0

    @property
    def port(self) -> int:
        """The UDP port that is listened on."""
        port: int = self._wire.getsockname()[1]
        return port

    def run(self) -> None:
        """Carry packets until stop(); then say goodbye to all connectors and close."""
        try:
            while not self._stop.is_set():
                want = self._carrier.run(0 if self.gate.held else self._due_ns)
                self.heartbeat_ns = now_ns = self._clock.monotonic_ns()
                self._settle(want, now_ns)
                self._attend(now_ns)
        finally:
            self._close()

    def stop(self) -> None:
        """Make run() return soon. Any thread."""
        self._stop.set()
        os.eventfd_write(self._wake, 1)

    def submit(self, call: Callable[[], None]) -> None:
        """Have something called in the datapath's thread, between two turns. Any thread."""
        self._calls.append(call)
        os.eventfd_write(self._wake, 1)

    def _attend(self, now_ns: int) -> None:
        """Do what does not come by the socket or the device."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        while self._calls:
            self._calls.popleft()()
        for session in self.gate.readable(now_ns):
            for _ in range(BURSTS):
                if not self.gate.read(session, now_ns):
                    break
                self._settle(self._carrier.begin(Stage.STAGE_DECODE, now_ns), now_ns)
        if now_ns >= self._due_ns:
            self._due_ns = now_ns + TICK_NS
            self._tick(now_ns)

    def _tick(self, now_ns: int) -> None:
        self.gate.tick(now_ns)
        self.book.expire(now_ns)
        self.drops[DropReason.DROP_FRAGMENT_ORPHAN] += self._odd.sweep(now_ns)

    # ---- what a batch wants ----

    def _settle(self, want: int, now_ns: int) -> None:
        """See a batch through, and the frames that waited for one of its rows."""
        if not want:
            return
        self._think(want, now_ns)
        for origin, stage in ((Origin.ORIGIN_WORKLOAD, Stage.STAGE_DECODE), (Origin.ORIGIN_KERNEL, Stage.STAGE_PARSE)):
            while self._odd.release(origin):
                self._think(self._carrier.begin(stage, now_ns), now_ns)

    def _think(self, want: int, now_ns: int) -> None:
        while want:
            self._thoughts[want](now_ns)
            want = self._carrier.go_on(now_ns)

    def _greet(self, now_ns: int) -> None:
        self.gate.see(self._outward.origin, now_ns)

    def _control(self, now_ns: int) -> None:
        self.gate.take_control(self._outward.origin, now_ns)
        self._apart.join(live_rows(self._batch), self._outward.origin)      # the origin of every row, by its number

    def _admit_odd(self, now_ns: int) -> None:
        self._odd.enter(Origin.ORIGIN_WORKLOAD, now_ns)
        self._send_out(self._odd.errors_out())
        self.book.admit(self._batch, now_ns)
        self._odd.settle()

    def _tell_expired(self, now_ns: int) -> None:
        told, expired = self._odd.expired(now_ns)
        self.drops[DropReason.DROP_TTL_EXPIRED] += expired
        self._send_in(told, now_ns)

    def _return_odd(self, now_ns: int) -> None:
        self._odd.enter(Origin.ORIGIN_KERNEL, now_ns)
        self._send_in(self._odd.errors_in(), now_ns)

    def _choose_ways(self, now_ns: int) -> None:
        """Say by which session each row goes, and refuse what does not fit it and may not be cut."""
        batch = self._batch
        self._odd.settle()
        live = live_rows(batch)
        ways = self._inward.ways
        ways[live] = self._ways(live, now_ns)
        larger: list[tuple[int, int]] = []
        for number, rows in groups(live, ways[live]):
            mtu, takes_parts = self._path(self.sessions.get(number))
            lengths = batch.inner_length[rows]
            if lengths.max() > mtu:
                limits = self._apart.limits(lengths, mtu, takes_parts)
                larger += [(row, mtu) for row in rows[lengths > limits].tolist()]
        told, refused = self._odd.too_large(larger, now_ns)
        self.drops[DropReason.DROP_ZIA_TOO_BIG] += refused
        self._send_out(told)
        self._large = [(row, mtu) for row, mtu in larger if batch.reason[row] == 0]

    def _send_large(self, now_ns: int) -> None:
        """Send what is larger than its tunnel: cut, or in parts."""
        ways = self._inward.ways
        for row, mtu in self._large:
            n = self._odd.cut(row, mtu)
            rows = np.arange(n, dtype=np.uint16)
            self._inward.encapsulate_rows(self._odd.pieces, rows)
            self._enter(self._odd.pieces, rows, np.full(n, ways[row], np.uint32))
        self._large.clear()
        live = live_rows(self._batch)
        self._enter_apart(self._batch, live, ways[live])

    # ---- odd rows, which leave apart ----

    def _send_out(self, rows: Rows) -> None:
        """Send translated rows to the internet."""
        batch = self._batch
        if rows.size:
            batch.reason[rows] = 0
            batch.start[rows], batch.length[rows] = batch.inner_start[rows], batch.inner_length[rows]
            self.to_internet += (self._device.send(batch, rows), int(batch.length[rows].sum()))
            batch.reason[rows] = TAKEN

    def _send_in(self, rows: Rows, now_ns: int) -> None:
        """Send translated rows to the sessions of their flows."""
        if rows.size:
            self._batch.reason[rows] = 0
            self._inward.encapsulate_rows(self._batch, rows)
            self._enter(self._batch, rows, self._ways(rows, now_ns))
            self._batch.reason[rows] = TAKEN

    def _enter(self, batch: PacketBatch, rows: Rows, ways: NDArray[np.uint32]) -> None:
        self._enter_apart(batch, rows, ways)
        self._inward.enter_rows(batch, rows, ways)

    def _enter_apart(self, batch: PacketBatch, rows: Rows, ways: NDArray[np.uint32]) -> None:
        """Send the rows of sessions some of whose rows have to go in parts; they are done with then."""
        for number, mine in groups(rows, ways):
            session = self.sessions.get(number)
            if session is not None and self._apart.wants(session, batch, mine):
                n_bytes = int(batch.inner_length[mine].sum())
                session.link.sent_bytes += n_bytes
                batch.peer_address[mine], batch.peer_port[mine] = session.address
                self.to_tunnels += (self._apart.send(session, batch, mine), n_bytes)

    def _ways(self, rows: Rows, now_ns: int) -> NDArray[np.uint32]:
        """The number of the session that each row goes by, 0 = none."""
        owners = self.book.entries["owner"][self._batch.entry[rows]]
        found = np.zeros(len(rows), np.uint32)
        for owner in np.unique(owners).tolist():
            session = self.sessions.towards(owner, now_ns)
            found[owners == owner] = 0 if session is None else session.number
        return found

    # ---- both ----

    def _path(self, session: EdgeSession | None) -> tuple[int, bool]:
        """The largest inner packet that a session carries as one record, and whether it takes larger ones in parts."""
        return (self._mtu, False) if session is None else (session.link.mtu, session.takes_parts)

    def _flows_ended(self, ended: list[FlowEnd]) -> None:
        self._ended([(flow, self.sessions.name_of(flow.owner)) for flow in ended])

    def _close(self) -> None:
        self.gate.close()
        self.book.end_all()
        self._udp.close()
        self._wire.close()
        self._device.close()
        os.close(self._wake)


def _outlet(settings: InternetEdgeSettings, forbidden: Iterable[Address]) -> Outlet:
    flows = FlowTable(settings.flows, _idle(settings), ready=settings.flows)
    bindings = nat.NatTable(settings.flows, (settings.nat.ports.low, settings.nat.ports.high), secrets.token_bytes(32))
    secret = flowkey.Secret(secrets.token_bytes(32))
    return Outlet(flows, bindings, secret, _rows_of(settings.nat.addresses), _rows_of(forbidden))


def _rows_of(addresses: Iterable[Address]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(map(mapped, addresses)), np.uint8).reshape(-1, 16)


def _idle(settings: InternetEdgeSettings) -> dict[int, float]:
    return {TimeoutClass[f"TIMEOUT_{name.upper()}"]: getattr(settings.idle, name).total_seconds()
            for name in type(settings.idle).model_fields}
