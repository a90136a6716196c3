# From tunnels to the internet: the stages of an internet edge's batches. Row 3. One thread.

cimport cython
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.fragments cimport FragmentTable
from fastpath.identification cimport Identifications
from fastpath.links cimport Link, Links
from fastpath.outlet cimport Outlet
from fastpath.packetio cimport Port

@cython.final
cdef class Outward:
    cdef readonly Port device
    cdef readonly Links links
    cdef readonly Outlet outlet
    cdef readonly FragmentTable fragments
    cdef readonly Identifications identifications
    cdef readonly object origin          # uint32[4096], the number of the session that a row came by; 0 = none (yet)
    cdef readonly object datagrams       # int32[rows], that a row is a fragment of; -1 = none
    cdef readonly object carried         # int64[2], inner packets and bytes that left; only grow
    cdef uint32_t[::1] _origin
    cdef int32_t[::1] _datagrams
    cdef int64_t[::1] _carried
    cdef int mtu                         # of a session that has ended
    cdef bint _odd                       # the batch has had fragments
    # The stages, each over all live rows; they return a Want.
    cdef int open(self, Columns* b, uint64_t now_ns) noexcept nogil
    cdef int reopen(self, Columns* b, uint64_t now_ns) noexcept nogil
    cdef int decode(self, Columns* b) noexcept nogil
    cdef int look_up(self, Columns* b, uint64_t now_ns) noexcept nogil
    cdef int account(self, Columns* b, uint64_t now_ns) noexcept nogil
    cdef int leave(self, Columns* b) noexcept nogil
    # In place of the first two, for rows that have been opened.
    cdef void originate(self, Columns* b) noexcept nogil
    cdef bint _open_row(self, Link link, Columns* b, int i, uint64_t now_ns) noexcept nogil
    cdef void _translate(self, Columns* b, int i, int mtu) noexcept nogil
