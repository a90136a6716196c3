"""Outlet: where flows from tunnels leave to the internet, and who gets one.

    row without a flow ─▶ closed address? family? ─▶ flow ─▶ binding at one of our addresses ─▶ a row with a flow
                                    └ dropped               └ none left: the flow is taken back, the row dropped

Journey: between flow look-up and translation at an internet edge, for rows that found no flow. Which flows end is for the control
plane to say, which records them; so nothing gives way here by itself. One thread: the tables' own.
Source: RFC 3022; RFC 4787 §4.1 (paired: all flows of one workload leave from one address).
"""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from fastpath.action cimport DROP_FLOW_TABLE_FULL, DROP_NAT_FAMILY, DROP_NONE, DROP_POLICY
from fastpath.arguments cimport byte_rows, int32s, uint64, writable_int32
from fastpath.batch cimport KEY_BYTES, Columns, PacketBatch, drop, inside, row
from fastpath.flowkey cimport FlowKey, Secret, hash_key
from fastpath.flowtable cimport FLOW_BOUND, TIMEOUT_CLASSES, FlowEntry, FlowTable, class_of
from fastpath.geneve cimport GENEVE_BASE_BYTES, option_size
from fastpath.nat cimport NatTable, bind_row
from fastpath.packet cimport PROTOCOL_ICMP, PROTOCOL_ICMPV6, all_parsed
from fastpath.rewrite cimport is_mapped
from fastpath.tunnels cimport TUNNEL_OPTION_CLASS, TUNNEL_OPTION_LOCATION
from fastpath.wire cimport load_be16, load_be32

import numpy as np


cdef uint32_t location_of(Columns* b, int i) noexcept nogil:
    """The location that a row's Geneve header names; 0: none."""
    cdef const uint8_t* header = row(b, i) + b.geneve_start[i]
    cdef int at = GENEVE_BASE_BYTES, size, n = b.geneve_length[i]
    while at < n:
        size = option_size(header + at, n - at)
        if size < 0:
            break
        if size == 8 and header[at + 2] == TUNNEL_OPTION_LOCATION and load_be16(header + at) == TUNNEL_OPTION_CLASS:
            return load_be32(header + at + 4)
        at += size
    return 0


