"""The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

Journey: rewrite and packet's MSS clamp update sums in place; whole sums are for tests, tools and headers made here. Sums
are of 16-bit words in host order. It knows no header: a pseudo-header is the caller's to add.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastpath.wire cimport load_be16, swap16


cdef uint32_t add(const uint8_t* at, int n, uint32_t start) noexcept nogil:
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


cdef uint16_t fold(uint32_t total) noexcept nogil:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return <uint16_t> ~total


cdef uint16_t update16(uint16_t checksum, uint16_t old, uint16_t new) noexcept nogil:
    cdef uint32_t total = <uint32_t> (<uint16_t> ~checksum) + <uint16_t> ~old + new
    return fold(total)


cdef uint16_t update_bytes(uint16_t checksum, const uint8_t* old, const uint8_t* new, int n) noexcept nogil:
    # n is even and at most 32,768: the caller's words lie at even places of the sum, and 32 bits hold the carries.
    cdef int k
    cdef uint32_t total = <uint16_t> ~checksum
    for k in range(0, n, 2):
        total += <uint16_t> ~load_be16(old + k)
        total += load_be16(new + k)
    return fold(total)


def checksum(const uint8_t[::1] data not None):
    """Return the Internet checksum of `data` in host order; over a header that holds its checksum it is 0 (RFC 1071).

    Raises:
        ValueError: data is longer than 65,535 bytes.
    """
    if len(data) > 65535:
        raise ValueError(f"data must be at most 65535 bytes, not {len(data)}")
    return fold(add(&data[0], len(data), 0)) if len(data) else 0xFFFF


def updated(uint16_t checksum, uint16_t old, uint16_t new):
    """Return `checksum` after one 16-bit word changed from `old` to `new` (RFC 1624, equation 3)."""
    return update16(checksum, old, new)
