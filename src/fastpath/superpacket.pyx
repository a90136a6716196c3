"""Superpacket: a TCP segment or a run of datagrams of up to 64 KiB, which the kernel leaves for its device to cut.

Journey: between a TUN queue and the rows of a batch; the kernel's stack walks such a packet once, and what a network card
would do is done here. Each packet has the headers of the whole, with its own length, sequence, identification and checksum;
FIN and PSH belong to the last, CWR to the first (RFC 3168 §6.1.2). The kernel's header is believed no further than the bytes
go: any header before any bytes gives packets within their rows, or one dropped row. It knows no flows.

Source: struct virtio_net_hdr (linux/virtio_net.h), RFC 9293 §3.1, RFC 768, RFC 791 §3.1, RFC 8200 §8.1.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

from fastpath.action cimport DROP_IO_TRUNCATED, DROP_NONE, DROP_PACKET_HEADER_LENGTH
from fastpath.arguments cimport SHORT_MAX, integer, octets, uint8s
from fastpath.batch cimport HEADROOM, Columns, PacketBatch, reset, row
from fastpath.checksum cimport add, fold
from fastpath.vnet cimport (
    VNET_BYTES, VNET_ECN, VNET_NEEDS_CHECKSUM, VNET_NONE, VNET_TCP4, VNET_TCP6, VNET_UDP, Vnet, read_vnet,
)
from fastpath.wire cimport load_be16, load_be32, store_be16, store_be32

cdef enum:
    TCP = 6
    UDP = 17
    UDP_BYTES = 8
    TCP_BYTES = 20
    FIN_PSH = 0x09
    CWR = 0x80
    BYTES_MAX = 65535


cdef void take(Superpacket* s, const Vnet* vnet, uint8_t* bytes, int length) noexcept nogil:
    s.bytes, s.length, s.at, s.header, s.l4, s.size, s.made = bytes, length, 0, 0, 0, 0, 0
    s.kind, s.version = vnet.kind & ~VNET_ECN, bytes[0] >> 4 if length else 0
    if s.kind == VNET_NONE:
        s.reason = complete(vnet, bytes, length)
        return
    s.reason = headers(s, vnet)
    if s.reason == DROP_NONE:
        s.at, s.size = s.header, vnet.size


cdef uint8_t complete(const Vnet* vnet, uint8_t* bytes, int length) noexcept nogil:
    """Write the checksum that the kernel left undone: the field holds the sum of the pseudo header, and is summed with the rest."""
    cdef int at = vnet.checksum_start + vnet.checksum_offset
    cdef uint16_t checksum
    if not vnet.flags & VNET_NEEDS_CHECKSUM:
        return DROP_NONE
    if at + 2 > length:
        return DROP_PACKET_HEADER_LENGTH
    checksum = fold(add(bytes + vnet.checksum_start, length - vnet.checksum_start, 0))
    store_be16(bytes + at, checksum if checksum else 0xFFFF)      # 0 would say that there is none (RFC 768); to TCP both are one
    return DROP_NONE


cdef uint8_t headers(Superpacket* s, const Vnet* vnet) noexcept nogil:
    """Where the headers of a packet that is to be cut end, if they are what the kernel says they are."""
    cdef int ip = 40 if s.version == 6 else 4 * (s.bytes[0] & 0x0F) if s.length else 0
    cdef bint tcp = s.kind == VNET_TCP4 and s.version == 4 or s.kind == VNET_TCP6 and s.version == 6
    s.l4 = vnet.checksum_start
    if not tcp and (s.kind != VNET_UDP or s.version != 4 and s.version != 6):
        return DROP_PACKET_HEADER_LENGTH
    if not vnet.flags & VNET_NEEDS_CHECKSUM or vnet.size == 0 or ip < 20 or s.length > BYTES_MAX or \
            (s.l4 != ip if s.version == 4 else s.l4 < ip) or s.l4 + (TCP_BYTES if tcp else UDP_BYTES) > s.length:
        return DROP_PACKET_HEADER_LENGTH
    s.header = s.l4 + (4 * (s.bytes[s.l4 + 12] >> 4) if tcp else UDP_BYTES)
    if s.header < s.l4 + UDP_BYTES or tcp and s.header < s.l4 + TCP_BYTES or s.header >= s.length:
        return DROP_PACKET_HEADER_LENGTH
    return DROP_NONE


cdef void next_packet(Superpacket* s, Columns* b, int i) noexcept nogil:
    cdef int room = b.room - HEADROOM, n = min(s.size, s.length - s.at), whole = s.header + n
    cdef uint8_t* out = row(b, i) + HEADROOM
    b.start[i], b.reason[i] = HEADROOM, s.reason
    if s.size == 0:
        whole = min(s.length, room)
        memcpy(out, s.bytes, whole)
        if whole < s.length and s.reason == DROP_NONE:
            b.reason[i] = DROP_IO_TRUNCATED
        s.at = s.length
    elif s.header + s.size > room:       # then no part of it may go on: its sender would wait for the hole
        whole, s.at, b.reason[i] = 0, s.length, DROP_IO_TRUNCATED
    else:
        memcpy(out, s.bytes, s.header)
        memcpy(out + s.header, s.bytes + s.at, n)
        finish(s, out, n)
        s.at += n
        s.made += 1
    b.length[i] = <uint16_t> whole


cdef void finish(Superpacket* s, uint8_t* packet, int payload) noexcept nogil:
    """Make the copied headers those of one packet."""
    cdef int n = s.header + payload - s.l4
    cdef uint8_t* at = packet + s.l4
    cdef int checksum_at = 6 if s.kind == VNET_UDP else 16
    cdef uint16_t checksum
    if s.version == 4:
        store_be16(packet + 2, <uint16_t> (s.l4 + n))
        store_be16(packet + 4, <uint16_t> (load_be16(packet + 4) + s.made))
        store_be16(packet + 10, 0)
        store_be16(packet + 10, fold(add(packet, s.l4, 0)))
    else:
        store_be16(packet + 4, <uint16_t> (s.l4 + n - 40))
    if s.kind == VNET_UDP:
        store_be16(at + 4, <uint16_t> n)
    else:
        store_be32(at + 4, load_be32(at + 4) + <uint32_t> (s.made * s.size))
        if s.at + payload < s.length:
            at[13] &= <uint8_t> ~FIN_PSH
        if s.made:
            at[13] &= <uint8_t> ~CWR
    store_be16(at + checksum_at, 0)
    checksum = fold(add(at, n, pseudo(packet, s.version, UDP if s.kind == VNET_UDP else TCP, n)))
    store_be16(at + checksum_at, 0xFFFF if checksum == 0 and s.kind == VNET_UDP else checksum)


cdef uint32_t pseudo(const uint8_t* packet, int version, int protocol, int length) noexcept nogil:
    """The sum of a pseudo header (RFC 9293 §3.1, RFC 8200 §8.1)."""
    if version == 4:
        return add(packet + 12, 8, protocol + length)
    return add(packet + 8, 32, protocol + length)


def cut_one(header, packet, PacketBatch batch not None):
    """Cut what the kernel handed over into the rows of a batch, from 0 on; as many as there is room for.

    Args:
        header: 10 bytes, struct virtio_net_hdr.
        packet: at most 65,535 bytes, from the IP header on.
        batch: it is reset.
    Returns:
        How many rows there are. A header that does not fit the packet gives one dropped row, nothing none.
    Raises:
        ValueError: header is not 10 bytes, or packet is too long.
    Drops:
        IO_TRUNCATED: it does not fit a row. PACKET_HEADER_LENGTH: header and packet do not agree.
    """
    cdef const uint8_t[::1] head = uint8s(header, "header")
    cdef bytearray copy = bytearray(octets(packet, "packet"))
    cdef uint8_t[::1] view = copy if copy else bytearray(1)
    cdef Columns* b = &batch.columns
    cdef Superpacket s
    cdef Vnet vnet
    cdef int i = 0, n = <int> integer(len(copy), "packet's length", 0, SHORT_MAX)
    if head.shape[0] != VNET_BYTES:
        raise ValueError(f"header must be {VNET_BYTES} bytes, not {head.shape[0]}")
    read_vnet(&vnet, &head[0])
    with nogil:
        take(&s, &vnet, &view[0], n)
        reset(b, b.capacity if n else 0)
        while i < b.count and s.at < s.length:
            next_packet(&s, b, i)
            i += 1
        b.count = i
    return i
