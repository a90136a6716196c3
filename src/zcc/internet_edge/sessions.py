"""Sessions of connectors at an internet edge, found by the address that a datagram comes from, and by number.

Flows remember numbers. When a connector comes back with a new session, packets towards flows of the old one
go by the new: it is the same connector, proved by the same name in its certificate. So do they at once when the
new session names the old one as its predecessor, which goes on being heard until it says goodbye. The datapath's
thread only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from zcc.internet_edge.cookie import PeerAddress
from zcc.itunnel.pathmtu import PathMtu, inner_mtu
from zcc.pki.peer import Peer

__all__ = ["EdgeSession", "SessionBook"]

# Probes come twice a second: a connector silent for so long has another session, or none.
SILENT_NS = 3_000_000_000
IDLE_NS = 30_000_000_000
STREAM_MTU = 1400        # what DTLS will carry too, mostly, when the connector comes back to it


@dataclass(slots=True, eq=False)
class EdgeSession:
    """One established session."""

    number: int
    address: PeerAddress
    record: Any              # fastpath.dtls.Session or fastpath.stream.Stream
    peer: Peer
    since_ns: int
    last_ns: int             # when its newest datagram came
    path: PathMtu | None     # towards the connector; None where TLS carries packets and TCP cuts them as it likes
    received: int = 0        # packets of workloads
    sent: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0
    probes: int = 0
    takes_parts: bool = False        # the connector has said so in its hello; by TLS nothing has to go so
    parts: Any = None                # fastpath.parts.Parts, once there is one

    @property
    def mtu(self) -> int:
        """The largest inner packet that goes by it."""
        return STREAM_MTU if self.path is None else inner_mtu(self.path.size)

    @property
    def transport(self) -> str:
        """DTLS or TLS."""
        return "TLS" if self.path is None else "DTLS"

    @property
    def key(self) -> PeerAddress:
        """What its rows have as their peer: no datagram comes from port 0, so a stream's number stands there for itself."""
        return (self.number, 0) if self.path is None else self.address


class SessionBook:
    """All sessions that live."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._by_address: dict[PeerAddress, EdgeSession] = {}
        self._by_number: dict[int, EdgeSession] = {}
        self._newest: dict[str, EdgeSession] = {}
        self._successors: dict[int, int] = {}
        self._names: dict[int, str] = {}      # number → peer's name, kept while flows may remember the number
        self._next = 1

    def __len__(self) -> int:
        return len(self._by_number)

    def __iter__(self) -> Iterator[EdgeSession]:
        return iter(list(self._by_number.values()))

    def add(
        self, address: PeerAddress, record: Any, peer: Peer, path: PathMtu | None, now_ns: int
    ) -> tuple[EdgeSession, list[EdgeSession]]:
        """Take a session; return it, and those that it puts an end to: the address's former one, the most
        silent one.
        """
        ended = [self._by_address[address]] if path is not None and address in self._by_address else []
        if not ended and len(self) >= self._limit:
            ended = [min(self._by_number.values(), key=lambda session: session.last_ns)]
        for session in ended:
            self.remove(session)
        added = EdgeSession(self._next, address, record, peer, now_ns, now_ns, path)
        self._next += 1
        self._by_address[added.key] = self._by_number[added.number] = self._newest[str(peer)] = added
        self._names[added.number] = str(peer)
        return added, ended

    def remove(self, session: EdgeSession) -> None:
        """Forget a session; flows of it follow their connector's next one."""
        self._by_number.pop(session.number, None)
        if self._by_address.get(session.key) is session:
            del self._by_address[session.key]
        if self._newest.get(str(session.peer)) is session:
            del self._newest[str(session.peer)]
        if len(self._names) > 4 * self._limit:      # numbers grow; the oldest have no flows left
            del self._names[next(iter(self._names))]
        if len(self._successors) > 4 * self._limit:
            del self._successors[next(iter(self._successors))]

    def succeed(self, former: int, session: EdgeSession) -> bool:
        """Have packets towards flows of session `former` go by this one; False: it is not of the same connector."""
        old = self._by_number.get(former)
        if old is None or old is session or former > session.number or not _same(old.peer, session.peer):
            return False
        self._successors[former] = session.number
        return True

    def has_succeeded(self, former: int, session: EdgeSession) -> bool:
        """Return whether it was succeed that made this session follow session `former`: a hello may be said again."""
        return self._successors.get(former) == session.number

    def get(self, number: int) -> EdgeSession | None:
        """Return the session of a number while it lives."""
        return self._by_number.get(number)

    def at(self, address: PeerAddress) -> EdgeSession | None:
        """Return the session of datagrams from an address."""
        return self._by_address.get(address)

    def towards(self, number: int, now_ns: int) -> EdgeSession | None:
        """Return the session for packets to a flow whose newest packet came from session `number`."""
        while number in self._successors:      # always to a larger one
            number = self._successors[number]
        session = self._by_number.get(number)
        if session is not None and now_ns - session.last_ns < SILENT_NS:
            return session
        newer = self._newest.get(self._names.get(number, ""))
        return newer or session

    def name_of(self, number: int) -> str:
        """Return the name of the connector behind a number, "" when it is long gone."""
        return self._names.get(number, "")

    def idle(self, now_ns: int) -> list[EdgeSession]:
        """Return sessions that nothing came from for too long."""
        return [session for session in self._by_number.values() if now_ns - session.last_ns > IDLE_NS]


def _same(one: Peer, other: Peer) -> bool:
    """Whether two certificates name one agent; a renewed one has another serial number."""
    return (one.tenant, one.role, one.name) == (other.tenant, other.role, other.name)
