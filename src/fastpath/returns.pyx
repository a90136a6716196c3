"""Returns: the way back of a worker. What its kernel and its internet edges send finds the flow that it answers.

    device ─▶ packet ▶ shard ▶ nat ─▶ restore ────┐
    tunnel ─▶ dtls ▶ geneve ▶ packet ▶ flowtable ─┴─▶ egress.deliver ─▶ GWLB, under the flow's newest header
    ICMP error ─▶ the flow of the packet that it quotes ─▶ egress.deliver_error
    fragment ─▶ the flow of its datagram's first one

Journey: between the device or a tunnel and egress. Nothing here begins a flow but a connection that the connector itself opens
on behalf of a workload. The worker's thread only.
"""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint64_t
from libc.string cimport memcmp, memcpy

from fastpath.action cimport *
from fastpath.admission cimport Admission, Plan, account_row, current_flow, renew_flow
from fastpath.alias cimport Workload
from fastpath.batch cimport Columns, drop, reset
from fastpath.egress cimport Egress, clamp, forward_row
from fastpath.flowkey cimport FlowKey, hash_key, make
from fastpath.flowtable cimport FLOW_KERNEL_INSIDE, FlowEntry
from fastpath.fragments cimport ORIGIN_EDGE, ORIGIN_KERNEL
from fastpath.geneve cimport GENEVE_FLAG_CONTROL, GENEVE_FLAG_CRITICAL
from fastpath.geneve cimport decode as decode_geneve
from fastpath.message cimport FlowView, view
from fastpath.packet cimport PROTOCOL_ICMP, PROTOCOL_ICMPV6, parse, parse_row
from fastpath.quote cimport Quote, quote_of
from fastpath.rewrite cimport NAT_DESTINATION, NAT_SOURCE
from fastpath.shard cimport Shard
from fastpath.tunnels cimport TUNNEL_NONE
from fastpath.wire cimport load_be32

cdef enum:
    BURSTS = 4             # batches taken from one tunnel before the others have their turn


