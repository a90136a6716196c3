# What crosses the two rings: events from the worker to the control plane, commands the other way. Row 2.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.flowtable cimport FlowEntry
from fastpath.ring cimport Ring

cdef enum:
    MESSAGE_PACKET_MAX = 9216

cpdef enum Command:
    COMMAND_DELIVER = 1         # the packet goes to the workload, under `header`, to GWLB
    COMMAND_RESUME = 2          # the packet goes on along the policy as if it had not been punted
    COMMAND_LEARN = 3           # address belongs to name `value` until `until_ns`; namespace 0xFFFF = all
    COMMAND_FORGET = 4          # address belongs to no name; `value`, if a flow's words: only if it is that one
    COMMAND_TUNNEL_ACTIVE = 5   # new flows of gateway `value` use `slot`, 255 = none; `endpoint`: a bit for each slot of its edges
    COMMAND_TUNNEL_DETACH = 6   # `slot` is no longer the worker's
    COMMAND_TUNNEL_CONTROL = 7  # the packet is sealed and sent on `slot` as it is
    COMMAND_DRAIN = 8           # `value` 1: refuse new flows; 0: take them again
    COMMAND_EXCHANGE = 9        # return to the caller of run(), who exchanges what only Python may
    COMMAND_RESET = 10          # forget the flow bound to (protocol, address, port) of `flow`
    COMMAND_OWN = 11            # queries from `location` for the name in `packet` (wire form) get `address`, TTL `value`, until `until_ns`
    COMMAND_DISOWN = 12         # the name in `packet` is asked of the control plane again; no packet: every name
    COMMAND_NAME = 13           # a flow is called `value` (naming.pxd); `location`, `endpoint`, `until_ns`: its slot, hash, start

# A flow as its initiator sees it.
cdef struct FlowView:
    uint8_t source[16]
    uint8_t destination[16]
    uint64_t packets[2]         # [0] from the initiator, [1] to it
    uint64_t bytes[2]
    uint64_t started_ns
    uint64_t last_seen_ns
    uint32_t name_id            # word of naming.pxd
    uint32_t location
    uint32_t nat_slot
    int32_t rule
    uint16_t source_port
    uint16_t destination_port
    uint16_t namespace
    uint16_t nat_port
    uint8_t ip_version
    uint8_t protocol
    uint8_t action
    uint8_t tunnel
    uint8_t state
    uint8_t pad[3]

cdef struct Message:
    uint64_t endpoint
    uint64_t until_ns
    uint32_t location
    uint32_t peer_address
    uint32_t value
    uint16_t peer_port
    uint16_t namespace
    uint16_t packet_length
    uint8_t kind                # PuntReason or Command
    uint8_t slot
    uint8_t header_length
    uint8_t has_flow
    uint8_t pad[2]
    uint8_t address[16]
    uint8_t header[48]
    FlowView flow               # valid iff has_flow

# All but started_ns, which is the path's.
cdef void view(FlowView* out, const FlowEntry* entry) noexcept nogil
# Copies the message and packet_length bytes of packet into the ring: 1, or 0 when it is full. Does not notify.
cdef int post(Ring ring, const Message* message, const uint8_t* packet) noexcept nogil


# The message that a record of n bytes is; NULL when it is none: anybody who holds a ring may push anything into it.
cdef inline Message* message_in(uint8_t* record, uint32_t n) noexcept nogil:
    cdef Message* m = <Message*> record
    if n < sizeof(Message) or n != sizeof(Message) + m.packet_length:
        return NULL
    return m if m.header_length <= sizeof(m.header) else NULL
