# Longest prefix match for IPv4 and IPv6: 32-bit values, one writer, many readers. Row 1.

from libc.stdint cimport uint8_t, uint32_t

cdef class Lpm4:
    cdef readonly uint32_t default
    cdef void* _table
    cdef int _taken                                                    # by a replace that gave the interpreter lock up
    cdef uint32_t find(self, uint32_t address) noexcept nogil          # address in host order; default on a miss

cdef class Lpm6:
    cdef readonly uint32_t default
    cdef void* _table
    cdef int _taken                                                    # by a replace that gave the interpreter lock up
    cdef uint32_t find(self, const uint8_t* address) noexcept nogil    # 16 bytes, network order
