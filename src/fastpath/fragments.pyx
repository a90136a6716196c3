"""FragmentTable: fragments follow their first fragment, in any order, and no others.

    first fragment  ─▶ decided as a whole packet is ─▶ settle: flow, or the reason of a drop ─▶ what waited is released
    later fragment  ─▶ flow known: it follows │ not yet: it is held, for HELD_NS at most │ dropped: so is it

A fragment without ports says nothing of its flow but by (source, destination, protocol, identification), under which its first
one left it here. Overlaps are an attack or a fault: they drop the rest of the datagram, in both families (RFC 5722; for IPv4 see
RFC 1858 and RFC 3128); the same fragment again is dropped alone (RFC 8200 §4.5). A datagram is forgotten when all of it was
seen, after LIFE_NS, or when `capacity` others began after it: a flood of fragments pushes out fragments, and nothing else. All
memory is taken when the table is made. It reassembles nothing. One thread: the one that owns the batches.
"""

cimport cython
from libc.stdint cimport INT32_MAX, int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastpath.action cimport *
from fastpath.arguments cimport BYTE_MAX, integer, uint64
from fastpath.batch cimport HEADROOM, Columns, PacketBatch, drop, inside, reset, row
from fastpath.buckets cimport add_slot, close_buckets, drop_slot, find_key, open_buckets
from fastpath.flowkey cimport FlowKey, hash_key, set_secret
from fastpath.memory cimport give_pages, take_pages
from fastpath.packet cimport live_row
from fastpath.wire cimport load_be16, load_be32

cdef enum:
    CAPACITY_MAX = 1 << 20
    HELD_MAX = 1 << 14
    ROOM = 9216 - 128            # of a frame that waits: what a row has behind its headroom
    LIFE_NS = 10_000_000_000     # enough for one way; RFC 791's 15 s and RFC 8200's 60 s are the receiver's, who has to reassemble
    HELD_NS = 1_000_000_000
    FRAGMENT_HEADER = 44         # RFC 8200 §4.5
    AUTHENTICATION = 51

# What a fragment says of itself.
cdef struct Span:
    uint32_t identification
    uint32_t first               # byte of the datagram's payload
    uint32_t length
    bint more


cdef bint span_of(Columns* b, int i, Span* out) noexcept nogil:
    """False: no datagram can have such a fragment. The row is parsed and is a fragment."""
    cdef const uint8_t* ip = row(b, i) + b.inner_start[i]
    cdef int at = 40, _
    cdef uint8_t kind
    cdef uint16_t word
    if b.ip_version[i] == 4:
        word = load_be16(ip + 6)
        out.identification, out.first, out.more = load_be16(ip + 4), 8 * (word & 0x1FFF), word & 0x2000 != 0
        out.length = b.inner_length[i] - 4 * (ip[0] & 0x0F)
    else:
        kind = ip[6]
        for _ in range(9):       # the parser has walked it before
            if kind == FRAGMENT_HEADER:
                break
            kind, at = ip[at], at + (4 * (ip[at + 1] + 2) if kind == AUTHENTICATION else 8 * (ip[at + 1] + 1))
        word = load_be16(ip + at + 2)
        out.identification, out.first, out.more = load_be32(ip + at + 4), word & 0xFFF8, word & 1
        out.length = b.inner_length[i] - at - 8
    return out.length > 0 and out.first + out.length <= 0xFFFF and not (out.more and out.length & 7)


cdef uint8_t note(Datagram* datagram, const Span* span) noexcept nogil:
    """Enter a fragment's bytes; a DropReason where they do not fit to what was seen."""
    cdef uint32_t first = span.first, behind = span.first + span.length
    cdef int k
    for k in range(datagram.extents):
        if datagram.extent[k].first == first and datagram.extent[k].behind == behind:
            return DROP_FRAGMENT_DUPLICATE
        if first < datagram.extent[k].behind and datagram.extent[k].first < behind:
            return DROP_FRAGMENT_OVERLAP
        if not span.more and datagram.extent[k].behind > behind:
            return DROP_FRAGMENT_OVERLAP              # it ends where another goes on
    if datagram.whole and (behind > datagram.whole or not span.more):
        return DROP_FRAGMENT_OVERLAP
    if datagram.extents == FRAGMENTS_MAX:
        return DROP_FRAGMENT_SHAPE
    datagram.extent[datagram.extents].first, datagram.extent[datagram.extents].behind = <uint16_t> first, <uint16_t> behind
    datagram.extents += 1
    datagram.seen += span.length
    if not span.more:
        datagram.whole = behind
    return DROP_NONE


