"""Outward: from tunnels to the internet, a batch at a time: opened, decoded, to its flows, translated, out of the device.

    datagram ▶ whose session? ▶ DTLS open ▶ Geneve ▶ packet ▶ flow, or a new one ▶ NAT source ▶ device

The stages of Carrier's way out, by the tables that it has been lent. Where a row needs thought a stage says what the batch wants;
what it does not know how to do it does not touch. One thread. It hears no control messages, greets nobody and ends no flow.
Source: RFC 6347 (DTLS), RFC 8926 (Geneve), RFC 3022 (NAT).
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from fastpath.action cimport DROP_DTLS_PEER_UNKNOWN, DROP_DTLS_RECORD, DROP_NONE, DROP_TUNNEL_FLOW_UNKNOWN
from fastpath.arguments cimport SHORT_MAX, integer, writable_int32
from fastpath.batch cimport CAPACITY_MAX, HEADROOM, Columns, drop, row
from fastpath.dtls cimport Session
from fastpath.egress cimport clamp
from fastpath.flowkey cimport build
from fastpath.flowtable cimport FlowEntry
from fastpath.fragments cimport FragmentTable
from fastpath.geneve cimport decode as decode_geneve
from fastpath.identification cimport Identifications
from fastpath.links cimport Link, Links
from fastpath.outlet cimport Outlet, leaves_from
from fastpath.packet cimport parse
from fastpath.packetio cimport Port
from fastpath.rewrite cimport NAT_SOURCE, decrement_ttl, rewrite
from fastpath.stages cimport (WANT_CONTROL, WANT_EXPIRED, WANT_FLOWS, WANT_GATE, WANT_NOTHING, is_odd, largest,
                              segments_of)

import numpy as np

cdef enum:
    VNI_LIMIT = 65_000
    RECORD_HEADER = 13        # RFC 6347 §4.1
    HANDSHAKE = 22
    CLIENT_HELLO = 1


cdef inline bint opens_handshake(const uint8_t* at, int n) noexcept nogil:
    """Whether a datagram is a ClientHello of epoch 0 (RFC 6347 §4.2.2)."""
    return n > RECORD_HEADER and at[0] == HANDSHAKE and at[RECORD_HEADER] == CLIENT_HELLO and at[3] == 0 and at[4] == 0


@cython.final
cdef class Outward:
    """The way out.

    Args:
        device: takes inner packets.
        links: sessions; the owner of a flow is a number of theirs.
        outlet: flows and bindings.
        fragments, identifications: of the edge's odd packets.
        datagrams: int32[n], which datagram of `fragments` each row belongs to, -1 none; written by who answers WANT_FLOWS.
        mtu: the largest packet that TCP is told of where a session has ended meanwhile, 68 … 65,535.
    Raises:
        ValueError, TypeError: an argument is out of range.
    """

    def __cinit__(self, Port device not None, Links links not None, Outlet outlet not None, FragmentTable fragments not None,
                  Identifications identifications not None, datagrams, mtu):
        self.mtu = <int> integer(mtu, "mtu", 68, SHORT_MAX)
        self._datagrams, self.datagrams = writable_int32(datagrams, "datagrams"), datagrams
        self.device, self.links, self.outlet = device, links, outlet
        self.fragments, self.identifications = fragments, identifications
        self._origin = self.origin = np.zeros(CAPACITY_MAX, np.uint32)
        self._carried = self.carried = np.zeros(2, np.int64)

    cdef int open(self, Columns* b, uint64_t now_ns) noexcept nogil:
        """Open each datagram in its session; strangers' stay as they are, and so do hellos, whoever sends them."""
        cdef void* link = NULL
        cdef bint wanted = False
        cdef int i, last = -1
        self._odd = False
        for i in range(b.count):
            self._origin[i] = 0
            if b.reason[i] != DROP_NONE:
                continue
            if last < 0 or b.peer_address[i] != b.peer_address[last] or b.peer_port[i] != b.peer_port[last]:
                link, last = self.links.find(b.peer_address[i], b.peer_port[i]), i
            if link is NULL or (<Link> link).session is NULL or opens_handshake(row(b, i) + b.start[i], b.length[i]):
                wanted = True
            elif not self._open_row(<Link> link, b, i, now_ns):
                wanted = True
        return WANT_GATE if wanted else WANT_NOTHING

    cdef int reopen(self, Columns* b, uint64_t now_ns) noexcept nogil:
        """What is left now belongs to sessions that have just begun, or to nobody."""
        cdef void* link
        cdef bint wanted = False
        cdef int i
        for i in range(b.count):
            if b.reason[i] != DROP_NONE or self._origin[i] != 0:
                continue
            link = self.links.find(b.peer_address[i], b.peer_port[i])
            if link is NULL or (<Link> link).session is NULL:
                drop(b, i, DROP_DTLS_PEER_UNKNOWN)
            elif not self._open_row(<Link> link, b, i, now_ns):
                wanted = True
        return WANT_GATE if wanted else WANT_NOTHING

    cdef bint _open_row(self, Link link, Columns* b, int i, uint64_t now_ns) noexcept nogil:
        cdef int got = (<Session> link.session).open(row(b, i) + b.start[i], b.length[i], row(b, i) + HEADROOM,
                                                     b.room - HEADROOM)
        self._origin[i] = link.number
        if got <= 0:
            drop(b, i, DROP_DTLS_RECORD)
            return False
        b.start[i], b.length[i] = HEADROOM, <uint16_t> got
        link.last_ns = now_ns
        return True

    cdef void originate(self, Columns* b) noexcept nogil:
        """Whose rows these are, by their peers, which have been opened already."""
        cdef void* link
        cdef int i
        self._odd = False
        for i in range(b.count):
            link = self.links.find(b.peer_address[i], b.peer_port[i])
            self._origin[i] = (<Link> link).number if link is not NULL else 0

    cdef int decode(self, Columns* b) noexcept nogil:
        cdef uint8_t flags = 0
        cdef int i
        decode_geneve(b)
        for i in range(b.count):
            if b.reason[i] == DROP_NONE:
                flags |= b.geneve_flags[i]
        return WANT_CONTROL if flags else WANT_NOTHING

    cdef int look_up(self, Columns* b, uint64_t now_ns) noexcept nogil:
        cdef bint odd = False
        cdef int i, misses
        for i in range(b.count):
            if b.reason[i] != DROP_NONE:
                continue
            if b.vni[i] == 0 or b.vni[i] > VNI_LIMIT:
                drop(b, i, DROP_TUNNEL_FLOW_UNKNOWN)
            b.namespace[i] = <uint16_t> b.vni[i]
        parse(b)
        build(b, &self.outlet.secret.key)
        misses = self.outlet.flows.lookup(b)
        for i in range(b.count):
            if b.reason[i] == DROP_NONE and is_odd(b, i):
                odd = True
        self._odd = odd
        if odd or misses and self.outlet.admit(b, now_ns, False):
            return WANT_FLOWS
        return WANT_NOTHING

    cdef int account(self, Columns* b, uint64_t now_ns) noexcept nogil:
        """Count every row in its flow, which belongs from now on to the session that it came by."""
        cdef FlowEntry* entry
        cdef bint expired = False
        cdef int i
        for i in range(b.count):
            if b.reason[i] != DROP_NONE:
                continue
            if b.entry[i] < 0 or b.direction[i] != self.outlet.flows.entries[b.entry[i]].initiator:
                drop(b, i, DROP_TUNNEL_FLOW_UNKNOWN)
                continue
            self.outlet.flows.account(b, i, now_ns)
            entry = &self.outlet.flows.entries[b.entry[i]]
            entry.owner = self._origin[i]
            if row(b, i)[b.inner_start[i] + (8 if b.ip_version[i] == 4 else 7)] <= 1:
                expired = True
        return WANT_EXPIRED if expired else WANT_NOTHING

    cdef int leave(self, Columns* b) noexcept nogil:
        cdef uint16_t[CAPACITY_MAX] rows
        cdef void* link
        cdef int i, n = 0
        for i in range(b.count):
            if b.reason[i] != DROP_NONE:
                continue
            link = self.links.numbered(self._origin[i])
            self._translate(b, i, largest(link, self.mtu))
            self._carried[1] += b.inner_length[i]
            if link is not NULL:
                (<Link> link).received = (<Link> link).received + 1
                (<Link> link).received_bytes = (<Link> link).received_bytes + b.inner_length[i]
            if b.reason[i] == DROP_NONE:
                rows[n] = <uint16_t> i
                n += 1
        if n:
            self._carried[0] += self.device.send_rows(b, rows, n)
        return WANT_NOTHING

    cdef void _translate(self, Columns* b, int i, int mtu) noexcept nogil:
        cdef FlowEntry* entry = &self.outlet.flows.entries[b.entry[i]]
        cdef uint8_t* packet = row(b, i) + b.inner_start[i]
        cdef uint16_t* kept = NULL
        cdef uint8_t reason
        decrement_ttl(packet, b.ip_version[i])
        reason = rewrite(packet, b.inner_length[i], b.ip_version[i], b.protocol[i], b.fragment[i],
                         b.l4_start[i] - b.inner_start[i], NAT_SOURCE, leaves_from(self.outlet, entry), entry.nat_port)
        if reason != DROP_NONE:
            drop(b, i, reason)
            return
        if b.ip_version[i] == 4:
            if self._odd and 0 <= self._datagrams[i] < self.fragments.capacity:
                kept = &self.fragments.datagrams[self._datagrams[i]].identification
            self.identifications.renew(packet, kept)
        clamp(b, i, segments_of(mtu))
