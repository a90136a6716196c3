"""Egress: the ways out of a worker. Which one a row takes is its flow's action; what it needs for that is done here.

    LOCAL   the frame as it came              ─▶ GWLB
    ZIA     MTU, MSS, tunnel header, seal     ─▶ internet edge
    ZPA     source and destination rewritten  ─▶ device: the kernel's listener
    DIRECT  source rewritten, MSS             ─▶ device: the kernel forwards it
    DROP    counted; a synthetic address is refused aloud
    REJECT  a TCP reset or an ICMP error ─▶ GWLB, under the header that the packet came with

What is too large for its way out goes in pieces if its sender allows that (IPv4 without DF), else its sender is told.

Journey: between admission and the devices. Rows are sorted by way out while a batch is walked and leave together at its end.
"Forward" is from the flow's initiator, "deliver" is towards it. The worker's thread only.
"""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.arguments cimport SHORT_MAX, WORD_MAX, integer
from fastpath.action cimport *
from fastpath.askers cimport AskerTable
from fastpath.admission cimport OWNER_CUT, Admission, Plan, account_row, renew_flow, tunnel_of
from fastpath.counters cimport count_total
from fastpath.batch cimport Columns, PacketBatch, drop, row
from fastpath.flowtable cimport FLOW_KERNEL_INSIDE, FlowEntry, FlowPath, header_of
from fastpath.geneve cimport put
from fastpath.identification cimport Identifications
from fastpath.message cimport FlowView, view
from fastpath.outer cimport OUTER_BYTES, write_outer
from fastpath.packetio cimport Device, GenevePort
from fastpath.pieces cimport PIECES_MAX, cut
from fastpath.quote cimport Quote, rewrite_quote
from fastpath.refusal cimport REFUSAL_PROHIBITED, REFUSAL_TOO_BIG, refuse_row, within
from fastpath.rewrite cimport NAT_DESTINATION, NAT_SOURCE, rewrite, rewrite_error
from fastpath.tunnels cimport TUNNEL_NONE, TUNNEL_SLOTS, encapsulate
from fastpath.wire cimport load_be16, store_be32

from libc.string cimport memcpy, memset

cdef enum:
    HEADER_MAX = 48          # of GWLB
    DONT_FRAGMENT = 0x4000


