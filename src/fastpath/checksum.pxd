# The Internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3). Row 0.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

cdef uint32_t add(const uint8_t* at, int n, uint32_t start) noexcept nogil
cdef uint16_t fold(uint32_t total) noexcept nogil
cdef uint16_t update16(uint16_t checksum, uint16_t old, uint16_t new) noexcept nogil
cdef uint16_t update_bytes(uint16_t checksum, const uint8_t* old, const uint8_t* new, int n) noexcept nogil
