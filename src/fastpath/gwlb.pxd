# The three AWS Gateway Load Balancer options (class 0x0108, types 1, 2, 3) of a decoded Geneve header. Row 2.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastpath.action cimport DROP_GWLB_HEADER_LONG, DROP_GWLB_OPTION_LENGTH, DROP_GWLB_OPTION_MISSING, DROP_NONE
from fastpath.batch cimport Columns, alive, drop, row
from fastpath.geneve cimport GENEVE_BASE_BYTES, GENEVE_IPV4, GENEVE_IPV6, write_base
from fastpath.wire cimport load_be16, load_be32, load_be64, store_be16, store_be32, store_be64

cdef enum:
    GWLB_CLASS = 0x0108
    GWLB_HEADER_BYTES = 40      # what GWLB sends: base 8 + options 32
    GWLB_HEADER_MAX = 48        # the longest header a flow entry can hold to echo
    ENDPOINT = 1
    ATTACHMENT = 2
    COOKIE = 3
    ALL = 0b1110


cdef inline uint8_t decode_row(Columns* b, int i) noexcept nogil:
    cdef const uint8_t* at = row(b, i) + b.geneve_start[i] + GENEVE_BASE_BYTES
    cdef const uint8_t* end = row(b, i) + b.geneve_start[i] + b.geneve_length[i]
    cdef int seen = 0, size
    if b.geneve_length[i] > GWLB_HEADER_MAX:
        return DROP_GWLB_HEADER_LONG
    while at < end:      # geneve.decode has checked that every option fits
        size = 4 * (at[3] & 0x1F)
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
        at += 4 + size
    return DROP_NONE if seen == ALL else DROP_GWLB_OPTION_MISSING


# After geneve.decode: writes endpoint, attachment, cookie; drops rows in which one is missing, has the wrong length,
# or whose whole header is longer than GWLB_HEADER_MAX.
cdef inline int decode(Columns* b) noexcept nogil:
    cdef int i
    cdef uint8_t reason
    for i in range(b.count):
        if b.reason[i] == DROP_NONE:
            reason = decode_row(b, i)
            if reason != DROP_NONE:
                drop(b, i, reason)
    return alive(b)


# Writes a 40-byte header with the three options.
cdef inline void write_header(uint8_t* at, uint64_t endpoint, uint64_t attachment, uint32_t cookie,
                              uint8_t ip_version) noexcept nogil:
    write_base(at, GWLB_HEADER_BYTES - GENEVE_BASE_BYTES, 0, GENEVE_IPV4 if ip_version == 4 else GENEVE_IPV6, 0)
    store_be16(at + 8, GWLB_CLASS)
    at[10], at[11] = ENDPOINT, 2
    store_be64(at + 12, endpoint)
    store_be16(at + 20, GWLB_CLASS)
    at[22], at[23] = ATTACHMENT, 2
    store_be64(at + 24, attachment)
    store_be16(at + 32, GWLB_CLASS)
    at[34], at[35] = COOKIE, 1
    store_be32(at + 36, cookie)
