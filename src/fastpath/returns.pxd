# The way back: what the kernel and internet edges send, to the flow it answers. Row 3, below worker.

from libc.stdint cimport int32_t, uint8_t, uint64_t

from fastpath.admission cimport Admission
from fastpath.batch cimport Columns
from fastpath.egress cimport Egress
from fastpath.quote cimport Quote
from fastpath.shard cimport Shard

cdef class Returns:
    cdef readonly Admission admission
    cdef readonly Egress egress
    cdef readonly Shard shard      # None: there is one worker
    # A batch that the device has received, parsed here; sent before it returns. `mine`: whose rows these are has been seen to.
    cdef void from_device(self, Columns* b, bint mine) noexcept nogil
    # What waits on a tunnel, by way of b.
    cdef void from_tunnel(self, int slot, Columns* b) noexcept nogil
    cdef void take_device(self, Columns* b, bint mine) noexcept nogil
    # What another worker has handed over of an edge's packets.
    cdef void from_edges(self, Columns* b) noexcept nogil
    cdef void release(self, int slot, Columns* b) noexcept nogil
    cdef void take_tunnel(self, int slot, Columns* b, bint mine) noexcept nogil
    # A control message or a part of a packet (a critical option): whether the row goes on as a packet.
    cdef bint take_flagged(self, int slot, Columns* b, int i) noexcept nogil
    cdef void from_kernel(self, Columns* b, int i) noexcept nogil
    cdef int32_t from_kernel_inside(self, Columns* b, int i) noexcept nogil
    cdef void for_workload(self, Columns* b, int i, int32_t index) noexcept nogil
    cdef int32_t to_binding(self, Columns* b, int i) noexcept nogil
    cdef void restore(self, Columns* b, int i, int32_t index) noexcept nogil
    cdef void error_from_kernel(self, Columns* b, int i, bint inside, Quote* quote) noexcept nogil
    cdef void from_edge(self, Columns* b, int i, bint mine) noexcept nogil
    cdef bint error_from_edge(self, Columns* b, int i, Quote* quote) noexcept nogil
    cdef bint move(self, Columns* b, int i, int number, bint mine) noexcept nogil
    cdef bint is_flow(self, int32_t index, uint64_t flow_hash) noexcept nogil
    cdef bint answers(self, Columns* b, int32_t index, uint8_t direction) noexcept nogil
