# IPv4, IPv6, TCP, UDP, ICMP and ICMPv6 headers of the inner packet. Row 1.

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy, memset

from fastpath.action cimport (DROP_NONE, DROP_PACKET_EXTENSION_CHAIN, DROP_PACKET_HEADER_LENGTH, DROP_PACKET_L4_SHORT,
                              DROP_PACKET_SHORT, DROP_PACKET_TOTAL_LENGTH, DROP_PACKET_VERSION, FRAGMENT_FIRST,
                              FRAGMENT_LATER, FRAGMENT_NONE)
from fastpath.batch cimport Columns, alive, drop, row
from fastpath.checksum cimport update16
from fastpath.wire cimport load_be16, store_be16

cdef enum:
    PROTOCOL_ICMP = 1
    PROTOCOL_TCP = 6
    PROTOCOL_UDP = 17
    PROTOCOL_ICMPV6 = 58
    TCP_FIN = 0x01
    TCP_SYN = 0x02
    TCP_RST = 0x04
    TCP_ACK = 0x10
    EXTENSIONS_MAX = 8        # longer chains have no use but to exhaust parsers (RFC 8504 §5.3 allows the limit)
    HOP_BY_HOP = 0
    ROUTING = 43
    FRAGMENT = 44
    AUTHENTICATION = 51
    DESTINATION_OPTIONS = 60
    TCP_BYTES = 20
    UDP_BYTES = 8
    ICMP_BYTES = 8
    TCP_OPTION_END = 0
    TCP_OPTION_NONE = 1
    TCP_OPTION_MSS = 2


cdef inline uint8_t parse4(Columns* b, int i, const uint8_t* at, int there) noexcept nogil:
    cdef int header = 4 * (at[0] & 0x0F)
    cdef int total
    cdef uint16_t fragment
    if there < 20:
        return DROP_PACKET_SHORT
    if header < 20:
        return DROP_PACKET_HEADER_LENGTH
    total = load_be16(at + 2)
    if total > there or total < header:
        return DROP_PACKET_TOTAL_LENGTH
    fragment = load_be16(at + 6)
    b.ip_version[i], b.protocol[i], b.inner_length[i] = 4, at[9], total
    b.fragment[i] = FRAGMENT_LATER if fragment & 0x1FFF else (FRAGMENT_FIRST if fragment & 0x2000 else FRAGMENT_NONE)
    b.l4_start[i] = b.inner_start[i] + header
    memset(b.source + 16 * i, 0, 10)
    memset(b.source + 16 * i + 10, 0xFF, 2)
    memcpy(b.source + 16 * i + 12, at + 12, 4)
    memcpy(b.destination + 16 * i, b.source + 16 * i, 12)
    memcpy(b.destination + 16 * i + 12, at + 16, 4)
    return DROP_NONE


cdef inline uint8_t parse6(Columns* b, int i, const uint8_t* at, int there) noexcept nogil:
    cdef int total, offset = 40, _
    cdef uint8_t next_header
    cdef uint16_t fragment
    if there < 40:
        return DROP_PACKET_SHORT
    total = 40 + load_be16(at + 4)
    if total > there:
        return DROP_PACKET_TOTAL_LENGTH
    next_header = at[6]
    b.ip_version[i], b.inner_length[i], b.fragment[i] = 6, total, FRAGMENT_NONE
    memcpy(b.source + 16 * i, at + 8, 16)
    memcpy(b.destination + 16 * i, at + 24, 16)
    for _ in range(EXTENSIONS_MAX + 1):
        if next_header != HOP_BY_HOP and next_header != ROUTING and next_header != DESTINATION_OPTIONS and \
                next_header != FRAGMENT and next_header != AUTHENTICATION:
            b.protocol[i], b.l4_start[i] = next_header, b.inner_start[i] + offset
            return DROP_NONE
        if offset + 8 > total:
            return DROP_PACKET_EXTENSION_CHAIN
        if next_header == FRAGMENT:
            fragment = load_be16(at + offset + 2)
            b.fragment[i] = FRAGMENT_LATER if fragment & 0xFFF8 else (FRAGMENT_FIRST if fragment & 1 else FRAGMENT_NONE)
            next_header = at[offset]
            offset += 8
            if b.fragment[i] == FRAGMENT_LATER:   # what follows is the middle of something; no header to read
                b.protocol[i], b.l4_start[i] = next_header, b.inner_start[i] + offset
                return DROP_NONE
        elif next_header == AUTHENTICATION:
            next_header, offset = at[offset], offset + 4 * (at[offset + 1] + 2)
        else:
            next_header, offset = at[offset], offset + 8 * (at[offset + 1] + 1)
        if offset > total:
            return DROP_PACKET_EXTENSION_CHAIN
    return DROP_PACKET_EXTENSION_CHAIN


