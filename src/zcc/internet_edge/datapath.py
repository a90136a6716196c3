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
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

import numpy as np
from numpy.typing import NDArray

from fastpath import flowkey, geneve, nat, packet
from fastpath.action import DropReason
from fastpath.batch import HEADROOM_BYTES, PacketBatch
from fastpath.dtls import Session
from fastpath.flowtable import FlowTable, TimeoutClass
from fastpath.packetio import Device, UdpSocket
from zcc.clock import Clock
from zcc.internet_edge.flows import Address, FlowBook, FlowEnd
from zcc.internet_edge.header import HEADER_BYTES, OPTION_CLASS, OPTION_LOCATION, headers
from zcc.internet_edge.listener import HELLO_BYTES, Listener, hello_rows, opens_handshake
from zcc.internet_edge.sessions import EdgeSession, SessionBook
from zcc.internet_edge.settings import InternetEdgeSettings
from zcc.itunnel import wire

__all__ = ["Counts", "Datapath"]

BURSTS = 4                  # batches from one side before the other has its turn
STRANGERS = 32              # datagrams a batch that may go to the listener
WAIT_MS = 100
TICK_NS = 100_000_000
CONTROL = 0x80
VNI_LIMIT = 65_000
TAKEN = int(DropReason.DROP_REASONS)        # a row that was for the edge itself; no drop
REFUSALS = (int(DropReason.DROP_FLOW_TABLE_FULL), int(DropReason.DROP_POLICY),
            int(DropReason.DROP_NAT_FAMILY))
DROPS = {int(reason): reason.name.removeprefix("DROP_").lower() for reason in DropReason
         if reason not in (DropReason.DROP_NONE, DropReason.DROP_REASONS)}

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Counts:
    """What one side has carried; only grows. Read from any thread."""

    packets: int = 0
    bytes: int = 0


