# Networks of synthetic addresses: is an address in one of them? Row 1. Any thread: it never changes.

from libc.stdint cimport uint32_t

cdef enum:
    POOLS_MAX = 256

cdef class Pools:
    cdef readonly int size
    cdef uint32_t low[256]            # host order, ascending, apart
    cdef uint32_t high[256]           # the last address of each
    cdef bint holds(self, uint32_t address) noexcept nogil
