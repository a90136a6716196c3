"""The edge's odd packets: fragments, ICMP errors, and packets whose senders are told that they go no further.

    fragment     first: noted, then a packet as any other │ later: the flow of its first │ early: held, comes again
    ICMP error   ─▶ the flow of what it quotes ─▶ both translated ─▶ where that flow goes
    too large    IPv4 without DF: in pieces │ else: "too big" to its sender
    no TTL left  "time exceeded" to its sender

Journey: beside the columns of `datapath`, row by row, for the few rows that need it. What is done here is documented in
docs/edges.md. The datapath's thread only; it sends nothing itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fastpath import flowkey, pieces, quote, refusal
from fastpath.action import DropReason, Fragment
from fastpath.batch import PacketBatch
from fastpath.fragments import FragmentTable, Origin
from fastpath.identification import Identifications
from fastpath.outlet import Outlet
from fastpath.refusal import Refusal
from zcc.internet_edge.drops import TAKEN
from zcc.internet_edge.flows import FlowBook, unmapped

__all__ = ["OddPackets"]

Rows = NDArray[np.uint16]

ECHOES = (1, 58)                 # protocols whose packets have an identifier for ports
PIECES = 16
TELL_NS = 1_000_000              # 1,000 refusals a second (RFC 1812 §4.3.2.8, RFC 4443 §2.4), this many at once
AT_ONCE = 250
DONT_FRAGMENT = 0x40
SOURCE, DESTINATION = 0, 1


class OddPackets:
    """Rows that the columns cannot take."""

    def __init__(self, batch: PacketBatch, outlet: Outlet, book: FlowBook, seed: bytes) -> None:
        """Start empty; `batch` is the datapath's, `seed` 32 secret bytes."""
        self._batch, self._book = batch, book
        self._flows, self._nat, self._secret = outlet.flows, outlet.nat, outlet.secret
        self.fragments, self.identifications = FragmentTable(seed=seed), Identifications(seed=seed)
        self._first: dict[int, int] = {}     # row of a first fragment → its datagram
        self.datagrams = np.full(batch.capacity, -1, np.int32)      # the datagram that a row is a fragment of
        self._full_ns = 0
        self.pieces = PacketBatch(PIECES)

    # ---- fragments ----

    def enter(self, origin: Origin, now_ns: int) -> None:
        """Give later fragments their flow; hold those that came before their first one."""
        batch = self._batch
        count = batch.count
        self._first.clear()
        self.datagrams.fill(-1)
        for row in np.flatnonzero((batch.reason[:count] == 0) & (batch.fragment[:count] != 0)).tolist():
            number = self.fragments.enter_one(batch, row, origin, now_ns)
            self.datagrams[row] = max(number, -1)
            if number == -2:
                batch.reason[row] = TAKEN
            elif number >= 0 and batch.fragment[row] == Fragment.FRAGMENT_FIRST:
                self._first[row] = number
            elif number >= 0:
                self._follow(row, number)

    def _follow(self, row: int, number: int) -> None:
        batch = self._batch
        flow, flow_hash, direction = self.fragments.follow_one(number)
        entry = self._book.entries[flow]
        if not entry["used"] or int(entry["hash"]) != flow_hash:
            batch.reason[row] = DropReason.DROP_FRAGMENT_ORPHAN      # its flow has ended
            return
        batch.entry[row], batch.direction[row], batch.protocol[row] = flow, direction, entry["protocol"]

    def settle(self) -> None:
        """Note what became of the first fragments of this batch."""
        batch = self._batch
        for row, number in self._first.items():
            flow, reason = int(batch.entry[row]), int(batch.reason[row])
            if reason and reason != TAKEN:
                self.fragments.settle_one(number, -1, verdict=reason)
            elif flow >= 0:
                self.fragments.settle_one(
                    number, flow, int(self._book.entries["hash"][flow]), int(batch.direction[row]))
        self._first.clear()

    def identify(self, rows: Rows) -> None:
        """Give rows that leave under an address of ours another identification, where it matters."""
        self.identifications.renew_rows(self._batch, rows, self.fragments, self.datagrams[rows])

    def release(self, origin: Origin) -> bool:
        """Make a batch of frames that need wait no more; False: there are none."""
        return bool(self.fragments.ready) and self.fragments.release_rows(self._batch, origin) > 0

    def sweep(self, now_ns: int) -> int:
        """Forget frames that have waited for too long; return how many."""
        return self.fragments.sweep_held(now_ns)

    # ---- ICMP errors ----

    def _errors(self) -> list[tuple[int, tuple[int, bytes, int, bytes, int]]]:
        batch = self._batch
        count = batch.count
        protocols = batch.protocol[:count].tobytes()
        if not any(echo in protocols for echo in ECHOES):
            return []
        icmp = (batch.protocol[:count] == ECHOES[0]) | (batch.protocol[:count] == ECHOES[1])
        rows = np.flatnonzero((batch.reason[:count] == 0) & icmp).tolist()
        return [(row, quoted) for row in rows if (quoted := quote.read_one(batch, row)) is not None]

    def errors_out(self) -> Rows:
        """Translate ICMP errors of workloads about what they were sent; return the rows that go to the internet now."""
        batch, leaving = self._batch, []
        for row, (protocol, source, source_port, destination, destination_port) in self._errors():
            version = int(batch.ip_version[row])
            key, direction = flowkey.make_key(
                unmapped(source, version), unmapped(destination, version), protocol=protocol, source_port=source_port,
                destination_port=destination_port, namespace=int(batch.namespace[row]))
            flow = self._flows.find_one(key, flowkey.key_hash(key, self._secret))
            entry = self._book.entries[flow]
            if flow < 0 or direction == entry["initiator"] or source != batch.destination[row].tobytes():
                batch.reason[row] = DropReason.DROP_ICMP_UNMATCHED
                continue
            addresses, ports = self._book.sources(np.array([flow], np.int32))
            quote.rewrite_one(batch, row, DESTINATION, addresses[0].tobytes(), int(ports[0]))
            quote.readdress_one(batch, row, SOURCE, addresses[0].tobytes())
            leaving.append(row)
        self.identify(np.array(leaving, np.uint16))
        return self._done(leaving)

    def errors_in(self) -> Rows:
        """Translate ICMP errors of the internet about what left here; return the rows that go to their flows' sessions."""
        batch, entering = self._batch, []
        for row, (protocol, source, source_port, destination, destination_port) in self._errors():
            remote_port = 0 if protocol in ECHOES else destination_port
            flow = self._nat.find_one(protocol, source, source_port, destination, remote_port)
            family = self._book.entries["ip_version"][flow]
            if flow < 0 or family != batch.ip_version[row] or source != batch.destination[row].tobytes():
                batch.reason[row] = DropReason.DROP_ICMP_UNMATCHED
                continue
            addresses, ports = self._book.initiators(np.array([flow], np.int32))
            quote.rewrite_one(batch, row, SOURCE, addresses[0].tobytes(), int(ports[0]))
            quote.readdress_one(batch, row, DESTINATION, addresses[0].tobytes())
            batch.entry[row] = flow
            entering.append(row)
        return self._done(entering)

    def _done(self, rows: list[int]) -> Rows:
        """Rows that leave apart from the others, by which they are passed over meanwhile."""
        self._batch.reason[rows] = TAKEN
        return np.array(rows, np.uint16)

    # ---- senders that are told ----

    def expired(self, now_ns: int) -> tuple[Rows, int]:
        """Make "time exceeded" of rows with a flow and no TTL left: those that are told, and how many there are."""
        batch = self._batch
        live = np.flatnonzero(batch.reason[:batch.count] == 0)
        ttl_at = batch.inner_start[live].astype(np.intp) + np.where(batch.ip_version[live] == 4, 8, 7)
        rows = live[batch.data[live, ttl_at] <= 1].tolist()
        if not rows:
            return np.zeros(0, np.uint16), 0
        speakers, _ = self._book.sources(batch.entry[rows])
        told = [row for row, speaker in zip(rows, speakers, strict=True)
                if self._may_tell(now_ns) and refusal.refuse_one(batch, row, Refusal.REFUSAL_EXPIRED, 0, speaker.tobytes())]
        self._done(rows)
        return np.array(told, np.uint16), len(rows)

    def too_large(self, larger: list[tuple[int, int]], now_ns: int) -> tuple[Rows, int]:
        """Make "too big" of rows from the internet that do not fit their tunnel and may not be cut: those told, and how many.

        Args:
            larger: rows that do not fit, each with the size that does.
        """
        batch = self._batch
        rows = [(row, mtu) for row, mtu in larger if not self._may_cut(row)]
        told = [row for row, mtu in rows
                if self._may_tell(now_ns) and refusal.refuse_one(batch, row, Refusal.REFUSAL_TOO_BIG, mtu)]
        self._done([row for row, _ in rows])
        return np.array(told, np.uint16), len(rows)

    def cut(self, row: int, mtu: int) -> int:
        """Cut a row that is too large into rows of `pieces`, which have its flow; return how many."""
        n: int = pieces.cut_one(self._batch, row, mtu, self.pieces)
        self.pieces.entry[:n] = self._batch.entry[row]
        self._batch.reason[row] = TAKEN
        return n

    def _may_cut(self, row: int) -> bool:
        batch = self._batch
        return bool(batch.ip_version[row] == 4 and not batch.data[row, int(batch.inner_start[row]) + 6] & DONT_FRAGMENT)

    def _may_tell(self, now_ns: int) -> bool:
        if self._full_ns > now_ns + (AT_ONCE - 1) * TELL_NS:
            return False
        self._full_ns = max(self._full_ns, now_ns) + TELL_NS
        return True
