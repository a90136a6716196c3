"""Geneve: the header of RFC 8926 §3.4, read from a packet and written in front of one.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    |Ver|  Opt Len  |O|C|    Rsvd.  |          Protocol Type        |
    |        Virtual Network Identifier (VNI)       |    Reserved   |
    |                    Variable-Length Options                    |

Journey: first stage after packetio. It knows no option's meaning (gwlb and tunnels do).
"""

from libc.stdint cimport uint8_t

from fastpath.batch cimport Columns, PacketBatch
from fastpath.wire cimport load_be16


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
    cdef uint8_t option[4 + GENEVE_OPTION_DATA_MAX]
    cdef bytes body
    out = bytearray(GENEVE_BASE_BYTES)
    for klass, kind, data in options:
        if len(data) % 4 or len(data) > GENEVE_OPTION_DATA_MAX:
            raise ValueError(f"options: data must be a multiple of 4 bytes, at most 124, not {len(data)}")
        if not 0 <= klass <= 0xFFFF or not 0 <= kind <= 0xFF:
            raise ValueError(f"options: class {klass} or type {kind} does not fit its field")
        body = bytes(data)
        write_option(option, klass, kind, body, len(body))
        out += option[:4 + len(body)]
    if len(out) > GENEVE_BASE_BYTES + GENEVE_OPTIONS_MAX:
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
    while at < end:
        size = option_size(&header[at], end - at)
        if size < 0:
            break
        out.append((load_be16(&header[at]), header[at + 2], bytes(header[at + 4:at + size])))
        at += size
    return out