@cython.final
cdef class FragmentTable:
    """Up to `capacity` datagrams in fragments, and up to `held` frames that wait for a first fragment.

    Args:
        capacity: datagrams, 1 … 2^20; 344 bytes each.
        held: frames, 1 … 2^14; 9,128 bytes each.
        seed: 32 secret bytes.
    Raises:
        ValueError: capacity, held or seed out of range.
        MemoryError: the system has not that much memory.
    """

    def __cinit__(self, capacity=4096, held=256, *, seed):
        self.capacity = <int> integer(capacity, "capacity", 1, CAPACITY_MAX)
        self.held_capacity = <int> integer(held, "held", 1, HELD_MAX)
        set_secret(&self.secret, seed, "seed")
        self.datagrams = <Datagram*> take_pages(self.capacity, sizeof(Datagram))
        self.held = <Held*> calloc(self.held_capacity, sizeof(Held))
        self.rooms = <uint8_t*> take_pages(self.held_capacity, ROOM)
        if self.datagrams is NULL or self.held is NULL or self.rooms is NULL \
                or not open_buckets(&self.index, self.capacity, self.datagrams, sizeof(Datagram)):
            raise MemoryError(f"no memory for {self.capacity} datagrams and {self.held_capacity} frames")

    def __dealloc__(self):
        close_buckets(&self.index)
        give_pages(self.datagrams, self.capacity, sizeof(Datagram))
        give_pages(self.rooms, self.held_capacity, ROOM)
        free(self.held)

    # ---- leaves ----

    cdef int enter(self, Columns* b, int i, uint8_t origin, bint again, uint64_t now_ns) noexcept nogil:
        cdef FlowKey key
        cdef Span span
        cdef Datagram* datagram
        cdef int number
        cdef uint8_t reason
        if not span_of(b, i, &span):
            drop(b, i, DROP_FRAGMENT_SHAPE)
            return ENTER_DROPPED
        fill_key(&key, b, i, span.identification, origin)
        number = self._find(b, i, &key, now_ns)
        datagram = &self.datagrams[number]
        if datagram.verdict:
            drop(b, i, datagram.verdict)
            return ENTER_DROPPED
        if span.first and datagram.flow < 0:
            return self._hold(b, i, number, origin, now_ns)
        reason = note(datagram, &span)
        if reason == DROP_FRAGMENT_DUPLICATE and again and datagram.flow < 0:
            return number
        if reason == DROP_NONE:
            return number
        if reason != DROP_FRAGMENT_DUPLICATE:
            datagram.verdict = reason
        drop(b, i, reason)
        return ENTER_DROPPED

    cdef int _find(self, Columns* b, int i, const FlowKey* key, uint64_t now_ns) noexcept nogil:
        cdef uint64_t hash = hash_key(key, &self.secret)
        cdef int number = find_key(&self.index, hash, key.words)
        if number >= 0 and now_ns > self.datagrams[number].until_ns:
            self._end(number)
            number = -1
        return number if number >= 0 else self._begin(key, hash, now_ns)

    cdef int _begin(self, const FlowKey* key, uint64_t hash, uint64_t now_ns) noexcept nogil:
        cdef int number = self.next_datagram
        cdef Datagram* datagram = &self.datagrams[number]
        self.next_datagram = number + 1 if number + 1 < self.capacity else 0
        if datagram.used:
            self._end(number)
        memset(datagram, 0, sizeof(Datagram))
        datagram.key, datagram.hash, datagram.until_ns, datagram.flow = key[0], hash, now_ns + LIFE_NS, -1
        datagram.used = add_slot(&self.index, hash, number) != 0       # without memory it will not be found again
        return number

    cdef void _end(self, int number) noexcept nogil:
        drop_slot(&self.index, self.datagrams[number].hash, number)
        self.datagrams[number].used = 0

    cdef int _hold(self, Columns* b, int i, int number, uint8_t origin, uint64_t now_ns) noexcept nogil:
        cdef Held* frame
        cdef uint64_t hash = self.datagrams[number].hash
        cdef int k, mine = 0
        for k in range(self.held_capacity if self.waiting else 0):
            mine += (self.held[k].used == 1) & (self.held[k].datagram == number) & (self.held[k].hash == hash)
        if mine >= HELD_OF_ONE or b.length[i] > ROOM:
            drop(b, i, DROP_FRAGMENT_ORPHAN)
            return ENTER_DROPPED
        frame = &self.held[self.next_held]
        if frame.used:
            self._lose(frame)
        memcpy(self.rooms + <size_t> self.next_held * ROOM, row(b, i) + b.start[i], b.length[i])
        self.next_held = self.next_held + 1 if self.next_held + 1 < self.held_capacity else 0
        frame.until_ns, frame.hash, frame.datagram = now_ns + HELD_NS, hash, number
        frame.peer_address, frame.peer_port = b.peer_address[i], b.peer_port[i]
        frame.length, frame.origin, frame.ready, frame.used = b.length[i], origin, 0, 1
        self.waiting += 1
        return ENTER_HELD

    cdef void _lose(self, Held* frame) noexcept nogil:
        self.waiting -= 1
        self.ready -= frame.ready
        self.lost += 1
        frame.used = 0

    cdef void settle(self, int number, int32_t flow, uint64_t flow_hash, uint8_t direction, uint8_t verdict) noexcept nogil:
        cdef Datagram* datagram = &self.datagrams[number]
        cdef Held* frame
        cdef int k
        datagram.flow, datagram.flow_hash, datagram.direction, datagram.verdict = flow, flow_hash, direction, verdict
        for k in range(self.held_capacity if self.waiting > self.ready else 0):
            frame = &self.held[k]
            if frame.used and not frame.ready and frame.datagram == number and frame.hash == datagram.hash:
                frame.ready = 1
                self.ready += 1

    cdef void follow(self, int number, int32_t* flow, uint64_t* flow_hash, uint8_t* direction) noexcept nogil:
        cdef Datagram* datagram = &self.datagrams[number]
        flow[0], flow_hash[0], direction[0] = datagram.flow, datagram.flow_hash, datagram.direction
        if datagram.whole and datagram.seen == datagram.whole:
            self._end(number)

    cdef int release(self, Columns* b, uint8_t origin) noexcept nogil:
        cdef Held* frame
        cdef int k, n = 0
        reset(b, 0)
        for k in range(self.held_capacity if self.ready else 0):
            frame = &self.held[k]
            if not frame.used or not frame.ready or frame.origin != origin or n == b.capacity:
                continue
            reset_row(b, n, self.rooms + <size_t> k * ROOM, frame)
            n += b.reason[n] == DROP_NONE
            frame.used = 0
            self.waiting -= 1
            self.ready -= 1
        b.count = n
        return n

    cdef uint64_t sweep(self, uint64_t now_ns) noexcept nogil:
        cdef int k
        cdef uint64_t lost
        for k in range(self.held_capacity if self.waiting else 0):
            if self.held[k].used and now_ns > self.held[k].until_ns:
                self._lose(&self.held[k])
        lost, self.lost = self.lost, 0
        return lost

    # ---- Python ----

    def enter_one(self, PacketBatch batch not None, row_number, origin, now_ns, bint again=False):
        """Enter a fragment.

        Args:
            row_number: a live row of the batch, parsed, that is a fragment; `namespace` is set.
            origin: an Origin.
            now_ns: any clock that never goes back.
            again: the first fragment has been entered before, and was decided only now.
        Returns:
            The number of its datagram: the row goes on, a first fragment to whoever decides it. -1: the row is dropped. -2: the
            frame is held; the row is done with.
        Raises:
            ValueError: it is no such row, or no Origin.
        Drops:
            FRAGMENT_OVERLAP, FRAGMENT_DUPLICATE, FRAGMENT_SHAPE; FRAGMENT_ORPHAN: too many wait; what `settle_one` said.
        """
        cdef Columns* b = &batch.columns
        cdef uint8_t from_ = <uint8_t> integer(origin, "origin", 0, ORIGIN_EDGE)
        cdef uint64_t now = uint64(now_ns, "now_ns")
        cdef int i = live_row(b, row_number, "row_number")
        if b.fragment[i] == FRAGMENT_NONE:
            raise ValueError(f"row_number must be a row with a fragment, which {i} is not")
        inside(b, b.start, b.length, "start and length")
        return self.enter(b, i, from_, again, now)

    def settle_one(self, number, flow, flow_hash=0, direction=0, verdict=0):
        """Say what became of the first fragment of a datagram: its flow, or (flow -1) the DropReason of all its fragments.

        Raises:
            ValueError: number is not a datagram, or another argument is out of range.
        """
        cdef int32_t of_flow = <int32_t> integer(flow, "flow", -1, INT32_MAX)
        cdef uint64_t hash = uint64(flow_hash, "flow_hash")
        cdef uint8_t end = <uint8_t> integer(direction, "direction", 0, 1)
        cdef uint8_t reason = <uint8_t> integer(verdict, "verdict", 0, BYTE_MAX)
        self.settle(self._datagram(number), of_flow, hash, end, reason)

    def follow_one(self, number):
        """Return (flow, flow_hash, direction) as they were settled, for a later fragment that goes on.

        The datagram is forgotten if this was the last of it.

        Raises:
            ValueError: number is not a datagram.
        """
        cdef int32_t flow
        cdef uint64_t flow_hash
        cdef uint8_t direction
        self.follow(self._datagram(number), &flow, &flow_hash, &direction)
        return flow, flow_hash, direction

    def release_rows(self, PacketBatch batch not None, origin):
        """Make rows of frames that need wait no more, as they were received; return how many.

        Raises:
            ValueError: no Origin.
        """
        return self.release(&batch.columns, <uint8_t> integer(origin, "origin", 0, ORIGIN_EDGE))

    def sweep_held(self, now_ns):
        """Forget frames that waited for too long; return how many were lost since the last call, also to newer ones."""
        return self.sweep(uint64(now_ns, "now_ns"))

    cdef int _datagram(self, object value) except -1:
        cdef int number = <int> integer(value, "number", 0, self.capacity - 1)
        if not self.datagrams[number].used:
            raise ValueError(f"number: {number} is not a datagram of this table")
        return number


