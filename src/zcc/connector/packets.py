"""Packets: reads a punted inner packet and builds what goes back to the workload.

Journey: punted packet → `parse` → answer built here → `Datapath.reply`. `dns` sends UDP answers, `stray`
resets and ICMP errors. A transparent gateway speaks as the host that the workload addressed: every packet
built here carries the offender's destination as its source.
Spec: RFC 791, RFC 8200, RFC 768, RFC 9293 §3.5.2, RFC 792 and RFC 1812 §4.3.2, RFC 4443.
`parse` is total on any bytes. Nothing here does I/O or keeps state.
"""

import struct
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58  # IANA protocol numbers

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10  # RFC 9293 §3.1

HOPS = 64  # RFC 1700 default
_ICMP_ERRORS = frozenset((3, 4, 5, 11, 12))  # never answered with another error, RFC 1122 §3.2.2
_EXTENSIONS = frozenset((0, 43, 51, 60, 135))  # next-header values with a length of their own, RFC 8200 §4.1
_FRAGMENT = 44
_EXTENSION_LIMIT = 8
_ICMP_QUOTE_TO = 576  # whole ICMP message with its IPv4 header, RFC 1812 §4.3.2.3
_ICMPV6_QUOTE_TO = 1280  # likewise, RFC 4443 §2.4 (c)

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Inner:
    """An IP packet, read as far as its transport header."""

    raw: bytes  # as long as its own length field says
    source: Address
    destination: Address
    protocol: int
    l4: int  # offset of the transport header
    fragment: int  # offset of this fragment in 8-byte units; 0 = whole or first
    dont_fragment: bool  # always True for IPv6
    source_port: int = 0  # valid iff TCP or UDP and not a later fragment
    destination_port: int = 0

    @property
    def version(self) -> int:
        """IP version."""
        return self.source.version

    @property
    def payload(self) -> bytes:
        """UDP payload; valid iff UDP and not a later fragment."""
        length = int.from_bytes(self.raw[self.l4 + 4 : self.l4 + 6])
        return self.raw[self.l4 + 8 : self.l4 + max(8, length)]


def parse(packet: bytes) -> Inner | None:
    """Read a packet.

    Returns:
        What it says; None when it is no IP packet, or its transport header is cut short.
    """
    version = packet[0] >> 4 if packet else 0
    inner = _parse_v4(packet) if version == 4 else _parse_v6(packet) if version == 6 else None
    if inner is None or inner.fragment or inner.protocol not in (TCP, UDP, ICMP, ICMPV6):
        return inner
    if len(inner.raw) < inner.l4 + (20 if inner.protocol == TCP else 8):
        return None
    if inner.protocol in (ICMP, ICMPV6):
        return inner
    source, destination = struct.unpack_from("!HH", inner.raw, inner.l4)
    return Inner(inner.raw, inner.source, inner.destination, inner.protocol, inner.l4, 0, inner.dont_fragment,
                 source, destination)


def _parse_v4(packet: bytes) -> Inner | None:
    if len(packet) < 20:
        return None
    header, total = (packet[0] & 15) * 4, int.from_bytes(packet[2:4])
    if header < 20 or not header <= total <= len(packet):
        return None
    flags = int.from_bytes(packet[6:8])
    return Inner(packet[:total], IPv4Address(packet[12:16]), IPv4Address(packet[16:20]), packet[9], header,
                 flags & 0x1FFF, bool(flags & 0x4000))


def _parse_v6(packet: bytes) -> Inner | None:
    if len(packet) < 40:
        return None
    total = 40 + int.from_bytes(packet[4:6])
    if total > len(packet):
        return None
    following, at, fragment = packet[6], 40, 0
    for _ in range(_EXTENSION_LIMIT):
        if following == _FRAGMENT and not fragment and at + 8 <= total:
            fragment = int.from_bytes(packet[at + 2 : at + 4]) >> 3
            following, at = packet[at], at + 8
        elif following in _EXTENSIONS and not fragment and at + 8 <= total:
            size = (packet[at + 1] + 2) * 4 if following == 51 else (packet[at + 1] + 1) * 8
            following, at = packet[at], at + size
        else:
            break
    if (following in _EXTENSIONS and not fragment) or at > total:
        return None
    source, destination = IPv6Address(packet[8:24]), IPv6Address(packet[24:40])
    return Inner(packet[:total], source, destination, following, at, fragment, True)


def udp_reply(query: Inner, payload: bytes) -> bytes:
    """Build the UDP answer to a UDP packet, from its destination to its source.

    Raises:
        ValueError: the query is not UDP, or the payload does not fit a datagram.
    Source: RFC 768, RFC 8200 §8.1.
    """
    if query.protocol != UDP or query.fragment:
        raise ValueError("query must be a UDP packet with its ports")
    if len(payload) > 0xFFFF - 28:
        raise ValueError(f"payload must be at most 65507 bytes, not {len(payload)}")
    head = struct.pack("!HHHH", query.destination_port, query.source_port, 8 + len(payload), 0)
    segment = bytearray(head + payload)
    # An all-zero checksum means "none" on the wire, so a computed zero is sent as its complement.
    segment[6:8] = (_transport_sum(query, UDP, segment) or 0xFFFF).to_bytes(2)
    return _ip(query, UDP, segment)


