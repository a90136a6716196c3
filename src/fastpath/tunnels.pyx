"""Tunnels: the DTLS or TLS sessions a worker owns, one slot an internet edge, with the Geneve header that rides in them.

Journey: last stage of a ZIA packet out (encapsulate, seal, send), first stage of one back (receive, open). Sessions arrive
with their handshake done; from then on they belong to the worker's thread. Which edge to prefer is decided elsewhere
(zcc.itunnel.choice); here is only which slots each gateway has and which of them is active. Beside every slot is a second place,
for a session that is to follow it, and after `swap` for the one that went before: packets are taken from both, sent by the slot.
What a path is too small for, and must not be refused, goes in parts (fastpath.parts) to an edge that takes them.

    0                   1                   2                   3
    |Ver|  Opt Len  |O|C|    Rsvd.  |          Protocol Type        |   RFC 8926 §3.4
    |        Virtual Network Identifier (VNI)       |    Reserved   |   VNI = namespace id
    |   class 0xFF5A                |  type 1       |R|R|R| length 1|   location id, 4 bytes
    |   class 0xFF5A                |  type 3       |R|R|R| length 2|   flow hash, 8 bytes
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.action cimport DROP_DTLS_RECORD, DROP_NONE, DROP_PART_SHAPE, DROP_ZIA_DOWN, DROP_ZIA_TOO_BIG
from fastpath.arguments cimport SHORT_MAX, integer
from fastpath.batch cimport HEADROOM, ROOM_DEFAULT, Columns, PacketBatch, drop, reset, row
from fastpath.dtls cimport DTLS_CLOSED, Session
from fastpath.geneve cimport GENEVE_IPV4, GENEVE_IPV6, put, write_base
from fastpath.packetio cimport Port, UdpSocket
from fastpath.parts cimport PARTS_MAX, PARTS_WHOLE, Parts
from fastpath.stream cimport Stream
from fastpath.wire cimport store_be16, store_be32, store_be64

cdef enum:
    SEALED_MAX = ROOM_DEFAULT + 64
    APART = 64                   # parts that leave together
    APART_ROOM = 2048


cdef int place_of(object place) except -1:
    return <int> integer(place, "place", 0, TUNNEL_PLACES - 1)


cdef void encapsulate(Columns* b, int i, uint32_t location, uint64_t flow_hash) noexcept nogil:
    cdef uint8_t[28] header
    write_base(header, TUNNEL_HEADER_BYTES - 8, 0, GENEVE_IPV4 if b.ip_version[i] == 4 else GENEVE_IPV6,
               b.namespace[i])
    store_be16(header + 8, TUNNEL_OPTION_CLASS)
    header[10], header[11] = TUNNEL_OPTION_LOCATION, 1
    store_be32(header + 12, location)
    store_be16(header + 16, TUNNEL_OPTION_CLASS)
    header[18], header[19] = TUNNEL_OPTION_FLOW_HASH, 2
    store_be64(header + 20, flow_hash)
    put(b, i, header, TUNNEL_HEADER_BYTES)


@cython.final
cdef class Tunnels:
    """Eight slots and the places beside them, empty at first, and 2,048 gateways without edges."""

    def __cinit__(self):
        self.sessions = [None] * TUNNEL_PLACES
        self.sockets = [None] * TUNNEL_PLACES
        self.parts = [None] * TUNNEL_PLACES
        self.apart = PacketBatch(APART, APART_ROOM)
        cdef int i
        for i in range(TUNNEL_PLACES):
            self.slots[i].session = self.slots[i].socket = self.slots[i].parts = NULL
            self.slots[i].takes_parts = False
            self.slots[i].fd = -1
            self.slots[i].sealed = self.slots[i].opened = 0
            self.slots[i].mtu = SHORT_MAX
        for i in range(GATEWAYS):
            self.gateways[i].active, self.gateways[i].edges = TUNNEL_NONE, 0

    def attach(self, place, Session session not None, UdpSocket socket not None, mtu=SHORT_MAX):
        """Put an established session and its connected socket into a place; what was there is let go.

        Args:
            place: a slot, or a slot plus 8: beside it.
            mtu: largest inner packet that its path carries.
        Raises:
            ValueError: place is not 0 … 15, or mtu not 68 … 65,535.
        """
        self._put(place_of(place), session, socket, <uint16_t> integer(mtu, "mtu", 68, SHORT_MAX))

    def attach_stream(self, place, Stream stream not None, mtu=SHORT_MAX):
        """Put an established TLS session into a place; what was there is let go.

        Args, Raises: as attach.
        """
        self._put(place_of(place), None, stream, <uint16_t> integer(mtu, "mtu", 68, SHORT_MAX))

    cdef _put(self, int at, Session session, Port socket, uint16_t mtu):
        cdef Parts parts = Parts()
        self.sessions[at], self.sockets[at], self.parts[at] = session, socket, parts
        self.slots[at].session = NULL if session is None else <void*> session
        self.slots[at].socket, self.slots[at].parts, self.slots[at].takes_parts = <void*> socket, <void*> parts, False
        self.slots[at].sealed = self.slots[at].opened = 0
        self.slots[at].mtu = mtu
        self.slots[at].fd = socket.fd

    def resize(self, place, mtu, bint parts=False):
        """Let packets of up to `mtu` bytes (68 … 65,535) go by the session in a place.

        Args:
            parts: its edge takes parts: packets of up to 1,280 bytes go too, several records each where they have to.
        Raises:
            ValueError: place is not 0 … 15, or mtu out of range.
        """
        cdef int at = place_of(place)
        self.slots[at].mtu = <uint16_t> integer(mtu, "mtu", 68, SHORT_MAX)
        self.slots[at].takes_parts = parts

    def swap(self, slot):
        """Exchange the session of a slot with the one beside it: from now on packets leave by the other one.

        Raises:
            ValueError: slot is not 0 … 7, or nothing is beside it.
        """
        cdef int at = <int> integer(slot, "slot", 0, TUNNEL_SLOTS - 1), beside = at + TUNNEL_SLOTS
        cdef Slot kept = self.slots[at]
        if self.slots[beside].fd < 0:
            raise ValueError(f"slot {at} has no session beside it")
        self.slots[at], self.slots[beside] = self.slots[beside], kept
        for owned in (self.sessions, self.sockets, self.parts):
            owned[at], owned[beside] = owned[beside], owned[at]

    def records(self, place):
        """Return how many records the session in a place has sealed and opened. Any thread.

        Raises:
            ValueError: place is not 0 … 15.
        """
        cdef int at = place_of(place)
        return self.slots[at].sealed, self.slots[at].opened

    def release(self, place):
        """Drop the references of a place that detach has emptied.

        Raises:
            ValueError: place is not 0 … 15.
        """
        cdef int at = place_of(place)
        if self.slots[at].fd < 0:
            self.sessions[at] = self.sockets[at] = self.parts[at] = None

    cdef void detach(self, int slot) noexcept nogil:
        cdef int i
        if 0 <= slot < TUNNEL_PLACES:
            self.slots[slot].fd = -1
            for i in range(GATEWAYS):        # its next session is not to be used before it has proved itself
                if self.gateways[i].active == slot:
                    self.gateways[i].active = TUNNEL_NONE

    cdef void activate(self, uint32_t gateway, uint8_t slot, uint8_t edges) noexcept nogil:
        if gateway < GATEWAYS:
            self.gateways[gateway].active, self.gateways[gateway].edges = slot, edges

    cdef uint8_t choose(self, uint8_t wanted, uint16_t gateway) noexcept nogil:
        cdef const Gateway* of = &self.gateways[gateway]
        if wanted < TUNNEL_SLOTS and self.slots[wanted].fd >= 0 and of.edges >> wanted & 1:
            return wanted
        if of.active < TUNNEL_SLOTS and self.slots[of.active].fd >= 0:
            return of.active
        return TUNNEL_NONE

    cdef uint16_t largest(self, uint8_t slot, uint16_t ceiling) noexcept nogil:
        return self.slots[slot].mtu if slot < TUNNEL_SLOTS and self.slots[slot].mtu < ceiling else ceiling

    cdef bint carries(self, uint8_t slot, int inner_length) noexcept nogil:
        return inner_length <= PARTS_WHOLE and self.slots[slot].takes_parts and self.slots[slot].session != NULL

    cdef bint join(self, int place, Columns* b, int i, uint64_t* lost) noexcept nogil:
        cdef uint64_t before
        cdef bint whole
        if not 0 <= place < TUNNEL_PLACES or self.slots[place].parts == NULL:
            drop(b, i, DROP_PART_SHAPE)
            return False
        before = (<Parts> self.slots[place].parts).lost
        whole = (<Parts> self.slots[place].parts).join(b, i)
        lost[0] += (<Parts> self.slots[place].parts).lost - before
        return whole

    cdef void send(self, int slot, Columns* b, const uint16_t* rows, int n) noexcept nogil:
        cdef int at = 0, k, most = TUNNEL_HEADER_BYTES + self.slots[slot].mtu
        cdef bint apart
        if not self.slots[slot].takes_parts:
            self._send_whole(slot, b, rows, n)
            return
        while at < n:                    # a run that goes one way or the other: the order stays
            k, apart = at, b.length[rows[at]] > most
            while k < n and (b.length[rows[k]] > most) == apart:
                k += 1
            if apart:
                self._send_apart(slot, b, rows + at, k - at)
            else:
                self._send_whole(slot, b, rows + at, k - at)
            at = k

    cdef void _send_whole(self, int slot, Columns* b, const uint16_t* rows, int n) noexcept nogil:
        cdef uint16_t[4096] sealed
        cdef int k, i, size, m = 0
        cdef uint8_t* frame
        if self.slots[slot].fd >= 0 and self.slots[slot].session == NULL:
            self.slots[slot].sealed += (<Stream> self.slots[slot].socket).send_rows(b, rows, n)
            return
        for k in range(n):
            i = rows[k]
            frame = row(b, i) + b.start[i]
            size = -1
            if self.slots[slot].fd >= 0:
                size = (<Session> self.slots[slot].session).seal(frame, b.length[i], frame, b.room - b.start[i])
            if size <= 0:
                drop(b, i, DROP_ZIA_DOWN)
                continue
            b.length[i] = size
            sealed[m] = i
            m += 1
        self.slots[slot].sealed += m
        if m:
            (<UdpSocket> self.slots[slot].socket).send_rows(b, sealed, m)

    cdef void _send_apart(self, int slot, Columns* b, const uint16_t* rows, int n) noexcept nogil:
        cdef Columns* out = &self.apart.columns
        cdef uint16_t[APART] every, whose
        cdef int at = 0, k, made
        for k in range(APART):
            every[k] = k
        while at < n:
            reset(out, 0)
            while at < n and out.count + PARTS_MAX <= out.capacity:
                made = (<Parts> self.slots[slot].parts).split(b, rows[at], TUNNEL_HEADER_BYTES + self.slots[slot].mtu, out)
                if made == 0:
                    drop(b, rows[at], DROP_ZIA_TOO_BIG)
                for k in range(made):
                    whose[out.count - 1 - k] = rows[at]
                at += 1
            self._send_whole(slot, out, every, out.count)
            for k in range(out.count):
                if out.reason[k] != DROP_NONE:
                    drop(b, whose[k], out.reason[k])

    cdef int send_bytes(self, int slot, const uint8_t* packet, int n) noexcept nogil:
        cdef uint8_t[SEALED_MAX] out
        cdef int size
        if not 0 <= slot < TUNNEL_PLACES or self.slots[slot].fd < 0:
            return 0
        if self.slots[slot].session == NULL:
            self.slots[slot].sealed += 1
            return (<Stream> self.slots[slot].socket).send_packet(packet, n)
        size = (<Session> self.slots[slot].session).seal(packet, n, out, SEALED_MAX)
        if size <= 0:
            return 0
        self.slots[slot].sealed += 1
        return (<UdpSocket> self.slots[slot].socket).send_bytes(out, size) == size

    cdef bint held(self) noexcept nogil:
        cdef int slot
        for slot in range(TUNNEL_PLACES):
            if self.slots[slot].fd >= 0 and (<Port> self.slots[slot].socket).holds():
                return True
        return False

    cdef int recv(self, int slot, Columns* b, int* closed) noexcept nogil:
        cdef int i, size, n = (<Port> self.slots[slot].socket).recv_rows(b)
        closed[0] = 0
        if self.slots[slot].session == NULL:
            return self._streamed(slot, b, n, closed)
        for i in range(n):
            if b.reason[i] != DROP_NONE:
                continue
            size = self._open(slot, row(b, i) + b.start[i], b.length[i], row(b, i) + HEADROOM, b.room - HEADROOM)
            if size <= 0:
                drop(b, i, DROP_DTLS_RECORD)
                closed[0] |= size == DTLS_CLOSED
                continue
            b.start[i], b.length[i] = HEADROOM, size
            self.slots[slot].opened += 1
        return n

    cdef int _streamed(self, int slot, Columns* b, int n, int* closed) noexcept nogil:
        """Rows of a stream are plain already. Its end is told by a row of its own, since without one nobody looks."""
        self.slots[slot].opened += n
        closed[0] = n == 0 and (<Stream> self.slots[slot].socket).closed
        if closed[0]:
            reset(b, 1)
            drop(b, 0, DROP_DTLS_RECORD)
        return b.count

    cdef int _open(self, int slot, const uint8_t* datagram, int n, uint8_t* out, int room) noexcept nogil:
        # Our edges put one record in a datagram (design §3); any more of one are taken out and ignored, so that they
        # can not be mistaken for the next datagram's. What OpenSSL wants to answer (an alert, a retransmission) leaves.
        cdef uint8_t[SEALED_MAX] extra
        cdef int size = (<Session> self.slots[slot].session).open(datagram, n, out, room)
        cdef int more = size
        while more > 0:
            more = (<Session> self.slots[slot].session).open(NULL, 0, extra, SEALED_MAX)
        more = (<Session> self.slots[slot].session).pending(extra, SEALED_MAX)
        if more > 0:
            (<UdpSocket> self.slots[slot].socket).send_bytes(extra, more)
        return size
