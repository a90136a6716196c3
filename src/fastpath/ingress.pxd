# The way in: a batch that GWLB sent, from bytes to the flow of each row and the way out it takes. Row 3, below worker.

from libc.stdint cimport uint16_t, uint32_t

from fastpath.admission cimport Admission
from fastpath.batch cimport Columns
from fastpath.egress cimport Egress
from fastpath.endpoint cimport EndpointMap

cdef class Ingress:
    cdef readonly EndpointMap endpoints
    cdef readonly Admission admission
    cdef readonly Egress egress
    cdef uint32_t location[4096]   # of each live row's endpoint
    # All the stages for a batch as it was received; `resumed`: a punted packet that comes again. Rows wait in egress.
    cdef void walk(self, Columns* b, bint resumed) noexcept nogil
    # Namespace and location of each live row, by its endpoint.
    cdef void place(self, Columns* b) noexcept nogil
    # Each live row to its flow, found or admitted; the flow keeps the row's header, counts it and says the way out.
    cdef void decide(self, Columns* b, bint resumed) noexcept nogil
    cdef void _decide_row(self, Columns* b, int i, bint resumed) noexcept nogil