cdef void fill_key(FlowKey* key, Columns* b, int i, uint32_t identification, uint8_t origin) noexcept nogil:
    memcpy(key.fields.a_address, b.source + 16 * i, 16)
    memcpy(key.fields.b_address, b.destination + 16 * i, 16)
    key.fields.a_port, key.fields.b_port = <uint16_t> (identification >> 16), <uint16_t> identification
    key.fields.namespace = b.namespace[i]
    # Only IPv4 counts the protocol in; an IPv6 fragment may name another next header than the first one does.
    key.fields.protocol = b.protocol[i] if b.ip_version[i] == 4 else 0
    key.fields.ip_version = <uint8_t> (b.ip_version[i] | origin << 4)


cdef void reset_row(Columns* b, int k, const uint8_t* bytes_, const Held* frame) noexcept nogil:
    """Row k as a port or device would have made it."""
    if HEADROOM + frame.length > b.room:
        b.reason[k] = DROP_IO_TRUNCATED
        return
    b.action[k] = b.reason[k] = 0
    b.entry[k] = b.rule[k] = -1
    b.start[k] = b.inner_start[k] = HEADROOM
    b.length[k] = b.inner_length[k] = frame.length
    b.peer_address[k], b.peer_port[k] = frame.peer_address, frame.peer_port
    memcpy(row(b, k) + HEADROOM, bytes_, frame.length)
