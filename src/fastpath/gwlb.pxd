# The three AWS Gateway Load Balancer options (class 0x0108, types 1, 2, 3) of a decoded Geneve header. Row 2.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastpath.action cimport (DROP_GENEVE_PROTOCOL, DROP_GWLB_HEADER_LONG, DROP_GWLB_OPTION_LENGTH,
                              DROP_GWLB_OPTION_MISSING, DROP_NONE)
from fastpath.batch cimport Columns, alive, drop, row
from fastpath.geneve cimport GENEVE_BASE_BYTES, GENEVE_IPV4, GENEVE_IPV6, write_base
from fastpath.wire cimport load_be16, load_be32, load_be64, store_be32, store_be64

cdef enum:
    GWLB_CLASS = 0x0108
    GWLB_HEADER_BYTES = 40      # what GWLB sends: base 8 + options 32
    GWLB_HEADER_MAX = 48        # the longest header a flow entry can hold to echo
    ENDPOINT = 1
    ATTACHMENT = 2
    COOKIE = 3
    ALL = 0b1110
    CRITICAL = 0x80             # of a type: who does not know the option must drop the packet (RFC 8926 §3.5)
    ENDPOINT_OPTION = 0x01080102      # class, type and length (in words of 4 bytes) of each
    ATTACHMENT_OPTION = 0x01080202
    COOKIE_OPTION = 0x01080301


cdef inline uint8_t walk(Columns* b, int i, const uint8_t* at, const uint8_t* end) noexcept nogil:
    """The options in any order, among others; geneve.decode has checked that every option fits.

    Looked at again all the same: a caller in Python may have written the row in between.
    """
    cdef int seen = 0, size
    while at + 4 <= end:
        size = 4 * (at[3] & 0x1F)
        if size > end - at - 4:
            return DROP_GWLB_OPTION_LENGTH
        if load_be16(at) == GWLB_CLASS and ENDPOINT <= at[2] <= COOKIE:
            if size != (4 if at[2] == COOKIE else 8):
                return DROP_GWLB_OPTION_LENGTH
            if at[2] == ENDPOINT:
                b.endpoint[i] = load_be64(at + 4)
            elif at[2] == ATTACHMENT:
                b.attachment[i] = load_be64(at + 4)
            else:
                b.cookie[i] = load_be32(at + 4)
            seen |= 1 << at[2]
        elif at[2] & CRITICAL:
            return DROP_GENEVE_PROTOCOL
        at += 4 + size
    return DROP_NONE if seen == ALL else DROP_GWLB_OPTION_MISSING


cdef inline uint8_t decode_row(Columns* b, int i) noexcept nogil:
    cdef int length = b.geneve_length[i]
    cdef const uint8_t* at = row(b, i) + b.geneve_start[i] + GENEVE_BASE_BYTES
    if length == GWLB_HEADER_BYTES and (load_be32(at) ^ ENDPOINT_OPTION) | (load_be32(at + 12) ^ ATTACHMENT_OPTION) | \
            (load_be32(at + 24) ^ COOKIE_OPTION) == 0:      # what GWLB sends
        b.endpoint[i], b.attachment[i], b.cookie[i] = load_be64(at + 4), load_be64(at + 16), load_be32(at + 28)
        return DROP_NONE
    if length > GWLB_HEADER_MAX:
        return DROP_GWLB_HEADER_LONG
    return walk(b, i, at, at + length - GENEVE_BASE_BYTES)


# After geneve.decode: writes endpoint, attachment, cookie; drops rows in which one is missing, has the wrong length,
# or stands beside a critical option (GWLB has none), or whose whole header is longer than GWLB_HEADER_MAX.
cdef inline int decode(Columns* b) noexcept nogil:
    cdef Columns c = b[0]      # a copy that no store can reach: see batch.pxd
    cdef int i
    cdef uint8_t reason
    for i in range(c.count):
        if c.reason[i] == DROP_NONE:
            reason = decode_row(&c, i)
            if reason != DROP_NONE:
                drop(&c, i, reason)
    return alive(&c)


# Writes a 40-byte header with the three options.
cdef inline void write_header(uint8_t* at, uint64_t endpoint, uint64_t attachment, uint32_t cookie,
                              uint8_t ip_version) noexcept nogil:
    write_base(at, GWLB_HEADER_BYTES - GENEVE_BASE_BYTES, 0, GENEVE_IPV4 if ip_version == 4 else GENEVE_IPV6, 0)
    store_be32(at + 8, ENDPOINT_OPTION)
    store_be64(at + 12, endpoint)
    store_be32(at + 20, ATTACHMENT_OPTION)
    store_be64(at + 24, attachment)
    store_be32(at + 32, COOKIE_OPTION)
    store_be32(at + 36, cookie)
