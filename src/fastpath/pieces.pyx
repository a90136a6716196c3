"""Pieces: an IPv4 packet cut into fragments, where its way out is too small and its sender allows it.

Journey: between the flow's decision and the device or tunnel; what is made leaves at once. The first piece has all options of
the packet, the others those that are to be copied (bit 0x80 of the type). IPv6 is never cut on the way (RFC 8200 §5).
Spec: RFC 791 §3.2, "An Example Fragmentation Procedure". It keeps the identification: whoever puts the pieces together again
knows them by it.
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy, memset

from fastpath.action cimport FRAGMENT_FIRST, FRAGMENT_LATER
from fastpath.arguments cimport SHORT_MAX, integer
from fastpath.batch cimport HEADROOM, Columns, PacketBatch, reset, row
from fastpath.checksum cimport add, fold
from fastpath.packet cimport IP_OPTION_END, IP_OPTION_NONE, live_row
from fastpath.wire cimport load_be16, store_be16

cdef enum:
    IPV4_BYTES = 20
    MTU_MIN = 68                 # RFC 791 §3.2: every network carries so much
    MORE = 0x2000
    OFFSET = 0x1FFF
    COPIED = 0x80


cdef int cut(Columns* b, int i, int mtu, Columns* out) noexcept nogil:
    cdef const uint8_t* packet = row(b, i) + b.inner_start[i]
    cdef int header = 4 * (packet[0] & 0x0F), payload = b.inner_length[i] - header, step = (mtu - header) & ~7
    cdef int n, k, size, at
    cdef uint16_t word = load_be16(packet + 6)
    cdef uint8_t[60] later
    cdef int later_header = header_of_later(packet, header, later)
    if step < 8 or payload <= 0 or 8 * (word & OFFSET) + payload > 0xFFFF:
        return 0
    n = (payload + step - 1) // step
    if n > out.capacity or n > PIECES_MAX or HEADROOM + header + step > out.room:
        return 0
    reset(out, n)
    for k in range(n):
        at, size = k * step, step if k < n - 1 else payload - k * step
        place(out, k, packet if k == 0 else later, header if k == 0 else later_header, packet + header + at, size)
        finish(row(out, k) + HEADROOM, out.inner_length[k], <uint16_t> (((word & OFFSET) + at // 8)
               | (MORE if k < n - 1 else word & MORE)))
        copy_columns(b, i, out, k)
        out.l4_start[k] = HEADROOM + (header if k == 0 else later_header)
        out.fragment[k] = FRAGMENT_FIRST if k == 0 and word & OFFSET == 0 else FRAGMENT_LATER
    return n


cdef int header_of_later(const uint8_t* packet, int header, uint8_t* out) noexcept nogil:
    """The header of pieces that are not the first: options that are to be copied, padded; returns its length."""
    cdef int at = IPV4_BYTES, n = IPV4_BYTES, size
    memcpy(out, packet, IPV4_BYTES)
    memset(out + IPV4_BYTES, 0, 40)
    while at < header and packet[at] != IP_OPTION_END:
        if packet[at] == IP_OPTION_NONE:
            at += 1
            continue
        size = packet[at + 1] if at + 1 < header else 0
        if size < 2 or at + size > header:
            break                                  # what follows can not be read: no option
        if packet[at] & COPIED:
            memcpy(out + n, packet + at, size)
            n += size
        at += size
    n = (n + 3) & ~3
    out[0] = <uint8_t> (0x40 | n // 4)
    return n


cdef void place(Columns* out, int k, const uint8_t* header, int header_bytes, const uint8_t* payload, int n) noexcept nogil:
    memcpy(row(out, k) + HEADROOM, header, header_bytes)
    memcpy(row(out, k) + HEADROOM + header_bytes, payload, n)
    out.start[k] = out.inner_start[k] = HEADROOM
    out.length[k] = out.inner_length[k] = <uint16_t> (header_bytes + n)


cdef void finish(uint8_t* packet, int length, uint16_t word) noexcept nogil:
    store_be16(packet + 2, <uint16_t> length)
    store_be16(packet + 6, word)
    store_be16(packet + 10, 0)
    store_be16(packet + 10, fold(add(packet, 4 * (packet[0] & 0x0F), 0)))


cdef void copy_columns(Columns* b, int i, Columns* out, int k) noexcept nogil:
    out.ip_version[k], out.protocol[k], out.namespace[k] = b.ip_version[i], b.protocol[i], b.namespace[i]
    out.hash[k], out.entry[k], out.action[k], out.rule[k] = b.hash[i], b.entry[i], b.action[i], b.rule[i]
    out.tcp_flags[k], out.direction[k] = b.tcp_flags[i] if k == 0 else 0, b.direction[i]
    out.source_port[k], out.destination_port[k] = b.source_port[i] if k == 0 else 0, b.destination_port[i] if k == 0 else 0
    memcpy(out.source + 16 * k, b.source + 16 * i, 16)
    memcpy(out.destination + 16 * k, b.destination + 16 * i, 16)


def cut_one(PacketBatch batch not None, row_number, mtu, PacketBatch out not None):
    """Cut the IPv4 packet of a row into fragments, the rows of `out` from 0 on.

    Args:
        row_number: a live row of the batch, parsed, IPv4.
        mtu: bytes a fragment may have, with its header; 68 … 65,535.
        out: another batch; it is reset.
    Returns:
        How many there are; 0 = `out` has not enough rows, or too small ones.
    Raises:
        ValueError: an argument is out of range.
    """
    cdef Columns* b = &batch.columns
    cdef int most = <int> integer(mtu, "mtu", MTU_MIN, SHORT_MAX), i = live_row(b, row_number, "row_number"), n
    if b.ip_version[i] != 4:
        raise ValueError(f"row_number must be a row with an IPv4 packet, which {i} is not")
    if out is batch:
        raise ValueError("out must be another batch")
    with nogil:
        n = cut(b, i, most, &out.columns)
    return n
