# Geneve (RFC 8926) headers, both ways. Row 1.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastpath.batch cimport Columns

cdef enum:
    GENEVE_PORT = 6081
    GENEVE_BASE_BYTES = 8
    GENEVE_FLAG_CONTROL = 0x80
    GENEVE_FLAG_CRITICAL = 0x40
    GENEVE_IPV4 = 0x0800
    GENEVE_IPV6 = 0x86DD

# Reads `start`/`length` as a Geneve packet; writes geneve_*, vni, inner_start, inner_length (all that follows the header).
# A packet with the O bit may carry any protocol type; others must carry IPv4 or IPv6 (DROP_GENEVE_PROTOCOL).
cdef int decode(Columns* b) noexcept nogil
# Puts the header `header` (n bytes) in front of the inner packet of row i; start and length become the whole.
cdef void put(Columns* b, int i, const uint8_t* header, int n) noexcept nogil
# Writes the 8-byte base header; `options_bytes` is a multiple of 4, at most 252.
cdef void write_base(uint8_t* at, int options_bytes, uint8_t flags, uint16_t protocol, uint32_t vni) noexcept nogil
