"""Packet: the headers of the inner packet. IPv4 (RFC 791) with options, IPv6 (RFC 8200) with extension headers, TCP, UDP, ICMP(v6).

Journey: after geneve.decode or a device's recv, before flowkey. Bytes after the length that the IP header gives are ignored
(padding); fewer bytes than it gives is a drop. So is a route that the sender names: it goes round whatever a policy says of
the destination (RFC 7126 §4.3 and §4.4, RFC 5095). Transport checksums are not verified here: the ends do that.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t

from fastpath.action cimport DROP_NONE, FRAGMENT_LATER
from fastpath.arguments cimport SHORT_MAX, integer, uint16s
from fastpath.batch cimport CAPACITY_MAX, Columns, PacketBatch, inside, row

import numpy as np

cdef enum:
    IPV4_BYTES = 20
    IPV6_BYTES = 40


cdef int live_row(Columns* b, object value, str name) except -1:
    cdef int64_t i = integer(value, name, 0, CAPACITY_MAX - 1)
    if i >= b.count or b.reason[i]:
        raise ValueError(f"{name} must be a live row of the batch's {b.count}, which {i} is not")
    if not is_parsed(b, <int> i):
        raise ValueError(f"{name} must be a row as parse_batch leaves it, which {i} is not")
    return <int> i


cdef int parsed_rows(Columns* b, const uint16_t[::1] rows, str name) except -1:
    cdef Py_ssize_t k
    for k in range(rows.shape[0]):
        if rows[k] >= b.count:
            raise ValueError(f"{name}[{k}]: {rows[k]} is not below the batch's count {b.count}")
        if b.reason[rows[k]] == DROP_NONE and not is_parsed(b, rows[k]):
            raise ValueError(f"{name}[{k}]: row {rows[k]} is not as parse_batch leaves it")
    return 0


cdef int all_parsed(Columns* b) except -1:
    cdef int i
    for i in range(b.count):
        if b.reason[i] == DROP_NONE and not is_parsed(b, i):
            raise ValueError(f"batch: row {i} is not as parse_batch leaves it")
    return 0


cdef bint is_parsed(Columns* b, int i) noexcept nogil:
    """Whether the columns fit the row and the IP header in it, and the transport header is where l4_start says."""
    cdef const uint8_t* at = row(b, i) + b.inner_start[i]
    cdef int length = b.inner_length[i], l4 = b.l4_start[i] - b.inner_start[i], transport = 0
    if length < IPV4_BYTES or b.inner_start[i] + length > b.room or at[0] >> 4 != b.ip_version[i]:
        return False
    if l4 != 4 * (at[0] & 0x0F) if b.ip_version[i] == 4 else b.ip_version[i] != 6 or l4 < IPV6_BYTES:
        return False
    if b.fragment[i] != FRAGMENT_LATER:
        if b.protocol[i] == PROTOCOL_TCP:
            transport = TCP_BYTES
        elif b.protocol[i] == PROTOCOL_UDP or b.protocol[i] == (PROTOCOL_ICMP if b.ip_version[i] == 4 else PROTOCOL_ICMPV6):
            transport = UDP_BYTES              # as many as ICMP has
    return l4 >= IPV4_BYTES and l4 + transport <= length


def parse_batch(PacketBatch batch not None):
    """Read the IP and transport headers of each live row's inner packet; write the "packet" columns.

    Returns:
        Rows alive.
    Drops:
        PACKET_SHORT, PACKET_VERSION, PACKET_HEADER_LENGTH, PACKET_TOTAL_LENGTH, PACKET_EXTENSION_CHAIN, PACKET_L4_SHORT,
        PACKET_SOURCE_ROUTE: an IPv4 loose or strict source route, or an IPv6 routing header of type 0 with segments left.
    Source: RFC 791 §3.1, RFC 8200 §3 and §4, RFC 7126 §4.3 and §4.4, RFC 5095, RFC 9293 §3.1, RFC 768, RFC 792, RFC 4443.
    """
    cdef int n
    inside(&batch.columns, batch.columns.inner_start, batch.columns.inner_length, "inner_start and inner_length")
    with nogil:
        n = parse(&batch.columns)
    return n


def clamp_mss_batch(PacketBatch batch not None, mtu, rows=None):
    """Lower the MSS option of every live TCP SYN so that its segments fit `mtu` bytes; checksums are updated.

    Args:
        mtu: largest IP packet on the way, 576 … 65,535 bytes.
        rows: uint16, rows of the batch; None = every one.
    Returns:
        How many were changed.
    Raises:
        ValueError: mtu out of range, or a row is none of the batch.
        TypeError: rows is no such array.
    Source: RFC 9293 §3.7.1; RFC 4459 §3.2 on clamping.
    """
    cdef Columns* b = &batch.columns
    cdef int i, k, n = 0, most = <int> integer(mtu, "mtu", 576, SHORT_MAX)
    cdef const uint16_t[::1] view = uint16s(np.arange(b.count, dtype=np.uint16) if rows is None else rows, "rows")
    parsed_rows(b, view, "rows")
    with nogil:
        for k in range(view.shape[0]):
            i = view[k]
            if b.reason[i] == DROP_NONE and b.protocol[i] == PROTOCOL_TCP and b.tcp_flags[i] & TCP_SYN:
                n += clamp_mss(row(b, i) + b.inner_start[i], b.inner_length[i], b.l4_start[i] - b.inner_start[i],
                               most - (40 if b.ip_version[i] == 4 else 60))
    return n
