"""Gate: who is behind each datagram of the edge's socket, and what both say beside packets.

    datagram ─▶ opened in its session ─▶ Geneve: packets go on │ control: answered here
                 └ nobody's: the listener, a few in a batch ─▶ a new session

Journey: the first step of the datapath's way from tunnels to the internet. The datapath's thread only. Source: RFC 6347 (DTLS),
design §3.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address

import numpy as np
from numpy.typing import NDArray

from fastpath.action import DropReason
from fastpath.batch import PacketBatch
from fastpath.dtls import Session
from fastpath.stream import Stream
from zcc.internet_edge.cookie import PeerAddress
from zcc.internet_edge.drops import TAKEN
from zcc.internet_edge.listener import Listener, opens_handshake
from zcc.internet_edge.live import EVERY, groups, live_rows
from zcc.internet_edge.sessions import EdgeSession, SessionBook
from zcc.internet_edge.streams import Streams
from zcc.itunnel import wire
from zcc.itunnel.dial import interface_mtu, probe_path
from zcc.itunnel.pathmtu import PathMtu, datagram_in, datagram_of

__all__ = ["Gate"]

STRANGERS = 32              # datagrams a batch that may go to the listener
CONTROL = 0x80

log = logging.getLogger(__name__)


class Gate:
    """Sessions of one edge, and the way to them."""

    def __init__(
        self,
        batch: PacketBatch,
        listener: Listener,
        sessions: SessionBook,
        wire_socket: socket.socket,
        tunnel: Callable[[str, EdgeSession, str], None],
        inner_mtu: int,
        streams: Streams,
    ) -> None:
        """Start without sessions; the arguments are the datapath's."""
        self._batch, self._listener, self.sessions = batch, listener, sessions
        self._wire, self._tunnel = wire_socket, tunnel
        self.streams = streams
        self._by_fd: dict[int, EdgeSession] = {}       # sessions of streams
        self._inner_mtu, self._largest = inner_mtu, datagram_of(inner_mtu)
        self.counts: Counter[str] = Counter()      # taken_over, not_taken_over, black_holes of sessions that ended
        probe_path(wire_socket)

    def see(self, origin: NDArray[np.uint32], now_ns: int) -> None:
        """Look at the rows that were no records of a session: strangers', hellos, and what could not be opened.

        Args:
            origin: the number of the session of each row; 0: of none, and the row is as it came.
        """
        batch, count = self._batch, self._batch.count
        self._see_failures(origin)
        strange = EVERY[:count][(batch.reason[:count] == 0) & (origin[:count] == 0)]
        peers = batch.peer_address[strange].astype(np.uint64) << np.uint64(16) | batch.peer_port[strange]
        budget = STRANGERS
        for key, mine in groups(strange, peers):
            budget -= self._greet((key >> 16, key & 0xFFFF), mine, budget, now_ns)

    def _see_failures(self, origin: NDArray[np.uint32]) -> None:
        """Send what a session wants to say after it refused a datagram; end it if that was its end."""
        failed = origin[:self._batch.count][self._batch.reason[:self._batch.count] == DropReason.DROP_DTLS_RECORD]
        for number in np.unique(failed).tolist():
            session = self.sessions.get(number)
            if session is None:
                continue
            said = session.record.pending()
            if said:
                self.say(session.address, [said])
            if session.record.closed:
                self.end(session, "the connector closed it")

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
            self.say(address, self._listener.receive(address, datagram, now_ns))
            self.accept(now_ns)
        return taken

    def accept(self, now_ns: int) -> None:
        for accepted in self._listener.accepted:
            record = Session(accepted.connection)
            path = PathMtu(4, min(self._largest, _datagram_towards(accepted.address)), now_ns)
            session, ended = self.sessions.add(accepted.address, record, accepted.peer, path, now_ns)
            self._welcome(session, ended)
        self._listener.accepted.clear()

    def _welcome(self, session: EdgeSession, ended: list[EdgeSession]) -> None:
        for former in ended:
            self._retire(former, "another session takes its place")
        self._measure(session)
        self._tunnel("UP", session, "None")

    def readable(self, now_ns: int) -> list[EdgeSession]:
        """Return the sessions by TLS that may have something to read; new ones among them."""
        fds = dict.fromkeys(self.streams.ready(now_ns))
        for accepted in self.streams.accepted:
            with accepted.socket as sock:
                record = Stream(accepted.connection, sock.fileno())
            session, ended = self.sessions.add(accepted.address, record, accepted.peer, None, now_ns)
            self.streams.watch(record.fd)
            self._by_fd[record.fd] = session
            fds[record.fd] = None
            self._welcome(session, ended)
        self.streams.accepted.clear()
        fds |= dict.fromkeys(fd for fd, session in self._by_fd.items() if session.record.held)
        return [self._by_fd[fd] for fd in fds if fd in self._by_fd]

    def read(self, session: EdgeSession, now_ns: int) -> bool:
        """Fill the batch from a session by TLS; False: nothing is there."""
        batch = self._batch
        if session.record.fd < 0:      # it has ended meanwhile
            return False
        count = session.record.recv(batch)
        if not count:
            if session.record.closed:
                self.end(session, "the connector closed it")
            return False
        session.link.last_ns = now_ns
        batch.peer_address[:count], batch.peer_port[:count] = session.key
        return True

    @property
    def n_streams(self) -> int:
        """How many sessions go by TLS. Any thread."""
        return len(self._by_fd)

    @property
    def held(self) -> bool:
        """Whether a session by TLS has more to give that no descriptor shows."""
        return any(session.record.held for session in self._by_fd.values())

    def take_control(self, origin: NDArray[np.uint32], now_ns: int) -> None:
        batch = self._batch
        live = live_rows(self._batch)
        for row in live[batch.geneve_flags[live] & CONTROL != 0].tolist():
            batch.reason[row] = TAKEN
            session = self.sessions.get(int(origin[row]))
            if session is not None:
                self._hear(session, wire.decode(batch.frame(row)), now_ns)

    def _hear(self, session: EdgeSession, message: wire.Message | None, now_ns: int) -> None:
        match message:
            case wire.Probe(sequence, time_ns):
                session.probes += 1
                self._control(session, wire.ProbeAnswer(sequence, time_ns))
            case wire.SizeProbe(number, size):
                self._control(session, wire.SizeAnswer(number, size))
            case wire.SizeAnswer() if session.path is not None:
                session.path.answer(message, now_ns)
                self._probe_size(session, now_ns)
            case wire.Hello(_, _, former, takes_parts):
                if former and not self.sessions.has_succeeded(former, session):
                    self._take_over(session, former, now_ns)
                session.takes_parts = takes_parts and session.path is not None
                self._control(session, wire.Hello(wire.VERSION, session.number, takes_parts=True))
                self._probe_size(session, now_ns)
            case wire.Goodbye():
                self.end(session, "the connector said goodbye")

    def _take_over(self, session: EdgeSession, number: int, now_ns: int) -> None:
        """The connector wants what goes by another session of its own to go by this one."""
        former = self.sessions.get(number)
        if former is None or not self.sessions.succeed(number, session):
            self.counts["not_taken_over"] += 1
            log.warning("%s asks to take over from session %d, which is not its own or has ended", session.peer, number)
            return
        self.counts["taken_over"] += 1
        if session.path is not None and former.path is not None:      # the same path, a moment ago
            session.path = PathMtu(4, session.path.ceiling, now_ns, former.path)

    def _probe_size(self, session: EdgeSession, now_ns: int) -> None:
        for probe in () if session.path is None else session.path.probes(now_ns):
            self._control(session, probe)
        self._measure(session)

    def _measure(self, session: EdgeSession) -> None:
        """Have packets be of the size that the session's path carries."""
        session.link.mtu = min(session.mtu, self._inner_mtu)

    def end_sessions(self, is_refused: Callable[[EdgeSession], bool], reason: str) -> None:
        """End the sessions of peers that may not be here any more (revoked)."""
        for session in self.sessions:
            if is_refused(session):
                self._control(session, wire.Goodbye())
                self.end(session, reason)

    def end(self, session: EdgeSession, reason: str) -> None:
        """End a session, and tell its connector so."""
        if session.path is not None:
            self.say(session.address, [session.record.close()])
        self.sessions.remove(session)
        self._retire(session, reason)

    def _retire(self, session: EdgeSession, reason: str) -> None:
        """What is left to do for a session that is in the book no more."""
        if session.path is None:
            self._by_fd.pop(session.record.fd, None)
            session.record.close()
        else:
            self.counts["black_holes"] += session.path.black_holes
        self._tunnel("DOWN", session, reason)

    def _control(self, session: EdgeSession, message: wire.Message) -> None:
        if session.path is None:
            session.record.send_bytes(wire.encode(message))
            return
        sealed = session.record.seal(wire.encode(message))
        if sealed is not None:
            self.say(session.address, [sealed])

    def say(self, address: tuple[int, int], datagrams: Iterable[bytes]) -> None:
        receiver = (str(IPv4Address(address[0])), address[1])
        for datagram in datagrams:
            if datagram:
                try:
                    self._wire.sendto(datagram, socket.MSG_DONTWAIT, receiver)
                except OSError as error:
                    log.debug("to %s:%d: %s", *receiver, error)

    def tick(self, now_ns: int) -> None:
        """Repeat what handshakes wait for; look at sizes of paths; end sessions that are silent for too long."""
        for address, datagram in self._listener.tick(now_ns):
            self.say(address, [datagram])
        self.accept(now_ns)
        self.streams.tick(now_ns)
        for session in self.sessions:
            if session.path is not None and now_ns >= session.path.next_ns:
                self._probe_size(session, now_ns)
        for session in self.sessions.idle(now_ns):
            self.end(session, "nothing came for too long")

    def close(self) -> None:
        """Say goodbye to all connectors."""
        for session in self.sessions:
            self._control(session, wire.Goodbye())
            self.end(session, "the edge stops")
        self.streams.close()


def _datagram_towards(address: PeerAddress) -> int:
    """The largest datagram that the interface towards a peer takes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.connect((str(IPv4Address(address[0])), address[1]))
        return datagram_in(interface_mtu(asked), 4)
