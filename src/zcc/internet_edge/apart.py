"""Apart: packets that come from a tunnel, or enter one, in parts, because the path to the connector is too small for them.

Journey: beside the columns of `datapath`. Parts from a tunnel are put together behind geneve; towards a tunnel they are made of
rows that have their header. Whoever has not said in its hello that it takes parts is sent none. What a session knows of
parts is made when its first one is on its way. The datapath's thread only. Wire format and bounds: fastpath.parts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastpath.action import DropReason
from fastpath.batch import PacketBatch
from fastpath.inward import HEADER_BYTES
from fastpath.packetio import UdpSocket
from fastpath.parts import LARGEST, Parts
from zcc.internet_edge.drops import TAKEN
from zcc.internet_edge.live import groups
from zcc.internet_edge.sessions import EdgeSession, SessionBook

__all__ = ["Apart"]

Rows = NDArray[np.uint16]

CRITICAL = 0x40
TOGETHER, ROOM = 64, 2048        # parts that leave as one, and bytes of a row


class Apart:
    """Packets in parts of all sessions."""

    def __init__(self, batch: PacketBatch, sessions: SessionBook, udp: UdpSocket, drops: NDArray[np.int64]) -> None:
        """Start; the arguments are the datapath's, `drops` by reason."""
        self._batch, self._sessions, self._udp, self._drops = batch, sessions, udp, drops
        self._out = PacketBatch(TOGETHER, ROOM)

    def join(self, live: Rows, origin: NDArray[np.uint32]) -> None:
        """Take the parts among the live rows, decoded as Geneve: rows hold a whole packet then, or are done with."""
        batch = self._batch
        rows = live[batch.geneve_flags[live] & CRITICAL != 0]
        for number, theirs in groups(rows, origin[rows]):
            session = self._sessions.get(number)
            if session is None:
                batch.reason[theirs] = DropReason.DROP_DTLS_PEER_UNKNOWN
                continue
            parts = _of(session)
            lost = parts.lost
            parts.join_rows(batch, theirs)
            self._drops[DropReason.DROP_PART_ORPHAN] += parts.lost - lost

    @staticmethod
    def limits(lengths: NDArray[np.uint16], mtu: int, takes_parts: bool) -> NDArray[np.int64]:
        """What may go of packets of these lengths: one that fits in parts is no larger than its limit."""
        return np.where(takes_parts & (lengths <= LARGEST), max(LARGEST, mtu), mtu)

    def wants(self, session: EdgeSession, batch: PacketBatch, rows: Rows) -> bool:
        """Whether one of the rows, each with its header, has to go in parts."""
        return session.takes_parts and bool((batch.length[rows] > _most(session)).any())

    def send(self, session: EdgeSession, batch: PacketBatch, rows: Rows) -> int:
        """Seal rows, whose peer is set, and send them in their order, what is too large in parts; all are done with then.

        Returns: how many packets left.
        """
        large = batch.length[rows] > _most(session)
        for run in np.split(rows, np.flatnonzero(np.diff(large)) + 1):
            if batch.length[run[0]] > _most(session):
                self._send_apart(session, batch, run)
            else:
                session.link.sent += session.record.seal_rows(batch, run)
                self._udp.send(batch, run)
        left = rows[batch.reason[rows] == 0]
        batch.reason[left] = TAKEN
        return len(left)

    def _send_apart(self, session: EdgeSession, batch: PacketBatch, rows: Rows) -> None:
        out = self._out
        while rows.size:
            done = _of(session).split_rows(batch, rows, _most(session), out)
            made = np.arange(out.count, dtype=np.uint16)
            session.link.sent += session.record.seal_rows(out, made)
            self._udp.send(out, made)
            self._drops += np.bincount(out.reason[:out.count], minlength=TAKEN + 1)
            rows = rows[done:]


def _most(session: EdgeSession) -> int:
    """Bytes of the largest Geneve packet that goes by a session as one record."""
    return session.mtu + HEADER_BYTES


def _of(session: EdgeSession) -> Parts:
    if session.parts is None:
        session.parts = Parts()
    parts: Parts = session.parts
    return parts
