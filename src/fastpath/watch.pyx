"""Watch: flows whose first packets may say their name.

    admitted, port watched ─▶ watched ─▶ copies of its packets to the control plane ─▶ COMMAND_NAME ─▶ named, decided again
                                 └─ too many packets, fragments, no room in the ring, its beginning missed ─▶ UNREAD, likewise

Journey: beside ingress. Packets go on as decided so far; nothing waits for an answer. What the new decision may change midway:
DROP and REJECT take effect at once, and the initiator is told; a rule of the same action (and gateway) takes the flow over; any
other would change its addresses, so that the flow stays as it is. The worker's thread only. It reads no payload.
"""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath.action cimport *
from fastpath.admission cimport OWNER_CUT, OWNER_NONE, OWNER_WATCHED, Admission
from fastpath.batch cimport Columns, row
from fastpath.flowslots cimport FlowEntry, path_of
from fastpath.message cimport Message, post, view
from fastpath.naming cimport NAME_NUMBER_BITS, number_of
from fastpath.packet cimport PROTOCOL_TCP, TCP_ACK, TCP_SYN
from fastpath.ring cimport Ring
from fastpath.tunnels cimport TUNNEL_NONE
from fastpath.wire cimport load_be32

cdef enum:
    COPIES_SHIFT = 8
    BASE_SHIFT = 16
    UDP_HEADER = 8
    UNREAD = NAMING_UNREAD << NAME_NUMBER_BITS


cdef inline int payload_of(Columns* b, int i) noexcept nogil:
    cdef const uint8_t* l4 = row(b, i) + b.l4_start[i]
    cdef int header = 4 * (l4[12] >> 4) if b.protocol[i] == PROTOCOL_TCP else UDP_HEADER
    return b.inner_length[i] - (b.l4_start[i] - b.inner_start[i]) - header


@cython.final
cdef class Watch:
    """The watched flows of one worker.

    Args:
        admission: its flows and rules.
        words: where copies go, a ring of messages; None: no flow is watched.
    """

    def __cinit__(self, Admission admission not None, Ring words=None):
        self.admission, self.words, self.posted = admission, words, 0

    cdef void begin(self, Columns* b, int i, int32_t index) noexcept nogil:
        cdef FlowEntry* entry = &self.admission.flows.entries[index]
        cdef int port = b.destination_port[i]
        cdef uint32_t base = 0
        if self.words is None or not self.admission.rules.is_watched(b.protocol[i], port) or b.fragment[i] == FRAGMENT_LATER:
            return
        # What is dropped never speaks, and the name behind a synthetic address is known.
        if entry.action != ACTION_ZIA and entry.action != ACTION_DIRECT and entry.action != ACTION_LOCAL:
            return
        if b.protocol[i] == PROTOCOL_TCP:
            if b.tcp_flags[i] & (TCP_SYN | TCP_ACK) != TCP_SYN or b.fragment[i] != FRAGMENT_NONE:
                self.settle(index, UNREAD)       # from its middle on nothing can be read
                return
            base = load_be32(row(b, i) + b.l4_start[i] + 4) + 1
        entry.owner = OWNER_WATCHED | (base & 0xFFFF) << BASE_SHIFT

    cdef void hear(self, Columns* b, int i, int32_t index) noexcept nogil:
        cdef FlowEntry* entry = &self.admission.flows.entries[index]
        cdef uint32_t base
        if b.protocol[i] == PROTOCOL_TCP and b.tcp_flags[i] & TCP_SYN:
            base = load_be32(row(b, i) + b.l4_start[i] + 4) + 1
            entry.owner = entry.owner & ((1 << BASE_SHIFT) - 1) | (base & 0xFFFF) << BASE_SHIFT
        if b.fragment[i] == FRAGMENT_NONE and payload_of(b, i) <= 0:
            return
        if b.fragment[i] != FRAGMENT_NONE or entry.owner >> COPIES_SHIFT & 0xFF >= WORDS_MAX or not self._copy(b, i, index):
            self.settle(index, UNREAD)
            return
        entry.owner += 1 << COPIES_SHIFT

    cdef int _copy(self, Columns* b, int i, int32_t index) noexcept nogil:
        cdef FlowEntry* entry = &self.admission.flows.entries[index]
        cdef uint64_t* events = self.admission.counts.events
        cdef Message m
        cdef int posted
        memset(&m, 0, sizeof(Message))
        # Slot, hash and start come back in COMMAND_NAME: the flow is meant only while it is this one.
        m.kind, m.value, m.endpoint = PUNT_WORDS, index, entry.hash
        m.namespace, m.location, m.has_flow = b.namespace[i], entry.owner >> BASE_SHIFT, 1
        m.peer_address, m.peer_port, m.packet_length = b.peer_address[i], b.peer_port[i], b.inner_length[i]
        if b.geneve_length[i] <= sizeof(m.header):
            m.header_length = b.geneve_length[i]
            memcpy(m.header, row(b, i) + b.geneve_start[i], m.header_length)
        view(&m.flow, entry)
        m.flow.started_ns = path_of(&self.admission.flows.core, entry).started_ns
        posted = post(self.words, &m, row(b, i) + b.inner_start[i])
        events[m.kind] += posted
        self.posted = 1
        return posted

    cdef void notify(self) noexcept nogil:
        if self.posted:
            self.posted = 0
            self.words.notify()

    cdef bint told(self, const Message* m) noexcept nogil:
        cdef FlowEntry* entry
        if m.location >= <uint32_t> self.admission.flows.capacity:
            return False
        entry = &self.admission.flows.entries[m.location]
        if not entry.used or entry.hash != m.endpoint or not is_watched(entry) or \
                path_of(&self.admission.flows.core, entry).started_ns != m.until_ns:
            return False
        return self.settle(m.location, m.value)

    cdef bint settle(self, int32_t index, uint32_t word) noexcept nogil:
        """End the watch of a flow; True: it was cut."""
        cdef FlowEntry* entry = &self.admission.flows.entries[index]
        entry.owner = OWNER_NONE
        if word >> NAME_NUMBER_BITS >= NAMING_ECH and number_of(entry.name_id):
            return False             # its own words name nothing for sure: the address's name stands
        entry.name_id = word
        self._decide_again(index)
        return entry.owner == OWNER_CUT

    cdef void _decide_again(self, int32_t index) noexcept nogil:
        cdef FlowEntry* entry = &self.admission.flows.entries[index]
        cdef const uint16_t* gateways = self.admission.rules.gateway_of
        cdef int32_t rule
        cdef uint8_t action
        if entry.generation != self.admission.rules.generation:
            self.admission.renew(index)          # the policy has changed meanwhile, which may change everything
            return
        rule = self.admission.rule_of(entry)
        action = self.admission.rules.action_of[rule]
        if action == ACTION_DROP or action == ACTION_REJECT:
            self.admission._end_record(entry)
            self.admission._unbind(entry)
            entry.action, entry.rule, entry.tunnel, entry.owner = action, rule, TUNNEL_NONE, OWNER_CUT
        elif action == entry.action and (action != ACTION_ZIA or gateways[rule] == gateways[entry.rule]):
            entry.rule = rule