class Datapath:
    """Packets of one internet edge. run() is its thread; all else but stop() and status is called in it."""

    def __init__(
        self,
        settings: InternetEdgeSettings,
        device: tuple[str, str],
        listener: Listener,
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
        self._clock, self._listener, self._ended, self._tunnel = clock, listener, ended, tunnel
        self._mtu = settings.inner_mtu
        self._batch = PacketBatch()
        self._secret = flowkey.Secret(secrets.token_bytes(32))
        self._flows = FlowTable(settings.flows, _idle(settings), ready=settings.flows)
        self._nat = nat.NatTable(settings.flows, (settings.nat.ports.low, settings.nat.ports.high),
                                 secrets.token_bytes(32))
        self.sessions = SessionBook(settings.limits.sessions)
        self.book = FlowBook(self._flows, self._nat, settings.nat.addresses, forbidden, self._flow_ended)
        self.drops: NDArray[np.int64] = np.zeros(TAKEN + 1, np.int64)
        self.to_internet, self.to_tunnels = Counts(), Counts()
        self._udp = UdpSocket.bind(str(settings.listen.address), settings.listen.port)
        self._wire = socket.socket(fileno=os.dup(self._udp.fd))
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
        for fd in (self._udp.fd, self._device.fd, self._wake):
            poll.register(fd, select.POLLIN)
        try:
            while not self._stop.is_set():
                if any(fd == self._wake for fd, _ in poll.poll(WAIT_MS)):
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
            self._from_tunnels(now_ns)
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

    def _from_tunnels(self, now_ns: int) -> None:
        batch = self._batch
        origin = self._open(now_ns)
        if not self._live().size:
            return
        geneve.decode_batch(batch)
        self._take_control(origin, now_ns)
        live = self._live()
        outside = live[(batch.vni[live] == 0) | (batch.vni[live] > VNI_LIMIT)]
        batch.reason[outside] = DropReason.DROP_TUNNEL_FLOW_UNKNOWN
        batch.namespace[live] = batch.vni[live].astype(np.uint16)
        packet.parse_batch(batch)
        flowkey.build_batch(batch, self._secret)
        if self._flows.lookup_batch(batch):
            self.book.admit(batch, now_ns, self._location, REFUSALS)
        self._leave(origin, now_ns)

    def _open(self, now_ns: int) -> NDArray[np.uint32]:
        """Open every datagram in its session; return the number of the session of each row."""
        batch, count = self._batch, self._batch.count
        origin = np.zeros(count, np.uint32)
        live = self._live()
        peers = batch.peer_address[live].astype(np.uint64) << np.uint64(16) | batch.peer_port[live]
        hellos = hello_rows(batch.data[live, HEADROOM_BYTES:HEADROOM_BYTES + HELLO_BYTES])
        budget = STRANGERS
        for key in np.unique(peers).tolist():
            address = (key >> 16, key & 0xFFFF)
            mine = peers == key
            session = self.sessions.at(address)
            strange = live[mine & hellos] if session is not None else live[mine]
            budget -= self._greet(address, strange, budget, now_ns)
            rows = live[mine & ~hellos]
            session = self.sessions.at(address)
            if session is not None and len(rows):
                origin[rows] = session.number
                self._open_in(session, rows, now_ns)
        return origin

    def _open_in(self, session: EdgeSession, rows: NDArray[np.uint16], now_ns: int) -> None:
        rows = rows[self._batch.reason[rows] == 0]
        opened = session.record.open_rows(self._batch, rows)
        if opened:
            session.last_ns = now_ns
        if opened < len(rows):
            said = session.record.pending()
            if said:
                self._say(session.address, [said])
            if session.record.closed:
                self._end_session(session, "the connector closed it")

    def _greet(self, address: tuple[int, int], rows: NDArray[np.uint16], budget: int, now_ns: int) -> int:
        """Hand datagrams of nobody's session to the listener; return how many it took."""
        taken = 0
        for row in rows.tolist():
            datagram = self._batch.frame(row)
            if self.sessions.at(address) is not None and not opens_handshake(datagram):
                continue          # accepted a moment ago: these are the session's own
            if taken == budget or not self._listener.wants(address, datagram):
                self._batch.reason[row] = DropReason.DROP_DTLS_PEER_UNKNOWN
                continue
            taken += 1
            self._batch.reason[row] = TAKEN
            self._say(address, self._listener.receive(address, datagram, now_ns))
            self._accept(now_ns)
        return taken

    def _accept(self, now_ns: int) -> None:
        for accepted in self._listener.accepted:
            record = Session(accepted.connection)
            session, ended = self.sessions.add(accepted.address, record, accepted.peer, now_ns)
            for former in ended:
                self._tunnel("DOWN", former, "another session takes its place")
            self._tunnel("UP", session, "None")
        self._listener.accepted.clear()

    def _take_control(self, origin: NDArray[np.uint32], now_ns: int) -> None:
        batch = self._batch
        live = self._live()
        for row in live[batch.geneve_flags[live] & CONTROL != 0].tolist():
            batch.reason[row] = TAKEN
            session = self.sessions.towards(int(origin[row]), now_ns)
            if session is None:
                continue
            match wire.decode(batch.frame(row)):
                case wire.Probe(sequence, time_ns):
                    session.probes += 1
                    self._control(session, wire.ProbeAnswer(sequence, time_ns))
                case wire.Hello():
                    self._control(session, wire.Hello(wire.VERSION))
                case wire.Goodbye():
                    self._end_session(session, "the connector said goodbye")

    def _leave(self, origin: NDArray[np.uint32], now_ns: int) -> None:
        """Translate and send the rows that have a flow."""
        batch = self._batch
        live = self._live()
        entries = batch.entry[live]
        backwards = live[batch.direction[live] != self.book.entries["initiator"][entries]]
        batch.reason[backwards] = DropReason.DROP_TUNNEL_FLOW_UNKNOWN
        self._flows.account_batch(batch, now_ns)
        live = self._live()
        entries = batch.entry[live]
        self.book.entries["owner"][entries] = origin[live]
        addresses, ports = self.book.sources(entries)
        nat.decrement_ttl_rows(batch, live)
        nat.rewrite_rows(batch, live, nat.SOURCE, addresses, ports)
        packet.clamp_mss_batch(batch, self._mtu)
        sizes = batch.inner_length[live].astype(np.int64)
        for number in np.unique(origin[live]).tolist():
            session = self.sessions.towards(number, now_ns)
            if session is not None:
                theirs = origin[live] == number
                session.received += int(theirs.sum())
                session.received_bytes += int(sizes[theirs].sum())
        self.to_internet.packets += self._device.send(batch, self._live())
        self.to_internet.bytes += int(sizes.sum())

    def _location(self, row: int) -> int:
        at = int(self._batch.geneve_start[row])
        header = self._batch.data[row, at:at + int(self._batch.geneve_length[row])].tobytes()
        for option_class, kind, data in geneve.decode_options(header):
            if option_class == OPTION_CLASS and kind == OPTION_LOCATION and len(data) == 4:
                return int.from_bytes(data, "big")
        return 0

    # ---- internet → tunnel ----

    def _from_internet(self, now_ns: int) -> None:
        batch = self._batch
        packet.parse_batch(batch)
        live = self._live()
        entries = np.full(len(live), -1, np.int32)
        self._nat.find_rows(batch, live, entries)
        batch.reason[live[entries < 0]] = DropReason.DROP_NAT_NO_BINDING
        live, entries = live[entries >= 0], entries[entries >= 0]
        if not live.size:
            return
        batch.entry[live] = entries
        batch.direction[live] = 1 - self.book.entries["initiator"][entries]
        self._flows.account_batch(batch, now_ns)
        addresses, ports = self.book.initiators(entries)
        nat.rewrite_rows(batch, live, nat.DESTINATION, addresses, ports)
        packet.clamp_mss_batch(batch, self._mtu)
        self._put_headers()
        self._enter(now_ns)

    def _put_headers(self) -> None:
        """Put a Geneve header in front of every live row: VNI, location, flow hash of its flow."""
        batch = self._batch
        live = self._live()
        made = headers(self.book.entries[batch.entry[live]], batch.ip_version[live])
        # The device puts every packet at HEADROOM.
        batch.data[live, HEADROOM_BYTES - HEADER_BYTES:HEADROOM_BYTES] = made
        batch.start[live] = HEADROOM_BYTES - HEADER_BYTES
        batch.length[live] = batch.inner_length[live] + HEADER_BYTES

    def _enter(self, now_ns: int) -> None:
        """Seal every live row in its flow's session and send it."""
        batch = self._batch
        live = self._live()
        owners = self.book.entries["owner"][batch.entry[live]]
        for number in np.unique(owners).tolist():
            rows = live[owners == number]
            session = self.sessions.towards(number, now_ns)
            if session is None:
                batch.reason[rows] = DropReason.DROP_DTLS_PEER_UNKNOWN
                continue
            batch.peer_address[rows], batch.peer_port[rows] = session.address
            session.sent += session.record.seal_rows(batch, rows)
            session.sent_bytes += int(batch.inner_length[rows].sum())
            self.to_tunnels.bytes += int(batch.inner_length[rows].sum())
        self.to_tunnels.packets += self._udp.send(batch, self._live())

    # ---- sessions ----

    def end_sessions(self, is_refused: Callable[[EdgeSession], bool], reason: str) -> None:
        """End the sessions of peers that may not be here any more (revoked)."""
        for session in self.sessions:
            if is_refused(session):
                self._control(session, wire.Goodbye())
                self._end_session(session, reason)

    def _end_session(self, session: EdgeSession, reason: str) -> None:
        self._say(session.address, [session.record.close()])
        self.sessions.remove(session)
        self._tunnel("DOWN", session, reason)

    def _control(self, session: EdgeSession, message: wire.Message) -> None:
        sealed = session.record.seal(wire.encode(message))
        if sealed is not None:
            self._say(session.address, [sealed])

    def _say(self, address: tuple[int, int], datagrams: Iterable[bytes]) -> None:
        receiver = (str(IPv4Address(address[0])), address[1])
        for datagram in datagrams:
            if datagram:
                try:
                    self._wire.sendto(datagram, socket.MSG_DONTWAIT, receiver)
                except OSError as error:
                    log.debug("to %s:%d: %s", *receiver, error)

    def _tick(self, now_ns: int) -> None:
        for address, datagram in self._listener.tick(now_ns):
            self._say(address, [datagram])
        self._accept(now_ns)
        for session in self.sessions.idle(now_ns):
            self._end_session(session, "nothing came for too long")
        self.book.expire(now_ns)

    # ---- both ----

    def _live(self) -> NDArray[np.uint16]:
        return np.flatnonzero(self._batch.reason[:self._batch.count] == 0).astype(np.uint16)

    def _count_drops(self) -> None:
        self.drops += np.bincount(self._batch.reason[:self._batch.count], minlength=TAKEN + 1)

    def _flow_ended(self, ended: FlowEnd) -> None:
        self._ended(ended, self.sessions.name_of(ended.owner))

    def _close(self) -> None:
        for session in self.sessions:
            self._control(session, wire.Goodbye())
            self._end_session(session, "the edge stops")
        self.book.end_all()
        self._udp.close()
        self._wire.close()
        self._device.close()
        os.close(self._wake)


def _idle(settings: InternetEdgeSettings) -> dict[int, float]:
    return {TimeoutClass[f"TIMEOUT_{name.upper()}"]: getattr(settings.idle, name).total_seconds()
            for name in type(settings.idle).model_fields}


def drop_counts(drops: NDArray[np.int64]) -> Counter[str]:
    """Return drops by the name of their reason."""
    return Counter({name: int(drops[number]) for number, name in DROPS.items()})
