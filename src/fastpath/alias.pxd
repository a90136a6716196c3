# A stand-in IPv4 address for each (namespace, workload address), and back. Row 2. One thread.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef struct Workload:
    uint8_t address[16]
    uint16_t namespace

cdef class AliasTable:
    cdef readonly int capacity
    cdef readonly int size
    cdef readonly uint32_t base          # IPv4 of alias 0, host order
    cdef Workload* workloads             # by alias number
    cdef int* slots                     # open addressing: alias number, -1 = free
    cdef uint32_t mask
    # The alias number of a workload, made if it is new; -1 when all are taken.
    cdef int number(self, uint16_t namespace, const uint8_t* address) noexcept nogil
    # The workload behind an IPv4 address (host order), or NULL.
    cdef Workload* find(self, uint32_t address) noexcept nogil
