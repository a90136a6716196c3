"""Sessions of connectors at an internet edge, found by the address that a datagram comes from, and by number.

Flows remember numbers. What is looked up for every packet is in fastpath.links; here is what these
sessions are to each other. When a connector comes back with a new session, packets towards flows of the old one
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

__all__ = ["SILENT_NS", "EdgeSession", "SessionBook"]

# Probes come twice a second: a connector silent for so long has another session, or none.
SILENT_NS = 3_000_000_000
IDLE_NS = 30_000_000_000
STREAM_MTU = 1400        # what DTLS will carry too, mostly, when the connector comes back to it


@dataclass(slots=True, eq=False)
class EdgeSession:
    """One established session."""

    address: PeerAddress
    peer: Peer
    since_ns: int
    path: PathMtu | None     # towards the connector; None where TLS carries packets and TCP cuts them as it likes
    probes: int = 0
    takes_parts: bool = False        # the connector has said so in its hello; by TLS nothing has to go so
    parts: Any = None                # fastpath.parts.Parts, once there is one
    link: Any = None                 # fastpath.links.Link: number, record, and what is counted with every packet

    @property
    def number(self) -> int:
        """What flows remember it by."""
        number: int = self.link.number
        return number

    @property
    def record(self) -> Any:
        """Its fastpath.dtls.Session or fastpath.stream.Stream."""
        return self.link.record

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
        return self.link.address, self.link.port


class SessionBook:
    """All sessions that live."""

    def __init__(self, links: Any) -> None:
        """Start empty; `links`: fastpath.links.Links, with as much room as there may be sessions."""
        self.links, self._limit = links, int(links.capacity)
        self._newest: dict[str, EdgeSession] = {}
        self._successors: dict[int, int] = {}
        self._names: dict[int, str] = {}      # number → peer's name, kept while flows may remember the number

    def __len__(self) -> int:
        return len(self.links)

    def __iter__(self) -> Iterator[EdgeSession]:
        return (link.owner for link in self.links)

    def add(
        self, address: PeerAddress, record: Any, peer: Peer, path: PathMtu | None, now_ns: int
    ) -> tuple[EdgeSession, list[EdgeSession]]:
        """Take a session; return it, and those that it puts an end to: the address's former one, the most
        silent one.
        """
        former = self.at(address) if path is not None else None
        ended = [former] if former is not None else []
        if not ended and len(self) >= self._limit:
            ended = [min(self, key=lambda session: session.link.last_ns)]
        for session in ended:
            self.remove(session)
        added = EdgeSession(address, peer, now_ns, path)
        added.link = self.links.add(record, added, *(address if path is not None else (0, 0)), now_ns)
        if (older := self._newest.get(str(peer))) is not None:
            older.link.outlived = True
        self._newest[str(peer)] = added
        self._names[added.number] = str(peer)
        return added, ended

    def remove(self, session: EdgeSession) -> None:
        """Forget a session; flows of it follow their connector's next one."""
        self.links.remove(session.link)
        if self._newest.get(str(session.peer)) is session:
            del self._newest[str(session.peer)]
        if len(self._names) > 4 * self._limit:      # numbers grow; the oldest have no flows left
            del self._names[next(iter(self._names))]
        if len(self._successors) > 4 * self._limit:
            del self._successors[next(iter(self._successors))]

    def succeed(self, former: int, session: EdgeSession) -> bool:
        """Have packets towards flows of session `former` go by this one; False: it is not of the same connector."""
        old = self.get(former)
        if old is None or old is session or former > session.number or not _same(old.peer, session.peer):
            return False
        self._successors[former] = session.number
        old.link.moved = True
        return True

    def has_succeeded(self, former: int, session: EdgeSession) -> bool:
        """Return whether it was succeed that made this session follow session `former`: a hello may be said again."""
        return self._successors.get(former) == session.number

    def get(self, number: int) -> EdgeSession | None:
        """Return the session of a number while it lives."""
        found: EdgeSession | None = self.links.get(number)
        return found

    def at(self, address: PeerAddress) -> EdgeSession | None:
        """Return the session of datagrams from an address."""
        found: EdgeSession | None = self.links.at(*address)
        return found

    def towards(self, number: int, now_ns: int) -> EdgeSession | None:
        """Return the session for packets to a flow whose newest packet came from session `number`."""
        while number in self._successors:      # always to a larger one
            number = self._successors[number]
        session = self.get(number)
        if session is not None and now_ns - session.link.last_ns < SILENT_NS:
            return session
        newer = self._newest.get(self._names.get(number, ""))
        return newer or session

    def name_of(self, number: int) -> str:
        """Return the name of the connector behind a number, "" when it is long gone."""
        return self._names.get(number, "")

    def idle(self, now_ns: int) -> list[EdgeSession]:
        """Return sessions that nothing came from for too long."""
        return [session for session in self if now_ns - session.link.last_ns > IDLE_NS]


def _same(one: Peer, other: Peer) -> bool:
    """Whether two certificates name one agent; a renewed one has another serial number."""
    return (one.tenant, one.role, one.name) == (other.tenant, other.role, other.name)
