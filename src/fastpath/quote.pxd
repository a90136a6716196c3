# The packet that an ICMP error speaks of: finding it, and putting other addresses and ports into it. Row 1.

from libc.stdint cimport uint8_t, uint16_t

from fastpath.action cimport FRAGMENT_NONE
from fastpath.batch cimport Columns, row
from fastpath.packet cimport PROTOCOL_ICMP, PROTOCOL_ICMPV6

# Offsets are from the outer IP header.
cdef struct Quote:
    int at                   # IP header of the quoted packet
    int l4                   # its transport header, of which there are 8 bytes at least
    int end                  # of what is quoted
    uint8_t ip_version
    uint8_t protocol
    uint8_t source[16]       # IPv4 mapped
    uint8_t destination[16]
    uint16_t source_port     # ICMP echo: the identifier, in both
    uint16_t destination_port


# Reads the quote of the ICMP error at `packet` (length bytes, a whole IP packet whose ICMP header is at l4_offset); False: it
# quotes nothing that names a flow.
cdef bint read_quote(const uint8_t* packet, int length, int l4_offset, uint8_t ip_version, Quote* out) noexcept nogil
# Puts another address and port on one side of the quote; the checksums in it and that of the error are updated. The quote must
# be of the address's family.
cdef void rewrite_quote(uint8_t* packet, int l4_offset, Quote* quote, int side, const uint8_t* address,
                        uint16_t port) noexcept nogil


cdef inline bint is_error(Columns* b, int i) noexcept nogil:
    """Whether row i, parsed, is an ICMP error (RFC 792, RFC 4443 §2.1) that tells of another packet."""
    cdef uint8_t kind
    if b.fragment[i] != FRAGMENT_NONE or b.protocol[i] != (PROTOCOL_ICMP if b.ip_version[i] == 4 else PROTOCOL_ICMPV6):
        return False
    kind = row(b, i)[b.l4_start[i]]
    if b.ip_version[i] == 4:
        return kind == 3 or kind == 4 or kind == 11 or kind == 12
    return 1 <= kind <= 4


cdef inline bint quote_of(Columns* b, int i, Quote* out) noexcept nogil:
    """What row i, parsed, quotes; False: it is no ICMP error, or quotes nothing that names a flow."""
    return is_error(b, i) and read_quote(row(b, i) + b.inner_start[i], b.inner_length[i],
                                         b.l4_start[i] - b.inner_start[i], b.ip_version[i], out)
