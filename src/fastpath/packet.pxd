# IPv4, IPv6, TCP, UDP, ICMP and ICMPv6 headers of the inner packet. Row 1.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastpath.action cimport (DROP_NONE, DROP_PACKET_EXTENSION_CHAIN, DROP_PACKET_HEADER_LENGTH, DROP_PACKET_L4_SHORT,
                              DROP_PACKET_SHORT, DROP_PACKET_SOURCE_ROUTE, DROP_PACKET_TOTAL_LENGTH, DROP_PACKET_VERSION,
                              FRAGMENT_FIRST, FRAGMENT_LATER, FRAGMENT_NONE)
from fastpath.batch cimport Columns, alive, drop, row
from fastpath.checksum cimport update16
from fastpath.wire cimport load_be16, store_be16

cdef extern from *:
    """
    /* Not inlined: its loop would take registers from the parser, which needs it for few packets. */
    static __attribute__((noinline, cold)) int fastpath_names_route(const unsigned char *options, int n) {
        enum { END = 0, NO_OPERATION = 1, LOOSE = 131, STRICT = 137 };
        for (int at = 0; at < n && options[at] != END; ) {
            if (options[at] == LOOSE || options[at] == STRICT) return 1;
            if (options[at] == NO_OPERATION) at++;
            else if (at + 1 < n && options[at + 1] >= 2) at += options[at + 1];
            else break;
        }
        return 0;
    }
    """
    # Whether a source route is among IPv4 options (RFC 791 §3.1). Behind one that can not be read nobody reads on.
    bint names_route "fastpath_names_route" (const uint8_t* options, int n) noexcept nogil

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
    ROUTING_SOURCE = 0        # a routing type (RFC 5095)
    IP_OPTION_END = 0
    IP_OPTION_NONE = 1
    TCP_BYTES = 20
    UDP_BYTES = 8
    ICMP_BYTES = 8
    TCP_OPTION_END = 0
    TCP_OPTION_NONE = 1
    TCP_OPTION_MSS = 2


# What the IP header says of the transport header behind it.
cdef struct Transport:
    int offset               # from the IP header
    int end                  # of the packet, likewise
    uint8_t protocol
    uint8_t fragment


# For calls from Python: ValueError unless rows are as `parse` leaves them, which the stages behind it trust.
cdef int live_row(Columns* b, object value, str name) except -1       # the number of a row that no stage has dropped
cdef int parsed_rows(Columns* b, const uint16_t[::1] rows, str name) except -1    # in use; dead ones may be anything
cdef int all_parsed(Columns* b) except -1                             # every live row


cdef inline void write_mapped(uint8_t* to, const uint8_t* address) noexcept nogil:
    """An IPv4 address, IPv4-mapped (RFC 4291 §2.5.5.2), in two stores of 8 bytes: later readers take it by 8."""
    cdef uint32_t four
    cdef uint64_t half = 0
    memcpy(&four, address, 4)
    memcpy(to, &half, 8)
    half = <uint64_t> four << 32 | 0xFFFF0000U      # little-endian, as wire.pxd holds us to
    memcpy(to + 8, &half, 8)


cdef inline uint8_t parse4(Columns* b, int i, const uint8_t* at, int there, Transport* out) noexcept nogil:
    cdef int header = 4 * (at[0] & 0x0F)
    cdef uint16_t fragment
    if there < 20:
        return DROP_PACKET_SHORT
    if header < 20:
        return DROP_PACKET_HEADER_LENGTH
    out.offset, out.end, out.protocol = header, load_be16(at + 2), at[9]
    if out.end > there or out.end < header:
        return DROP_PACKET_TOTAL_LENGTH
    if header > 20 and names_route(at + 20, header - 20):
        return DROP_PACKET_SOURCE_ROUTE
    fragment = load_be16(at + 6)
    out.fragment = FRAGMENT_LATER if fragment & 0x1FFF else (FRAGMENT_FIRST if fragment & 0x2000 else FRAGMENT_NONE)
    write_mapped(b.source + 16 * i, at + 12)
    write_mapped(b.destination + 16 * i, at + 16)
    return DROP_NONE


cdef inline uint8_t parse6(Columns* b, int i, const uint8_t* at, int there, Transport* out) noexcept nogil:
    if there < 40:
        return DROP_PACKET_SHORT
    out.offset, out.end, out.protocol, out.fragment = 40, 40 + load_be16(at + 4), at[6], FRAGMENT_NONE
    if out.end > there:
        return DROP_PACKET_TOTAL_LENGTH
    memcpy(b.source + 16 * i, at + 8, 16)
    memcpy(b.destination + 16 * i, at + 24, 16)
    if out.protocol == PROTOCOL_TCP or out.protocol == PROTOCOL_UDP:
        return DROP_NONE
    return walk_extensions(at, out)


