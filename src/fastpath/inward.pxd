# From the internet into tunnels: the stages of an internet edge's batches. Row 3. One thread.

cimport cython
from libc.stdint cimport int64_t, uint16_t, uint32_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.links cimport Link, Links
from fastpath.outlet cimport Outlet
from fastpath.packetio cimport Port

@cython.final
cdef class Inward:
    cdef readonly Port udp
    cdef readonly Links links
    cdef readonly Outlet outlet
    cdef readonly object ways            # uint32[4096], the number of the session that a row goes by; 0 = none
    cdef readonly object carried         # int64[2], inner packets and bytes; only grow
    cdef uint32_t[::1] _ways
    cdef int64_t[::1] _carried
    cdef int mtu                         # of a way that nobody knows
    cdef uint64_t silent_ns              # a session of which nothing was heard for so long may have a better successor
    cdef bint _odd                       # the batch has had fragments
    cdef const uint16_t[::1] _rows_with_flows(self, Columns* b, object rows)
    # The stages, each over all live rows; they return a Want.
    cdef int parse(self, Columns* b) noexcept nogil
    cdef int find(self, Columns* b, uint64_t now_ns) noexcept nogil
    cdef int restore(self, Columns* b, uint64_t now_ns) noexcept nogil
    cdef int enter(self, Columns* b) noexcept nogil
    cdef int _way(self, int i, uint32_t owner, uint64_t now_ns) noexcept nogil
    cdef bint _restore_row(self, Columns* b, int i) noexcept nogil
    cdef int _enter_rows(self, Columns* b, const uint16_t* rows, const uint32_t* ways, int n) noexcept nogil
    cdef bint _seal_row(self, Link link, Columns* b, int i) noexcept nogil
    cdef int _stream_rows(self, Link link, Columns* b, const uint16_t* rows, int n) noexcept nogil
