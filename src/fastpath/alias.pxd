# A stand-in IPv4 address for each (namespace, workload address), and back. Row 2. One thread.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.flowkey cimport HashKey

cdef struct Workload:
    uint8_t address[16]
    uint64_t quiet_ns                    # since when no flow has it, valid iff users == 0
    int previous, next                   # in the list of those that no flow has, the longest quiet one first; -1 ends
    uint32_t users                       # flows
    uint16_t namespace

cdef class AliasTable:
    cdef readonly int capacity
    cdef readonly int size
    cdef readonly uint32_t base          # IPv4 of alias 0, host order
    cdef Workload* workloads             # by alias number
    cdef int* slots                      # open addressing: alias number, -1 = free
    cdef uint32_t mask
    cdef int first, last                 # of the list
    cdef HashKey secret
    # The alias number of a workload, made if it is new, if need be of one that was quiet for long; -1 when all are in use.
    cdef int number(self, uint16_t namespace, const uint8_t* address, uint64_t now_ns) noexcept nogil
    # A flow has it, and has it no more.
    cdef void hold(self, int n) noexcept nogil
    cdef void give(self, int n, uint64_t now_ns) noexcept nogil
    # The workload behind an IPv4 address (host order), or NULL.
    cdef Workload* find(self, uint32_t address) noexcept nogil

    cdef uint32_t _home(self, uint16_t namespace, const uint8_t* address) noexcept nogil
    cdef void _enlist(self, int n, uint64_t now_ns) noexcept nogil
    cdef void _delist(self, int n) noexcept nogil
    cdef void _forget(self, int n) noexcept nogil
