# Flows by key, for Cython and Python; the table itself is flows.pxd. Row 2. One thread.

from libc.stdint cimport int32_t, uint8_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.flowkey cimport FlowKey
from fastpath.flows cimport (FLOW_ACKNOWLEDGED, FLOW_BOUND, FLOW_FIN_FORWARD, FLOW_FIN_REVERSE, FLOW_HEADER_MAX,
                             FLOW_KERNEL_INSIDE, FLOW_PINNED, FLOW_RESET, FLOW_SEEN_REPLY, TIMEOUT_CLASSES, TIMEOUT_ICMP,
                             TIMEOUT_OTHER, TIMEOUT_TCP, TIMEOUT_TCP_CLOSING, TIMEOUT_TCP_OPENING, TIMEOUT_UDP, FlowEntry,
                             FlowPath, Flows, class_of, header_of, keep_header, path_of)

cdef class FlowTable:
    cdef Flows core
    cdef FlowEntry* entries                                        # those of core
    cdef readonly int capacity
    cdef int _taken                                                # by a call that gave the interpreter lock up
    # Sets entry of every live row (-1 = miss); returns the number of misses. Does not touch.
    cdef int lookup(self, Columns* b) noexcept nogil
    cdef int32_t find(self, const FlowKey* key, uint64_t hash) noexcept nogil
    # A zeroed entry (key, hash, times, class, used set), or -1: full. Key must not be present.
    cdef int32_t insert(self, const FlowKey* key, uint64_t hash, uint8_t timeout_class, uint64_t now_ns) noexcept nogil
    # last_seen_ns, and to the tail of the list that class (it may change) and state ask for.
    cdef void touch(self, int32_t index, uint8_t timeout_class, uint64_t now_ns) noexcept nogil
    cdef void remove(self, int32_t index) noexcept nogil
    # The least recently used flow that may give way to a new one (no answer seen, TCP opening or closing); -1 if there is none.
    cdef int32_t oldest(self) noexcept nogil
    # Up to `room` indexes of flows idle for longer than their class allows, in out; they stay until removed. O(due).
    cdef int due(self, uint64_t now_ns, int32_t* out, int room) noexcept nogil
    # Row i belongs to flow b.entry[i] (≥ 0): counts it in its direction, moves the TCP state on, touches.
    cdef void account(self, Columns* b, int i, uint64_t now_ns) noexcept nogil
    cdef object _view(self, uint8_t* at, object dtype)
    cdef int _set_idle(self, dict idle) except -1
    cdef int _check(self, int32_t index, str name) except -1       # ValueError unless index is a flow of this table
    cdef int _check_entries(self, Columns* b) except -1
