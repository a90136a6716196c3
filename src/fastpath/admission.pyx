"""Admission: the life of a flow from its first packet to its record in the log.

Journey: between flowtable.lookup and the way out. It finds the flow of a packet, has a first packet decided by the rules,
binds what the method needs (an address and port for DIRECT, an alias and port for ZPA), decides again when the policy has
changed, keeps counters and TCP state, and reports flows that opened or ended. One thread, the worker's; it moves no packet.
"""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastpath.action cimport *
from fastpath.alias cimport AliasTable
from fastpath.arguments cimport mapped
from fastpath.askers cimport AskerTable
from fastpath.batch cimport Columns, PacketBatch, drop, reset, row
from fastpath.classify cimport RuleSet
from fastpath.counters cimport credit
from fastpath.flowkey cimport FlowKey, hash_key, make, set_secret
from fastpath.flows cimport class_of, fetch_followers
from fastpath.flowtable cimport *
from fastpath.fragments cimport FragmentTable
from fastpath.kernelflows cimport Credit
from fastpath.message cimport FlowView, Message, post, view
from fastpath.nametable cimport NameTable
from fastpath.naming cimport naming_of
from fastpath.nat cimport NatTable
from fastpath.owned cimport OwnedNames
from fastpath.portidle cimport PortIdle
from fastpath.packet cimport PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN
from fastpath.pools cimport Pools
from fastpath.ring cimport Ring
from fastpath.tokens cimport take_token
from fastpath.tunnels cimport TUNNEL_NONE, Tunnels
from fastpath.wire cimport load_be32, store_be32

cdef enum:
    DNS_PORT = 53
    EXPIRED_AT_ONCE = 256
    RECORD_NS = 1_000_000         # of answers to owned names, so that many records a second; the others are counted
    RECORDS_AT_ONCE = 1000
    EXPIRIES_A_TURN = 16   # so many times EXPIRED_AT_ONCE: all flows of a large table within seconds, no turn held up

MIDSTREAM = ("adopt", "reset", "drop")      # names of MIDSTREAM_, by number


