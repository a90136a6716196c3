# Bytes in network order <-> host integers, the only place that swaps. Row 0.
# Every function reads or writes exactly its width; the caller has checked the bound.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

cdef extern from *:
    """
    #define fastpath_swap16(x) __builtin_bswap16(x)
    #define fastpath_swap32(x) __builtin_bswap32(x)
    #define fastpath_swap64(x) __builtin_bswap64(x)
    #if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
    #error "fastpath is built for little-endian machines only"
    #endif
    """
    uint16_t swap16 "fastpath_swap16" (uint16_t x) noexcept nogil
    uint32_t swap32 "fastpath_swap32" (uint32_t x) noexcept nogil
    uint64_t swap64 "fastpath_swap64" (uint64_t x) noexcept nogil


cdef inline uint16_t load_be16(const uint8_t* at) noexcept nogil:
    cdef uint16_t value
    memcpy(&value, at, 2)
    return swap16(value)


cdef inline uint32_t load_be32(const uint8_t* at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, 4)
    return swap32(value)


cdef inline uint64_t load_be64(const uint8_t* at) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, 8)
    return swap64(value)


cdef inline void store_be16(uint8_t* at, uint16_t value) noexcept nogil:
    value = swap16(value)
    memcpy(at, &value, 2)


cdef inline void store_be32(uint8_t* at, uint32_t value) noexcept nogil:
    value = swap32(value)
    memcpy(at, &value, 4)


cdef inline void store_be64(uint8_t* at, uint64_t value) noexcept nogil:
    value = swap64(value)
    memcpy(at, &value, 8)
