# Workload packets that the kernel routes here, as if a gateway load balancer had sent them. Row 3.

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.gwlb cimport GWLB_HEADER_BYTES
from fastpath.packetio cimport Device, GenevePort

cdef enum:
    WAYS_MAX = 16
    ROWS_MAX = 4096          # of a batch

@cython.final
cdef class RoutedPort(GenevePort):
    cdef readonly tuple devices
    cdef void* ways[WAYS_MAX]                             # borrowed: devices
    cdef uint64_t endpoints[WAYS_MAX]                     # of each
    cdef uint8_t four[WAYS_MAX][GWLB_HEADER_BYTES]        # the header of each one's packets
    cdef uint8_t six[WAYS_MAX][GWLB_HEADER_BYTES]
    cdef int count
    cdef int turn                                         # whose turn it is to be asked first
    cdef list _lost                                       # what each had lost when it was opened
    cdef uint16_t rows[ROWS_MAX]
    cdef _add(self, Device device, uint64_t endpoint)
    cdef void _dress(self, Columns* b, int n, int way) noexcept nogil
    cdef int _way_of(self, Columns* b, int i) noexcept nogil