def udp_again(answer: Inner, payload: bytes) -> bytes:
    """Build a UDP packet that goes where another one went, with other contents; see udp_reply."""
    return udp_reply(replace(answer, source=answer.destination, source_port=answer.destination_port,
                             destination=answer.source, destination_port=answer.source_port), payload)  # fmt: skip


def tcp_reset(offender: Inner) -> bytes | None:
    """Build the reset that refuses a TCP segment.

    Returns:
        The packet; None when there is nothing to reset: not TCP, a later fragment, or itself a reset.
    Source: RFC 9293 §3.5.2, first group.
    """
    if offender.protocol != TCP or offender.fragment:
        return None
    raw, at = offender.raw, offender.l4
    sequence, acknowledged, offset_flags = struct.unpack_from("!IIH", raw, at + 4)
    if offset_flags & RST:
        return None
    header = (offset_flags >> 12) * 4
    if offset_flags & ACK:
        fields = (acknowledged, 0, RST)
    else:
        length = max(0, len(raw) - at - header) + bool(offset_flags & SYN) + bool(offset_flags & FIN)
        fields = (0, (sequence + length) & 0xFFFF_FFFF, RST | ACK)
    segment = bytearray(struct.pack("!HHIIHHHH", offender.destination_port, offender.source_port,
                                    fields[0], fields[1], 5 << 12 | fields[2], 0, 0, 0))
    segment[16:18] = _transport_sum(offender, TCP, segment).to_bytes(2)
    return _ip(offender, TCP, segment)


def prohibited(offender: Inner) -> bytes | None:
    """Build the ICMP error "communication administratively prohibited".

    Returns:
        The packet; None when no error may be sent about this packet.
    Source: RFC 1812 §5.2.7.1 (type 3 code 13), RFC 4443 §3.1 (type 1 code 1).
    """
    if offender.version == 4:
        return icmp_error(offender, 3, 13)
    return icmp_error(offender, 1, 1)


def refusal(offender: Inner) -> bytes | None:
    """Build what refuses a packet at once: a reset for TCP, an ICMP error for all else."""
    return tcp_reset(offender) if offender.protocol == TCP else prohibited(offender)


def icmp_error(offender: Inner, kind: int, code: int, value: int = 0) -> bytes | None:
    """Build an ICMP error about a packet; None when none may be sent."""
    if not _may_be_told(offender):
        return None
    if offender.version == 4:
        quote = offender.raw[: _ICMP_QUOTE_TO - 28]
        message = bytearray(struct.pack("!BBHI", kind, code, 0, value) + quote)
        message[2:4] = internet_checksum(message).to_bytes(2)
        return _ip(offender, ICMP, message)
    quote = offender.raw[: _ICMPV6_QUOTE_TO - 48]
    message = bytearray(struct.pack("!BBHI", kind, code, 0, value) + quote)
    message[2:4] = _transport_sum(offender, ICMPV6, message).to_bytes(2)
    return _ip(offender, ICMPV6, message)


def _may_be_told(offender: Inner) -> bool:
    """Whether an ICMP error about this packet is allowed. Source: RFC 1122 §3.2.2, RFC 4443 §2.4 (e)."""
    source, destination = offender.source, offender.destination
    if offender.fragment or source.is_unspecified or source.is_multicast or destination.is_multicast:
        return False
    if int(source) == 0xFFFF_FFFF or int(destination) == 0xFFFF_FFFF:
        return False
    kind = offender.raw[offender.l4] if offender.protocol in (ICMP, ICMPV6) else None
    if offender.protocol == ICMP:
        return kind not in _ICMP_ERRORS
    # RFC 4443 §2.1: types below 128 are errors; 137 is a redirect.
    return kind is None or (kind >= 128 and kind != 137)


def _ip(about: Inner, protocol: int, segment: bytes | bytearray) -> bytes:
    """Put an IP header before a transport segment, from the packet's destination to its source."""
    ends = about.destination.packed + about.source.packed
    if about.version == 6:
        return struct.pack("!IHBB", 6 << 28, len(segment), protocol, HOPS) + ends + segment
    # DF with identification 0: an atomic datagram, RFC 6864 §4.1.
    fixed = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, HOPS, protocol, 0)
    head = bytearray(fixed + ends)
    head[10:12] = internet_checksum(head).to_bytes(2)
    return bytes(head + segment)


def _transport_sum(about: Inner, protocol: int, segment: bytes | bytearray) -> int:
    ends = about.destination.packed + about.source.packed
    return internet_checksum(ends + struct.pack("!II", len(segment), protocol) + segment)


def internet_checksum(data: bytes | bytearray) -> int:
    """Compute the ones' complement checksum of RFC 1071 over data; an odd last byte is padded with zero."""
    if len(data) % 2:
        data = data + b"\x00"
    # 2**16 ≡ 1 modulo 0xFFFF, so the whole string's remainder is the folded sum of its words.
    remainder = int.from_bytes(data) % 0xFFFF
    if remainder == 0 and any(data):
        remainder = 0xFFFF
    return remainder ^ 0xFFFF
