"""The edge's doorway to fastpath: one thread that walks batches between tunnels and the internet.

    tunnel ─▶ UDP ▶ whose session? ▶ DTLS open ▶ Geneve ▶ packet ▶ flow ▶ admit ▶ NAT source ▶ device ─▶ net
                       └ nobody's: listener    └ control: answered
    tunnel ◀─ UDP ◀ DTLS seal ◀ Geneve ◀ NAT destination ◀ flow ◀ packet ◀──────────────────── device ◀─ net

Each arrow is one compiled call over the rows of a batch, without the GIL; Python orders them and handles
what is rare: strangers, control messages, first packets. The thread owns every table and session. Counters
and ends of flows leave by the callbacks, called in this thread. Source: RFC 8926 (Geneve), RFC 6347 (DTLS),
RFC 3022 (NAT), design §3.
"""

from __future__ import annotations

import logging
import os
import secrets
import select
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from fastpath import flowkey, geneve, nat, packet
from fastpath.action import DropReason, Fragment
from fastpath.batch import HEADROOM_BYTES, PacketBatch
from fastpath.flowtable import FlowTable, TimeoutClass
from fastpath.fragments import Origin
from fastpath.packetio import Device, UdpSocket
from zcc.clock import Clock
from zcc.internet_edge.apart import Apart
from zcc.internet_edge.drops import TAKEN, Counts
from zcc.internet_edge.flows import Address, FlowBook, FlowEnd
from zcc.internet_edge.gate import Gate
from zcc.internet_edge.header import HEADER_BYTES, OPTION_CLASS, OPTION_LOCATION, headers, put_headers
from zcc.internet_edge.listener import Listener
from zcc.internet_edge.live import groups, live_rows
from zcc.internet_edge.odd import OddPackets
from zcc.internet_edge.sessions import EdgeSession, SessionBook
from zcc.internet_edge.settings import InternetEdgeSettings
from zcc.internet_edge.streams import Streams

__all__ = ["Datapath"]