cdef inline uint8_t walk_extensions(const uint8_t* at, Transport* out) noexcept nogil:
    """Follow the chain of extension headers (RFC 8200 §4) to the transport header, or to a fragment that has none."""
    cdef int _, offset
    cdef uint16_t fragment
    for _ in range(EXTENSIONS_MAX + 1):
        offset = out.offset
        if out.protocol != HOP_BY_HOP and out.protocol != ROUTING and out.protocol != DESTINATION_OPTIONS and \
                out.protocol != FRAGMENT and out.protocol != AUTHENTICATION:
            return DROP_NONE
        if offset + 8 > out.end:
            return DROP_PACKET_EXTENSION_CHAIN
        if out.protocol == FRAGMENT:
            fragment = load_be16(at + offset + 2)
            out.fragment = FRAGMENT_LATER if fragment & 0xFFF8 else (FRAGMENT_FIRST if fragment & 1 else FRAGMENT_NONE)
            out.protocol, out.offset = at[offset], offset + 8
            if out.fragment == FRAGMENT_LATER:    # what follows is the middle of something; no header to read
                return DROP_NONE
        elif out.protocol == AUTHENTICATION:
            out.protocol, out.offset = at[offset], offset + 4 * (at[offset + 1] + 2)
        else:
            if out.protocol == ROUTING and at[offset + 2] == ROUTING_SOURCE and at[offset + 3]:
                return DROP_PACKET_SOURCE_ROUTE
            out.protocol, out.offset = at[offset], offset + 8 * (at[offset + 1] + 1)
        if out.offset > out.end:
            return DROP_PACKET_EXTENSION_CHAIN
    return DROP_PACKET_EXTENSION_CHAIN


cdef inline uint8_t parse_transport(Columns* b, int i, const uint8_t* at, const Transport* t, int version) noexcept nogil:
    """Ports and flags; `at` is where the transport header begins."""
    cdef int there = t.end - t.offset, header, tcp
    cdef uint16_t source = 0, destination = 0
    cdef uint8_t flags = 0
    if t.fragment == FRAGMENT_LATER:
        pass
    elif t.protocol == PROTOCOL_TCP or t.protocol == PROTOCOL_UDP:
        # Without a branch on which of both it is: that changes from packet to packet, and a wrong guess costs more than this.
        tcp = t.protocol == PROTOCOL_TCP
        if there < UDP_BYTES + (TCP_BYTES - UDP_BYTES) * tcp:
            return DROP_PACKET_L4_SHORT
        header, flags = 4 * (at[12 * tcp] >> 4), at[13 * tcp] & -tcp
        if tcp & ((header < TCP_BYTES) | ((t.fragment == FRAGMENT_NONE) & (header > there))):
            return DROP_PACKET_L4_SHORT
        source, destination = load_be16(at), load_be16(at + 2)
    elif t.protocol == (PROTOCOL_ICMP if version == 4 else PROTOCOL_ICMPV6):
        if there < ICMP_BYTES:
            return DROP_PACKET_L4_SHORT
        if (at[0] == 0 or at[0] == 8) if version == 4 else (at[0] == 128 or at[0] == 129):
            source = destination = load_be16(at + 4)
    b.tcp_flags[i], b.source_port[i], b.destination_port[i] = flags, source, destination
    return DROP_NONE


cdef inline uint8_t parse_headers(Columns* b, int i) noexcept nogil:
    cdef int start = b.inner_start[i], there = b.inner_length[i], version
    cdef const uint8_t* at = row(b, i) + start
    cdef Transport t
    cdef uint8_t reason
    if there < 1:
        return DROP_PACKET_SHORT
    version = at[0] >> 4
    if version == 4:
        reason = parse4(b, i, at, there, &t)
    elif version == 6:
        reason = parse6(b, i, at, there, &t)
    else:
        return DROP_PACKET_VERSION
    if reason != DROP_NONE:
        return reason
    b.ip_version[i], b.protocol[i], b.fragment[i] = version, t.protocol, t.fragment
    b.inner_length[i], b.l4_start[i] = t.end, start + t.offset
    return parse_transport(b, i, at + t.offset, &t, version)


# One row; returns a DropReason and writes it to the row's reason too.
cdef inline uint8_t parse_row(Columns* b, int i) noexcept nogil:
    cdef uint8_t reason = parse_headers(b, i)
    if reason != DROP_NONE:
        drop(b, i, reason)
    return reason


# Reads the IP packet at inner_start (inner_length bytes are there at most) of every live row; writes all "packet" columns.
cdef inline int parse(Columns* b) noexcept nogil:
    cdef Columns c = b[0]      # a copy that no store can reach: see batch.pxd
    cdef int i
    for i in range(c.count):
        if c.reason[i] == DROP_NONE:
            parse_row(&c, i)
    return alive(&c)


# Lower (never raise) the MSS option of a TCP SYN to `limit`, checksum updated; where it stands twice, hosts differ in which counts:
# both. Returns 1 if the packet was changed.
cdef inline int clamp_mss(uint8_t* ip_packet, int length, int l4_offset, int limit) noexcept nogil:
    cdef uint8_t* tcp = ip_packet + l4_offset
    cdef int end, at = TCP_BYTES, size, changed = 0
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
            break
        size = tcp[at + 1]
        if size < 2 or at + size > end:
            break
        old = load_be16(tcp + at + 2) if tcp[at] == TCP_OPTION_MSS and size == 4 else 0
        if old > limit:
            store_be16(tcp + at + 2, limit)
            # The option may start at an odd offset; then its bytes sit in the other halves of the sum.
            if (at + 2) & 1:
                store_be16(tcp + 16, update16(load_be16(tcp + 16), <uint16_t> (old << 8 | old >> 8),
                                              <uint16_t> (limit << 8 | limit >> 8)))
            else:
                store_be16(tcp + 16, update16(load_be16(tcp + 16), old, limit))
            changed = 1
        at += size
    return changed
