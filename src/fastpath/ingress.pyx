"""Ingress: the way in of a worker. A batch that GWLB sent walks all its stages here, up to the way out of each row.

    geneve ▶ gwlb ▶ place (endpoint) ▶ packet ▶ flowkey ▶ flowtable ─hit─▶ decide ─▶ egress
                                          │                  └─miss─▶ admission ─┘
                                          └─ of several workers another one's ─▶ shard

Journey: between the receiving device and egress. The worker calls walk(); the stages of this file are also open to Python, so
that each can be tested and timed on a batch that nobody received. The worker's thread only. It sends nothing.
"""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint64_t
from libc.string cimport memcmp

from fastpath.arguments cimport uint64
from fastpath.action cimport *
from fastpath.admission cimport MIDSTREAM_RESET, Admission, account_row, current_flow, renew_flow
from fastpath.batch cimport Columns, PacketBatch, alive, drop, inside, row
from fastpath.egress cimport DNS_PORT, Egress, add, forward_row, is_dns
from fastpath.endpoint cimport Endpoint, EndpointMap
from fastpath.counters cimport count_total
from fastpath.flowkey cimport FlowKey, build, hash_key, make
from fastpath.flows cimport AHEAD, FLOW_KERNEL_INSIDE, fetch_flow, fetch_neighbours
from fastpath.flowslots cimport FlowEntry, FlowPath, Flows, keep_header, path_of
from fastpath.fragments cimport ORIGIN_WORKLOAD
from fastpath.geneve cimport GENEVE_IPV4, GENEVE_IPV6
from fastpath.geneve cimport decode as decode_geneve
from fastpath.gwlb cimport decode as decode_gwlb
from fastpath.packet cimport PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_UDP, all_parsed, parse
from fastpath.quote cimport Quote, quote_of
from fastpath.refusal cimport REFUSAL_PROHIBITED
from fastpath.shard cimport Shard
from fastpath.watch cimport Watch, is_watched
from fastpath.wire cimport load_be16


