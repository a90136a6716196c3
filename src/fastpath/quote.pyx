"""Quote: the packet inside an ICMP error, by which the error is matched to its flow and translated with it.

    | IP | ICMP type code sum | unused or MTU | IP header of the quoted packet | 8 or more bytes of its transport header |
                                               └─ source, destination ─────────── ports or echo identifier ┘

Journey: both ways through NAT. The error goes where its flow goes; what it quotes is what its receiver once sent, so the quote
is translated back, and every checksum on the way (quoted IP, quoted transport if it is there, the error's own) is updated,
never recomputed: what was wrong stays wrong.
Spec: RFC 792, RFC 4443 §2.4 and §3, RFC 5508 §4 (NAT and ICMP errors), RFC 1624. Total on any bytes. Redirects are not among
the errors: they speak of a neighbourhood that is not the receiver's.
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcpy

from fastpath.action cimport DROP_NONE, FRAGMENT_LATER, FRAGMENT_NONE
from fastpath.arguments cimport SHORT_MAX, integer, octets_of
from fastpath.batch cimport Columns, PacketBatch, row
from fastpath.checksum cimport update16, update_bytes
from fastpath.packet cimport (PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, Transport, live_row,
                              walk_extensions, write_mapped)
from fastpath.rewrite cimport rewrite_error
from fastpath.wire cimport load_be16, store_be16

cdef enum:
    IPV4_BYTES = 20
    IPV6_BYTES = 40
    ICMP_BYTES = 8
    PORTS_BYTES = 8              # of a transport header: what every error quotes at least (RFC 792)
    TCP_SUM_AT = 16
    UDP_SUM_AT = 6


cdef bint read_quote(const uint8_t* packet, int length, int l4_offset, uint8_t ip_version, Quote* out) noexcept nogil:
    cdef const uint8_t* at = packet + l4_offset + ICMP_BYTES
    cdef int there = length - l4_offset - ICMP_BYTES
    cdef Transport t
    if there < (IPV4_BYTES if ip_version == 4 else IPV6_BYTES) or at[0] >> 4 != ip_version:
        return False
    if ip_version == 4:
        t.offset, t.protocol = 4 * (at[0] & 0x0F), at[9]
        t.fragment = FRAGMENT_LATER if load_be16(at + 6) & 0x1FFF else FRAGMENT_NONE
        write_mapped(out.source, at + 12)
        write_mapped(out.destination, at + 16)
    else:
        t.offset, t.end, t.protocol, t.fragment = IPV6_BYTES, there, at[6], FRAGMENT_NONE
        memcpy(out.source, at + 8, 16)
        memcpy(out.destination, at + 24, 16)
        if walk_extensions(at, &t) != DROP_NONE:
            return False
    if t.fragment == FRAGMENT_LATER or t.offset < IPV4_BYTES or t.offset + PORTS_BYTES > there:
        return False
    out.at, out.l4, out.end = l4_offset + ICMP_BYTES, l4_offset + ICMP_BYTES + t.offset, length
    out.ip_version, out.protocol = ip_version, t.protocol
    return read_ports(at + t.offset, out)


cdef bint read_ports(const uint8_t* l4, Quote* out) noexcept nogil:
    if out.protocol == PROTOCOL_TCP or out.protocol == PROTOCOL_UDP:
        out.source_port, out.destination_port = load_be16(l4), load_be16(l4 + 2)
        return True
    if out.protocol != (PROTOCOL_ICMP if out.ip_version == 4 else PROTOCOL_ICMPV6):
        out.source_port = out.destination_port = 0       # another protocol: its flow has no ports either
        return True
    out.source_port = out.destination_port = load_be16(l4 + 4)
    return (l4[0] == 8 or l4[0] == 0) if out.ip_version == 4 else (l4[0] == 128 or l4[0] == 129)


cdef void rewrite_quote(uint8_t* packet, int l4_offset, Quote* quote, int side, const uint8_t* address,
                        uint16_t port) noexcept nogil:
    cdef uint8_t* ip = packet + quote.at
    cdef uint8_t* l4 = packet + quote.l4
    cdef uint8_t* old = ip + (8 + 16 * side if quote.ip_version == 6 else 12 + 4 * side)
    cdef const uint8_t* new = address if quote.ip_version == 6 else address + 12
    cdef int n = 16 if quote.ip_version == 6 else 4
    cdef bint ports = quote.protocol == PROTOCOL_TCP or quote.protocol == PROTOCOL_UDP
    cdef bint echo = quote.protocol == PROTOCOL_ICMP or quote.protocol == PROTOCOL_ICMPV6
    cdef int port_at = 2 * side if ports else 4
    cdef int sum_at = TCP_SUM_AT if quote.protocol == PROTOCOL_TCP else UDP_SUM_AT if ports else 2
    cdef uint16_t error = load_be16(packet + l4_offset + 2), before, after, old_port
    error = update_bytes(error, old, new, n)
    if quote.ip_version == 4:
        before = load_be16(ip + 10)
        after = update_bytes(before, old, new, 4)
        store_be16(ip + 10, after)
        error = update16(error, before, after)
    if ports or echo:
        old_port = load_be16(l4 + port_at)
        if quote.l4 + sum_at + 2 <= quote.end:
            before = load_be16(l4 + sum_at)
            after = before
            if quote.protocol != PROTOCOL_UDP or before != 0:
                after = update16(before, old_port, port)
                if quote.protocol != PROTOCOL_ICMP:       # the only one without a pseudo header
                    after = update_bytes(after, old, new, n)
                if quote.protocol == PROTOCOL_UDP and after == 0:
                    after = 0xFFFF
            store_be16(l4 + sum_at, after)
            error = update16(error, before, after)
        error = update16(error, old_port, port)
        store_be16(l4 + port_at, port)
    memcpy(old, new, n)
    store_be16(packet + l4_offset + 2, error)


def read_one(PacketBatch batch not None, row_number):
    """Return whom the ICMP error in a row speaks of: (protocol, source, source port, destination, destination port) or None.

    Args:
        row_number: a live row of the batch, parsed.
    Returns:
        Addresses as 16 bytes, IPv4 mapped; an echo's identifier is both ports; None when the row is no ICMP error, or what it
        quotes names no flow.
    Raises:
        ValueError: it is no such row.
    """
    cdef Quote quote
    cdef Columns* b = &batch.columns
    if not quote_of(b, live_row(b, row_number, "row_number"), &quote):
        return None
    return (quote.protocol, (<uint8_t*> quote.source)[:16], quote.source_port, (<uint8_t*> quote.destination)[:16],
            quote.destination_port)


cdef int quoting_row(Columns* b, object row_number, Quote* quote) except -1:
    """The number of a row that quotes a packet, and what it quotes."""
    cdef int i = live_row(b, row_number, "row_number")
    if not quote_of(b, i, quote):
        raise ValueError(f"row_number: row {i} quotes no packet")
    return i


def rewrite_one(PacketBatch batch not None, row_number, side, address, port):
    """Put another address and port on one side of what the ICMP error in a row quotes.

    Args:
        row_number: a live row for which read_one returns something.
        side: 0 = source, 1 = destination.
        address: 16 bytes, IPv4 mapped, of the row's family.
    Raises:
        ValueError: an argument is out of range, or the row quotes nothing.
    """
    cdef Quote quote
    cdef Columns* b = &batch.columns
    cdef int end = side_of(side), i
    cdef uint16_t new_port = <uint16_t> integer(port, "port", 0, SHORT_MAX)
    cdef bytes new = octets_of(address, "address", 16)
    i = quoting_row(b, row_number, &quote)
    check_family(new, b.ip_version[i])
    rewrite_quote(row(b, i) + b.inner_start[i], b.l4_start[i] - b.inner_start[i], &quote, end, new, new_port)


def readdress_one(PacketBatch batch not None, row_number, side, address):
    """Put another address on one side of the ICMP error in a row itself, and into its column.

    Args:
        row_number: a live row for which read_one returns something.
        side: 0 = source, 1 = destination.
        address: 16 bytes, IPv4 mapped, of the row's family.
    Raises:
        ValueError: an argument is out of range, or the row quotes nothing.
    """
    cdef Quote quote
    cdef Columns* b = &batch.columns
    cdef int end = side_of(side), i
    cdef bytes new = octets_of(address, "address", 16)
    i = quoting_row(b, row_number, &quote)
    check_family(new, b.ip_version[i])
    rewrite_error(row(b, i) + b.inner_start[i], b.ip_version[i], b.l4_start[i] - b.inner_start[i], end, new)
    memcpy((b.destination if end else b.source) + 16 * i, <const uint8_t*> new, 16)


cdef int side_of(object side) except -1:
    return <int> integer(side, "side", 0, 1)


cdef int check_family(bytes address, int ip_version) except -1:
    if address.startswith(bytes(10) + b"\xff\xff") != (ip_version == 4):
        raise ValueError(f"address must be of the row's family, not {address!r}")
    return 0
