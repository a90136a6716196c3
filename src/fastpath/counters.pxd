# What a worker has counted since it began, and how a packet enters the books: its flow's and the totals. Header only. Row 2.

from libc.stdint cimport uint8_t, uint64_t

from fastpath.action cimport ACTION_DROP, DROP_POLICY
from fastpath.flowtable cimport FLOW_ACKNOWLEDGED, FlowEntry, FlowTable, class_of
from fastpath.kernelflows cimport Credit

cdef enum:
    COUNTED_ACTIONS = 8
    COUNTED_REASONS = 64
    COUNTED_EVENTS = 16

cdef struct Counters:
    uint64_t packets[8]            # forward, by Action
    uint64_t bytes[8]
    uint64_t returned_packets[8]   # towards the initiator, by Action
    uint64_t returned_bytes[8]
    uint64_t drops[64]             # by DropReason
    uint64_t events[16]            # posted, by PuntReason
    uint64_t opened
    uint64_t closed
    uint64_t evicted
    uint64_t unrecorded            # ends of flows that found the ring of records full
    uint64_t dns_answered          # queries for owned names
    uint64_t dns_unrecorded        # of these, more than may be recorded
    uint64_t refusals[3]           # sent, by Refusal
    uint64_t untold                # refusals that were not sent: too many a second, or nothing may be said
    uint64_t cut                   # packets too large for their way out, sent in fragments
    uint64_t loops
    uint64_t heartbeat_ns


# The totals; way: 0 from the initiator, 1 to it. No branch on the way: it changes from packet to packet.
cdef inline void count_total(Counters* all, uint8_t action, int way, uint64_t packets, uint64_t octets) noexcept nogil:
    cdef uint64_t* of_packets = &all.returned_packets[0] if way else &all.packets[0]
    cdef uint64_t* of_octets = &all.returned_bytes[0] if way else &all.bytes[0]
    of_packets[action] += packets
    of_octets[action] += octets


# The flow and the totals.
cdef inline void count(Counters* all, FlowEntry* entry, int way, uint64_t packets, uint64_t octets) noexcept nogil:
    entry.packets[way] += packets
    entry.bytes[way] += octets
    count_total(all, entry.action, way, packets, octets)


# What the kernel has carried by itself, as if it had come this way now.
cdef inline void credit(Counters* all, FlowTable flows, const Credit* credits, int n, uint64_t now_ns) noexcept nogil:
    cdef FlowEntry* entry
    cdef int k
    for k in range(n):
        entry = &flows.entries[credits[k].index]
        count(all, entry, credits[k].way, credits[k].packets, credits[k].bytes)
        if entry.action == ACTION_DROP:
            all.drops[<int> DROP_POLICY] += credits[k].packets
        if entry.key.fields.protocol == 6 and credits[k].way == 0:
            entry.state |= FLOW_ACKNOWLEDGED         # what the kernel carries of TCP has an ACK
        flows.touch(credits[k].index, class_of(entry.key.fields.protocol, entry.state), now_ns)
