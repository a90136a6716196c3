"""Message: the one record shape of both rings, and what it is in Python.

Journey: the worker posts events (packets that need thought, flows that opened or closed); the control plane posts commands
(packets to deliver or resume, names learned, tunnels). Commands are carried out in order, which is what makes "the name is
known before the answer leaves" true. It does not act on any of them.
"""

from libc.stdint cimport INT32_MAX, int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from fastpath.arguments cimport BYTE_MAX, SHORT_MAX, WORD_MAX, integer, ip, mapped, several, uint64
from fastpath.flowtable cimport FlowEntry
from fastpath.naming cimport naming_of, number_of
from fastpath.ring cimport Ring

import ipaddress
from typing import NamedTuple


class Flow(NamedTuple):
    """A flow as its initiator sees it; counters are pairs (from the initiator, to it)."""

    namespace: int
    ip_version: int
    protocol: int
    source: object
    source_port: int
    destination: object
    destination_port: int
    action: int
    rule: int
    name_id: int
    location: int
    packets: tuple
    bytes: tuple
    started_ns: int
    last_seen_ns: int
    nat_slot: int
    nat_port: int
    tunnel: int
    state: int
    naming: int  # how the name is known (Naming); name_id is its number


class Event(NamedTuple):
    """One event of the worker; `reason` is a PuntReason, `packet` is b"" for flow events, `flow` None for others."""

    reason: int
    namespace: int
    location: int
    endpoint: int
    packet: bytes
    header: bytes
    peer_address: int
    peer_port: int
    slot: int
    value: int
    flow: Flow | None


cdef void view(FlowView* out, const FlowEntry* entry) noexcept nogil:
    cdef bint a_began = entry.initiator == 0
    memset(out, 0, sizeof(FlowView))
    memcpy(&out.source[0] if a_began else &out.destination[0], &entry.key.fields.a_address[0], 16)
    memcpy(&out.destination[0] if a_began else &out.source[0], &entry.key.fields.b_address[0], 16)
    out.source_port = entry.key.fields.a_port if a_began else entry.key.fields.b_port
    out.destination_port = entry.key.fields.b_port if a_began else entry.key.fields.a_port
    memcpy(out.packets, entry.packets, 16)
    memcpy(out.bytes, entry.bytes, 16)
    out.last_seen_ns = entry.last_seen_ns
    out.name_id, out.location, out.nat_slot, out.rule = entry.name_id, entry.location, entry.nat_slot, entry.rule
    out.namespace, out.nat_port = entry.key.fields.namespace, entry.nat_port
    out.ip_version, out.protocol = entry.key.fields.ip_version, entry.key.fields.protocol
    out.action, out.tunnel, out.state = entry.action, entry.tunnel, entry.state


cdef int post(Ring ring, const Message* message, const uint8_t* packet) noexcept nogil:
    cdef uint8_t* at = ring.reserve(sizeof(Message) + message.packet_length)
    if at == NULL:
        return 0
    memcpy(at, message, sizeof(Message))
    if message.packet_length:
        memcpy(at + sizeof(Message), packet, message.packet_length)
    ring.commit()
    return 1


cdef object address_of(const uint8_t* at, int ip_version):
    if ip_version == 4:
        return ipaddress.IPv4Address(at[12:16])
    return ipaddress.IPv6Address(at[:16])


cdef object flow_of(const FlowView* f):
    return Flow(
        f.namespace, f.ip_version, f.protocol, address_of(f.source, f.ip_version), f.source_port,
        address_of(f.destination, f.ip_version), f.destination_port, f.action, f.rule, number_of(f.name_id), f.location,
        (f.packets[0], f.packets[1]), (f.bytes[0], f.bytes[1]), f.started_ns, f.last_seen_ns,
        f.nat_slot, f.nat_port, f.tunnel, f.state, naming_of(f.name_id),
    )


