# Networks of synthetic addresses: is an address in one of them? Row 1. One writer; readers in any thread.

from libc.stdint cimport uint32_t

cdef enum:
    POOLS_MAX = 256
    POOLS_KEPT = 64                   # sets that were replaced, until so many more have been: a reader may still be in one

cdef struct Networks:
    int size
    uint32_t low[256]                 # host order, ascending, apart
    uint32_t high[256]                # the last address of each

cdef class Pools:
    cdef Networks* now                # never changed, only replaced
    cdef Networks* kept[64]
    cdef int replaced
    cdef bint holds(self, uint32_t address) noexcept nogil
