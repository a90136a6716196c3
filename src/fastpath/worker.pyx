"""Worker: one thread's endless walk of packets through the stages; the only module that knows the order of the journey.

    GWLB ──▶ ingress (geneve ▶ gwlb ▶ endpoint ▶ packet ▶ flowkey ▶ flowtable ▶ flow) ─▶ egress ─▶ GWLB | device | tunnel
    device, tunnel ──▶ returns (packet ▶ nat or flowtable ▶ restore) ──▶ egress ─▶ GWLB, under the flow's newest header
    DNS listener ─▶ owned name? ─▶ DNS listener
    other workers ─▶ as if it had come here

It owns every table it holds: nobody else may touch them while run() runs. Each of several workers has all of this for itself;
they meet only in the rings of shard. The control plane speaks to it through the command ring and hears of it through the event
ring. The loop holds no lock, allocates nothing, logs nothing and does not take the GIL; it returns to Python only to call what
the command EXCHANGE announces (a new rule set, a new session). The clock is read once a turn. Where a packet leaves is
egress's matter.
"""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from fastpath.arguments cimport uint64
from fastpath.action cimport *
from fastpath.admission cimport OWNER_NONE, PROVEN, Admission, notify_posted
from fastpath.batch cimport HEADROOM, Columns, PacketBatch, reset, row
from fastpath.dnslistener cimport DnsListener
from fastpath.counters cimport credit
from fastpath.egress cimport Egress, add
from fastpath.endpoint cimport EndpointMap
from fastpath.flowtable cimport FLOW_KERNEL_INSIDE, FlowEntry
from fastpath.fragments cimport ORIGIN_KERNEL, ORIGIN_WORKLOAD
from fastpath.ingress cimport Ingress
from fastpath.kernelflows cimport Credit, KernelFlows
from fastpath.message cimport *
from fastpath.message cimport Message, message_in
from fastpath.moderation cimport keep_short_times
from fastpath.naming cimport naming_of
from fastpath.packet cimport parse_row
from fastpath.packetio cimport WATCHED, Device, GenevePort
from fastpath.refusal cimport REFUSAL_PROHIBITED
from fastpath.returns cimport Returns
from fastpath.ring cimport Ring
from fastpath.shard cimport SHARDS_MAX, Shard
from fastpath.tunnels cimport TUNNEL_PLACES
from fastpath.watch cimport Watch
from fastpath.wire cimport load_be32

from collections import deque

from fastpath.message import command

cdef extern from "poll.h" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    int ppoll(pollfd* fds, unsigned long n, const timespec* timeout, const void* signals)
    enum:
        POLLIN

cdef enum:
    BURSTS = 4             # batches taken from one device before the others have their turn
    COMMANDS_A_TURN = 256
    CREDITS_A_TURN = 4096
    WAIT_NS = 100_000_000
    READY_GENEVE = 1, READY_DEVICE = 2, READY_LISTENER = 4, READY_OTHERS = 8, READY_ALL = 15    # others: tunnels, workers


