"""Packet: the headers of the inner packet. IPv4 (RFC 791) with options, IPv6 (RFC 8200) with extension headers, TCP, UDP, ICMP(v6).

Journey: after geneve.decode or a device's recv, before flowkey. Bytes after the length that the IP header gives are ignored
(padding); fewer bytes than it gives is a drop. So is a route that the sender names: it goes round whatever a policy says of
the destination (RFC 7126 §4.3 and §4.4, RFC 5095). Transport checksums are not verified here: the ends do that.
"""

from libc.stdint cimport uint16_t

from fastpath.action cimport DROP_NONE
from fastpath.arguments cimport SHORT_MAX, integer, rows_in_use
from fastpath.batch cimport Columns, PacketBatch, row

import numpy as np


cdef int live_row(Columns* b, object value, str name) except -1:
    cdef int i = <int> integer(value, name, 0, b.count - 1)
    if b.reason[i]:
        raise ValueError(f"{name} must be a live row, which {i} is not")
    return i


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
    cdef const uint16_t[::1] view = rows_in_use(np.arange(b.count, dtype=np.uint16) if rows is None else rows, "rows", b.count)
    with nogil:
        for k in range(view.shape[0]):
            i = view[k]
            if b.reason[i] == DROP_NONE and b.protocol[i] == PROTOCOL_TCP and b.tcp_flags[i] & TCP_SYN:
                n += clamp_mss(row(b, i) + b.inner_start[i], b.inner_length[i], b.l4_start[i] - b.inner_start[i],
                               most - (40 if b.ip_version[i] == 4 else 60))
    return n