def drain(Ring ring not None, limit=1024):
    """Take up to `limit` events out of the ring, oldest first, as a list of Event.

    Raises:
        ValueError: limit is below 1, or a record is no event; that record, and what was taken before it, are gone.
    """
    cdef Py_ssize_t most = integer(limit, "limit", 1, INT32_MAX)
    cdef uint32_t n
    cdef Message* m
    cdef uint8_t* at
    out = []
    ring.quiet()
    while len(out) < most:
        at = ring.peek(&n)
        if at == NULL:
            return out
        m = message_in(at, n)
        if m == NULL:
            ring.consume()
            ring.notify()
            raise ValueError(f"ring holds a record of {n} bytes that is no event")
        out.append(Event(
            m.kind, m.namespace, m.location, m.endpoint, at[sizeof(Message):sizeof(Message) + m.packet_length],
            m.header[:m.header_length], m.peer_address, m.peer_port, m.slot, m.value,
            flow_of(&m.flow) if m.has_flow else None,
        ))
        ring.consume()
    ring.notify()
    return out


cdef int copy_in(uint8_t* to, object data, Py_ssize_t room, str name) except -1:
    if len(data) > room:
        raise ValueError(f"{name} must be at most {room} bytes, not {len(data)}")
    cdef const uint8_t* source = data
    memcpy(to, source, len(data))
    return 0


cdef int copy_address(uint8_t* to, object address, str name) except -1:
    return copy_in(to, mapped(ip(address, name)), 16, name)


def command(Ring ring not None, kind, *, namespace=0, location=0, endpoint=0, slot=255, bytes packet not None=b"",
            bytes header not None=b"", peer=(0, 0), address=None, value=0, until_ns=0, bound=None):
    """Post one command and wake the worker.

    Args:
        kind: a Command.
        namespace, location, endpoint, slot, value: as the command needs them.
        packet: inner IP packet (DELIVER, RESUME) or Geneve packet (TUNNEL_CONTROL), at most 9,216 bytes.
        header: Geneve header to send under, at most 48 bytes; peer: (outer IPv4 address, UDP port) as integers.
        address: IPv4Address or IPv6Address of LEARN and FORGET; until_ns: when it expires, monotonic.
        bound: (protocol, IPv4Address, port) of RESET.
    Returns:
        False when the ring was full: nothing was posted.
    Raises:
        ValueError, TypeError: an argument does not fit its field.
    """
    cdef Message m
    memset(&m, 0, sizeof(Message))
    cdef int64_t asked = integer(kind, "kind", 0, BYTE_MAX)
    if asked not in Command.__members__.values():
        raise ValueError(f"kind must be a Command, not {asked}")
    if len(packet) > MESSAGE_PACKET_MAX:
        raise ValueError(f"packet must be at most {MESSAGE_PACKET_MAX} bytes, not {len(packet)}")
    m.kind = <uint8_t> asked
    m.namespace, m.slot = <uint16_t> integer(namespace, "namespace", 0, SHORT_MAX), <uint8_t> integer(slot, "slot", 0, BYTE_MAX)
    m.location, m.value = <uint32_t> integer(location, "location", 0, WORD_MAX), <uint32_t> integer(value, "value", 0, WORD_MAX)
    m.endpoint, m.until_ns = uint64(endpoint, "endpoint"), uint64(until_ns, "until_ns")
    m.packet_length, m.header_length = <uint16_t> len(packet), <uint8_t> min(len(header), BYTE_MAX)
    copy_in(m.header, header, 48, "header")
    peer_address, peer_port = several(peer, "peer", "(address, port)", 2)
    m.peer_address = <uint32_t> integer(peer_address, "peer: address", 0, WORD_MAX)
    m.peer_port = <uint16_t> integer(peer_port, "peer: port", 0, SHORT_MAX)
    if address is not None:
        copy_address(m.address, address, "address")
    if bound is not None:
        protocol, bound_address, bound_port = several(bound, "bound", "(protocol, address, port)", 3)
        m.flow.protocol = <uint8_t> integer(protocol, "bound: protocol", 0, BYTE_MAX)
        m.flow.nat_port = <uint16_t> integer(bound_port, "bound: port", 0, SHORT_MAX)
        copy_address(m.address, bound_address, "bound: address")
    cdef const uint8_t* bytes_ = packet
    if not post(ring, &m, bytes_):
        return False
    ring.notify()
    return True