BURSTS = 4                  # batches from one side before the other has its turn
WAIT_MS = 100
TICK_NS = 100_000_000
VNI_LIMIT = 65_000
IPV4_LEAST = 576            # nobody's MSS is clamped below what every host takes, RFC 791 §3.1
REFUSALS = (int(DropReason.DROP_FLOW_TABLE_FULL), int(DropReason.DROP_POLICY),
            int(DropReason.DROP_NAT_FAMILY))

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
        ended: Callable[[FlowEnd, str], None],
        tunnel: Callable[[str, EdgeSession, str], None],
    ) -> None:
        """Open the socket and the device, make the tables.

        Args:
            device: kind and name, as the doorway made it.
            forbidden: addresses of this host, closed to what comes out of tunnels.
            ended: called with each flow that ended and its connector's name.
            tunnel: called with "UP" or "DOWN", the session, and why.
        Raises:
            OSError: the address is taken or not ours, or the device cannot be opened.
        """
        self._clock, self._ended = clock, ended
        self._mtu = settings.inner_mtu
        self._batch = PacketBatch()
        self._secret = flowkey.Secret(secrets.token_bytes(32))
        self._flows = FlowTable(settings.flows, _idle(settings), ready=settings.flows)
        self._nat = nat.NatTable(settings.flows, (settings.nat.ports.low, settings.nat.ports.high),
                                 secrets.token_bytes(32))
        self.sessions = SessionBook(settings.limits.sessions)
        self.book = FlowBook(self._flows, self._nat, settings.nat.addresses, forbidden, self._flow_ended)
        self._odd = OddPackets(self._batch, self._flows, self._nat, self.book, self._secret, secrets.token_bytes(32))
        self.drops: NDArray[np.int64] = np.zeros(TAKEN + 1, np.int64)
        self.to_internet, self.to_tunnels = Counts(), Counts()
        self._udp = UdpSocket.bind(str(settings.listen.address), settings.listen.port, merged=True)
        self._apart = Apart(self._batch, self.sessions, self._udp, self.drops)
        self._wire = socket.socket(fileno=os.dup(self._udp.fd))
        self.gate = Gate(self._batch, listener, self.sessions, self._wire, tunnel, settings.inner_mtu, streams)
        self._device = Device.tun(device[1]) if device[0] == "tun" else Device.veth(device[1])
        self._stop = threading.Event()
        self._calls: deque[Callable[[], None]] = deque()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._tick_ns = 0
        self.heartbeat_ns = 0

    @property
    def port(self) -> int:
        """The UDP port that is listened on."""
        port: int = self._wire.getsockname()[1]
        return port

    def run(self) -> None:
        """Carry packets until stop(); then say goodbye to all connectors and close."""
        poll = select.poll()
        for fd in (self._udp.fd, self._device.fd, self._wake, self.gate.streams.fd):
            poll.register(fd, select.POLLIN)
        try:
            while not self._stop.is_set():
                wait_ms = 0 if self._udp.held or self._device.held or self.gate.held else WAIT_MS
                if any(fd == self._wake for fd, _ in poll.poll(wait_ms)):
                    os.eventfd_read(self._wake)
                self.turn(self._clock.monotonic_ns())
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

    def turn(self, now_ns: int) -> None:
        """Take what is there from both sides, once; never waits."""
        self.heartbeat_ns = now_ns
        while self._calls:
            self._calls.popleft()()
        for _ in range(BURSTS):
            if not self._udp.recv(self._batch):
                break
            self._from_tunnels(self.gate.open(now_ns), now_ns)
            self._count_drops()
        for session in self.gate.readable(now_ns):
            for _ in range(BURSTS):
                origin = self.gate.read(session, now_ns)
                if origin is None:
                    break
                self._from_tunnels(origin, now_ns)
                self._count_drops()
        for _ in range(BURSTS):
            if not self._device.recv(self._batch):
                break
            self._from_internet(now_ns)
            self._count_drops()
        if now_ns - self._tick_ns >= TICK_NS:
            self._tick_ns = now_ns
            self._tick(now_ns)

    # ---- tunnel → internet ----

    def _from_tunnels(self, origin: NDArray[np.uint32], now_ns: int) -> None:
        self._take_opened(origin, now_ns)
        while self._odd.release(Origin.ORIGIN_WORKLOAD):
            self._count_drops()
            self._take_opened(self.gate.origins(), now_ns)

    def _take_opened(self, origin: NDArray[np.uint32], now_ns: int) -> None:
        batch = self._batch
        if not live_rows(self._batch).size:
            return
        geneve.decode_batch(batch)
        if np.count_nonzero(batch.geneve_flags[:batch.count]):      # rare: control messages, packets in parts
            self.gate.take_control(origin, now_ns)
            self._apart.join(live_rows(batch), origin)
        live = live_rows(batch)
        outside = live[(batch.vni[live] == 0) | (batch.vni[live] > VNI_LIMIT)]
        batch.reason[outside] = DropReason.DROP_TUNNEL_FLOW_UNKNOWN
        batch.namespace[live] = batch.vni[live].astype(np.uint16)
        packet.parse_batch(batch)
        flowkey.build_batch(batch, self._secret)
        missing = self._flows.lookup_batch(batch)
        self._odd.enter(Origin.ORIGIN_WORKLOAD, now_ns)
        self._send_out(self._odd.errors_out())
        if missing:
            self.book.admit(batch, now_ns, self._location, REFUSALS)
        self._odd.settle()
        self._leave(origin, now_ns)

    def _leave(self, origin: NDArray[np.uint32], now_ns: int) -> None:
        """Translate and send the rows that have a flow."""
        batch = self._batch
        live = live_rows(batch)
        entries = batch.entry[live]
        backwards = live[batch.direction[live] != self.book.entries["initiator"][entries]]
        batch.reason[backwards] = DropReason.DROP_TUNNEL_FLOW_UNKNOWN
        self._flows.account_batch(batch, now_ns)
        live = live_rows(batch)
        entries = batch.entry[live]
        self.book.entries["owner"][entries] = origin[live]
        told, expired = self._odd.expired(now_ns)
        self.drops[DropReason.DROP_TTL_EXPIRED] += expired
        self._send_in(told, now_ns)
        live = live_rows(batch)
        entries = batch.entry[live]
        addresses, ports = self.book.sources(entries)
        nat.decrement_ttl_rows(batch, live)
        nat.rewrite_rows(batch, live, nat.SOURCE, addresses, ports)
        self._odd.identify(live)
        for number, rows in groups(live, origin[live]):
            session = self.sessions.towards(number, now_ns)
            packet.clamp_mss_batch(batch, max(self._path(session)[0], IPV4_LEAST), rows)
            n_bytes = int(batch.inner_length[rows].sum())
            self.to_internet.bytes += n_bytes
            if session is not None:
                session.received += len(rows)
                session.received_bytes += n_bytes
        self.to_internet.packets += self._device.send(batch, live_rows(batch))

    def _location(self, row: int) -> int:
        at = int(self._batch.geneve_start[row])
        header = self._batch.data[row, at:at + int(self._batch.geneve_length[row])].tobytes()
        for option_class, kind, data in geneve.decode_options(header):
            if option_class == OPTION_CLASS and kind == OPTION_LOCATION and len(data) == 4:
                return int.from_bytes(data, "big")
        return 0

    # ---- internet → tunnel ----

    def _from_internet(self, now_ns: int) -> None:
        self._take_returned(now_ns)
        while self._odd.release(Origin.ORIGIN_KERNEL):
            self._count_drops()
            self._take_returned(now_ns)

    def _take_returned(self, now_ns: int) -> None:
        batch = self._batch
        batch.namespace[:batch.count] = 0
        packet.parse_batch(batch)
        self._odd.enter(Origin.ORIGIN_KERNEL, now_ns)
        self._send_in(self._odd.errors_in(), now_ns)
        live = live_rows(batch)
        entries = np.full(len(live), -1, np.int32)
        self._nat.find_rows(batch, live, entries)
        later = batch.fragment[live] == Fragment.FRAGMENT_LATER
        entries[later] = batch.entry[live][later]
        batch.reason[live[entries < 0]] = DropReason.DROP_NAT_NO_BINDING
        live, entries = live[entries >= 0], entries[entries >= 0]
        batch.entry[live] = entries
        batch.direction[live] = 1 - self.book.entries["initiator"][entries]
        self._odd.settle()
        large = self._too_large(now_ns)
        live = live_rows(batch)
        if not live.size:
            return
        entries = batch.entry[live]
        self._flows.account_batch(batch, now_ns)
        addresses, ports = self.book.initiators(entries)
        nat.rewrite_rows(batch, live, nat.DESTINATION, addresses, ports)
        for number, rows in groups(live, self.book.entries["owner"][entries]):
            mtu, _ = self._path(self.sessions.towards(number, now_ns))
            packet.clamp_mss_batch(batch, max(mtu, IPV4_LEAST), rows)
        for row, mtu in large:
            n = self._odd.cut(row, mtu)
            put_headers(self._odd.pieces, np.arange(n, dtype=np.uint16), self.book.entries)
            self._enter(self._odd.pieces, np.arange(n, dtype=np.uint16), now_ns)
        self._put_headers()
        self._enter(batch, live_rows(batch), now_ns)

    def _too_large(self, now_ns: int) -> list[tuple[int, int]]:
        """Refuse what does not fit its tunnel and may not be cut; return the rows to cut, with the size of their pieces."""
        batch = self._batch
        live = live_rows(batch)
        larger: list[tuple[int, int]] = []
        for number, rows in groups(live, self.book.entries["owner"][batch.entry[live]]):
            mtu, takes_parts = self._path(self.sessions.towards(number, now_ns))
            lengths = batch.inner_length[rows]
            if lengths.max() > mtu:
                limits = self._apart.limits(lengths, mtu, takes_parts)
                larger += [(row, mtu) for row in rows[lengths > limits].tolist()]
        if not larger:
            return []
        told, refused = self._odd.too_large(larger, now_ns)
        self.drops[DropReason.DROP_ZIA_TOO_BIG] += refused
        self._send_out(told)
        return [(row, mtu) for row, mtu in larger if batch.reason[row] == 0]

    # ---- odd rows, which leave apart ----

    def _send_out(self, rows: NDArray[np.uint16]) -> None:
        """Send translated rows to the internet."""
        batch = self._batch
        if rows.size:
            batch.reason[rows] = 0
            batch.start[rows], batch.length[rows] = batch.inner_start[rows], batch.inner_length[rows]
            self.to_internet.packets += self._device.send(batch, rows)
            self.to_internet.bytes += int(batch.length[rows].sum())
            batch.reason[rows] = TAKEN

    def _send_in(self, rows: NDArray[np.uint16], now_ns: int) -> None:
        """Send translated rows to the sessions of their flows."""
        if rows.size:
            self._batch.reason[rows] = 0
            put_headers(self._batch, rows, self.book.entries)
            self._enter(self._batch, rows, now_ns)
            self._batch.reason[rows] = TAKEN

    def _put_headers(self) -> None:
        """Put a Geneve header in front of every live row: VNI, location, flow hash of its flow."""
        batch = self._batch
        live = live_rows(batch)
        made = headers(self.book.entries, batch.entry[live], batch.ip_version[live])
        # The device puts every packet at HEADROOM.
        batch.data[live, HEADROOM_BYTES - HEADER_BYTES:HEADROOM_BYTES] = made
        batch.start[live] = HEADROOM_BYTES - HEADER_BYTES
        batch.length[live] = batch.inner_length[live] + HEADER_BYTES

    def _enter(self, batch: PacketBatch, live: NDArray[np.uint16], now_ns: int) -> None:
        """Seal every row in its flow's session and send it."""
        for number, rows in groups(live, self.book.entries["owner"][batch.entry[live]]):
            session = self.sessions.towards(number, now_ns)
            if session is None:
                batch.reason[rows] = DropReason.DROP_DTLS_PEER_UNKNOWN
                continue
            n_bytes = int(batch.inner_length[rows].sum())
            session.sent_bytes += n_bytes
            self.to_tunnels.bytes += n_bytes
            if session.path is None:
                sent = session.record.send(batch, rows)
                batch.reason[rows[batch.reason[rows] == 0]] = TAKEN
                session.sent += sent
                self.to_tunnels.packets += sent
                continue
            batch.peer_address[rows], batch.peer_port[rows] = session.address
            if self._apart.wants(session, batch, rows):
                self.to_tunnels.packets += self._apart.send(session, batch, rows)
                continue
            session.sent += session.record.seal_rows(batch, rows)
        self.to_tunnels.packets += self._udp.send(batch, live[batch.reason[live] == 0])

    def _tick(self, now_ns: int) -> None:
        self.gate.tick(now_ns)
        self.book.expire(now_ns)
        self.drops[DropReason.DROP_FRAGMENT_ORPHAN] += self._odd.sweep(now_ns)

    # ---- both ----

    def _path(self, session: EdgeSession | None) -> tuple[int, bool]:
        """The largest inner packet that a session carries as one record, and whether it takes larger ones in parts."""
        return (self._mtu, False) if session is None else (min(session.mtu, self._mtu), session.takes_parts)

    def _count_drops(self) -> None:
        self.drops += np.bincount(self._batch.reason[:self._batch.count], minlength=TAKEN + 1)

    def _flow_ended(self, ended: FlowEnd) -> None:
        self._ended(ended, self.sessions.name_of(ended.owner))

    def _close(self) -> None:
        self.gate.close()
        self.book.end_all()
        self._udp.close()
        self._wire.close()
        self._device.close()
        os.close(self._wake)


def _idle(settings: InternetEdgeSettings) -> dict[int, float]:
    return {TimeoutClass[f"TIMEOUT_{name.upper()}"]: getattr(settings.idle, name).total_seconds()
            for name in type(settings.idle).model_fields}