cdef inline uint8_t parse_transport(Columns* b, int i) noexcept nogil:
    cdef const uint8_t* at = row(b, i) + b.l4_start[i]
    cdef int there = b.inner_start[i] + b.inner_length[i] - b.l4_start[i]
    cdef uint8_t protocol = b.protocol[i]
    b.tcp_flags[i] = b.source_port[i] = b.destination_port[i] = 0
    if b.fragment[i] == FRAGMENT_LATER:
        return DROP_NONE
    if protocol == PROTOCOL_TCP:
        if there < TCP_BYTES or 4 * (at[12] >> 4) < TCP_BYTES:
            return DROP_PACKET_L4_SHORT
        if b.fragment[i] == FRAGMENT_NONE and 4 * (at[12] >> 4) > there:
            return DROP_PACKET_L4_SHORT
        b.tcp_flags[i] = at[13]
        b.source_port[i], b.destination_port[i] = load_be16(at), load_be16(at + 2)
    elif protocol == PROTOCOL_UDP:
        if there < UDP_BYTES:
            return DROP_PACKET_L4_SHORT
        b.source_port[i], b.destination_port[i] = load_be16(at), load_be16(at + 2)
    elif (protocol == PROTOCOL_ICMP and b.ip_version[i] == 4) or (protocol == PROTOCOL_ICMPV6 and b.ip_version[i] == 6):
        if there < ICMP_BYTES:
            return DROP_PACKET_L4_SHORT
        if (at[0] == 0 or at[0] == 8) if protocol == PROTOCOL_ICMP else (at[0] == 128 or at[0] == 129):
            b.source_port[i] = b.destination_port[i] = load_be16(at + 4)
    return DROP_NONE


# One row; returns a DropReason and writes it to the row's reason too.
cdef inline uint8_t parse_row(Columns* b, int i) noexcept nogil:
    cdef const uint8_t* at = row(b, i) + b.inner_start[i]
    cdef uint8_t reason
    if b.inner_length[i] < 1:
        reason = DROP_PACKET_SHORT
    elif at[0] >> 4 == 4:
        reason = parse4(b, i, at, b.inner_length[i])
    elif at[0] >> 4 == 6:
        reason = parse6(b, i, at, b.inner_length[i])
    else:
        reason = DROP_PACKET_VERSION
    if reason == DROP_NONE:
        reason = parse_transport(b, i)
    if reason != DROP_NONE:
        drop(b, i, reason)
    return reason


# Reads the IP packet at inner_start (inner_length bytes are there at most) of every live row; writes all "packet" columns.
cdef inline int parse(Columns* b) noexcept nogil:
    cdef int i
    for i in range(b.count):
        if b.reason[i] == DROP_NONE:
            parse_row(b, i)
    return alive(b)


# Lower (never raise) the MSS option of a TCP SYN to `limit`, checksum updated. Returns 1 if it was changed.
cdef inline int clamp_mss(uint8_t* ip_packet, int length, int l4_offset, int limit) noexcept nogil:
    cdef uint8_t* tcp = ip_packet + l4_offset
    cdef int end, at = TCP_BYTES, size
    cdef uint16_t old
    if length < l4_offset + TCP_BYTES or limit < 0 or limit > 65535:
        return 0
    end = 4 * (tcp[12] >> 4)
    if end > length - l4_offset:
        return 0
    while at < end and tcp[at] != TCP_OPTION_END:
        if tcp[at] == TCP_OPTION_NONE:
            at += 1
            continue
        if at + 2 > end:
            return 0
        size = tcp[at + 1]
        if size < 2 or at + size > end:
            return 0
        if tcp[at] == TCP_OPTION_MSS and size == 4:
            old = load_be16(tcp + at + 2)
            if old <= limit:
                return 0
            store_be16(tcp + at + 2, limit)
            # The option may start at an odd offset; then its bytes sit in the other halves of the sum.
            if (at + 2) & 1:
                store_be16(tcp + 16, update16(load_be16(tcp + 16), <uint16_t> (old << 8 | old >> 8),
                                              <uint16_t> (limit << 8 | limit >> 8)))
            else:
                store_be16(tcp + 16, update16(load_be16(tcp + 16), old, limit))
            return 1
        at += size
    return 0
