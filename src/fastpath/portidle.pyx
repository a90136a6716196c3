"""PortIdle: how long a flow to a port may be idle, where that differs from its timeout class.

    flow begins ─▶ queue of its port's idle time ─▶ looked at, IDLE_LOOKS times in that time ─▶ idle for too long: it ends
                                                      └──────────── not yet: to the end of the queue ◀┘

Journey: beside the flow table's own expiry. The table's class has the longest time that any port of it has, so what is shorter is
ended here first; TCP connections that open or close stay the table's. All looks of a queue are one time apart, so each queue is
in order without sorting. A queue has room for `capacity` flows, one place each; what finds no room lives as long as its class.
"""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from fastpath.arguments cimport BYTE_MAX, SHORT_MAX, integer, listed, several, uint64, writable_int32
from fastpath.flows cimport TIMEOUT_TCP, TIMEOUT_UDP, Flows
from fastpath.flowslots cimport FLOWS_MAX, FlowEntry
from fastpath.flowtable cimport FlowTable
from fastpath.memory cimport give_pages, take_pages

cdef enum:
    TCP = 6
    UDP = 17
    LOOKS_A_TURN = 4096          # of one queue: no turn is held up

_TIMES = "a sequence of (protocol, first port, last port, seconds)"


cdef double idle_time(object seconds) except -1:
    if not isinstance(seconds, (int, float)):
        raise TypeError(f"times: seconds must be a number, not {type(seconds).__name__}")
    cdef double plain = float(seconds)
    if not 0.1 <= plain <= 1e6:
        raise ValueError(f"times: seconds must be 0.1 to 1000000, not {seconds}")
    return plain


@cython.final
cdef class PortIdle:
    """Idle times by port.

    Args:
        capacity: of the flow table.
        times: (protocol, first port, last port, seconds) each; protocol is TCP (6) or UDP (17); a later one wins.
    Raises:
        ValueError: a number is out of range, or there are more than 31 different times.
        MemoryError: the system has not that much memory.
    """

    def __cinit__(self, capacity, times=()):
        cdef int low, high, k
        memset(self.queues, 0, sizeof(self.queues))
        memset(self.kind_of, 0, sizeof(self.kind_of))
        self.capacity, self.kinds = <int> integer(capacity, "capacity", 1, FLOWS_MAX), 0
        known = {}
        for time in listed(times, "times", _TIMES):
            protocol, first, last, seconds = several(time, "times", _TIMES, 4)
            if protocol not in (TCP, UDP):
                raise ValueError(f"times: protocol must be 6 (TCP) or 17 (UDP), not {protocol}")
            low = <int> integer(first, "times: ports", 0, SHORT_MAX)
            high = <int> integer(last, "times: ports, the first not above the last,", low, SHORT_MAX)
            k = known.setdefault(idle_time(seconds), len(known) + 1)
            if k >= IDLE_KINDS:
                raise ValueError(f"times: at most {IDLE_KINDS - 1} different ones, not more")
            memset(&self.kind_of[protocol == UDP][low], k, high - low + 1)
        for seconds, k in known.items():
            self.queues[k].idle_ns = <uint64_t> (seconds * 1e9)
            self.queues[k].looks = <Look*> take_pages(self.capacity, sizeof(Look))
            if self.queues[k].looks is NULL:
                raise MemoryError(f"no memory for {self.capacity} flows")
        self.kinds = len(known)

    def __dealloc__(self):
        cdef int k
        for k in range(IDLE_KINDS):
            give_pages(self.queues[k].looks, self.capacity, sizeof(Look))

    cdef void enter(self, const Flows* flows, int32_t flow, uint8_t protocol, uint16_t port, uint64_t now_ns) noexcept nogil:
        cdef Look look
        cdef int kind
        if protocol != TCP and protocol != UDP:
            return
        kind = self.kind_of[protocol == UDP][port]
        if kind:
            look.at_ns = now_ns + self.queues[kind].idle_ns // IDLE_LOOKS
            look.hash, look.flow = flows.entries[flow].hash, flow
            self._add(kind, &look)

    cdef bint _add(self, int kind, const Look* look) noexcept nogil:
        cdef Queue* queue = &self.queues[kind]
        if queue.count == <uint32_t> self.capacity:
            return False
        queue.looks[(queue.first + queue.count) % <uint32_t> self.capacity] = look[0]
        queue.count += 1
        return True

    cdef int due(self, const Flows* flows, uint64_t now_ns, int32_t* out, int room) noexcept nogil:
        cdef const FlowEntry* entry
        cdef Queue* queue
        cdef Look look
        cdef int kind, _, n = 0
        for kind in range(1, self.kinds + 1):
            queue = &self.queues[kind]
            for _ in range(LOOKS_A_TURN):
                if n == room or queue.count == 0 or queue.looks[queue.first].at_ns > now_ns:
                    break
                look = queue.looks[queue.first]
                queue.first = (queue.first + 1) % <uint32_t> self.capacity
                queue.count -= 1
                if look.flow >= flows.capacity:
                    continue                      # entered for a larger table than this one
                entry = &flows.entries[look.flow]
                if not entry.used or entry.hash != look.hash:
                    continue                      # it has ended, and its place may be another's
                if now_ns > entry.last_seen_ns and now_ns - entry.last_seen_ns > queue.idle_ns and \
                        (entry.timeout_class == TIMEOUT_UDP or entry.timeout_class == TIMEOUT_TCP):
                    out[n] = look.flow
                    n += 1
                    continue
                look.at_ns = now_ns + queue.idle_ns // IDLE_LOOKS
                self._add(kind, &look)
        return n

    # ---- Python ----

    def enter_one(self, FlowTable table not None, flow, protocol, port, now_ns):
        """Have the flow of a table end by the idle time of `port`, if it has one.

        Raises:
            ValueError: flow is not one of the table, or another argument is out of range.
        """
        cdef int32_t index = <int32_t> integer(flow, "flow", 0, table.capacity - 1)
        cdef uint8_t of_protocol = <uint8_t> integer(protocol, "protocol", 0, BYTE_MAX)
        cdef uint16_t of_port = <uint16_t> integer(port, "port", 0, SHORT_MAX)
        cdef uint64_t now = uint64(now_ns, "now_ns")
        table._check(index, "flow")
        self.enter(&table.core, index, of_protocol, of_port, now)

    def due_flows(self, FlowTable table not None, now_ns, out):
        """Write flows that were idle for longer than their port allows to `out`, and forget them here; return how many.

        Args:
            out: int32, as many as are wanted at once.
        """
        cdef int32_t[::1] due = writable_int32(out, "out")
        cdef uint64_t now = uint64(now_ns, "now_ns")
        return self.due(&table.core, now, &due[0], <int> min(due.shape[0], FLOWS_MAX)) if due.shape[0] else 0

