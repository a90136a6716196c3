# Which namespace and location a GWLB endpoint stands for. Row 2. Written before the worker runs, then read only.

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef struct Endpoint:
    uint64_t id
    uint32_t location
    uint16_t namespace
    uint16_t used

cdef class EndpointMap:
    cdef Endpoint* slots
    cdef uint32_t mask
    cdef readonly int size
    cdef _add(self, uint64_t id, uint16_t namespace, uint32_t location)
    cdef Endpoint* find(self, uint64_t id) noexcept nogil     # NULL = unknown
