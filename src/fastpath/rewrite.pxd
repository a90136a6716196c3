# Putting other addresses and ports into packets. Row 1. One thread.

from libc.stdint cimport uint8_t, uint16_t

from fastpath.batch cimport Columns

cdef enum:
    NAT_SOURCE = 0
    NAT_DESTINATION = 1

# Replaces one side of the packet at ip_packet (parsed: version, l4_offset, protocol): address (16 bytes, mapped if IPv4) and
# port (ICMP echo: identifier), IP and transport checksums updated incrementally (RFC 1624; a UDP checksum of 0 stays 0,
# RFC 768). A later fragment gets the address only. Returns a DropReason: NONE, NAT_PROTOCOL or NAT_FAMILY; on a drop nothing
# is changed.
cdef uint8_t rewrite(uint8_t* ip_packet, int length, uint8_t ip_version, uint8_t protocol, uint8_t fragment, int l4_offset,
                     int side, const uint8_t* address, uint16_t port) noexcept nogil
# Replaces one address of the ICMP error at ip_packet, not of what it quotes. Returns a DropReason: NONE or NAT_FAMILY.
cdef uint8_t rewrite_error(uint8_t* ip_packet, uint8_t ip_version, int l4_offset, int side, const uint8_t* address) noexcept nogil
# TTL or hop limit minus one with the checksum; 0 when the packet must not go on.
cdef int decrement_ttl(uint8_t* ip_packet, uint8_t ip_version) noexcept nogil
# Whether a parsed row carries ports or an echo identifier.
cdef bint has_port(Columns* b, int i) noexcept nogil
cdef bint is_mapped(const uint8_t* address) noexcept nogil                          # IPv4 in 16 bytes
