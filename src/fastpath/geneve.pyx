"""Geneve: the header of RFC 8926 §3.4, read from a packet and written in front of one.

     0                   1                   2                   3
     0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
    |Ver|  Opt Len  |O|C|    Rsvd.  |          Protocol Type        |
    |        Virtual Network Identifier (VNI)       |    Reserved   |
    |                    Variable-Length Options                    |

Journey: first stage after packetio. It knows no option's meaning (gwlb and tunnels do).
"""

from libc.stdint cimport uint8_t

from fastpath.arguments cimport BYTE_MAX, SHORT_MAX, integer, octets, row_number, uint8s
from fastpath.batch cimport Columns, PacketBatch, inside
from fastpath.wire cimport load_be16

cdef enum:
    VNI_MAX = (1 << 24) - 1


def decode_batch(PacketBatch batch not None):
    """Read each live row's frame as a Geneve packet; write geneve_*, vni, inner_start and inner_length.

    Returns:
        Rows alive.
    Drops:
        GENEVE_SHORT, GENEVE_VERSION, GENEVE_OPTION_OVERRUN, GENEVE_PROTOCOL (neither IPv4 nor IPv6, and no O bit).
    Source: RFC 8926 §3.4, §3.5.
    """
    cdef int n
    inside(&batch.columns, batch.columns.start, batch.columns.length, "start and length")
    with nogil:
        n = decode(&batch.columns)
    return n


def put_header(PacketBatch batch not None, i, bytes header not None):
    """Put `header` in front of the inner packet of row i; `start` and `length` become the whole.

    Raises:
        IndexError: no such row in use.
        ValueError: there is no room for it in front of the inner packet, or that lies beyond the row.
    """
    cdef Columns* b = &batch.columns
    cdef int row = row_number(i, "i", &b.count)
    if b.inner_start[row] + b.inner_length[row] > b.room:
        raise ValueError(f"batch: inner_start and inner_length of row {row} must lie in its {b.room} bytes")
    if len(header) > b.inner_start[row]:
        raise ValueError(f"header must be at most {b.inner_start[row]} bytes here, not {len(header)}")
    put(b, row, header, len(header))


def encode_header(options=(), *, protocol=GENEVE_IPV4, vni=0, flags=0):
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
    cdef int ether_type = <int> integer(protocol, "protocol", 0, SHORT_MAX), number = <int> integer(vni, "vni", 0, VNI_MAX)
    cdef int bits = <int> integer(flags, "flags", 0, BYTE_MAX)
    cdef int klass, kind
    if bits & ~(GENEVE_FLAG_CONTROL | GENEVE_FLAG_CRITICAL):
        raise ValueError(f"flags must be 0x80 (O), 0x40 (C), both or 0, not {flags}")
    out = bytearray(GENEVE_BASE_BYTES)
    for option_class, option_type, data in triples(options):
        body = octets(data, "options: data")
        if len(body) % 4 or len(body) > GENEVE_OPTION_DATA_MAX:
            raise ValueError(f"options: data must be a multiple of 4 bytes, at most 124, not {len(body)}")
        klass = <int> integer(option_class, "options: class", 0, SHORT_MAX)
        kind = <int> integer(option_type, "options: type", 0, BYTE_MAX)
        write_option(option, klass, kind, body, len(body))
        out += option[:4 + len(body)]
    if len(out) > GENEVE_BASE_BYTES + GENEVE_OPTIONS_MAX:
        raise ValueError(f"options must be at most 252 bytes together, not {len(out) - GENEVE_BASE_BYTES}")
    cdef uint8_t[::1] view = out
    write_base(&view[0], len(out) - GENEVE_BASE_BYTES, bits, ether_type, number)
    return bytes(out)


cdef list triples(object options):
    try:
        return [(klass, kind, data) for klass, kind, data in options]
    except (TypeError, ValueError) as error:
        raise TypeError(f"options must be (class, type, data) triples: {error}") from None


def decode_options(header):
    """Return the options of a Geneve header as (class, type, data) triples; as far as they fit, on any bytes.

    Source: RFC 8926 §3.5.
    """
    cdef const uint8_t[::1] data = uint8s(header, "header")
    cdef int at = GENEVE_BASE_BYTES, end, size
    out = []
    if data.shape[0] < GENEVE_BASE_BYTES:
        return out
    end = min(data.shape[0], GENEVE_BASE_BYTES + 4 * (data[0] & 0x3F))
    while at < end:
        size = option_size(&data[at], end - at)
        if size < 0:
            break
        out.append((load_be16(&data[at]), data[at + 2], bytes(data[at + 4:at + size])))
        at += size
    return out
