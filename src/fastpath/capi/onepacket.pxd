# One packet of a caller's buffer as the row of a batch, so that the decoders of batches read it. Row 3. On the caller's stack.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from fastpath.batch cimport Columns

cdef enum:
    PACKET_MAX = 65535           # offsets in a row have 16 bits

# Memory for one row of the columns that geneve, gwlb and packet write.
cdef struct OnePacket:
    Columns columns
    uint64_t endpoint, attachment
    uint32_t vni, cookie
    uint16_t start, length, geneve_start, geneve_length, inner_start, inner_length
    uint16_t l4_start, source_port, destination_port
    uint8_t geneve_flags, ip_version, protocol, fragment, tcp_flags, action, reason
    uint8_t source[16]
    uint8_t destination[16]


cdef inline Columns* one_packet(OnePacket* row, const uint8_t* data, size_t size) noexcept nogil:
    """A batch of one row: `size` bytes, at most PACKET_MAX, that nobody writes; the whole frame is the inner packet at first."""
    cdef Columns* b = &row.columns
    memset(row, 0, sizeof(OnePacket))
    b.capacity = b.count = 1
    b.data, row.length, row.inner_length = <uint8_t*> data, <uint16_t> size, <uint16_t> size
    b.start, b.length = &row.start, &row.length
    b.geneve_start, b.geneve_length, b.geneve_flags, b.vni = &row.geneve_start, &row.geneve_length, &row.geneve_flags, &row.vni
    b.endpoint, b.attachment, b.cookie = &row.endpoint, &row.attachment, &row.cookie
    b.inner_start, b.inner_length, b.l4_start = &row.inner_start, &row.inner_length, &row.l4_start
    b.ip_version, b.protocol, b.fragment, b.tcp_flags = &row.ip_version, &row.protocol, &row.fragment, &row.tcp_flags
    b.source, b.destination = row.source, row.destination
    b.source_port, b.destination_port = &row.source_port, &row.destination_port
    b.action, b.reason = &row.action, &row.reason
    return b
