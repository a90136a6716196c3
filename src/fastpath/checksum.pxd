# The Internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3). Row 0.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastpath.wire cimport load_be16, swap16


cdef inline uint32_t add(const uint8_t* at, int n, uint32_t start) noexcept nogil:
    # The sum of 16-bit words does not depend on byte order but for a swap at the end (RFC 1071 §2B), so whole 32-bit words are
    # added as they lie, into 64 bits, which the compiler widens; carries are folded in once.
    cdef uint64_t total = 0
    cdef uint32_t word
    cdef int k, whole = n & ~3
    for k in range(0, whole, 4):
        memcpy(&word, at + k, 4)
        total += word
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    total = swap16(<uint16_t> total)
    if n & 2:
        total += load_be16(at + whole)
    if n & 1:
        total += <uint32_t> at[n - 1] << 8
    return start + <uint32_t> total


cdef inline uint16_t fold(uint32_t total) noexcept nogil:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return <uint16_t> ~total


cdef inline uint16_t update16(uint16_t checksum, uint16_t old, uint16_t new) noexcept nogil:
    cdef uint32_t total = <uint32_t> (<uint16_t> ~checksum) + <uint16_t> ~old + new
    return fold(total)


cdef inline uint16_t update_bytes(uint16_t checksum, const uint8_t* old, const uint8_t* new, int n) noexcept nogil:
    # n is even and at most 32,768: the caller's words lie at even places of the sum, and 32 bits hold the carries.
    cdef int k
    cdef uint32_t total = <uint16_t> ~checksum
    for k in range(0, n, 2):
        total += <uint16_t> ~load_be16(old + k)
        total += load_be16(new + k)
    return fold(total)
