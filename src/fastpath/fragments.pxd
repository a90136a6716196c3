# Which flow the fragments of a datagram belong to, and the ones that came before their first. Row 2. One thread.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.buckets cimport Buckets
from fastpath.flowkey cimport FlowKey, HashKey

cdef enum:
    FRAGMENTS_MAX = 64           # of one datagram: 65,535 bytes in pieces of 1,024
    HELD_OF_ONE = 16             # later fragments of one datagram that may wait for its first
    ENTER_DROPPED = -1
    ENTER_HELD = -2

# Where a fragment comes from; the same numbers in two places are not the same datagram.
cpdef enum Origin:
    ORIGIN_WORKLOAD = 0
    ORIGIN_KERNEL = 1
    ORIGIN_EDGE = 2

cdef struct Extent:
    uint16_t first               # byte of the datagram's payload
    uint16_t behind              # the last one + 1

# One datagram in fragments. It begins as buckets.pxd wants it: key, hash.
cdef struct Datagram:
    FlowKey key                  # a = source, b = destination; the ports are the identification
    uint64_t hash
    uint64_t until_ns
    uint64_t flow_hash           # valid iff flow >= 0
    int32_t flow                 # -1: nobody has decided its first fragment yet
    uint32_t seen                # bytes
    uint32_t whole               # bytes, once the last fragment was seen; else 0
    uint8_t used
    uint8_t verdict              # DropReason of every fragment from now on; 0 none
    uint8_t direction            # of its first fragment, valid iff flow >= 0
    uint8_t extents
    uint16_t identification      # that its fragments leave with under our address; 0: none yet
    Extent extent[64]

# A frame that waits; its bytes lie in the room of the same number.
cdef struct Held:
    uint64_t until_ns
    uint64_t hash                # of its datagram
    uint32_t peer_address
    int32_t datagram
    uint16_t peer_port
    uint16_t length
    uint8_t used
    uint8_t origin
    uint8_t ready

cdef class FragmentTable:
    cdef readonly int capacity
    cdef readonly int held_capacity
    cdef Datagram* datagrams
    cdef Held* held
    cdef uint8_t* rooms
    cdef Buckets index
    cdef HashKey secret
    cdef int next_datagram           # places are taken in turn: who stands there is the oldest
    cdef int next_held
    cdef readonly int waiting        # frames held
    cdef readonly int ready          # of these, frames whose first fragment has come
    cdef uint64_t lost               # held in vain, since the last sweep
    # Row i, a fragment, at the time now_ns: the datagram's number, and the row goes on; ENTER_DROPPED with the row's reason; or
    # ENTER_HELD, the frame is kept and the row is done with. `again`: the first fragment has been here before (it was punted).
    cdef int enter(self, Columns* b, int i, uint8_t origin, bint again, uint64_t now_ns) noexcept nogil
    # The first fragment of a datagram, row i, was decided: its flow, or why it and all others are dropped.
    cdef void settle(self, int datagram, int32_t flow, uint64_t flow_hash, uint8_t direction, uint8_t verdict) noexcept nogil
    # What was settled for the datagram of a later fragment that goes on; the last one ends it here.
    cdef void follow(self, int datagram, int32_t* flow, uint64_t* flow_hash, uint8_t* direction) noexcept nogil
    # Make rows of frames that were held for `origin` and are ready, as received; returns how many, at most the batch's capacity.
    cdef int release(self, Columns* b, uint8_t origin) noexcept nogil
    # Forget frames that have waited for too long; returns how many were lost since the last call.
    cdef uint64_t sweep(self, uint64_t now_ns) noexcept nogil

    cdef int _find(self, Columns* b, int i, const FlowKey* key, uint64_t now_ns) noexcept nogil
    cdef int _begin(self, const FlowKey* key, uint64_t hash, uint64_t now_ns) noexcept nogil
    cdef int _hold(self, Columns* b, int i, int number, uint8_t origin, uint64_t now_ns) noexcept nogil
    cdef void _end(self, int datagram) noexcept nogil
    cdef void _lose(self, Held* frame) noexcept nogil
    cdef int _datagram(self, object value) except -1
