"""Refusal: a TCP reset or an ICMP error in place of the packet that it answers.

    reset       the IP header and TCP header are written over the packet's own
    ICMP error  header and message are put in front of the packet, which becomes the quote, cut to what a message may hold

Journey: where a row can go no further and its sender is to know. A transparent gateway speaks as the host that was addressed.
Spec: RFC 9293 §3.5.2 (resets), RFC 792, RFC 1191 §4, RFC 1812 §4.3.2 and §5.2.7.1, RFC 4443, RFC 1122 §3.2.2 (about what no
error may be sent). Total: any parsed row is answered or left alone. It sends nothing.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from fastpath.action cimport FRAGMENT_LATER, FRAGMENT_NONE
from fastpath.arguments cimport SHORT_MAX, integer, octets_of
from fastpath.batch cimport Columns, PacketBatch, row
from fastpath.checksum cimport add, fold
from fastpath.packet cimport PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, TCP_ACK, TCP_BYTES, TCP_FIN, TCP_RST, TCP_SYN, live_row
from fastpath.wire cimport load_be16, load_be32, store_be16, store_be32

cdef enum:
    HOPS = 64                   # RFC 1700
    DONT_FRAGMENT = 0x4000
    IPV4_BYTES = 20
    IPV6_BYTES = 40
    ICMP_BYTES = 8
    MESSAGE_MAX = 576           # with its IPv4 header, RFC 1812 §4.3.2.3
    MESSAGE_MAX_V6 = 1280       # likewise, RFC 4443 §2.4 (c)
    MTU_MIN = 68                # RFC 791 §3.2
    MTU_MIN_V6 = 1280           # RFC 8200 §5

# Type and code of each Refusal.
cdef const uint8_t* KINDS = b"\x03\x0d\x03\x04\x0b\x00"
cdef const uint8_t* KINDS_V6 = b"\x01\x01\x02\x00\x03\x00"


cdef bint refuse_row(Columns* b, int i, int refusal, uint16_t mtu, const uint8_t* speaker) noexcept nogil:
    cdef uint8_t[16] says, hears
    cdef bint done
    if b.fragment[i] == FRAGMENT_LATER or not is_host(b.source + 16 * i, b.ip_version[i]) or \
            not is_host(b.destination + 16 * i, b.ip_version[i]):
        return False
    memcpy(hears, b.source + 16 * i, 16)
    memcpy(says, b.destination + 16 * i if speaker == NULL else speaker, 16)
    if refusal == REFUSAL_PROHIBITED and b.protocol[i] == PROTOCOL_TCP:
        done = reset(b, i, says, hears)
    else:
        done = may_be_told(b, i) and error(b, i, refusal, mtu, says, hears)
    if done:
        memcpy(b.source + 16 * i, says, 16)
        memcpy(b.destination + 16 * i, hears, 16)
        b.fragment[i], b.tcp_flags[i] = FRAGMENT_NONE, 0
    return done


cdef bint reset(Columns* b, int i, const uint8_t* says, const uint8_t* hears) noexcept nogil:
    cdef uint8_t* tcp = row(b, i) + b.l4_start[i]
    cdef uint8_t flags = b.tcp_flags[i]
    cdef int payload = b.inner_start[i] + b.inner_length[i] - b.l4_start[i] - 4 * (tcp[12] >> 4)
    cdef int header = IPV4_BYTES if b.ip_version[i] == 4 else IPV6_BYTES
    cdef uint32_t sequence = load_be32(tcp + 8), acknowledged = 0
    cdef uint16_t source = b.source_port[i], destination = b.destination_port[i]
    if flags & TCP_RST:
        return False
    if not flags & TCP_ACK:
        acknowledged = load_be32(tcp + 4) + <uint32_t> (payload if payload > 0 else 0)
        acknowledged += (flags & TCP_SYN != 0) + (flags & TCP_FIN != 0)
        sequence = 0
    tcp = row(b, i) + b.inner_start[i] + header
    memset(tcp, 0, TCP_BYTES)
    store_be16(tcp, destination)
    store_be16(tcp + 2, source)
    store_be32(tcp + 4, sequence)
    store_be32(tcp + 8, acknowledged)
    tcp[12], tcp[13] = (TCP_BYTES // 4) << 4, TCP_RST if flags & TCP_ACK else TCP_RST | TCP_ACK
    store_be16(tcp + 16, transport_sum(tcp, TCP_BYTES, PROTOCOL_TCP, b.ip_version[i], says, hears))
    write_ip(tcp - header, b.ip_version[i], PROTOCOL_TCP, TCP_BYTES, says, hears)
    b.inner_length[i], b.l4_start[i] = header + TCP_BYTES, b.inner_start[i] + header
    b.source_port[i], b.destination_port[i] = destination, source
    return True


cdef bint error(Columns* b, int i, int refusal, uint16_t mtu, const uint8_t* says, const uint8_t* hears) noexcept nogil:
    cdef int version = b.ip_version[i], header = IPV4_BYTES if version == 4 else IPV6_BYTES
    cdef int most = (MESSAGE_MAX if version == 4 else MESSAGE_MAX_V6) - header - ICMP_BYTES
    cdef int quote = b.inner_length[i] if b.inner_length[i] < most else most
    cdef const uint8_t* kind = (KINDS if version == 4 else KINDS_V6) + 2 * refusal
    cdef uint8_t protocol = PROTOCOL_ICMP if version == 4 else PROTOCOL_ICMPV6
    cdef uint8_t* icmp
    if b.inner_start[i] < header + ICMP_BYTES:
        return False
    if refusal == REFUSAL_TOO_BIG and version == 4 and not load_be16(row(b, i) + b.inner_start[i] + 6) & DONT_FRAGMENT:
        return False
    icmp = row(b, i) + b.inner_start[i] - ICMP_BYTES
    memset(icmp, 0, ICMP_BYTES)
    icmp[0], icmp[1] = kind[0], kind[1]
    if refusal == REFUSAL_TOO_BIG:
        store_be32(icmp + 4, mtu if version == 4 or mtu > MTU_MIN_V6 else MTU_MIN_V6)
    if version == 4:
        store_be16(icmp + 2, fold(add(icmp, ICMP_BYTES + quote, 0)))
    else:
        store_be16(icmp + 2, transport_sum(icmp, ICMP_BYTES + quote, protocol, version, says, hears))
    write_ip(icmp - header, version, protocol, ICMP_BYTES + quote, says, hears)
    b.inner_start[i] -= header + ICMP_BYTES
    b.inner_length[i], b.l4_start[i] = header + ICMP_BYTES + quote, b.inner_start[i] + header
    b.protocol[i] = protocol
    b.source_port[i] = b.destination_port[i] = 0
    return True


cdef bint may_be_told(Columns* b, int i) noexcept nogil:
    """Whether an ICMP error about such a packet is allowed: RFC 1122 §3.2.2, RFC 4443 §2.4 (e)."""
    cdef uint8_t kind
    if b.protocol[i] != (PROTOCOL_ICMP if b.ip_version[i] == 4 else PROTOCOL_ICMPV6):
        return True
    kind = row(b, i)[b.l4_start[i]]
    if b.ip_version[i] == 4:
        return kind != 3 and kind != 4 and kind != 5 and kind != 11 and kind != 12
    return kind >= 128 and kind != 137         # below: errors (§2.1); 137: a redirect


cdef bint is_host(const uint8_t* address, int version) noexcept nogil:
    """Whether it is the address of one host, as far as one can see: not unspecified, loopback, multicast or broadcast.

    Of others nothing is said, and they say nothing: RFC 1122 §3.2.1.3 and §4.2.3.10, RFC 4443 §2.4 (e), RFC 9293 §3.9.2.3.
    """
    cdef int k
    if version == 4:
        return address[12] != 0 and address[12] != 127 and address[12] < 224
    for k in range(16):
        if address[k]:
            return address[0] != 0xFF and not (k == 15 and address[k] == 1)
    return False


cdef uint16_t transport_sum(const uint8_t* at, int n, uint8_t protocol, int version, const uint8_t* says,
                            const uint8_t* hears) noexcept nogil:
    cdef int skip = 12 if version == 4 else 0
    return fold(add(hears + skip, 16 - skip, add(says + skip, 16 - skip, add(at, n, n + protocol))))


cdef void write_ip(uint8_t* at, int version, uint8_t protocol, int n, const uint8_t* says, const uint8_t* hears) noexcept nogil:
    if version == 4:
        memset(at, 0, IPV4_BYTES)
        at[0], at[8], at[9] = 0x45, HOPS, protocol
        store_be16(at + 2, IPV4_BYTES + n)
        store_be16(at + 6, DONT_FRAGMENT)         # with identification 0: an atomic datagram, RFC 6864 §4.1
        memcpy(at + 12, says + 12, 4)
        memcpy(at + 16, hears + 12, 4)
        store_be16(at + 10, fold(add(at, IPV4_BYTES, 0)))
        return
    store_be32(at, <uint32_t> 6 << 28)
    store_be16(at + 4, n)
    at[6], at[7] = protocol, HOPS
    memcpy(at + 8, says, 16)
    memcpy(at + 24, hears, 16)


def refuse_one(PacketBatch batch not None, row_number, refusal, mtu=0, speaker=None):
    """Make a row the answer that its sender gets: its inner packet and the packet columns are the answer's then.

    Args:
        row_number: a live row of the batch, parsed and not rewritten.
        refusal: a Refusal.
        mtu: bytes, with the IP header; for TOO_BIG, 68 or more.
        speaker: 16 bytes, IPv4 mapped: who says it; None = the packet's own destination.
    Returns:
        False when nothing may be said (an ICMP error, a reset, a later fragment, no sender, an IPv4 packet that may be
        fragmented), or there is no room in front of it: the row is as it was.
    Raises:
        ValueError: an argument is out of range.
    """
    cdef Columns* b = &batch.columns
    cdef int kind = <int> integer(refusal, "refusal", 0, REFUSALS - 1), i
    cdef uint16_t told = <uint16_t> integer(mtu, "mtu", MTU_MIN if kind == REFUSAL_TOO_BIG else 0, SHORT_MAX)
    cdef bytes named
    cdef const uint8_t* says = NULL
    if speaker is not None:
        named = octets_of(speaker, "speaker", 16)
        says = named
    i = live_row(b, row_number, "row_number")
    return bool(refuse_row(b, i, kind, told, says))
