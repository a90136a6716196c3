# The life of a flow: which one a packet belongs to, what was decided for it, what it has bound, when it ends. Row 3, below worker.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.action cimport ACTION_DROP, ACTION_REJECT, ACTION_ZIA
from fastpath.alias cimport AliasTable
from fastpath.askers cimport AskerTable
from fastpath.batch cimport Columns, PacketBatch
from fastpath.classify cimport RuleSet
from fastpath.counters cimport Counters, count_total
from fastpath.flowkey cimport HashKey
from fastpath.flowmarks cimport FlowMarks
from fastpath.flowtable cimport FlowTable
from fastpath.flows cimport TIMEOUT_TCP_CLOSING, account_flow
from fastpath.flowslots cimport FlowEntry, FlowPath, path_of
from fastpath.fragments cimport FragmentTable
from fastpath.kernelflows cimport KernelFlows
from fastpath.message cimport FlowView, Message
from fastpath.nametable cimport NameTable
from fastpath.nat cimport NatTable
from fastpath.owned cimport OwnedNames
from fastpath.portidle cimport PortIdle
from fastpath.pools cimport Pools
from fastpath.ring cimport Ring
from fastpath.tunnels cimport Tunnels

cdef enum:
    EVERY_NAMESPACE = 0xFFFF
    BY_LISTENER = 1                # value of a DNS event: the packet is a bare message, and the peer who asked
    OWNER_NONE = 0
    PROVEN = 2                     # packets after which a flow is one that others are told of
    POSTED_EVENT = 1
    POSTED_RECORD = 2
    MIDSTREAM_ADOPT = 0            # what becomes of TCP from the middle of a connection that nobody here knows
    MIDSTREAM_RESET = 1
    MIDSTREAM_DROP = 2
    OWNER_DNS = 1                  # FlowEntry.owner: a TCP flow to port 53, ended by the resolver here
    OWNER_WATCHED = 2              # it may yet say its name: see watch.pxd
    OWNER_CUT = 3                  # dropped midway; then 8 bits of how often its initiator was told

# Fixed while the worker runs. IPv4 addresses that are integers are in host order, others 16 bytes, mapped.
cdef struct Plan:
    uint32_t internal              # aliases and the listeners: network and mask
    uint32_t internal_mask
    uint8_t listener[16]
    uint8_t egress4[16]            # DIRECT; valid iff has_egress4
    uint8_t egress6[16]
    uint8_t has_egress4
    uint8_t has_egress6
    uint8_t midstream              # MIDSTREAM_
    uint16_t zpa_tcp_port          # of the listeners in the connector's kernel
    uint16_t zpa_udp_port
    uint16_t dns_tcp_port
    uint16_t zia_mtu               # largest inner packet
    uint16_t direct_mtu

cdef class Admission:
    cdef readonly FlowTable flows
    cdef readonly NatTable nat
    cdef readonly NameTable names
    cdef readonly AliasTable aliases
    cdef readonly RuleSet rules
    cdef readonly Tunnels tunnels
    cdef readonly OwnedNames owned
    cdef readonly Pools pools
    cdef readonly FragmentTable fragments
    cdef readonly PortIdle port_idle
    cdef readonly AskerTable askers
    cdef readonly Ring events
    cdef readonly Ring records     # of flows that ended and names that were answered; a ZPA flow's end follows its beginning in events
    cdef PacketBatch scratch       # one row, to decide a flow again
    cdef Plan plan
    cdef Counters counts
    cdef HashKey secret
    cdef uint64_t now              # of this turn
    cdef int draining
    cdef int posted                # POSTED_ bits of rings that nobody was told of yet
    cdef uint64_t record_at        # see tokens.pxd
    cdef KernelFlows kernel        # flows that the kernel carries meanwhile; None = none
    cdef FlowMarks marks           # where flows that go first when too much comes are marked; None = nowhere

    cdef void key_row(self, Columns* b, int i) noexcept nogil
    cdef bint in_pool(self, const uint8_t* address) noexcept nogil
    cdef uint32_t name_of(self, uint16_t namespace, const uint8_t* destination) noexcept nogil
    # The flow of row i, or -1. A new SYN on a flow that is closing ends that flow first.
    cdef int32_t current(self, Columns* b, int i) noexcept nogil
    # A flow for row i whose sender is the initiator, decided and bound; -1: dropped or punted.
    cdef int32_t admit(self, Columns* b, int i, uint32_t location, bint resumed, uint8_t state) noexcept nogil
    # If the policy has changed since, or its gateway fails open meanwhile: decide anew, and change what is bound.
    cdef void renew(self, int32_t index) noexcept nogil
    # The rule that decides a flow now, by the name in its entry.
    cdef int32_t rule_of(self, const FlowEntry* entry) noexcept nogil
    # Count the answer to a query for an owned name, and record it if there is room for it.
    cdef void record(self, Columns* b, int i, uint32_t location, uint32_t value) noexcept nogil
    cdef void close(self, int32_t index) noexcept nogil
    cdef void expire(self) noexcept nogil
    # End the flow whose alias and port these are, if there is one.
    cdef void forget(self, uint8_t protocol, const uint8_t* alias, uint16_t port) noexcept nogil
    cdef void local_end(self, FlowEntry* entry, uint8_t* address) noexcept nogil
    # A packet without a flow asks: its source has a share of that. 0: dropped.
    cdef int punt(self, uint8_t reason, Columns* b, int i, uint32_t location, const FlowEntry* entry,
                  uint32_t value) noexcept nogil

    cdef int32_t _install(self, Columns* b, int i) noexcept nogil
    cdef uint8_t _bind(self, int32_t index) noexcept nogil
    cdef uint8_t _bind_to(self, FlowEntry* entry, int32_t index, FlowView* f) noexcept nogil
    cdef void _unbind(self, FlowEntry* entry) noexcept nogil
    cdef uint16_t _listener_port(self, const FlowEntry* entry) noexcept nogil
    cdef void _fail_open(self, int32_t index) noexcept nogil
    cdef void _end_record(self, FlowEntry* entry) noexcept nogil
    cdef int _report(self, uint8_t reason, const FlowEntry* entry) noexcept nogil
    cdef int _post(self, const Message* m, const uint8_t* packet) noexcept nogil


