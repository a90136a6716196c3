"""Inward: from the internet into tunnels, a batch at a time: parsed, to its flows by their bindings, restored, sealed, sent.

    device ▶ packet ▶ binding ▶ flow ▶ its session ▶ NAT destination ▶ Geneve ▶ DTLS seal ▶ UDP │ TLS stream

The stages of Carrier's way in, by the tables that it has been lent. Where a row needs thought a stage says what the batch wants.
A flow's packets go by the session that it was last heard by, unless that one has moved or may have been outlived: then it is
asked which. One thread. It cuts nothing and refuses nothing.
Source: RFC 6347 (DTLS), RFC 8926 (Geneve), RFC 3022 (NAT).
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.action cimport (DROP_DTLS_PEER_UNKNOWN, DROP_DTLS_RECORD, DROP_NAT_NO_BINDING, DROP_NONE, DROP_REASONS,
                              FRAGMENT_LATER)
from fastpath.arguments cimport SHORT_MAX, integer, same_size, uint16s, uint32s, uint64
from fastpath.batch cimport CAPACITY_MAX, HEADROOM, Columns, PacketBatch, drop, inside, row
from fastpath.dtls cimport Session
from fastpath.egress cimport clamp
from fastpath.flowtable cimport FlowEntry
from fastpath.links cimport Link, Links
from fastpath.nat cimport find_row
from fastpath.outlet cimport Outlet
from fastpath.packet cimport parse as parse_packets, parsed_rows
from fastpath.packetio cimport Port
from fastpath.rewrite cimport NAT_DESTINATION, rewrite
from fastpath.stages cimport WANT_CUT, WANT_ERRORS, WANT_NOTHING, WANT_WAYS, is_odd, largest, segments_of
from fastpath.stream cimport Stream
from fastpath.tunnels cimport TUNNEL_HEADER_BYTES, encapsulate

import numpy as np

cdef enum:
    TAKEN = DROP_REASONS      # a row that is done with and is no drop

HEADER_BYTES = TUNNEL_HEADER_BYTES


@cython.final
cdef class Inward:
    """The way in.

    Args:
        udp: the tunnels' socket, not connected.
        links: sessions; the owner of a flow is a number of theirs.
        outlet: flows and bindings.
        mtu: the largest inner packet towards who has no session, 68 … 65,535.
        silent_ns: see Link.outlived.
    Raises:
        ValueError, TypeError: an argument is out of range.
    """

    def __cinit__(self, Port udp not None, Links links not None, Outlet outlet not None, mtu, silent_ns):
        self.mtu, self.silent_ns = <int> integer(mtu, "mtu", 68, SHORT_MAX), uint64(silent_ns, "silent_ns")
        self.udp, self.links, self.outlet = udp, links, outlet
        self._ways = self.ways = np.zeros(CAPACITY_MAX, np.uint32)
        self._carried = self.carried = np.zeros(2, np.int64)

    def encapsulate_rows(self, PacketBatch batch not None, rows):
        """Put the header of its flow in front of the inner packet of each row; start and length become the whole.

        Args:
            rows: uint16[n], parsed rows in use whose entry is their flow.
        Raises:
            ValueError: a row is none of these, or has no room in front.
        """
        cdef Columns* b = &batch.columns
        cdef const uint16_t[::1] view = self._rows_with_flows(b, rows)
        cdef FlowEntry* entry
        cdef int k
        for k in range(view.shape[0]):
            entry = &self.outlet.flows.entries[b.entry[view[k]]]
            b.namespace[view[k]] = entry.key.fields.namespace
            encapsulate(b, view[k], entry.location, entry.hash)

    cdef const uint16_t[::1] _rows_with_flows(self, Columns* b, object rows):
        cdef const uint16_t[::1] view = uint16s(rows, "rows")
        cdef int k, i
        parsed_rows(b, view, "rows")
        for k in range(view.shape[0]):
            i = view[k]
            self.outlet.flows._check(b.entry[i], "rows")
            if b.inner_start[i] < TUNNEL_HEADER_BYTES:
                raise ValueError(f"rows[{k}]: row {i} has no room for a header in front of its packet")
        return view

    def enter_rows(self, PacketBatch batch not None, rows, ways):
        """Seal rows that have their header and send them; return how many left.

        Args:
            rows: uint16[n], rows in use; dead ones are passed over.
            ways: uint32[n], the number of the session that each goes by.
        Drops:
            DTLS_PEER_UNKNOWN: there is no such session. DTLS_RECORD, IO_SEND.
        Raises:
            ValueError: sizes differ, or a row is not in use.
        """
        cdef Columns* b = &batch.columns
        cdef const uint16_t[::1] view = uint16s(rows, "rows")
        cdef const uint32_t[::1] numbers = uint32s(ways, "ways")
        cdef int left = 0, n = <int> view.shape[0]
        same_size(numbers.shape[0], "ways", n, "rows")
        integer(n, "rows: their number", 0, CAPACITY_MAX)
        parsed_rows(b, view, "rows")
        inside(b, b.start, b.length, "start and length")
        with nogil:
            if n:
                left = self._enter_rows(b, &view[0], &numbers[0], n)
        return left

    cdef int parse(self, Columns* b) noexcept nogil:
        cdef int i
        self._odd = False
        for i in range(b.count):
            b.namespace[i] = 0
        parse_packets(b)
        for i in range(b.count):
            if b.reason[i] == DROP_NONE and is_odd(b, i):
                self._odd = True
        return WANT_ERRORS if self._odd else WANT_NOTHING

    cdef int find(self, Columns* b, uint64_t now_ns) noexcept nogil:
        """The flow of every row by its binding, and the session that it goes by."""
        cdef FlowEntry* entry
        cdef bint wanted = self._odd
        cdef int i, fits
        for i in range(b.count):
            if b.reason[i] != DROP_NONE:
                continue
            if b.fragment[i] != FRAGMENT_LATER:      # those have their first one's
                b.entry[i] = find_row(self.outlet.nat, b, i)
            if b.entry[i] < 0:
                drop(b, i, DROP_NAT_NO_BINDING)
                continue
            entry = &self.outlet.flows.entries[b.entry[i]]
            b.direction[i] = 1 - entry.initiator
            fits = self._way(i, entry.owner, now_ns)
            if b.inner_length[i] > fits:
                wanted = True
        return WANT_WAYS if wanted else WANT_NOTHING

    cdef int _way(self, int i, uint32_t owner, uint64_t now_ns) noexcept nogil:
        """Note the session of row i; return the largest packet that goes by it, 0 where another may be better."""
        cdef void* link = self.links.numbered(owner)
        self._ways[i] = 0
        if link is NULL or (<Link> link).moved or \
                (<Link> link).outlived and now_ns >= (<Link> link).last_ns + self.silent_ns:
            return 0
        self._ways[i] = owner
        return (<Link> link).mtu

    cdef int restore(self, Columns* b, uint64_t now_ns) noexcept nogil:
        """Every row as its initiator knows it, in the tunnel's header."""
        cdef bint large = False
        cdef int i
        for i in range(b.count):
            if b.reason[i] == DROP_NONE:
                self.outlet.flows.account(b, i, now_ns)
                large |= not self._restore_row(b, i)
        return WANT_CUT if large else WANT_NOTHING

    cdef bint _restore_row(self, Columns* b, int i) noexcept nogil:
        """False: it is larger than its tunnel."""
        cdef FlowEntry* entry = &self.outlet.flows.entries[b.entry[i]]
        cdef int mtu = largest(self.links.numbered(self._ways[i]), self.mtu)
        cdef const uint8_t* address = entry.key.fields.a_address
        cdef uint16_t port = entry.key.fields.a_port
        cdef uint8_t reason
        if entry.initiator:                   # it began at the upper end of the key
            address, port = entry.key.fields.b_address, entry.key.fields.b_port
        reason = rewrite(row(b, i) + b.inner_start[i], b.inner_length[i], b.ip_version[i], b.protocol[i], b.fragment[i],
                         b.l4_start[i] - b.inner_start[i], NAT_DESTINATION, address, port)
        if reason != DROP_NONE:
            drop(b, i, reason)
            return True
        clamp(b, i, segments_of(mtu))
        b.namespace[i] = entry.key.fields.namespace
        encapsulate(b, i, entry.location, entry.hash)
        return b.inner_length[i] <= mtu

    cdef int enter(self, Columns* b) noexcept nogil:
        cdef uint16_t[CAPACITY_MAX] rows
        cdef uint32_t[CAPACITY_MAX] ways
        cdef int i, n = 0
        for i in range(b.count):
            if b.reason[i] == DROP_NONE:
                rows[n], ways[n] = <uint16_t> i, self._ways[i]
                n += 1
        self._enter_rows(b, rows, ways, n)
        return WANT_NOTHING

    cdef int _enter_rows(self, Columns* b, const uint16_t* rows, const uint32_t* ways, int n) noexcept nogil:
        cdef uint16_t[CAPACITY_MAX] sealed
        cdef void* found
        cdef int k = 0, run, m = 0, left = 0
        while k < n:
            found, run = self.links.numbered(ways[k]), 1
            if found is not NULL and (<Link> found).stream is not NULL:
                while k + run < n and ways[k + run] == ways[k]:
                    run += 1
                left += self._stream_rows(<Link> found, b, rows + k, run)
            elif b.reason[rows[k]] == DROP_NONE:
                if found is NULL:
                    drop(b, rows[k], DROP_DTLS_PEER_UNKNOWN)
                elif self._seal_row(<Link> found, b, rows[k]):
                    sealed[m] = rows[k]
                    m += 1
            k += run
        if m:
            left += self.udp.send_rows(b, sealed, m)
        self._carried[0] += left
        return left

    cdef bint _seal_row(self, Link link, Columns* b, int i) noexcept nogil:
        cdef int got
        self._carried[1] += b.inner_length[i]
        link.sent_bytes += b.inner_length[i]
        got = (<Session> link.session).seal(row(b, i) + b.start[i], b.length[i], row(b, i) + HEADROOM, b.room - HEADROOM)
        if got <= 0:
            drop(b, i, DROP_DTLS_RECORD)
            return False
        b.start[i], b.length[i] = HEADROOM, <uint16_t> got
        b.peer_address[i], b.peer_port[i] = link.address, link.port
        link.sent += 1
        return True

    cdef int _stream_rows(self, Link link, Columns* b, const uint16_t* rows, int n) noexcept nogil:
        """Rows of one stream, which leave as few records. They are done with then: the socket below is not theirs."""
        cdef int k, sent
        for k in range(n):
            if b.reason[rows[k]] == DROP_NONE:
                self._carried[1] += b.inner_length[rows[k]]
                link.sent_bytes += b.inner_length[rows[k]]
        sent = (<Stream> link.stream).send_rows(b, rows, n)
        link.sent += sent
        for k in range(n):
            if b.reason[rows[k]] == DROP_NONE:
                b.reason[rows[k]] = TAKEN
        return sent
