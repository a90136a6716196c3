# The outer headers of a packet to GWLB: IPv4 (RFC 791 §3.1) and UDP (RFC 768). Header only. Row 0.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastpath.wire cimport store_be32

cdef enum:
    OUTER_BYTES = 28     # IPv4 20 + UDP 8
    OUTER_TTL = 64
    DONT_FRAGMENT = 0x4000


# Writes both headers: DF, identification 0 (RFC 6864 §4.1 for what is never fragmented), UDP checksum 0 (RFC 8926 §4.3.1,
# over IPv4). The IPv4 checksum is right, also where a raw socket's kernel would fill it in.
cdef inline void write_outer(uint8_t* at, uint32_t source, uint16_t source_port, uint32_t destination,
                             uint16_t destination_port, int payload) noexcept nogil:
    # The sum of the ten words of the IPv4 header (RFC 1071): four of them are constant, the checksum's own is 0.
    cdef uint32_t total = 0x4500 + DONT_FRAGMENT + (OUTER_TTL << 8 | 17) + OUTER_BYTES + payload
    total += (source >> 16) + (source & 0xFFFF) + (destination >> 16) + (destination & 0xFFFF)
    total = (total & 0xFFFF) + (total >> 16)
    total += total >> 16
    store_be32(at, 0x45000000 | <uint32_t> (OUTER_BYTES + payload))
    store_be32(at + 4, DONT_FRAGMENT)
    store_be32(at + 8, (OUTER_TTL << 8 | 17) << 16 | <uint16_t> ~total)
    store_be32(at + 12, source)
    store_be32(at + 16, destination)
    store_be32(at + 20, <uint32_t> source_port << 16 | destination_port)
    store_be32(at + 24, <uint32_t> (8 + payload) << 16)