@cython.final
cdef class Outlet:
    """Tables of flows and bindings, and the addresses that flows leave from.

    Args:
        flows, nat: both empty; they are changed together, here and by whoever ends flows.
        secret: of the flows' keys.
        addresses: uint8[n, 16], 1 … 16 addresses of ours, IPv4 mapped; a flow's nat_slot is a number of one.
        closed: uint8[n, 16], addresses that no flow may reach.
    Raises:
        ValueError: too few or too many addresses, or not of 16 bytes.
    """

    def __cinit__(self, FlowTable flows not None, NatTable nat not None, Secret secret not None, addresses, closed):
        cdef const uint8_t[:, ::1] ours = byte_rows(addresses, "addresses", 16)
        cdef const uint8_t[:, ::1] others = byte_rows(closed, "closed", 16)
        cdef int k, family
        if not 1 <= ours.shape[0] <= OUTLET_ADDRESSES:
            raise ValueError(f"addresses must be 1 to {OUTLET_ADDRESSES}, not {ours.shape[0]}")
        self.flows, self.nat, self.secret, self.addresses = flows, nat, secret, np.array(ours)
        for k in range(<int> ours.shape[0]):
            memcpy(self.ours + 16 * k, &ours[k, 0], 16)
            family = 0 if is_mapped(&ours[k, 0]) else 1
            self.slots[family][self.counts[family]] = <uint8_t> k
            self.counts[family] += 1
        flat = np.asarray(others).tobytes()
        self.closed = b"".join(sorted([flat[at:at + 16] for at in range(0, len(flat), 16)]))
        self._closed, self._closed_count = <const uint8_t*> self.closed, <int> others.shape[0]

    def admit_batch(self, PacketBatch batch not None, now_ns, bint full=False):
        """Make a flow and a binding for every live row that has none.

        Args:
            batch: parsed, keyed and looked up, its Geneve header decoded: it names the location.
            full: drop the rows for which the table has no room.
        Returns:
            How many rows wait for room, nothing being made for any: end some flows and call again with `full`. 0: done.
        Drops:
            POLICY: a closed address. NAT_FAMILY: no address of ours is of its family. FLOW_TABLE_FULL. NAT_EXHAUSTED, NAT_PROTOCOL,
            NAT_FRAGMENT: no binding, and no flow then.
        Raises:
            ValueError: a row is not as parse_batch leaves it, or its entry is no flow of the table.
        """
        cdef uint64_t now = uint64(now_ns, "now_ns")
        cdef Columns* b = &batch.columns
        cdef int waiting
        all_parsed(b)
        inside(b, b.geneve_start, b.geneve_length, "geneve_start and geneve_length")
        with nogil:
            waiting = self.admit(b, now, full)
        return waiting

    def end_flows(self, indexes):
        """End flows: their bindings are free again. Return how many there were: one named twice counts once.

        Args:
            indexes: int32[n].
        Raises:
            ValueError: one is no flow of the table; none has ended.
        """
        cdef const int32_t[::1] gone = int32s(indexes, "indexes")
        cdef int k, ended = 0, n = <int> gone.shape[0]
        for k in range(n):
            self.flows._check(gone[k], "indexes")
        with nogil:
            for k in range(n):
                ended += self._end(gone[k])
        return ended

    def oldest_flows(self, out):
        """Write the flows that may give way to new ones, least recently used first; return how many, at most as `out` holds.

        Args:
            out: int32[n], written.
        """
        cdef int32_t[::1] found = writable_int32(out, "out")
        cdef int32_t[TIMEOUT_CLASSES] at
        cdef const FlowEntry* entries = self.flows.entries
        cdef int c, oldest, n = 0, room = <int> found.shape[0]
        for c in range(TIMEOUT_CLASSES):
            at[c] = self.flows.core.heads[c]         # of young flows: their rank comes first
        while n < room:
            oldest = -1
            for c in range(TIMEOUT_CLASSES):
                if at[c] >= 0 and (oldest < 0 or entries[at[c]].last_seen_ns < entries[at[oldest]].last_seen_ns):
                    oldest = c
            if oldest < 0:
                break
            found[n] = at[oldest]
            at[oldest] = entries[at[oldest]].next
            n += 1
        return n

    cdef bint _end(self, int32_t index) noexcept nogil:
        cdef FlowEntry* entry = &self.flows.entries[index]
        cdef uint8_t protocol = entry.key.fields.protocol
        cdef const uint8_t* remote = entry.key.fields.b_address
        cdef uint16_t port = entry.key.fields.b_port
        if not entry.used:
            return False
        if entry.initiator:
            remote, port = entry.key.fields.a_address, entry.key.fields.a_port
        if protocol == PROTOCOL_ICMP or protocol == PROTOCOL_ICMPV6:     # an identifier, and no second port
            port = 0
        if entry.state & FLOW_BOUND:
            self.nat.release(protocol, leaves_from(self, entry), entry.nat_port, remote, port)
        self.flows.remove(index)
        return True

    cdef int admit(self, Columns* b, uint64_t now_ns, bint full) noexcept nogil:
        cdef int i, new = self._refuse(b)
        if not full and new > self.flows.capacity - self.flows.core.size:
            return new
        for i in range(b.count if new else 0):
            if b.reason[i] == DROP_NONE and b.entry[i] < 0:
                self._admit_row(b, i, now_ns)
        return 0

    cdef int _refuse(self, Columns* b) noexcept nogil:
        """Drop rows that may have no flow; return how many others have none yet."""
        cdef int i, new = 0
        for i in range(b.count):
            if b.reason[i] != DROP_NONE or b.entry[i] >= 0:
                continue
            if self._is_closed(b.destination + 16 * i):
                drop(b, i, DROP_POLICY)
            elif self.counts[b.ip_version[i] != 4] == 0:
                drop(b, i, DROP_NAT_FAMILY)
            else:
                new += 1
        return new

    cdef void _admit_row(self, Columns* b, int i, uint64_t now_ns) noexcept nogil:
        """The flow of row i: an earlier row of the batch made it, or it is made."""
        cdef FlowKey key
        cdef FlowEntry* entry
        cdef int32_t index
        cdef uint16_t port = 0
        memcpy(&key, b.key + <size_t> i * KEY_BYTES, KEY_BYTES)
        index = self.flows.find(&key, b.hash[i])
        if index < 0:
            index = self.flows.insert(&key, b.hash[i], class_of(b.protocol[i], 0), now_ns)
            if index < 0:
                drop(b, i, DROP_FLOW_TABLE_FULL)
                return
            entry = &self.flows.entries[index]
            entry.initiator, entry.nat_slot = b.direction[i], self._slot(b, i)
            if not bind_row(self.nat, b, i, leaves_from(self, entry), index, &port):
                self.flows.remove(index)
                return
            entry.nat_port, entry.location = port, location_of(b, i)
            entry.state |= FLOW_BOUND
        b.entry[i] = index

    cdef uint32_t _slot(self, Columns* b, int i) noexcept nogil:
        """By the workload: all its flows leave from one address, as web sites expect of a user."""
        cdef FlowKey whose
        cdef int family = b.ip_version[i] != 4
        memset(&whose, 0, sizeof(FlowKey))
        memcpy(whose.fields.a_address, b.source + 16 * i, 16)
        whose.fields.namespace = b.namespace[i]
        return self.slots[family][hash_key(&whose, &self.secret.key) % <uint64_t> self.counts[family]]

    cdef bint _is_closed(self, const uint8_t* address) noexcept nogil:
        cdef int low = 0, high = self._closed_count, middle, order
        while low < high:
            middle = (low + high) // 2
            order = memcmp(self._closed + 16 * middle, address, 16)
            if order == 0:
                return True
            if order < 0:
                low = middle + 1
            else:
                high = middle
        return False