@cython.final
cdef class Worker:
    """A worker over its devices and tables; run() is its thread.

    Args:
        geneve: where GWLB's packets come from and go to.
        device: IP packets to and from the kernel (ZPA listeners, DIRECT egress); None: there is none, and what would go there
            is lost (a simulation, a measurement).
        endpoints: which GWLB endpoint is which namespace and location.
        admission: the tables and the plan.
        commands: the ring the control plane writes.
        batch: rows to work in; a new one of 256 if not given.
        kernel_flows: where flows that are decided go to be carried by the kernel; None = all are carried here.
        words: where first packets of flows are copied to, that they may be named by them; None = they are not.
        shard: which of several workers it is; None = the only one.
    """

    def __cinit__(self, GenevePort geneve not None, Device device, EndpointMap endpoints not None,
                  Admission admission not None, Ring commands not None, PacketBatch batch=None,
                  KernelFlows kernel_flows=None, Ring words=None, Shard shard=None):
        self.geneve, self.device, self.endpoints = geneve, device, endpoints
        self.admission, self.commands = admission, commands
        admission.kernel, admission.marks = kernel_flows, geneve.marks
        self.egress = Egress(geneve, device, admission)
        self.watch = Watch(admission, words)
        self.shard = shard
        self.ingress = Ingress(endpoints, admission, self.egress, self.watch, shard)
        self.returns = Returns(admission, self.egress, shard)
        self.batch = PacketBatch() if batch is None else batch
        self.listener, self.listens = None, False
        self.exchanges = deque()
        self.stopping = self.wants_exchange = 0

    def listen(self, DnsListener listener not None):
        """Answer DNS queries of a listener too; before run()."""
        self.listener, self.listens = listener, True

    def run(self):
        """Work until stop(); call it in a thread of its own, whose timers become more exact."""
        keep_short_times()
        while not self.stopping:
            with nogil:
                while not self.stopping and not self.wants_exchange:
                    self.wait()
                    self.turn(now())
            self._exchange_one()

    def step(self, now_ns):
        """Take one turn at the monotonic time now_ns without waiting; for tests and simulations."""
        cdef uint64_t at = uint64(now_ns, "now_ns")
        self.ready = READY_ALL
        with nogil:
            self.turn(at)
        self._exchange_one()

    def stop(self):
        """Make run() return after its present turn (at most 100 ms)."""
        self.stopping = 1
        self.commands.notify()

    def exchange(self, call):
        """Have the worker's thread call `call()` between two turns, after all commands before this one and before all after it.

        Args:
            call: must not raise: it would end run().
        Returns:
            False when the command ring was full: it will not be called.
        """
        self.exchanges.append(call)
        if command(self.commands, COMMAND_EXCHANGE):
            return True
        self.exchanges.pop()     # the last one, and no command stands for it: the worker has not taken it
        return False

    cdef _exchange_one(self):
        if self.wants_exchange:
            self.wants_exchange = 0
            self.exchanges.popleft()()

    def counters(self):
        """Return what has been counted, as a dict of ints and of lists indexed by Action, DropReason or PuntReason."""
        counts = self.admission.counts
        out = dict(counts)
        out["flows"], out["flow_capacity"] = self.admission.flows.size, self.admission.flows.capacity
        out["bindings"], out["names"], out["aliases"] = (
            self.admission.nat.size, self.admission.names.size, self.admission.aliases.size)
        out["events_lost"], out["commands_lost"] = self.admission.events.lost, self.commands.lost
        out["records_lost"] = 0 if self.admission.records is self.admission.events else self.admission.records.lost
        return out

    # ---- the loop ----

    cdef void wait(self) noexcept nogil:
        """Wait until there is something, but for the listener while it rests; the end of its rest is something too."""
        cdef pollfd[WATCHED + TUNNEL_PLACES + SHARDS_MAX + 3] fds
        cdef int[WATCHED] watched            # more than SHARDS_MAX too
        cdef timespec longest
        cdef int k, ways = self.geneve.watch(watched), n = ways + 2, held = self.held(), listening = -1
        cdef uint64_t rest = self.resting()
        longest.tv_sec, longest.tv_nsec = 0, 0 if held else rest if rest else WAIT_NS
        for k in range(ways):
            fds[k].fd = watched[k]
        fds[ways].fd, fds[ways + 1].fd = -1 if self.device is None else self.device.fd, self.commands.event_fd
        if self.listens and not rest:
            fds[n].fd, listening = self.listener.socket.fd, n
            n += 1
        for k in range(TUNNEL_PLACES):
            if self.admission.tunnels.slots[k].fd >= 0:
                fds[n].fd = self.admission.tunnels.slots[k].fd
                n += 1
        if self.shard is not None:
            for k in range(self.shard.watch(watched)):
                fds[n].fd = watched[k]
                n += 1
        for k in range(n):
            fds[k].events, fds[k].revents = POLLIN, 0
        self.ready = held    # a system call that finds nothing costs as much as the packets of a small batch
        if ppoll(fds, n, &longest, NULL) == 0 and rest and not held:
            self.ready, self.rests_until = READY_LISTENER, 0
        for k in range(n):
            if fds[k].revents:
                self.ready |= (READY_GENEVE if k < ways else READY_DEVICE if k == ways else
                               READY_LISTENER if k == listening else READY_OTHERS)

    cdef uint64_t resting(self) noexcept nogil:
        """Nanoseconds that the listener still rests."""
        cdef uint64_t at = now() if self.rests_until else 0
        return self.rests_until - at if at < self.rests_until else 0

    cdef int held(self) noexcept nogil:
        """READY_ bits of those that have something which no descriptor shows."""
        cdef int held = READY_GENEVE if self.geneve.holds() else 0
        if self.device is not None and self.device.holds():
            held |= READY_DEVICE
        if self.admission.tunnels.held():
            held |= READY_OTHERS
        return held

    cdef void turn(self, uint64_t now_ns) noexcept nogil:
        cdef Columns* b = &self.batch.columns
        cdef int _, slot
        self.admission.now = now_ns
        self.admission.counts.heartbeat_ns = now_ns
        self.admission.counts.loops = self.admission.counts.loops + 1
        self.carry_out()
        if self.admission.kernel is not None:
            self.hear_kernel(now_ns)
        for _ in range(BURSTS if self.ready & READY_GENEVE else 0):
            if self.geneve.recv_rows(b) == 0:
                break
            self.from_geneve(b, False, False)
        for _ in range(BURSTS if self.ready & READY_DEVICE and self.device is not None else 0):
            if self.device.recv_rows(b) == 0:
                break
            self.returns.from_device(b, False)
            if self.shard is not None:
                self.shard.wake()
        if self.shard is not None:
            self.from_others(b)
        if self.ready & READY_OTHERS:
            for slot in range(TUNNEL_PLACES):
                if self.admission.tunnels.slots[slot].fd >= 0:
                    self.returns.from_tunnel(slot, b)
            if self.shard is not None:
                self.shard.wake()
        if self.ready & READY_LISTENER and self.listens:
            self.listener.turn(b)
            self.rests_until = now_ns + self.listener.rest_ns if self.listener.rest_ns else 0
        (&self.admission.counts.drops[0])[<int> DROP_OVERLOAD] = self.geneve.refused
        self.admission.expire()
        self.watch.notify()
        notify_posted(self.admission)

    # ---- commands ----

    cdef void carry_out(self) noexcept nogil:
        cdef uint32_t n
        cdef uint8_t* at
        cdef int _
        self.commands.quiet()
        for _ in range(COMMANDS_A_TURN):
            at = self.commands.peek(&n)
            if at == NULL:
                return
            if message_in(at, n) != NULL:
                if self.shard is not None and not self.may_obey(<Message*> at):
                    break
                self.obey(<Message*> at, at + sizeof(Message))
            self.commands.consume()
            if self.wants_exchange:
                break
        self.commands.notify()

    cdef bint may_obey(self, Message* m) noexcept nogil:
        """A packet leaves after the names that all workers have been told before it; `endpoint` says how far they have to be."""
        if m.kind == COMMAND_DELIVER or m.kind == COMMAND_RESUME:
            return self.shard.all_have_done(m.endpoint)
        return True

    cdef void obey(self, Message* m, const uint8_t* packet) noexcept nogil:
        cdef Columns* b = &self.batch.columns
        if m.kind == COMMAND_LEARN or m.kind == COMMAND_FORGET:
            self.teach(m)
        elif m.kind == COMMAND_DELIVER:
            if self.load(m, packet):
                self.egress.begin()
                add(&self.egress.to_geneve, 0)
                self.egress.flush(b)
        elif m.kind == COMMAND_RESUME:
            if self.load(m, packet):
                self.from_geneve(b, True, True)
        elif m.kind == COMMAND_TUNNEL_ACTIVE:
            self.admission.tunnels.activate(m.value, m.slot, m.endpoint & 0xFF)
        elif m.kind == COMMAND_TUNNEL_DETACH:
            self.admission.tunnels.detach(m.slot)
        elif m.kind == COMMAND_TUNNEL_CONTROL:
            self.admission.tunnels.send_bytes(m.slot, packet, m.packet_length)
        elif m.kind == COMMAND_DRAIN:
            self.admission.draining = m.value != 0
        elif m.kind == COMMAND_RESET:
            self.admission.forget(m.flow.protocol, m.address, m.flow.nat_port)
        elif m.kind == COMMAND_OWN:
            self.admission.owned.learn(m.namespace, m.location, packet, m.packet_length, load_be32(m.address + 12), m.value,
                                       m.until_ns)
        elif m.kind == COMMAND_DISOWN:
            self.admission.owned.forget(m.namespace, m.location, packet, m.packet_length)
        elif m.kind == COMMAND_NAME:
            if self.watch.told(m) and self.load(m, packet):
                self.refuse(m)
        elif m.kind == COMMAND_EXCHANGE:
            self.wants_exchange = 1
        if self.shard is not None and (m.kind == COMMAND_LEARN or m.kind == COMMAND_FORGET or m.kind == COMMAND_OWN):
            self.shard.has_done(m.endpoint)

    cdef bint load(self, Message* m, const uint8_t* packet) noexcept nogil:
        """Make row 0 the Geneve packet of a command, as if it had been received; False: counted, there is none."""
        cdef Columns* b = &self.batch.columns
        cdef uint64_t* drops = self.admission.counts.drops
        cdef uint8_t reason = DROP_INJECT_STALE if m.header_length == 0 else DROP_IO_TRUNCATED
        if m.header_length == 0 or HEADROOM + m.header_length + m.packet_length > b.room:
            drops[reason] += 1
            return False
        reset(b, 1)
        b.inner_start[0], b.inner_length[0] = HEADROOM + m.header_length, m.packet_length
        memcpy(row(b, 0) + HEADROOM, m.header, m.header_length)
        memcpy(row(b, 0) + b.inner_start[0], packet, m.packet_length)
        b.start[0], b.length[0] = HEADROOM, m.header_length + m.packet_length
        b.peer_address[0], b.peer_port[0] = m.peer_address, m.peer_port
        return True

    cdef void teach(self, Message* m) noexcept nogil:
        """Give an address a name or take it away; what flows said of it gives way to a DNS answer, and takes back only itself."""
        cdef uint32_t known = self.admission.names.find(m.namespace, m.address, self.admission.now)
        if naming_of(m.value) and known and known != m.value and (m.kind == COMMAND_FORGET or not naming_of(known)):
            return
        if m.kind == COMMAND_LEARN:
            self.admission.names.learn(m.namespace, m.address, m.value, m.until_ns)
        else:
            self.admission.names.forget(m.namespace, m.address)

    cdef void refuse(self, Message* m) noexcept nogil:
        """Tell the sender of row 0, as load left it, that its flow was cut; no packet is dropped by that."""
        cdef Columns* b = &self.batch.columns
        b.geneve_start[0], b.geneve_length[0], b.namespace[0] = HEADROOM, m.header_length, m.namespace
        self.egress.begin()
        if parse_row(b, 0) == DROP_NONE:
            self.egress.tell(b, 0, REFUSAL_PROHIBITED, 0, DROP_NONE)
        self.egress.flush(b)

    # ---- from the workload ----

    cdef void from_geneve(self, Columns* b, bint resumed, bint mine) noexcept nogil:
        self.ingress.walk(b, resumed, mine)
        self.egress.flush(b)
        if self.admission.kernel is not None:
            self.tell_kernel(b)
        while self.admission.fragments.ready and self.admission.fragments.release(b, ORIGIN_WORKLOAD):
            self.ingress.walk(b, False, True)
            self.egress.flush(b)
        if self.shard is not None:
            self.shard.wake()

    cdef void from_others(self, Columns* b) noexcept nogil:
        """What other workers have handed over; what does not come to its turn now wakes this one again."""
        cdef uint8_t origin
        cdef int other, taken
        for other in range(self.shard.count):
            if other == self.shard.number:
                continue
            if self.ready & READY_OTHERS:
                (<Ring> self.shard.back[other]).quiet()
            taken = 0
            while taken < BURSTS and self.shard.take(other, b, &origin):
                taken += 1
                if origin == ORIGIN_WORKLOAD:
                    self.from_geneve(b, False, True)
                elif origin == ORIGIN_KERNEL:
                    self.returns.from_device(b, True)
                else:
                    self.returns.from_edges(b)
            if taken == BURSTS:
                (<Ring> self.shard.back[other]).notify()

    cdef void tell_kernel(self, Columns* b) noexcept nogil:
        """Offer it the flows of the rows that went LOCAL or were dropped by policy; those that others must hear of stay here."""
        cdef FlowEntry* entry
        cdef int i
        for i in range(b.count):
            if b.entry[i] < 0 or b.fragment[i] == FRAGMENT_LATER:
                continue         # it has no ports to be known by
            entry = &self.admission.flows.entries[b.entry[i]]
            if not entry.used or entry.hash != b.hash[i] or entry.owner != OWNER_NONE:
                continue         # a later row of this batch ended the flow, and its place may be another's; or it is not settled
            if entry.packets[0] + entry.packets[1] < PROVEN:
                continue         # a flood of packets that begin flows and never go on costs no system calls, and takes no room there
            if (entry.action == ACTION_LOCAL and b.reason[i] == DROP_NONE
                    or entry.action == ACTION_DROP and b.reason[i] == DROP_POLICY) and not entry.state & FLOW_KERNEL_INSIDE:
                self.admission.kernel.offer(b, i, b.entry[i], b.direction[i] != entry.initiator, entry.action, entry.generation)

    cdef void hear_kernel(self, uint64_t now_ns) noexcept nogil:
        cdef Credit[CREDITS_A_TURN] credits
        self.admission.kernel.decide_by(self.admission.rules.generation)
        credit(&self.admission.counts, self.admission.flows, credits,
               self.admission.kernel.sweep(now_ns, credits, CREDITS_A_TURN), now_ns)


cdef uint64_t now() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_MONOTONIC, &t)
    return <uint64_t> t.tv_sec * 1000000000 + <uint64_t> t.tv_nsec
