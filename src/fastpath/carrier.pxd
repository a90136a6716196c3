# Batches between the tunnels of an internet edge and its device, but for what needs thought. Row 3. One thread.

cimport cython
from libc.stdint cimport int64_t, uint64_t

from fastpath.batch cimport PacketBatch
from fastpath.inward cimport Inward
from fastpath.outward cimport Outward
from fastpath.packetio cimport Port

@cython.final
cdef class Carrier:
    cdef readonly PacketBatch batch
    cdef readonly Outward outward
    cdef readonly Inward inward
    cdef readonly object drops           # int64[reasons + 1], by DropReason; the last: rows that were done with
    cdef int64_t[::1] _drops
    cdef readonly int stage              # that comes next for the batch
    cdef int[2] _others                  # descriptors that end a run
    cdef bint _side                      # that had its turn last: 1 = tunnels
    cdef int _taken                      # by a call that gave the interpreter lock up
    cdef _from(self, int stage, object now_ns)
    cdef int _check(self, int stage) except -1
    cdef int _run(self, uint64_t until_ns) noexcept nogil
    cdef int _step(self, bint outward, bint inward, uint64_t now_ns) noexcept nogil
    cdef int _take(self, Port port, int stage, uint64_t now_ns) noexcept nogil
    cdef int _walk(self, int stage, uint64_t now_ns) noexcept nogil
    cdef int _do(self, int stage, uint64_t now_ns) noexcept nogil
    cdef void _count(self) noexcept nogil