@cython.final
cdef class Returns:
    """The stages from a device or a tunnel to the workload.

    Args:
        admission: flows, bindings, tunnels.
        egress: where the rows wait to leave.
        shard: whose packets are whose; None: all are this worker's.
    """

    def __cinit__(self, Admission admission not None, Egress egress not None, Shard shard=None):
        self.admission, self.egress, self.shard = admission, egress, shard

    cdef void from_device(self, Columns* b, bint mine) noexcept nogil:
        self.take_device(b, mine)
        while self.admission.fragments.ready and self.admission.fragments.release(b, ORIGIN_KERNEL):
            self.take_device(b, True)

    cdef void take_device(self, Columns* b, bint mine) noexcept nogil:
        cdef int i
        parse(b)
        self.egress.begin()
        for i in range(b.count):
            b.namespace[i] = 0
            if b.reason[i] == DROP_NONE and (mine or self.shard is None or not self.shard.move_kernel_row(b, i)):
                self.from_kernel(b, i)
        self.egress.flush(b)

    cdef void from_kernel(self, Columns* b, int i) noexcept nogil:
        cdef Plan* plan = &self.admission.plan
        cdef bint inside = b.ip_version[i] == 4 and load_be32(b.source + 16 * i + 12) & plan.internal_mask == plan.internal \
            and load_be32(b.destination + 16 * i + 12) & plan.internal_mask != plan.internal
        cdef Quote quote
        cdef uint64_t flow_hash = 0
        cdef uint8_t direction
        cdef int32_t index
        cdef int number = -1
        if b.fragment[i] != FRAGMENT_NONE:
            number = self.admission.fragments.enter(b, i, ORIGIN_KERNEL, False, self.admission.now)
            if number < 0:
                return
            if self.shard is not None and self.shard.move_fragment(self.admission.fragments, number, b, i, ORIGIN_KERNEL):
                return
        if b.fragment[i] == FRAGMENT_LATER:
            self.admission.fragments.follow(number, &index, &flow_hash, &direction)
            if not self.is_flow(index, flow_hash):
                drop(b, i, DROP_FRAGMENT_ORPHAN)
            elif inside:
                self.for_workload(b, i, index)
            else:
                b.protocol[i] = self.admission.flows.entries[index].key.fields.protocol
                self.restore(b, i, index)
        elif quote_of(b, i, &quote):
            self.error_from_kernel(b, i, inside, &quote)
        else:
            index = self.from_kernel_inside(b, i) if inside else self.to_binding(b, i)
            if number >= 0:
                flow_hash = self.admission.flows.entries[index].hash if index >= 0 else 0
                self.admission.fragments.settle(number, index, flow_hash, 0, b.reason[i])

    cdef bint is_flow(self, int32_t index, uint64_t flow_hash) noexcept nogil:
        """Whether the flow that a first fragment had is still there."""
        return index >= 0 and self.admission.flows.entries[index].used and self.admission.flows.entries[index].hash == flow_hash

    cdef int32_t to_binding(self, Columns* b, int i) noexcept nogil:
        """A packet to an address and port that a flow has bound; returns the flow, or -1 and it is dropped."""
        cdef uint16_t remote_port = b.source_port[i]
        cdef int32_t index
        if b.protocol[i] == PROTOCOL_ICMP or b.protocol[i] == PROTOCOL_ICMPV6:
            remote_port = 0
        index = self.admission.nat.find(b.protocol[i], b.destination + 16 * i, b.destination_port[i], b.source + 16 * i,
                                        remote_port)
        if index < 0:
            drop(b, i, DROP_NAT_NO_BINDING)
        else:
            self.restore(b, i, index)
        return index

    cdef void error_from_kernel(self, Columns* b, int i, bint inside, Quote* quote) noexcept nogil:
        """An ICMP error about a packet that has left here translated: its sender is the workload that sent that packet."""
        cdef uint16_t remote_port = quote.destination_port
        cdef int32_t index = -1
        if quote.protocol == PROTOCOL_ICMP or quote.protocol == PROTOCOL_ICMPV6:
            remote_port = 0
        if not inside and memcmp(quote.source, b.destination + 16 * i, 16) == 0:
            index = self.admission.nat.find(quote.protocol, quote.source, quote.source_port, quote.destination, remote_port)
        if index < 0:
            drop(b, i, DROP_ICMP_UNMATCHED)
        else:
            self.egress.deliver_error(b, i, index, quote)

    cdef int32_t from_kernel_inside(self, Columns* b, int i) noexcept nogil:
        """A packet that the connector itself sends on behalf of a workload: its source is that workload's alias.

        Returns the flow, or -1 and it is dropped or with the control plane.
        """
        cdef Workload* workload = self.admission.aliases.find(load_be32(b.source + 16 * i + 12))
        cdef int32_t index
        if workload == NULL:
            drop(b, i, DROP_NAT_NO_BINDING)
            return -1
        if not self.egress.rewrite_side(b, i, NAT_SOURCE, workload.address, b.source_port[i]):
            return -1
        memcpy(b.source + 16 * i, workload.address, 16)
        b.namespace[i] = workload.namespace
        self.admission.key_row(b, i)
        b.entry[i] = -1
        index = current_flow(self.admission, b, i)
        if index < 0:
            index = self.admission.admit(b, i, 0, True, FLOW_KERNEL_INSIDE)
            if index < 0:
                return -1
        if not self.admission.flows.entries[index].state & FLOW_KERNEL_INSIDE:
            drop(b, i, DROP_NAT_EXHAUSTED)   # the workload itself holds this very 5-tuple
            return -1
        renew_flow(self.admission, index)
        account_row(self.admission, b, i, index, 0)
        forward_row(self.egress, b, i, index)
        return index

    cdef void for_workload(self, Columns* b, int i, int32_t index) noexcept nogil:
        """A later fragment of a packet as above."""
        cdef FlowEntry* entry = &self.admission.flows.entries[index]
        cdef FlowView f
        view(&f, entry)
        b.protocol[i] = f.protocol
        if not self.egress.rewrite_side(b, i, NAT_SOURCE, f.source, 0):
            return
        memcpy(b.source + 16 * i, f.source, 16)
        renew_flow(self.admission, index)
        account_row(self.admission, b, i, index, 0)
        forward_row(self.egress, b, i, index)

    cdef void restore(self, Columns* b, int i, int32_t index) noexcept nogil:
        """Undo the translation of a packet that comes back by the kernel, then deliver it."""
        cdef FlowEntry* entry = &self.admission.flows.entries[index]
        cdef FlowView f
        view(&f, entry)
        if not self.egress.rewrite_side(b, i, NAT_DESTINATION, f.source, f.source_port):
            return
        if entry.action == ACTION_ZPA and not self.egress.rewrite_side(b, i, NAT_SOURCE, f.destination, f.destination_port):
            return
        if entry.action == ACTION_DIRECT:
            clamp(b, i, self.admission.plan.direct_mtu)
        self.egress.deliver(b, i, index)

    cdef void from_tunnel(self, int slot, Columns* b) noexcept nogil:
        cdef int _, closed
        for _ in range(BURSTS):
            if self.admission.tunnels.slots[slot].fd < 0 or self.admission.tunnels.recv(slot, b, &closed) == 0:
                return
            self.take_tunnel(slot, b, False)
            self.release(slot, b)
            if closed:
                reset(b, 1)
                b.inner_length[0] = b.geneve_length[0] = 0
                self.admission.punt(PUNT_TUNNEL_CLOSED, b, 0, 0, NULL, slot)
                self.admission.tunnels.detach(slot)

    cdef void from_edges(self, Columns* b) noexcept nogil:
        self.take_tunnel(TUNNEL_NONE, b, True)
        self.release(TUNNEL_NONE, b)

    cdef void release(self, int slot, Columns* b) noexcept nogil:
        while self.admission.fragments.ready and self.admission.fragments.release(b, ORIGIN_EDGE):
            self.take_tunnel(slot, b, True)

    cdef void take_tunnel(self, int slot, Columns* b, bint mine) noexcept nogil:
        cdef int i
        decode_geneve(b)
        self.egress.begin()
        for i in range(b.count):
            if b.reason[i] != DROP_NONE:
                continue
            if b.geneve_flags[i] and not self.take_flagged(slot, b, i):
                continue
            if parse_row(b, i) == DROP_NONE:
                self.from_edge(b, i, mine)
        self.egress.flush(b)

    cdef bint take_flagged(self, int slot, Columns* b, int i) noexcept nogil:
        if b.geneve_flags[i] & GENEVE_FLAG_CONTROL:
            b.inner_start[i], b.inner_length[i] = b.start[i], b.length[i]
            b.geneve_length[i] = 0
            self.admission.punt(PUNT_TUNNEL_CONTROL, b, i, 0, NULL, slot)
            return False
        return self.admission.tunnels.join(slot, b, i, &self.admission.counts.drops[<int> DROP_PART_ORPHAN])

    cdef void from_edge(self, Columns* b, int i, bint mine) noexcept nogil:
        """A packet that an internet edge sends: an answer to a flow that goes by ZIA, here or at another worker, or nothing."""
        cdef Quote quote
        cdef uint64_t flow_hash
        cdef int32_t index = -1
        cdef int number = -1
        b.namespace[i] = <uint16_t> b.vni[i]
        if b.vni[i] > 0xFFFF:
            drop(b, i, DROP_TUNNEL_FLOW_UNKNOWN)
            return
        if b.fragment[i] != FRAGMENT_NONE:
            number = self.admission.fragments.enter(b, i, ORIGIN_EDGE, False, self.admission.now)
            if number < 0:
                return
        if b.fragment[i] == FRAGMENT_LATER:
            if self.shard is not None and self.shard.follow_fragment(self.admission.fragments, number, b, i, ORIGIN_EDGE):
                return
            self.admission.fragments.follow(number, &index, &flow_hash, &b.direction[i])
            index = index if self.is_flow(index, flow_hash) else -1
            if index >= 0:
                b.protocol[i] = self.admission.flows.entries[index].key.fields.protocol
        elif quote_of(b, i, &quote):
            if not self.error_from_edge(b, i, &quote) and not self.move(b, i, number, mine):
                drop(b, i, DROP_ICMP_UNMATCHED)
            return
        else:
            self.admission.key_row(b, i)
            index = current_flow(self.admission, b, i)
            if not self.answers(b, index, b.direction[i]) and self.move(b, i, number, mine):
                return
        if not self.answers(b, index, b.direction[i]):
            drop(b, i, DROP_TUNNEL_FLOW_UNKNOWN)
            index = -1
        if number >= 0 and b.fragment[i] == FRAGMENT_FIRST:
            self.admission.fragments.settle(number, index, b.hash[i], b.direction[i], b.reason[i])
        if index >= 0:
            clamp(b, i, self.admission.tunnels.largest(self.admission.flows.entries[index].tunnel,
                                                       self.admission.plan.zia_mtu))
            self.egress.deliver(b, i, index)

    cdef bint move(self, Columns* b, int i, int number, bint mine) noexcept nogil:
        """To the worker that has its flow, where this one has not: an edge knows a connector by its newest session."""
        return self.shard is not None and not mine and self.shard.move_edge_row(self.admission.fragments, number, b, i)

    cdef bint answers(self, Columns* b, int32_t index, uint8_t direction) noexcept nogil:
        """Whether a packet of this direction is one that an internet edge may send of the flow."""
        cdef FlowEntry* entry = &self.admission.flows.entries[index]
        return index >= 0 and entry.action == ACTION_ZIA and direction != entry.initiator

    cdef bint error_from_edge(self, Columns* b, int i, Quote* quote) noexcept nogil:
        """An ICMP error about a packet that has gone by ZIA; the edge has put the workload's address and port back.

        False: it is of no flow here.
        """
        cdef FlowKey key
        cdef uint8_t direction
        cdef int32_t index
        make(&key, &direction, quote.ip_version, quote.protocol, b.namespace[i], quote.source, quote.source_port,
             quote.destination, quote.destination_port)
        index = self.admission.flows.find(&key, hash_key(&key, &self.admission.secret))
        if not self.answers(b, index, 1 - direction) or memcmp(quote.source, b.destination + 16 * i, 16) != 0:
            return False
        self.egress.deliver_error(b, i, index, quote)
        return True
