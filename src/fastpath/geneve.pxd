# Geneve (RFC 8926) headers, both ways. Row 1.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastpath.action cimport (DROP_GENEVE_OPTION_OVERRUN, DROP_GENEVE_PROTOCOL, DROP_GENEVE_SHORT, DROP_GENEVE_VERSION,
                              DROP_NONE)
from fastpath.batch cimport Columns, alive, drop, row
from fastpath.wire cimport load_be64, store_be16, store_be32

cdef enum:
    GENEVE_PORT = 6081
    GENEVE_BASE_BYTES = 8
    GENEVE_OPTIONS_MAX = 252        # six bits of words
    GENEVE_OPTION_DATA_MAX = 124    # five bits of words
    GENEVE_FLAG_CONTROL = 0x80
    GENEVE_FLAG_CRITICAL = 0x40
    GENEVE_IPV4 = 0x0800
    GENEVE_IPV6 = 0x86DD


# The bytes of the option at `at`, its own header of 4 included; -1: it does not fit the `left` bytes, of which there is one.
cdef inline int option_size(const uint8_t* at, int left) noexcept nogil:
    if left < 4 or left < 4 + 4 * (at[3] & 0x1F):
        return -1
    return 4 + 4 * (at[3] & 0x1F)


cdef inline uint8_t walk_options(const uint8_t* options, int n) noexcept nogil:
    # Both n and every step are multiples of 4: where an option begins, its 4 bytes of header are there.
    cdef int at = 0
    while at < n:
        at += 4 + 4 * (options[at + 3] & 0x1F)
    return DROP_NONE if at == n else DROP_GENEVE_OPTION_OVERRUN


cdef inline uint8_t decode_row(Columns* b, int i) noexcept nogil:
    cdef int start = b.start[i], length = b.length[i], header
    cdef const uint8_t* at = row(b, i) + start
    cdef uint64_t base
    cdef uint16_t protocol
    if length < GENEVE_BASE_BYTES:
        return DROP_GENEVE_SHORT
    base = load_be64(at)
    if base >> 62:
        return DROP_GENEVE_VERSION
    header = GENEVE_BASE_BYTES + 4 * (<int> (base >> 56) & 0x3F)
    if header > length:
        return DROP_GENEVE_SHORT
    if walk_options(at + GENEVE_BASE_BYTES, header - GENEVE_BASE_BYTES) != DROP_NONE:
        return DROP_GENEVE_OPTION_OVERRUN
    protocol = <uint16_t> (base >> 32)
    if protocol != GENEVE_IPV4 and protocol != GENEVE_IPV6 and not base >> 48 & GENEVE_FLAG_CONTROL:
        return DROP_GENEVE_PROTOCOL
    b.geneve_start[i], b.geneve_length[i] = start, header
    b.geneve_flags[i] = <uint8_t> (base >> 48) & (GENEVE_FLAG_CONTROL | GENEVE_FLAG_CRITICAL)
    b.vni[i] = <uint32_t> base >> 8
    b.inner_start[i], b.inner_length[i] = start + header, length - header
    return DROP_NONE


# Reads `start`/`length` as a Geneve packet; writes geneve_*, vni, inner_start, inner_length (all that follows the header).
# A packet with the O bit may carry any protocol type; others must carry IPv4 or IPv6 (DROP_GENEVE_PROTOCOL).
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


# Puts the header `header` (n bytes) in front of the inner packet of row i; start and length become the whole.
cdef inline void put(Columns* b, int i, const uint8_t* header, int n) noexcept nogil:
    memcpy(row(b, i) + b.inner_start[i] - n, header, n)
    b.start[i], b.length[i] = b.inner_start[i] - n, b.inner_length[i] + n


# Writes the 8-byte base header; `options_bytes` is a multiple of 4, at most 252.
cdef inline void write_base(uint8_t* at, int options_bytes, uint8_t flags, uint16_t protocol, uint32_t vni) noexcept nogil:
    at[0], at[1] = options_bytes >> 2, flags
    store_be16(at + 2, protocol)
    store_be32(at + 4, vni << 8)


# Writes an option; `size` of its data is a multiple of 4, at most GENEVE_OPTION_DATA_MAX; `data` may be NULL if it is 0.
cdef inline void write_option(uint8_t* at, uint16_t option_class, uint8_t kind, const uint8_t* data, int size) noexcept nogil:
    store_be16(at, option_class)
    at[2], at[3] = kind, size >> 2
    if size:
        memcpy(at + 4, data, size)