@cython.final
cdef class Admission:
    """The tables of one worker and the fixed plan of addresses.

    Args:
        flows, nat, names, aliases, rules, tunnels, events: the worker's own. records: what is only written down; None = events.
        secret: 32 bytes for the flow hash.
        pools, internal: IPv4Networks of synthetic addresses; IPv4Network of aliases (.0.1 is the listeners').
        ports: (ZPA TCP, ZPA UDP, DNS TCP) listeners in the connector's kernel.
        mtus: (largest inner packet into a ZIA tunnel, largest packet out of the service interface).
        egress, owned: IPv4Address and/or IPv6Address for DIRECT; names whose queries are answered here, None = none.
        midstream: "adopt", "reset" or "drop" TCP from the middle of a connection that is not known here.
        port_idle, fragments, askers: idle times by port, None = those of classes; tables, None = those of the usual size.
    """

    def __cinit__(self, FlowTable flows not None, NatTable nat not None, NameTable names not None,
                  AliasTable aliases not None, RuleSet rules not None, Tunnels tunnels not None, Ring events not None, *,
                  bytes secret, pools, internal, ports, egress=(), mtus=(1400, 1500), OwnedNames owned=None,
                  FragmentTable fragments=None, str midstream="adopt", PortIdle port_idle=None, AskerTable askers=None,
                  Ring records=None):
        self.flows, self.nat, self.names, self.aliases = flows, nat, names, aliases
        self.rules, self.tunnels, self.events, self.records = rules, tunnels, events, events if records is None else records
        self.owned = OwnedNames(8, secret) if owned is None else owned
        self.pools = Pools(pools)
        self.fragments = FragmentTable(seed=secret) if fragments is None else fragments
        self.port_idle = PortIdle(flows.capacity) if port_idle is None else port_idle
        self.askers = AskerTable(seed=secret) if askers is None else askers
        self.scratch = PacketBatch(1, 256)
        set_secret(&self.secret, secret, "secret")
        cdef Plan* p = &self.plan
        p.internal, p.internal_mask = int(internal.network_address), int(internal.netmask)
        cdef bytes end = mapped(internal[1])
        memcpy(p.listener, <const uint8_t*> end, 16)
        p.zpa_tcp_port, p.zpa_udp_port, p.dns_tcp_port = ports
        p.zia_mtu, p.direct_mtu = mtus
        if midstream not in MIDSTREAM:
            raise ValueError(f"midstream must be one of {', '.join(MIDSTREAM)}, not {midstream!r}")
        p.midstream = MIDSTREAM.index(midstream)
        for address in egress:
            end = mapped(address)
            if address.version == 4:
                memcpy(p.egress4, <const uint8_t*> end, 16)
                p.has_egress4 = 1
            else:
                memcpy(p.egress6, <const uint8_t*> end, 16)
                p.has_egress6 = 1

    def exchange_rules(self, RuleSet rules not None):
        """Decide by `rules` from now on; only while the worker is between two turns."""
        self.rules = rules

    cdef void key_row(self, Columns* b, int i) noexcept nogil:
        cdef FlowKey key
        make(&key, &b.direction[i], b.ip_version[i], b.protocol[i], b.namespace[i],
             b.source + 16 * i, b.source_port[i], b.destination + 16 * i, b.destination_port[i])
        memcpy(b.key + 40 * i, &key, 40)
        b.hash[i] = hash_key(&key, &self.secret)

    cdef bint in_pool(self, const uint8_t* address) noexcept nogil:
        return self.pools.holds(load_be32(address + 12))

    cdef uint32_t name_of(self, uint16_t namespace, const uint8_t* destination) noexcept nogil:
        cdef uint32_t name = self.names.find(namespace, destination, self.now)
        return name if name else self.names.find(EVERY_NAMESPACE, destination, self.now)

    cdef int32_t current(self, Columns* b, int i) noexcept nogil:
        # The batch was looked up as a whole; earlier rows of it may have inserted or ended this row's flow since.
        cdef int32_t index = b.entry[i]
        cdef FlowEntry* entry
        if index < 0 or not self.flows.entries[index].used or self.flows.entries[index].hash != b.hash[i]:
            index = self.flows.find(<const FlowKey*> (b.key + 40 * i), b.hash[i])
        if index < 0:
            return -1
        entry = &self.flows.entries[index]
        if entry.timeout_class == TIMEOUT_TCP_CLOSING and b.tcp_flags[i] & (TCP_SYN | TCP_ACK) == TCP_SYN:
            self.close(index)
            return -1
        return index

    cdef int32_t _install(self, Columns* b, int i) noexcept nogil:
        cdef uint8_t klass = class_of(b.protocol[i], 0)
        cdef int32_t index, victim
        index = self.flows.insert(<const FlowKey*> (b.key + 40 * i), b.hash[i], klass, self.now)
        if index < 0:
            victim = self.flows.oldest()
            if victim < 0:
                return -1
            self.counts.evicted += 1
            fetch_followers(&self.flows.core, victim)
            self.close(victim)
            index = self.flows.insert(<const FlowKey*> (b.key + 40 * i), b.hash[i], klass, self.now)
        return index

    cdef int32_t admit(self, Columns* b, int i, uint32_t location, bint resumed, uint8_t state) noexcept nogil:
        cdef uint8_t* destination = b.destination + 16 * i
        cdef bint pool = b.ip_version[i] == 4 and self.in_pool(destination)
        cdef uint32_t name = self.name_of(b.namespace[i], destination)
        cdef int32_t index
        cdef FlowEntry* entry
        cdef uint8_t reason
        if self.draining or self.plan.midstream and is_midstream(b.protocol[i], b.tcp_flags[i]):
            drop(b, i, DROP_DRAINING if self.draining else DROP_MIDSTREAM)
            return -1
        if pool and name == 0 and not resumed:
            self.punt(PUNT_UNKNOWN_SYNTHETIC, b, i, location, NULL, 0)
            return -1
        index = self._install(b, i)
        if index < 0:
            drop(b, i, DROP_FLOW_TABLE_FULL)
            return -1
        entry = &self.flows.entries[index]
        entry.initiator, entry.state, entry.tunnel = b.direction[i], state, TUNNEL_NONE
        entry.location, entry.name_id, entry.generation = location, name, self.rules.generation
        if b.protocol[i] == PROTOCOL_TCP and b.destination_port[i] == DNS_PORT and not state & FLOW_KERNEL_INSIDE:
            entry.owner, entry.rule, entry.action = OWNER_DNS, -1, ACTION_ZPA
        else:
            entry.rule = self.rules.decide(b, i, location, name, self.now)
            entry.action = self.rules.action_of[entry.rule]
            if naming_of(name) and (entry.action == ACTION_DROP or entry.action == ACTION_REJECT):
                # Others said that name of this address; this flow may yet say another, which it could not if it were dropped.
                entry.name_id, entry.rule = 0, self.rules.decide(b, i, location, 0, self.now)
                entry.action = self.rules.action_of[entry.rule]
        reason = self._bind(index)
        if reason != DROP_NONE:
            drop(b, i, reason)
            self._unbind(entry)
            self.flows.remove(index)
            return -1
        self.port_idle.enter(&self.flows.core, index, b.protocol[i], b.destination_port[i], self.now)
        self.counts.opened += 1
        return index

    cdef void record(self, Columns* b, int i, uint32_t location, uint32_t value) noexcept nogil:
        cdef Message m
        self.counts.dns_answered += 1
        # A second's worth may come at once; behind it the control plane would only write what nobody can read.
        if not take_token(&self.record_at, self.now, RECORD_NS, RECORDS_AT_ONCE):
            self.counts.dns_unrecorded += 1
            return
        memset(&m, 0, sizeof(Message))
        m.kind, m.namespace, m.location, m.value = PUNT_DNS_ANSWERED, b.namespace[i], location, value
        m.peer_address, m.peer_port = b.peer_address[i], b.peer_port[i]
        m.packet_length = b.inner_length[i]
        if not self._post(&m, row(b, i) + b.inner_start[i]):
            self.counts.dns_unrecorded += 1

    cdef void renew(self, int32_t index) noexcept nogil:
        cdef FlowEntry* entry = &self.flows.entries[index]
        cdef FlowView f
        cdef uint32_t name
        cdef int32_t rule
        cdef uint8_t action
        if entry.generation == self.rules.generation or entry.owner == OWNER_DNS:
            if entry.action == ACTION_ZIA and self.rules.opens_of[entry.rule] and tunnel_of(self, entry) == TUNNEL_NONE:
                self._fail_open(index)
            return
        view(&f, entry)
        name = self.name_of(f.namespace, f.destination)
        # A name whose lease has run out still names the flow that was opened by it; what a flow has said of itself stands too.
        entry.name_id = name if name and not naming_of(entry.name_id) else entry.name_id
        rule = self.rule_of(entry)
        entry.generation = self.rules.generation
        action = self.rules.action_of[rule]
        if action != entry.action:
            self._end_record(entry)
            self._unbind(entry)
            entry.action, entry.rule, entry.tunnel = action, rule, TUNNEL_NONE
            if self._bind(index) != DROP_NONE:
                self._unbind(entry)        # by the action that bound it
                entry.action = ACTION_DROP
        entry.rule = rule

    cdef int32_t rule_of(self, const FlowEntry* entry) noexcept nogil:
        cdef Columns* b = &self.scratch.columns
        cdef FlowView f
        view(&f, entry)
        reset(b, 1)
        memcpy(b.source, f.source, 16)
        memcpy(b.destination, f.destination, 16)
        b.ip_version[0], b.protocol[0], b.fragment[0], b.namespace[0] = f.ip_version, f.protocol, FRAGMENT_NONE, f.namespace
        b.source_port[0], b.destination_port[0], b.tcp_flags[0] = f.source_port, f.destination_port, 0
        return self.rules.decide(b, 0, entry.location, entry.name_id, self.now)

    cdef void _fail_open(self, int32_t index) noexcept nogil:
        """Have a ZIA flow without an edge go DIRECT; as before if that can not be bound."""
        cdef FlowEntry* entry = &self.flows.entries[index]
        cdef bint bound = self._bind(index) == DROP_NONE
        entry.action = ACTION_ZIA
        if bound:
            self._end_record(entry)
            entry.action = ACTION_DIRECT

    cdef void _end_record(self, FlowEntry* entry) noexcept nogil:
        # One record is of one action; what comes after it counts from zero, so that records add up.
        self._report(PUNT_FLOW_CLOSED, entry)
        memset(entry.packets, 0, sizeof(entry.packets))
        memset(entry.bytes, 0, sizeof(entry.bytes))
        path_of(&self.flows.core, entry).started_ns = self.now

    cdef uint8_t _bind(self, int32_t index) noexcept nogil:
        cdef FlowEntry* entry = &self.flows.entries[index]
        cdef FlowView f
        if entry.action == ACTION_ZIA:
            entry.tunnel = tunnel_of(self, entry)
            if entry.tunnel != TUNNEL_NONE or not self.rules.opens_of[entry.rule]:
                return DROP_NONE
            entry.action = ACTION_DIRECT
        if entry.action == ACTION_LOCAL and entry.state & FLOW_KERNEL_INSIDE:
            return DROP_LOCAL_NOT_GENEVE
        if entry.action != ACTION_DIRECT and entry.action != ACTION_ZPA:
            return DROP_NONE
        view(&f, entry)
        return self._bind_to(entry, index, &f)

    cdef uint8_t _bind_to(self, FlowEntry* entry, int32_t index, FlowView* f) noexcept nogil:
        cdef uint8_t[16] local
        cdef uint8_t* remote = f.destination
        cdef uint16_t remote_port = f.destination_port
        cdef int alias
        cdef uint8_t reason
        if entry.action == ACTION_ZPA:
            if f.ip_version != 4 or (f.protocol != PROTOCOL_TCP and f.protocol != PROTOCOL_UDP):
                return DROP_ZPA_UNSUPPORTED
            alias = self.aliases.number(f.namespace, f.source, self.now)
            if alias < 0:
                return DROP_NAT_EXHAUSTED
            entry.nat_slot = alias
            remote, remote_port = self.plan.listener, self._listener_port(entry)
        elif not (self.plan.has_egress4 if f.ip_version == 4 else self.plan.has_egress6):
            return DROP_DIRECT_DOWN
        if f.protocol == PROTOCOL_ICMP or f.protocol == PROTOCOL_ICMPV6:
            remote_port = 0
        self.local_end(entry, local)
        reason = self.nat.bind(f.protocol, local, remote, remote_port, f.source_port, index, &entry.nat_port)
        if reason != DROP_NONE:
            return reason
        entry.state |= FLOW_BOUND
        if entry.action == ACTION_ZPA:
            self.aliases.hold(entry.nat_slot)
            if not self._report(PUNT_FLOW_OPENED, entry):
                return DROP_PUNT_FULL
        return DROP_NONE

    cdef uint16_t _listener_port(self, const FlowEntry* entry) noexcept nogil:
        if entry.owner == OWNER_DNS:
            return self.plan.dns_tcp_port
        return self.plan.zpa_tcp_port if entry.key.fields.protocol == PROTOCOL_TCP else self.plan.zpa_udp_port

    cdef void local_end(self, FlowEntry* entry, uint8_t* address) noexcept nogil:
        if entry.action == ACTION_ZPA:
            memset(address, 0, 10)
            address[10] = address[11] = 0xFF
            store_be32(address + 12, self.aliases.base + entry.nat_slot)
        elif entry.key.fields.ip_version == 4:
            memcpy(address, self.plan.egress4, 16)
        else:
            memcpy(address, self.plan.egress6, 16)

    cdef void _unbind(self, FlowEntry* entry) noexcept nogil:
        cdef FlowView f
        cdef uint8_t[16] local
        cdef uint16_t remote_port
        if not entry.state & FLOW_BOUND:
            return
        view(&f, entry)
        self.local_end(entry, local)
        if entry.action == ACTION_ZPA:
            self.nat.release(f.protocol, local, entry.nat_port, self.plan.listener, self._listener_port(entry))
            self.aliases.give(entry.nat_slot, self.now)
        else:
            remote_port = 0 if f.protocol == PROTOCOL_ICMP or f.protocol == PROTOCOL_ICMPV6 else f.destination_port
            self.nat.release(f.protocol, local, entry.nat_port, f.destination, remote_port)
        entry.state &= ~<uint8_t> FLOW_BOUND

    cdef void close(self, int32_t index) noexcept nogil:
        cdef FlowEntry* entry = &self.flows.entries[index]
        cdef Credit[2] credits
        if self.kernel is not None:
            credit(&self.counts, self.flows, credits, self.kernel.withdraw(index, credits), self.now)
        unmark_flow(self, entry)
        self._report(PUNT_FLOW_CLOSED, entry)
        self._unbind(entry)
        self.flows.remove(index)
        self.counts.closed += 1

    cdef void expire(self) noexcept nogil:
        cdef int32_t[EXPIRED_AT_ONCE] due
        cdef int k, _, n
        (&self.counts.drops[0])[<int> DROP_FRAGMENT_ORPHAN] += self.fragments.sweep(self.now)
        for k in range(self.port_idle.due(&self.flows.core, self.now, due, EXPIRED_AT_ONCE)):
            if self.flows.entries[due[k]].used:      # it may be named twice: see portidle
                self.close(due[k])
        for _ in range(EXPIRIES_A_TURN):
            n = self.flows.due(self.now, due, EXPIRED_AT_ONCE)
            for k in range(n):
                self.close(due[k])
            if n < EXPIRED_AT_ONCE:
                return

    cdef void forget(self, uint8_t protocol, const uint8_t* alias, uint16_t port) noexcept nogil:
        cdef uint16_t listener = self.plan.zpa_tcp_port if protocol == PROTOCOL_TCP else self.plan.zpa_udp_port
        cdef int32_t index = self.nat.find(protocol, alias, port, self.plan.listener, listener)
        if index < 0 and protocol == PROTOCOL_TCP:
            index = self.nat.find(protocol, alias, port, self.plan.listener, self.plan.dns_tcp_port)
        if index >= 0:
            self.close(index)

    cdef int _report(self, uint8_t reason, const FlowEntry* entry) noexcept nogil:
        cdef Message m
        memset(&m, 0, sizeof(Message))
        m.kind, m.namespace, m.location, m.has_flow = reason, entry.key.fields.namespace, entry.location, 1
        m.value, m.slot = entry.owner, entry.tunnel
        view(&m.flow, entry)
        m.flow.started_ns = path_of(&self.flows.core, entry).started_ns
        return self._post(&m, NULL)

    cdef int punt(self, uint8_t reason, Columns* b, int i, uint32_t location, const FlowEntry* entry,
                  uint32_t value) noexcept nogil:
        """Hand row i to the control plane, with the header to answer under: the flow's if given, else the packet's."""
        cdef Message m
        cdef FlowPath* path
        cdef uint8_t[48] room
        if entry == NULL and not self.askers.take(b.namespace[i], b.source + 16 * i, self.now):
            drop(b, i, DROP_PUNT_SHARE)
            return 0
        memset(&m, 0, sizeof(Message))
        m.kind, m.namespace, m.location, m.value = reason, b.namespace[i], location, value
        m.endpoint, m.peer_address, m.peer_port = b.endpoint[i], b.peer_address[i], b.peer_port[i]
        m.packet_length = b.inner_length[i]
        if entry != NULL:
            path = path_of(&self.flows.core, entry)
            m.header_length, m.peer_address, m.peer_port = path.header_length, path.peer_address, path.peer_port
            memcpy(m.header, header_of(&self.flows.core, <int32_t> (entry - self.flows.entries), room), path.header_length)
            m.has_flow = 1
            view(&m.flow, entry)
            m.flow.started_ns = path.started_ns
        elif b.geneve_length[i] <= 48:
            m.header_length = b.geneve_length[i]
            memcpy(m.header, row(b, i) + b.geneve_start[i], m.header_length)
        if self._post(&m, row(b, i) + b.inner_start[i]):
            b.action[i] = ACTION_NONE
            return 1
        drop(b, i, DROP_PUNT_FULL)
        return 0

    cdef int _post(self, const Message* m, const uint8_t* packet) noexcept nogil:
        cdef int posted
        if m.kind == PUNT_DNS_ANSWERED or m.kind == PUNT_FLOW_CLOSED and m.flow.action != ACTION_ZPA:
            posted, self.posted = post(self.records, m, packet), self.posted | POSTED_RECORD
            self.counts.unrecorded += not posted and m.kind == PUNT_FLOW_CLOSED
        else:
            posted, self.posted = post(self.events, m, packet), self.posted | POSTED_EVENT
        self.counts.events[m.kind] += posted
        return posted
