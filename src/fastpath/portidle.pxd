# Idle times by port, shorter or longer than those of a timeout class. Row 2. One thread.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.flows cimport Flows

cdef enum:
    IDLE_KINDS = 32              # different times, the two defaults among them
    IDLE_LOOKS = 8               # a flow is looked at so often in its idle time; it may live that much longer

# A flow to be looked at, known again by its hash.
cdef struct Look:
    uint64_t at_ns
    uint64_t hash
    int32_t flow

# The flows of one idle time, in the order in which they are to be looked at: a ring.
cdef struct Queue:
    Look* looks
    uint64_t idle_ns
    uint32_t first
    uint32_t count

cdef class PortIdle:
    cdef readonly int capacity
    cdef readonly int kinds
    cdef Queue queues[32]
    cdef uint8_t kind_of[2][65536]         # TCP, UDP: the queue of a port; 0 none
    # A flow has begun, to `port`.
    cdef void enter(self, const Flows* flows, int32_t flow, uint8_t protocol, uint16_t port, uint64_t now_ns) noexcept nogil
    # Up to `room` flows that were idle for longer than their port allows; they are the caller's to end. One that ended and began
    # again in its place, under the same key, may be named twice.
    cdef int due(self, const Flows* flows, uint64_t now_ns, int32_t* out, int room) noexcept nogil
    cdef bint _add(self, int kind, const Look* look) noexcept nogil