@cython.final
cdef class Egress:
    """The devices of a worker.

    Args:
        geneve: GWLB's end; None: rows for it stay in the batch (a simulation, a measurement).
        device: the kernel's end; None likewise.
        admission: flows, bindings and tunnels.
    """

    def __cinit__(self, GenevePort geneve, Device device, Admission admission not None):
        self.geneve, self.device, self.admission = geneve, device, admission
        self.pieces = PacketBatch(PIECES_MAX)
        self.identifications = Identifications(seed=(<const uint8_t*> &admission.secret)[:sizeof(admission.secret)])
        self.datagram = -1
        memset(self.limits, 0, sizeof(self.limits))
        self.told = AskerTable(seed=(<const uint8_t*> &admission.secret)[:sizeof(admission.secret)])
        self.begin()

    cdef void begin(self) noexcept nogil:
        cdef int slot
        self.to_geneve.n = self.to_device.n = 0
        for slot in range(TUNNEL_SLOTS):
            self.to_tunnel[slot].n = 0

    cdef void flush(self, Columns* b) noexcept nogil:
        """Send the rows that the walk has sorted by device, and count what was dropped."""
        cdef uint64_t* drops = self.admission.counts.drops
        cdef int slot, i
        for slot in range(TUNNEL_SLOTS):
            if self.to_tunnel[slot].n:
                self.admission.tunnels.send(slot, b, self.to_tunnel[slot].index, self.to_tunnel[slot].n)
        if self.to_geneve.n and self.geneve is not None:
            self.geneve.send_rows(b, self.to_geneve.index, self.to_geneve.n)
        if self.to_device.n and self.device is not None:
            self.device.send_rows(b, self.to_device.index, self.to_device.n)
        for i in range(b.count):
            if b.reason[i] != DROP_NONE:
                drops[b.reason[i]] += 1

    cdef void encode(self, Columns* b, uint32_t address, uint16_t port) noexcept nogil:
        cdef int k, i
        for k in range(self.to_geneve.n):
            i = self.to_geneve.index[k]
            if b.start[i] < OUTER_BYTES:
                drop(b, i, DROP_IO_SEND)
                continue
            write_outer(row(b, i) + b.start[i] - OUTER_BYTES, address, b.peer_port[i], b.peer_address[i], port, b.length[i])
            b.start[i] -= OUTER_BYTES
            b.length[i] += OUTER_BYTES

    cdef void forward(self, Columns* b, int i, FlowEntry* entry) noexcept nogil:
        if entry.action == ACTION_ZIA:
            self._into_tunnel(b, i, entry)
        elif entry.action == ACTION_DIRECT or entry.action == ACTION_ZPA:
            self._translate(b, i, entry)
        else:
            self._refuse(b, i, entry)

    cdef void _refuse(self, Columns* b, int i, FlowEntry* entry) noexcept nogil:
        # A synthetic address exists only here, and who was cut midway waits for an answer: silence would leave them to a time-out.
        if entry.state & FLOW_KERNEL_INSIDE:
            drop(b, i, DROP_POLICY)
        elif entry.action == ACTION_REJECT:
            self.tell(b, i, REFUSAL_PROHIBITED, 0, DROP_REJECTED)
        elif entry.owner == OWNER_CUT:
            self.tell(b, i, REFUSAL_PROHIBITED, 0, DROP_POLICY)
        elif b.ip_version[i] == 4 and self.admission.in_pool(b.destination + 16 * i):
            self.tell(b, i, REFUSAL_PROHIBITED, 0, DROP_POLICY_STRAY)
        else:
            drop(b, i, DROP_POLICY)

    cdef void tell(self, Columns* b, int i, int refusal, uint16_t mtu, uint8_t reason) noexcept nogil:
        cdef uint8_t[HEADER_MAX] header
        cdef uint64_t* drops = self.admission.counts.drops
        cdef int n = b.geneve_length[i]        # at most HEADER_MAX: gwlb.decode has seen to that
        memcpy(header, row(b, i) + b.geneve_start[i], n)
        # Who is told more often than one may, or of something else, leaves others theirs: without "too big" their paths are dead.
        if not self.told.take(b.namespace[i], b.source + 16 * i, self.admission.now) or \
                not within(&self.limits[refusal], self.admission.now) or not refuse_row(b, i, refusal, mtu, NULL) or \
                b.inner_start[i] < n:
            self.admission.counts.untold += 1
            drop(b, i, reason)
            return
        put(b, i, header, n)
        drops[reason] += 1          # the row itself is the answer, which is not dropped
        self.admission.counts.refusals[refusal] = self.admission.counts.refusals[refusal] + 1
        add(&self.to_geneve, i)

    cdef bint rewrite_side(self, Columns* b, int i, int side, const uint8_t* address, uint16_t port) noexcept nogil:
        cdef uint8_t reason = rewrite(row(b, i) + b.inner_start[i], b.inner_length[i], b.ip_version[i], b.protocol[i],
                                      b.fragment[i], b.l4_start[i] - b.inner_start[i], side, address, port)
        if reason != DROP_NONE:
            drop(b, i, reason)
        return reason == DROP_NONE

    cdef void _translate(self, Columns* b, int i, FlowEntry* entry) noexcept nogil:
        """Forward by the kernel: to its own listener (ZPA) or out of the service interface (DIRECT)."""
        cdef uint8_t[16] local
        cdef Plan* plan = &self.admission.plan
        cdef bint large = b.inner_length[i] > plan.direct_mtu
        cdef uint8_t reason = DROP_ZPA_TOO_BIG if entry.action == ACTION_ZPA else DROP_DIRECT_TOO_BIG
        if large and not may_cut(b, i):
            self._tell_size(b, i, entry, plan.direct_mtu, reason)
            return
        self.admission.local_end(entry, local)
        if not self.rewrite_side(b, i, NAT_SOURCE, local, entry.nat_port):
            return
        if entry.action == ACTION_ZPA:
            if not self.rewrite_side(b, i, NAT_DESTINATION, plan.listener, self.admission._listener_port(entry)):
                return
        else:
            clamp(b, i, plan.direct_mtu)
        self._identify(b, i)
        if large:
            self._in_pieces(b, i, entry, plan.direct_mtu, -1, reason)
        else:
            add(&self.to_device, i)

    cdef void _identify(self, Columns* b, int i) noexcept nogil:
        """Another identification for what leaves under an address that it shares with others."""
        cdef uint16_t* kept = NULL
        if b.ip_version[i] == 4:
            if self.datagram >= 0:
                kept = &self.admission.fragments.datagrams[self.datagram].identification
            self.identifications.renew(row(b, i) + b.inner_start[i], kept)

    cdef void _tell_size(self, Columns* b, int i, FlowEntry* entry, uint16_t mtu, uint8_t reason) noexcept nogil:
        if entry.state & FLOW_KERNEL_INSIDE:
            drop(b, i, reason)
        else:
            self.tell(b, i, REFUSAL_TOO_BIG, mtu, reason)

    cdef void _in_pieces(self, Columns* b, int i, FlowEntry* entry, uint16_t mtu, int slot, uint8_t reason) noexcept nogil:
        cdef Columns* made = &self.pieces.columns
        cdef uint64_t* drops = self.admission.counts.drops
        cdef uint16_t[PIECES_MAX] rows
        cdef int k, n = cut(b, i, mtu, made)
        if n == 0:
            drop(b, i, reason)
            return
        for k in range(n):
            rows[k] = k
            if slot >= 0:
                encapsulate(made, k, entry.location, entry.hash)
        if slot >= 0:
            self.admission.tunnels.send(slot, made, rows, n)
        elif self.device is not None:
            self.device.send_rows(made, rows, n)
        self.admission.counts.cut += 1
        for k in range(n):
            if made.reason[k] != DROP_NONE:
                drops[made.reason[k]] += 1

    cdef void _into_tunnel(self, Columns* b, int i, FlowEntry* entry) noexcept nogil:
        cdef uint16_t mtu
        entry.tunnel = tunnel_of(self.admission, entry)
        if entry.tunnel == TUNNEL_NONE:
            drop(b, i, DROP_ZIA_DOWN)
            return
        mtu = self.admission.tunnels.largest(entry.tunnel, self.admission.plan.zia_mtu)
        clamp(b, i, mtu)
        if b.inner_length[i] > mtu and not self.admission.tunnels.carries(entry.tunnel, b.inner_length[i]):
            if may_cut(b, i):
                self._in_pieces(b, i, entry, mtu, entry.tunnel, DROP_ZIA_TOO_BIG)
            else:
                self._tell_size(b, i, entry, mtu, DROP_ZIA_TOO_BIG)
            return
        encapsulate(b, i, entry.location, entry.hash)
        add(&self.to_tunnel[entry.tunnel], i)

    cdef void deliver(self, Columns* b, int i, int32_t index) noexcept nogil:
        cdef FlowEntry* entry = &self.admission.flows.entries[index]
        cdef uint8_t[16] alias
        cdef FlowView f
        renew_flow(self.admission, index)
        account_row(self.admission, b, i, index, 1)
        b.entry[i], b.rule[i], b.action[i] = index, entry.rule, entry.action
        if entry.action == ACTION_DROP or entry.action == ACTION_REJECT:
            drop(b, i, DROP_POLICY)
        elif entry.state & FLOW_KERNEL_INSIDE:
            view(&f, entry)
            self._alias_of(&f, alias)
            if self.rewrite_side(b, i, NAT_DESTINATION, alias, f.source_port):
                add(&self.to_device, i)
        elif is_dns(b, i, b.source_port[i]):
            self.admission.punt(PUNT_DNS_ANSWER, b, i, entry.location, entry, 0)
        else:
            self._home(b, i, index)

    cdef void _home(self, Columns* b, int i, int32_t index) noexcept nogil:
        """Under the flow's newest header to GWLB."""
        cdef FlowPath* path = &self.admission.flows.core.paths[index]
        cdef uint8_t[HEADER_MAX] room
        put(b, i, header_of(&self.admission.flows.core, index, room), path.header_length)
        b.peer_address[i], b.peer_port[i] = path.peer_address, path.peer_port
        add(&self.to_geneve, i)

    cdef void _alias_of(self, FlowView* f, uint8_t* alias) noexcept nogil:
        cdef int n = self.admission.aliases.number(f.namespace, f.source, self.admission.now)
        mapped_alias(alias, self.admission.aliases.base + <uint32_t> n if n >= 0 else 0)      # 0.0.0.0: nobody gets it

    cdef void forward_error(self, Columns* b, int i, FlowEntry* entry, Quote* quote) noexcept nogil:
        cdef uint8_t* packet = row(b, i) + b.inner_start[i]
        cdef int l4 = b.l4_start[i] - b.inner_start[i]
        cdef uint8_t[16] local
        if entry.action == ACTION_LOCAL:
            add(&self.to_geneve, i)
            return
        if entry.action != ACTION_DIRECT and entry.action != ACTION_ZPA:
            self.forward(b, i, entry)
            return
        self.admission.local_end(entry, local)
        if rewrite_error(packet, b.ip_version[i], l4, NAT_SOURCE, local) != DROP_NONE:
            drop(b, i, DROP_NAT_FAMILY)
            return
        rewrite_quote(packet, l4, quote, NAT_DESTINATION, local, entry.nat_port)
        if entry.action == ACTION_ZPA:
            rewrite_error(packet, b.ip_version[i], l4, NAT_DESTINATION, self.admission.plan.listener)
            rewrite_quote(packet, l4, quote, NAT_SOURCE, self.admission.plan.listener, self.admission._listener_port(entry))
        self._identify(b, i)
        add(&self.to_device, i)

    cdef void deliver_error(self, Columns* b, int i, int32_t index, Quote* quote) noexcept nogil:
        cdef FlowEntry* entry = &self.admission.flows.entries[index]
        cdef uint8_t* packet = row(b, i) + b.inner_start[i]
        cdef int l4 = b.l4_start[i] - b.inner_start[i]
        cdef bint inside = entry.state & FLOW_KERNEL_INSIDE
        cdef uint8_t[16] alias
        cdef uint8_t* hears
        cdef FlowView f
        view(&f, entry)
        hears = f.source
        if inside:
            self._alias_of(&f, alias)
            hears = alias
        if rewrite_error(packet, b.ip_version[i], l4, NAT_DESTINATION, hears) != DROP_NONE:
            drop(b, i, DROP_NAT_FAMILY)
            return
        rewrite_quote(packet, l4, quote, NAT_SOURCE, hears, f.source_port)
        if entry.action == ACTION_ZPA:
            rewrite_error(packet, b.ip_version[i], l4, NAT_SOURCE, f.destination)
            rewrite_quote(packet, l4, quote, NAT_DESTINATION, f.destination, f.destination_port)
        count_total(&self.admission.counts, entry.action, 1, 1, b.inner_length[i])
        if inside:
            add(&self.to_device, i)
        else:
            self._home(b, i, index)

    def encode_batch(self, PacketBatch batch not None, address, port):
        """Write the outer IPv4 and UDP headers of the rows that wait to go to GWLB in front of their frames.

        Addresses are swapped: from `address` to the row's peer; ports are not (from the peer's port to `port`), as GWLB
        wants it. `start` and `length` become the whole packet. For links below IP; a UDP socket needs no such header.

        Returns:
            How many rows wait for GWLB.
        Drops:
            IO_SEND: no room in front of the frame.
        """
        cdef uint32_t own = <uint32_t> integer(address, "address", 0, WORD_MAX)
        cdef uint16_t to_port = <uint16_t> integer(port, "port", 0, SHORT_MAX)
        with nogil:
            self.encode(&batch.columns, own, to_port)
        return self.to_geneve.n


cdef inline bint may_cut(Columns* b, int i) noexcept nogil:
    return b.ip_version[i] == 4 and not load_be16(row(b, i) + b.inner_start[i] + 6) & DONT_FRAGMENT


cdef inline void mapped_alias(uint8_t* to, uint32_t address) noexcept nogil:
    cdef int k
    for k in range(10):
        to[k] = 0
    to[10] = to[11] = 0xFF
    store_be32(to + 12, address)