# Inline, because every packet comes by: what is left out of line above is for packets that change something. None of these
# branches depends on the way a packet goes, which no processor can guess.

cdef inline uint8_t tunnel_of(Admission admission, const FlowEntry* entry) noexcept nogil:
    """Slot of the tunnel for a flow that a ZIA rule of the present rules decided: its own while that may be, else its gateway's."""
    return admission.tunnels.choose(entry.tunnel, admission.rules.gateway_of[entry.rule])


cdef inline void notify_posted(Admission admission) noexcept nogil:
    """Wake who reads the rings, where something was posted."""
    if admission.posted & POSTED_EVENT:
        admission.events.notify()
    if admission.posted & POSTED_RECORD:
        admission.records.notify()
    admission.posted = 0


cdef inline bint is_midstream(uint8_t protocol, uint8_t tcp_flags) noexcept nogil:
    """Whether no connection begins with such a packet: TCP, and no SYN, or one with an ACK (RFC 9293 §3.5)."""
    return protocol == 6 and tcp_flags & 0x12 != 0x02


cdef inline int32_t current_flow(Admission admission, Columns* b, int i) noexcept nogil:
    """The flow of row i, or -1, as lookup left it; admission.current where that may be wrong."""
    cdef int32_t index = b.entry[i]
    cdef FlowEntry* entry = &admission.flows.entries[index]
    if index >= 0 and entry.used and entry.hash == b.hash[i] and entry.timeout_class != TIMEOUT_TCP_CLOSING:
        return index
    return admission.current(b, i)


cdef inline void renew_flow(Admission admission, int32_t index) noexcept nogil:
    """admission.renew, if there can be anything to renew."""
    cdef FlowEntry* entry = &admission.flows.entries[index]
    if entry.generation != admission.rules.generation or entry.action == ACTION_ZIA:
        admission.renew(index)


cdef inline void account_row(Admission admission, Columns* b, int i, int32_t index, int way) noexcept nogil:
    """Counters, TCP state, last use, its mark. way: 0 from the initiator, 1 to it."""
    cdef FlowEntry* entry = &admission.flows.entries[index]
    cdef FlowPath* path = &admission.flows.core.paths[index]
    count_total(&admission.counts, entry.action, way, 1, b.inner_length[i])
    account_flow(&admission.flows.core, index, way, b.inner_length[i], b.tcp_flags[i], admission.now)
    if admission.marks is not None and not path.marked and entry.packets[0] + entry.packets[1] >= PROVEN and \
            entry.action != ACTION_DROP and entry.action != ACTION_REJECT:
        path.marked = 1
        admission.marks.mark(&entry.key)


cdef inline void unmark_flow(Admission admission, const FlowEntry* entry) noexcept nogil:
    """A flow ends."""
    if admission.marks is not None and path_of(&admission.flows.core, entry).marked:
        admission.marks.unmark(&entry.key)
