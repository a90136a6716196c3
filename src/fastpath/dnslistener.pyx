"""DnsListener: queries that clients send to the connector itself, over UDP.

    socket ─▶ owned name? ─▶ answer ─▶ socket
                   └ no ─▶ PUNT_DNS_QUERY, value 1: the packet is the bare message, the peer is who asked

Journey: beside GWLB's packets, for users who point their resolvers at the connector. The control plane answers what it was
handed by the same socket. Every client is of one namespace and location. The worker's thread only. Answers of one client that
leave together cost half of what they cost one by one, so the socket rests between small batches when queries come fast.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath.arguments cimport SHORT_MAX, WORD_MAX, integer
from fastpath.action cimport DROP_NONE, PUNT_DNS_QUERY
from fastpath.admission cimport BY_LISTENER, Admission
from fastpath.batch cimport Columns, row
from fastpath.moderation cimport Moderation
from fastpath.owned cimport OWNED_ROOM
from fastpath.packetio cimport UdpSocket
from fastpath.wire cimport store_be32

cdef enum:
    GROUPS = 64
    NO_ROW = 0xFFFF


cdef void group_by_peer(Columns* b, uint16_t* rows, int n) noexcept nogil:
    """Order rows so that those of one peer stand together, each peer's in their order: such leave as one message (segments.pyx).

    That is nearly half of what an answer costs. Two peers may share a group by chance; theirs then leave one by one.
    """
    cdef uint16_t[GROUPS] first
    cdef uint16_t[GROUPS] last
    cdef uint16_t[LISTENER_ROWS] following
    cdef int k, group, at = 0
    cdef uint16_t i
    for group in range(GROUPS):
        first[group] = NO_ROW
    for k in range(n):
        i = rows[k]
        group = ((b.peer_address[i] ^ b.peer_port[i]) * 0x9E3779B1u) >> 26
        following[i] = NO_ROW
        if first[group] == NO_ROW:
            first[group] = i
        else:
            following[last[group]] = i
        last[group] = i
    for group in range(GROUPS):
        i = first[group]
        while i != NO_ROW:
            rows[at] = i
            at += 1
            i = following[i]


cdef inline void mapped(uint8_t* to, uint32_t address) noexcept nogil:
    memset(to, 0, 10)
    to[10] = to[11] = 0xFF
    store_be32(to + 12, address)


@cython.final
cdef class DnsListener:
    """Args:
        socket: bound, not connected.
        admission: the worker's own.
        namespace, location: of every client, 0 … 65,535 and 0 or more.
    Raises:
        ValueError: socket is connected, or a number is out of range.
    """

    def __cinit__(self, UdpSocket socket not None, Admission admission not None, namespace, location):
        if socket.connected:
            raise ValueError("socket must not be connected")
        self.namespace = <uint16_t> integer(namespace, "namespace", 0, SHORT_MAX)
        self.location = <uint32_t> integer(location, "location", 0, WORD_MAX)
        self.socket, self.admission, self.moderation = socket, admission, Moderation()

    cdef int turn(self, Columns* b) noexcept nogil:
        cdef uint8_t[OWNED_ROOM] out
        cdef uint8_t* message
        cdef uint64_t* drops = self.admission.counts.drops
        cdef int i, size, answers = 0, n = self.socket.recv_rows(b)
        self.rest_ns = self.moderation.after(self.admission.now, n)
        for i in range(n):
            if b.reason[i] != DROP_NONE:
                continue
            b.namespace[i], b.endpoint[i], b.geneve_length[i] = self.namespace, 0, 0
            mapped(b.source + 16 * i, b.peer_address[i])
            b.inner_start[i], b.inner_length[i] = b.start[i], b.length[i]
            message = row(b, i) + b.start[i]
            size = self.admission.owned.reply(self.namespace, self.location, message, b.length[i], self.admission.now, out)
            if size <= 0 or b.start[i] + size > b.room:
                self.admission.punt(PUNT_DNS_QUERY, b, i, self.location, NULL, BY_LISTENER)
                continue
            memcpy(message, out, size)
            b.length[i] = b.inner_length[i] = size
            self.admission.record(b, i, self.location, BY_LISTENER)
            self.rows[answers] = i
            answers += 1
        if answers:
            group_by_peer(b, self.rows, answers)
            self.socket.send_rows(b, self.rows, answers)
        for i in range(n):
            if b.reason[i] != DROP_NONE:
                drops[b.reason[i]] += 1
        return n
