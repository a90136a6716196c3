"""Geneve: the header of RFC 8926 §3.4, read from a packet and written in front of one.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    |Ver|  Opt Len  |O|C|    Rsvd.  |          Protocol Type        |
    |        Virtual Network Identifier (VNI)       |    Reserved   |
    |                    Variable-Length Options                    |

Journey: first stage after packetio. It knows no option's meaning (gwlb and tunnels do).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from fastpath.action cimport *
from fastpath.batch cimport Columns, PacketBatch, alive, drop, row
from fastpath.wire cimport load_be16, load_be32, store_be16, store_be32


cdef uint8_t walk_options(const uint8_t* options, int n) noexcept nogil:
    cdef int at = 0
    while at < n:
        if at + 4 > n or at + 4 + 4 * (options[at + 3] & 0x1F) > n:
            return DROP_GENEVE_OPTION_OVERRUN
        at += 4 + 4 * (options[at + 3] & 0x1F)
    return DROP_NONE


cdef uint8_t decode_row(Columns* b, int i) noexcept nogil:
    cdef const uint8_t* at = row(b, i) + b.start[i]
    cdef int length = b.length[i], header
    cdef uint16_t protocol
    if length < GENEVE_BASE_BYTES:
        return DROP_GENEVE_SHORT
    if at[0] >> 6:
        return DROP_GENEVE_VERSION
    header = GENEVE_BASE_BYTES + 4 * (at[0] & 0x3F)
    if header > length:
        return DROP_GENEVE_SHORT
    if walk_options(at + GENEVE_BASE_BYTES, header - GENEVE_BASE_BYTES) != DROP_NONE:
        return DROP_GENEVE_OPTION_OVERRUN
    protocol = load_be16(at + 2)
    if not at[1] & GENEVE_FLAG_CONTROL and protocol != GENEVE_IPV4 and protocol != GENEVE_IPV6:
        return DROP_GENEVE_PROTOCOL
    b.geneve_start[i], b.geneve_length[i] = b.start[i], header
    b.geneve_flags[i] = at[1] & (GENEVE_FLAG_CONTROL | GENEVE_FLAG_CRITICAL)
    b.vni[i] = load_be32(at + 4) >> 8
    b.inner_start[i], b.inner_length[i] = b.start[i] + header, length - header
    return DROP_NONE


cdef int decode(Columns* b) noexcept nogil:
    cdef int i
    cdef uint8_t reason
    for i in range(b.count):
        if b.reason[i] == DROP_NONE:
            reason = decode_row(b, i)
            if reason != DROP_NONE:
                drop(b, i, reason)
    return alive(b)


cdef void put(Columns* b, int i, const uint8_t* header, int n) noexcept nogil:
    memcpy(row(b, i) + b.inner_start[i] - n, header, n)
    b.start[i], b.length[i] = b.inner_start[i] - n, b.inner_length[i] + n


cdef void write_base(uint8_t* at, int options_bytes, uint8_t flags, uint16_t protocol, uint32_t vni) noexcept nogil:
    at[0], at[1] = options_bytes >> 2, flags
    store_be16(at + 2, protocol)
    store_be32(at + 4, vni << 8)


def decode_batch(PacketBatch batch not None):
    """Read each live row's frame as a Geneve packet; write geneve_*, vni, inner_start and inner_length.

    Returns:
        Rows alive.
    Drops:
        GENEVE_SHORT, GENEVE_VERSION, GENEVE_OPTION_OVERRUN, GENEVE_PROTOCOL (neither IPv4 nor IPv6, and no O bit).
    Source: RFC 8926 §3.4, §3.5.
    """
    cdef int n
    with nogil:
        n = decode(&batch.columns)
    return n


def put_header(PacketBatch batch not None, int i, bytes header not None):
    """Put `header` in front of the inner packet of row i; `start` and `length` become the whole.

    Raises:
        IndexError: no such row in use.
        ValueError: there is no room for it in front of the inner packet.
    """
    cdef Columns* b = &batch.columns
    if not 0 <= i < b.count:
        raise IndexError(f"row must be 0 to {b.count - 1}, not {i}")
    if len(header) > b.inner_start[i]:
        raise ValueError(f"header must be at most {b.inner_start[i]} bytes here, not {len(header)}")
    put(b, i, header, len(header))


def encode_header(options=(), *, int protocol=GENEVE_IPV4, int vni=0, int flags=0):
    """Return a Geneve header.

    Args:
        options: (class, type, data) triples; data a multiple of 4 bytes, at most 124; all together at most 252.
        protocol: EtherType of what follows; vni: 24 bits; flags: 0x80 (O), 0x40 (C).
    Raises:
        ValueError: a part does not fit its field.
    Source: RFC 8926 §3.4, §3.5.
    """
    out = bytearray(GENEVE_BASE_BYTES)
    for klass, kind, data in options:
        if len(data) % 4 or len(data) > 124:
            raise ValueError(f"options: data must be a multiple of 4 bytes, at most 124, not {len(data)}")
        if not 0 <= klass <= 0xFFFF or not 0 <= kind <= 0xFF:
            raise ValueError(f"options: class {klass} or type {kind} does not fit its field")
        out += klass.to_bytes(2, "big") + bytes([kind, len(data) // 4]) + data
    if len(out) > GENEVE_BASE_BYTES + 252:
        raise ValueError(f"options must be at most 252 bytes together, not {len(out) - GENEVE_BASE_BYTES}")
    if not 0 <= vni < 1 << 24 or not 0 <= protocol <= 0xFFFF or flags & ~(GENEVE_FLAG_CONTROL | GENEVE_FLAG_CRITICAL):
        raise ValueError(f"vni {vni}, protocol {protocol} or flags {flags} does not fit its field")
    cdef uint8_t[::1] view = out
    write_base(&view[0], len(out) - GENEVE_BASE_BYTES, flags, protocol, vni)
    return bytes(out)


def decode_options(const uint8_t[::1] header not None):
    """Return the options of a Geneve header as (class, type, data) triples; as far as they fit, on any bytes.

    Source: RFC 8926 §3.5.
    """
    cdef int at = GENEVE_BASE_BYTES, end, size
    out = []
    if len(header) < GENEVE_BASE_BYTES:
        return out
    end = min(len(header), GENEVE_BASE_BYTES + 4 * (header[0] & 0x3F))
    while at + 4 <= end:
        size = 4 * (header[at + 3] & 0x1F)
        if at + 4 + size > end:
            break
        out.append((load_be16(&header[at]), header[at + 2], bytes(header[at + 4:at + 4 + size])))
        at += 4 + size
    return out
