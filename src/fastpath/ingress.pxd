# The way in: a batch that GWLB sent, from bytes to the flow of each row and the way out it takes. Row 3, below worker.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t

from fastpath.admission cimport Admission
from fastpath.batch cimport Columns
from fastpath.egress cimport Egress
from fastpath.endpoint cimport EndpointMap
from fastpath.shard cimport Shard
from fastpath.watch cimport Watch

cdef class Ingress:
    cdef readonly EndpointMap endpoints
    cdef readonly Admission admission
    cdef readonly Egress egress
    cdef readonly Watch watch
    cdef readonly Shard shard      # None: there is one worker
    cdef uint32_t location[4096]   # of each live row's endpoint
    # All the stages for a batch as it was received. Rows wait in egress. `resumed`: a punted packet that comes again; `mine`:
    # whose rows these are has been seen to.
    cdef void walk(self, Columns* b, bint resumed, bint mine) noexcept nogil
    # Namespace and location of each live row, by its endpoint.
    cdef void place(self, Columns* b) noexcept nogil
    # Each live row to its flow, found or admitted; the flow keeps the row's header, counts it and says the way out.
    cdef void decide(self, Columns* b, bint resumed) noexcept nogil
    cdef int32_t _flow(self, Columns* b, int i, bint resumed) noexcept nogil
    cdef void _decide_row(self, Columns* b, int i, bint resumed) noexcept nogil
    cdef void _decide_whole(self, Columns* b, int i, bint resumed) noexcept nogil
    cdef void _decide_fragment(self, Columns* b, int i, bint resumed) noexcept nogil
    cdef void _decide_piece(self, Columns* b, int i, bint resumed, int number) noexcept nogil
    cdef void _follow(self, Columns* b, int i, int32_t index, uint8_t direction) noexcept nogil
    # Row i by the flow that it speaks of, if it is an ICMP error about one.
    cdef bint _decide_error(self, Columns* b, int i) noexcept nogil
    cdef void _refuse(self, Columns* b, int i) noexcept nogil