@cython.final
cdef class Ingress:
    """The stages from a received batch to its ways out.

    Args:
        endpoints: which GWLB endpoint is which namespace and location.
        admission: flows, rules and the plan.
        egress: where the rows wait to leave.
        watch: flows that may say their names; a new one that watches none if not given.
        shard: whose packets are whose; None: all are this worker's.
    """

    def __cinit__(self, EndpointMap endpoints not None, Admission admission not None, Egress egress not None,
                  Watch watch=None, Shard shard=None):
        self.endpoints, self.admission, self.egress, self.shard = endpoints, admission, egress, shard
        self.watch = Watch(admission) if watch is None else watch

    cdef void walk(self, Columns* b, bint resumed, bint mine) noexcept nogil:
        decode_geneve(b)
        decode_gwlb(b)
        self.place(b)
        parse(b)
        if self.shard is not None and not mine:
            self.shard.sort(b)
        build(b, &self.admission.secret)
        self.admission.flows.lookup(b)
        self.decide(b, resumed)

    cdef void place(self, Columns* b) noexcept nogil:
        cdef Endpoint* endpoint
        cdef const uint8_t* frame
        cdef int i, version
        for i in range(b.count):
            if b.reason[i] != DROP_NONE:
                continue
            frame = row(b, i) + b.geneve_start[i]
            version = row(b, i)[b.inner_start[i]] >> 4 if b.inner_length[i] else 0
            if version == 4 and load_be16(frame + 2) != GENEVE_IPV4 or version == 6 and load_be16(frame + 2) != GENEVE_IPV6:
                drop(b, i, DROP_PACKET_VERSION)      # its answers would go back under a header that speaks of another family
                continue
            endpoint = self.endpoints.find(b.endpoint[i])
            if endpoint == NULL:
                drop(b, i, DROP_GWLB_ENDPOINT_UNKNOWN)
                continue
            b.namespace[i], self.location[i] = endpoint.namespace, endpoint.location

    cdef void decide(self, Columns* b, bint resumed) noexcept nogil:
        # Two steps ahead of the row: the rest of its flow (lookup has brought the key), and its neighbours in the list.
        cdef const Flows* flows = &self.admission.flows.core
        cdef int i
        self.egress.begin()
        for i in range(-2 * AHEAD, b.count):
            if i + 2 * AHEAD < b.count and b.entry[i + 2 * AHEAD] >= 0:
                fetch_flow(flows, b.entry[i + 2 * AHEAD])
            if 0 <= i + AHEAD < b.count and b.entry[i + AHEAD] >= 0:
                fetch_neighbours(flows, b.entry[i + AHEAD], self.admission.now)
            if i >= 0 and b.reason[i] == DROP_NONE:
                self._decide_row(b, i, resumed)

    cdef void _decide_row(self, Columns* b, int i, bint resumed) noexcept nogil:
        if b.fragment[i] != FRAGMENT_NONE:
            self._decide_fragment(b, i, resumed)
        elif b.protocol[i] != PROTOCOL_ICMP and b.protocol[i] != PROTOCOL_ICMPV6 or not self._decide_error(b, i):
            self._decide_whole(b, i, resumed)

    cdef void _decide_whole(self, Columns* b, int i, bint resumed) noexcept nogil:
        cdef int32_t index
        cdef FlowEntry* entry
        cdef FlowPath* path
        cdef int way
        if is_dns(b, i, b.destination_port[i]) and not resumed:
            if self.admission.owned.answer(b, i, self.location[i], self.admission.now):
                self.admission.record(b, i, self.location[i], 0)
                add(&self.egress.to_geneve, i)       # under the query's own header
            else:
                self.admission.punt(PUNT_DNS_QUERY, b, i, self.location[i], NULL, 0)
            return
        if b.fragment[i] == FRAGMENT_FIRST and b.protocol[i] == PROTOCOL_UDP and b.destination_port[i] == DNS_PORT:
            drop(b, i, DROP_POLICY)      # its server would read a query that nobody has read here
            return
        index = self._flow(b, i, resumed)
        if index < 0:
            return
        entry = &self.admission.flows.entries[index]
        way = b.direction[i] != entry.initiator
        if entry.state & FLOW_KERNEL_INSIDE:
            drop(b, i, DROP_NAT_EXHAUSTED)   # the connector itself holds this very 5-tuple
            return
        if way and entry.action != ACTION_LOCAL and entry.action != ACTION_DROP and entry.action != ACTION_REJECT:
            drop(b, i, DROP_POLICY_STRAY)    # the answers of such a flow come from elsewhere; this is not one
            return
        keep_header(&self.admission.flows.core, index, row(b, i) + b.geneve_start[i], b.geneve_length[i])
        path = path_of(&self.admission.flows.core, entry)
        path.peer_address, path.peer_port = b.peer_address[i], b.peer_port[i]
        account_row(self.admission, b, i, index, way)
        if is_watched(entry) and not way:
            self.watch.hear(b, i, index)
        if is_dns(b, i, b.source_port[i]) and way and entry.action == ACTION_LOCAL and not resumed:
            self.admission.punt(PUNT_DNS_ANSWER, b, i, self.location[i], entry, 0)
            return
        forward_row(self.egress, b, i, index)

    cdef int32_t _flow(self, Columns* b, int i, bint resumed) noexcept nogil:
        """The flow of row i, decided by the present rules; -1: it has none, and whoever is to be told is told."""
        cdef int32_t index = current_flow(self.admission, b, i)
        if index < 0:
            index = self.admission.admit(b, i, self.location[i], resumed, 0)
            if index < 0:
                self._refuse(b, i)
                return -1
            self.watch.begin(b, i, index)
        renew_flow(self.admission, index)
        return index

    cdef void _refuse(self, Columns* b, int i) noexcept nogil:
        """A first packet that got no flow: whether its sender is told."""
        cdef uint8_t reason = b.reason[i]
        if reason == DROP_NAT_EXHAUSTED or reason == DROP_MIDSTREAM and self.admission.plan.midstream == MIDSTREAM_RESET:
            b.reason[i] = DROP_NONE
            self.egress.tell(b, i, REFUSAL_PROHIBITED, 0, reason)

    cdef void _decide_fragment(self, Columns* b, int i, bint resumed) noexcept nogil:
        cdef int number = self.admission.fragments.enter(b, i, ORIGIN_WORKLOAD, resumed, self.admission.now)
        if number < 0:
            return
        if self.shard is not None and self.shard.move_fragment(self.admission.fragments, number, b, i, ORIGIN_WORKLOAD):
            return
        self.egress.datagram = number
        self._decide_piece(b, i, resumed, number)
        self.egress.datagram = -1

    cdef void _decide_piece(self, Columns* b, int i, bint resumed, int number) noexcept nogil:
        cdef uint64_t flow_hash
        cdef uint8_t direction
        cdef int32_t index
        if b.fragment[i] == FRAGMENT_FIRST:
            flow_hash, direction = b.hash[i], b.direction[i]
            self._decide_whole(b, i, resumed)
            if b.reason[i] != DROP_NONE or b.entry[i] >= 0:
                index = b.entry[i] if b.reason[i] == DROP_NONE else -1
                self.admission.fragments.settle(number, index, flow_hash, direction, b.reason[i])
            return
        self.admission.fragments.follow(number, &index, &flow_hash, &direction)
        if self.admission.flows.entries[index].used and self.admission.flows.entries[index].hash == flow_hash:
            self._follow(b, i, index, direction)
        else:
            drop(b, i, DROP_FRAGMENT_ORPHAN)     # its flow has ended

    cdef void _follow(self, Columns* b, int i, int32_t index, uint8_t direction) noexcept nogil:
        # The cookie of a packet without ports may be another flow's, so the flow keeps the one it has.
        cdef FlowEntry* entry = &self.admission.flows.entries[index]
        b.protocol[i], b.direction[i] = entry.key.fields.protocol, direction
        renew_flow(self.admission, index)
        account_row(self.admission, b, i, index, direction != entry.initiator)
        forward_row(self.egress, b, i, index)

    cdef bint _decide_error(self, Columns* b, int i) noexcept nogil:
        cdef Quote quote
        cdef FlowKey key
        cdef FlowEntry* entry
        cdef uint8_t direction
        cdef int32_t index
        if not quote_of(b, i, &quote):
            return False
        make(&key, &direction, quote.ip_version, quote.protocol, b.namespace[i], quote.source, quote.source_port,
             quote.destination, quote.destination_port)
        index = self.admission.flows.find(&key, hash_key(&key, &self.admission.secret))
        if index < 0:
            return False
        entry = &self.admission.flows.entries[index]
        renew_flow(self.admission, index)
        # It speaks of what came to its sender's side; through a translation that can only be what the initiator got.
        if entry.action != ACTION_LOCAL and (direction == entry.initiator or entry.state & FLOW_KERNEL_INSIDE) \
                or memcmp(quote.source, b.destination + 16 * i, 16) != 0:
            drop(b, i, DROP_ICMP_UNMATCHED)
            return True
        b.entry[i], b.rule[i], b.action[i] = index, entry.rule, entry.action
        count_total(&self.admission.counts, entry.action, direction == entry.initiator, 1, b.inner_length[i])
        self.egress.forward_error(b, i, entry, &quote)
        return True

    def walk_batch(self, PacketBatch batch not None, now_ns):
        """Take a batch, its rows as received, through all stages at the monotonic time now_ns.

        Returns:
            Rows alive: those that leave, and those that were handed to the control plane.
        """
        cdef int n
        cdef uint64_t now = uint64(now_ns, "now_ns")
        inside(&batch.columns, batch.columns.start, batch.columns.length, "start and length")
        self.admission.now = now
        with nogil:
            self.walk(&batch.columns, False, False)
            n = alive(&batch.columns)
        return n

    def place_batch(self, PacketBatch batch not None):
        """Write `namespace` of each live row, by its `endpoint`; needs geneve.decode_batch and gwlb.decode_batch before.

        Returns:
            Rows alive.
        Drops:
            GWLB_ENDPOINT_UNKNOWN; PACKET_VERSION: the Geneve header says that something else is behind it.
        """
        cdef int n
        inside(&batch.columns, batch.columns.geneve_start, batch.columns.geneve_length, "geneve_start and geneve_length")
        inside(&batch.columns, batch.columns.inner_start, batch.columns.inner_length, "inner_start and inner_length")
        with nogil:
            self.place(&batch.columns)
            n = alive(&batch.columns)
        return n

    def decide_batch(self, PacketBatch batch not None, now_ns):
        """Give each live row its flow, made by the rules if there is none, and its way out; needs every stage before.

        Returns:
            Rows alive.
        Raises:
            ValueError: an entry is not a flow of the table.
        """
        cdef int n
        cdef uint64_t now = uint64(now_ns, "now_ns")
        inside(&batch.columns, batch.columns.geneve_start, batch.columns.geneve_length, "geneve_start and geneve_length")
        all_parsed(&batch.columns)
        self.admission.flows._check_entries(&batch.columns)
        self.admission.now = now
        with nogil:
            self.decide(&batch.columns, False)
            n = alive(&batch.columns)
        return n
