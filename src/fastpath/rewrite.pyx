"""Other addresses and ports in packets, in place, with checksums updated and never recomputed; and one less of TTL.

Journey: what leaves by DIRECT or the internet edge gets another source, what returns its destination back; what goes to the
connector's own kernel both. Spec: RFC 3022 §4.1, RFC 1624 (checksums), RFC 768 and RFC 8200 §8.1 (a UDP checksum of zero),
RFC 5508 (ICMP identifiers). One thread: whoever owns the batch. It knows no bindings. A later fragment gets the address only:
its port is in the first one. What an ICMP error quotes is fastpath.quote's.
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memcmp, memcpy

from fastpath.arguments cimport (BYTE_MAX, SHORT_MAX, byte_rows, integer, octets_of, same_size, uint16s, writable8)
from fastpath.batch cimport Columns, PacketBatch, drop, row
from fastpath.checksum cimport update16, update_bytes
from fastpath.packet cimport parsed_rows
from fastpath.wire cimport load_be16, store_be16

__all__ = ["DESTINATION", "SOURCE", "decrement_ttl_one", "decrement_ttl_rows", "rewrite_one", "rewrite_rows"]

SOURCE = NAT_SOURCE
DESTINATION = NAT_DESTINATION

cdef enum:
    ICMP = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58
    ECHO_REPLY = 0              # RFC 792
    ECHO_REQUEST = 8
    ECHO_REQUEST_V6 = 128       # RFC 4443
    ECHO_REPLY_V6 = 129
    FRAGMENT_LATER = 2
    REASON_PROTOCOL = 25        # DROP_NAT_PROTOCOL
    REASON_FAMILY = 28          # DROP_NAT_FAMILY
    REASON_TTL = 36             # DROP_TTL_EXPIRED

cdef const uint8_t* MAPPED = b"\0\0\0\0\0\0\0\0\0\0\xff\xff"      # RFC 4291 §2.5.5.2


cdef bint is_mapped(const uint8_t* address) noexcept nogil:
    return memcmp(address, MAPPED, 12) == 0


cdef bint places(const uint8_t* at, int n, uint8_t protocol, int side, int* port_at, int* sum_at) noexcept nogil:
    """Where port or identifier and checksum are in the n bytes of a transport header; false when it has none."""
    port_at[0] = 2 * side
    if protocol == TCP:
        sum_at[0] = 16
        return n >= 20
    if protocol == UDP:
        sum_at[0] = 6
        return n >= 8
    port_at[0], sum_at[0] = 4, 2
    if n < 8:
        return False
    if protocol == ICMP:
        return at[0] == ECHO_REQUEST or at[0] == ECHO_REPLY
    return protocol == ICMPV6 and (at[0] == ECHO_REQUEST_V6 or at[0] == ECHO_REPLY_V6)


cdef bint has_port(Columns* b, int i) noexcept nogil:
    cdef int port_at, sum_at
    cdef int n = b.inner_length[i] + b.inner_start[i] - b.l4_start[i]
    return b.fragment[i] != FRAGMENT_LATER and places(row(b, i) + b.l4_start[i], n, b.protocol[i], 0, &port_at, &sum_at)


cdef uint8_t rewrite(uint8_t* ip_packet, int length, uint8_t ip_version, uint8_t protocol, uint8_t fragment, int l4_offset,
                     int side, const uint8_t* address, uint16_t port) noexcept nogil:
    cdef uint8_t* at = ip_packet + l4_offset
    cdef uint8_t* old = ip_packet + (8 + 16 * side if ip_version == 6 else 12 + 4 * side)
    cdef const uint8_t* new = address if ip_version == 6 else address + 12
    cdef int n = 16 if ip_version == 6 else 4
    cdef int port_at, sum_at
    cdef uint16_t checksum
    if is_mapped(address) != (ip_version == 4):
        return REASON_FAMILY
    if fragment == FRAGMENT_LATER:       # the first one holds the port, and the checksum of all of them
        put_address(ip_packet, ip_version, side, new)
        return 0
    if not places(at, length - l4_offset, protocol, side, &port_at, &sum_at):
        return REASON_PROTOCOL
    checksum = load_be16(at + sum_at)
    if protocol != UDP or checksum != 0:
        checksum = update16(checksum, load_be16(at + port_at), port)
        if protocol != ICMP:                       # the only one without a pseudo header
            checksum = update_bytes(checksum, old, new, n)
        if protocol == UDP and checksum == 0:
            checksum = 0xFFFF
        store_be16(at + sum_at, checksum)
    store_be16(at + port_at, port)
    put_address(ip_packet, ip_version, side, new)
    return 0


cdef void put_address(uint8_t* ip_packet, uint8_t ip_version, int side, const uint8_t* new) noexcept nogil:
    cdef uint8_t* old = ip_packet + (8 + 16 * side if ip_version == 6 else 12 + 4 * side)
    if ip_version == 4:
        store_be16(ip_packet + 10, update_bytes(load_be16(ip_packet + 10), old, new, 4))
    memcpy(old, new, 16 if ip_version == 6 else 4)


cdef uint8_t rewrite_error(uint8_t* ip_packet, uint8_t ip_version, int l4_offset, int side, const uint8_t* address) noexcept nogil:
    cdef const uint8_t* new = address if ip_version == 6 else address + 12
    cdef uint8_t* icmp = ip_packet + l4_offset
    if is_mapped(address) != (ip_version == 4):
        return REASON_FAMILY
    if ip_version == 6:                 # ICMP's checksum has no pseudo header, ICMPv6's has
        store_be16(icmp + 2, update_bytes(load_be16(icmp + 2), ip_packet + 8 + 16 * side, new, 16))
    put_address(ip_packet, ip_version, side, new)
    return 0


cdef int decrement_ttl(uint8_t* ip_packet, uint8_t ip_version) noexcept nogil:
    cdef uint8_t* at = ip_packet + (7 if ip_version == 6 else 8)
    cdef uint16_t old
    if at[0] <= 1:
        return 0
    if ip_version == 6:
        at[0] -= 1
        return 1
    old = load_be16(at)
    at[0] -= 1
    store_be16(ip_packet + 10, update16(load_be16(ip_packet + 10), old, load_be16(at)))
    return 1


cdef bint rewrite_row(Columns* b, int i, int side, const uint8_t* address, uint16_t port) noexcept nogil:
    cdef uint8_t* column = b.source if side == NAT_SOURCE else b.destination
    cdef uint8_t reason = rewrite(row(b, i) + b.inner_start[i], b.inner_length[i], b.ip_version[i], b.protocol[i],
                                  b.fragment[i], b.l4_start[i] - b.inner_start[i], side, address, port)
    if reason:
        drop(b, i, reason)
        return False
    memcpy(column + <size_t> i * 16, address, 16)
    if b.fragment[i] == FRAGMENT_LATER:
        return True
    if side == NAT_SOURCE or b.protocol[i] == ICMP or b.protocol[i] == ICMPV6:
        b.source_port[i] = port
    if side == NAT_DESTINATION or b.protocol[i] == ICMP or b.protocol[i] == ICMPV6:
        b.destination_port[i] = port
    return True


def rewrite_rows(PacketBatch batch not None, rows, side, addresses, ports):
    """Replace source or destination of the inner packet of each row, and its address and port columns.

    Args:
        rows: uint16[n], rows of the batch in use, parsed.
        side: SOURCE or DESTINATION.
        addresses: uint8[n, 16], IPv4 mapped.
        ports: uint16[n]; for ICMP echo the identifier.
    Returns:
        How many were rewritten; dead rows are passed over.
    Raises:
        ValueError: side or shapes wrong, or a row is not in use.
    Drops:
        NAT_PROTOCOL, NAT_FAMILY; the packet is as it was.
    """
    cdef Columns* b = &batch.columns
    cdef const uint16_t[::1] of_rows = uint16s(rows, "rows"), new_ports = uint16s(ports, "ports")
    cdef const uint8_t[:, ::1] new = byte_rows(addresses, "addresses", 16)
    cdef int k, i, n = <int> of_rows.shape[0], end = side_of(side), done = 0
    same_size(new.shape[0], "addresses", n, "rows")
    same_size(new_ports.shape[0], "ports", n, "rows")
    parsed_rows(b, of_rows, "rows")
    if n == 0:
        return 0
    with nogil:
        for k in range(n):
            i = of_rows[k]
            if b.reason[i] == 0:
                done += rewrite_row(b, i, end, &new[k, 0], new_ports[k])
    return done


def decrement_ttl_rows(PacketBatch batch not None, rows):
    """Take one from the TTL or hop limit of the inner packet of each row; return how many may go on.

    Raises:
        ValueError: a row is not in use.
    Drops:
        TTL_EXPIRED.
    """
    cdef Columns* b = &batch.columns
    cdef const uint16_t[::1] of_rows = uint16s(rows, "rows")
    cdef int k, i, done = 0
    parsed_rows(b, of_rows, "rows")
    with nogil:
        for k in range(of_rows.shape[0]):
            i = of_rows[k]
            if b.reason[i]:
                continue
            if decrement_ttl(row(b, i) + b.inner_start[i], b.ip_version[i]):
                done += 1
            else:
                drop(b, i, REASON_TTL)
    return done


def rewrite_one(packet, protocol, l4_offset, side, address, port, fragment=0):
    """Replace source or destination of one IP packet in place.

    Args:
        packet: bytearray or uint8[n], at most 65,535 bytes, from the IP header on.
        l4_offset: where the transport header begins.
        side: SOURCE or DESTINATION.
        address: 16 bytes, IPv4 mapped.
        fragment: Fragment.
    Returns:
        A DropReason value; 0 = rewritten, else the packet is as it was.
    Raises:
        ValueError: side, address, or an l4_offset that does not lie behind an IP header within the packet.
    """
    cdef uint8_t[::1] data = writable8(packet, "packet")
    cdef bytes new = octets_of(address, "address", 16)
    cdef int l4_at = <int> integer(l4_offset, "l4_offset", 0, SHORT_MAX), end = side_of(side)
    cdef uint8_t kind = <uint8_t> integer(protocol, "protocol", 0, BYTE_MAX)
    cdef uint8_t part = <uint8_t> integer(fragment, "fragment", 0, FRAGMENT_LATER)
    cdef uint16_t new_port = <uint16_t> integer(port, "port", 0, SHORT_MAX)
    cdef int version = version_of(data)
    integer(l4_at, "l4_offset", 40 if version == 6 else 20, data.shape[0])
    return rewrite(&data[0], <int> data.shape[0], version, kind, part, l4_at, end, new, new_port)


def decrement_ttl_one(packet):
    """Take one from TTL or hop limit in place; False = it must not go on, and is as it was.

    Raises:
        ValueError: packet has no whole IP header.
    """
    cdef uint8_t[::1] data = writable8(packet, "packet")
    cdef int version = version_of(data)
    return bool(decrement_ttl(&data[0], version))


cdef int version_of(uint8_t[::1] packet) except -1:
    cdef int version = packet[0] >> 4 if packet.shape[0] else 0
    if version not in (4, 6) or not (40 if version == 6 else 20) <= packet.shape[0] <= SHORT_MAX:
        raise ValueError(f"packet must begin with an IPv4 or IPv6 header, of at most {SHORT_MAX} bytes; it has {packet.shape[0]}")
    return version


cdef int side_of(object side) except -1:
    return <int> integer(side, "side", NAT_SOURCE, NAT_DESTINATION)
