# IPv4, IPv6, TCP, UDP, ICMP and ICMPv6 headers of the inner packet. Row 1.

from libc.stdint cimport uint8_t

from fastpath.batch cimport Columns

cdef enum:
    PROTOCOL_ICMP = 1
    PROTOCOL_TCP = 6
    PROTOCOL_UDP = 17
    PROTOCOL_ICMPV6 = 58
    TCP_FIN = 0x01
    TCP_SYN = 0x02
    TCP_RST = 0x04
    TCP_ACK = 0x10

# Reads the IP packet at inner_start (inner_length bytes are there at most) of every live row; writes all "packet" columns.
cdef int parse(Columns* b) noexcept nogil
# One row; returns a DropReason and writes it to the row's reason too.
cdef uint8_t parse_row(Columns* b, int i) noexcept nogil
# Lower (never raise) the MSS option of a TCP SYN to `limit`, checksum updated. Returns 1 if it was changed.
cdef int clamp_mss(uint8_t* ip_packet, int length, int l4_offset, int limit) noexcept nogil
