"""NatTable: which flow a translated packet belongs to. The rewriting itself is fastpath.rewrite, whose names are here too.

Journey: DIRECT and the internet edge bind a flow when it begins, rewrite what leaves, find and rewrite what returns.
Spec: RFC 3022 and RFC 4787 (NAT), RFC 5508 (ICMP identifiers), RFC 6056 §3.3.4 (choice of ports).
Mapping and filtering depend on address and port of the remote end, so one local port serves many remote ends. One thread:
the worker's. All memory is taken when the table is made. It binds neither fragments without ports nor ICMP errors.
"""

cimport cython
from libc.stdint cimport INT32_MAX, INT32_MIN, int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastpath.arguments cimport (BYTE_MAX, SHORT_MAX, apart, byte_rows, int32s, integer, octets_of, same_size, several, uint16s,
                                 writable16, writable_int32)
from fastpath.batch cimport Columns, PacketBatch, drop
from fastpath.buckets cimport Buckets, add_slot, close_buckets, drop_slot, find_key, open_buckets
from fastpath.flowkey cimport FlowKey, HashKey, hash_key, set_secret
from fastpath.memory cimport give_pages, take_pages
from fastpath.packet cimport parsed_rows
from fastpath.rewrite cimport has_port, is_mapped
from fastpath.turn cimport check_turn, take_turn

from fastpath.rewrite import DESTINATION, SOURCE, decrement_ttl_one, decrement_ttl_rows, rewrite_one, rewrite_rows

__all__ = ["DESTINATION", "SOURCE", "NatTable", "decrement_ttl_one", "decrement_ttl_rows", "rewrite_one",
           "rewrite_rows"]

cdef enum:
    CAPACITY_MAX = 1 << 28
    STARTS = 1024               # RFC 6056 suggests a table of counters; one a group of remote ends
    LOOKS_A_BIND = 64           # ports looked at for one binding, on the average, and
    LOOKS_MAX = 1 << 17         # in a row: where next to none is free, looking would take all the time there is
    ICMP = 1
    TCP = 6
    UDP = 17
    ICMPV6 = 58
    FRAGMENT_LATER = 2
    REASON_EXHAUSTED = 24       # DROP_NAT_EXHAUSTED
    REASON_PROTOCOL = 25        # DROP_NAT_PROTOCOL
    REASON_FRAGMENT = 27        # DROP_NAT_FRAGMENT
    REASON_FAMILY = 28          # DROP_NAT_FAMILY

# 64 bytes. The key is a FlowKey: a = local, b = remote, namespace 0, ip_version 0.
cdef struct Binding:
    FlowKey key              # 0
    uint64_t hash            # 40
    int32_t flow             # 48
    int32_t next             # 52, chain of free slots; -1 ends
    uint64_t pad             # 56

# Where the search for a port of some remote ends goes on, and what the last one has come to.
cdef struct Start:
    uint64_t remote          # hash of the remote end that was looked for last; 0 none
    uint32_t next
    uint32_t taken           # ports found taken in a row for it; when it is all of them, nobody looks again,
    uint16_t spare           # but takes the one given back since; 0 none


cdef inline uint8_t fill_key(FlowKey* key, uint8_t protocol, const uint8_t* local, uint16_t port,
                             const uint8_t* remote, uint16_t remote_port) noexcept nogil:
    memset(key, 0, sizeof(FlowKey))
    memcpy(key.fields.a_address, local, 16)
    memcpy(key.fields.b_address, remote, 16)
    key.fields.a_port, key.fields.b_port = port, remote_port
    key.fields.protocol = protocol
    return 0


# What a call for one binding says of both ends.
cdef struct Ends:
    uint8_t local[16]
    uint8_t remote[16]
    uint16_t remote_port
    uint8_t protocol


cdef int read_ends(Ends* ends, object protocol, object local, object remote, object remote_port) except -1:
    cdef bytes here = octets_of(local, "local", 16), there = octets_of(remote, "remote", 16)
    memcpy(ends.local, <const uint8_t*> here, 16)
    memcpy(ends.remote, <const uint8_t*> there, 16)
    ends.remote_port = <uint16_t> integer(remote_port, "remote_port", 0, SHORT_MAX)
    ends.protocol = <uint8_t> integer(protocol, "protocol", 0, BYTE_MAX)
    return 0


cdef tuple port_range(object ports):
    low, high = [integer(port, "ports", 1, SHORT_MAX) for port in several(ports, "ports", "(low, high)", 2)]
    if low > high:
        raise ValueError(f"ports must be (low, high), low first, not {ports!r}")
    return low, high


cdef inline bint translatable(uint8_t protocol) noexcept nogil:
    return protocol == TCP or protocol == UDP or protocol == ICMP or protocol == ICMPV6


@cython.final
cdef class NatTable:
    """Up to `capacity` bindings.

    Args:
        capacity: bindings, 1 … 2^28; 72 bytes each.
        ports: lowest and highest local port (and echo identifier) to give out.
        seed: 32 secret bytes; whoever knows them can foresee ports and aim collisions.
    Raises:
        ValueError: capacity, ports or seed out of range.
        MemoryError: the system has not that much memory.
    """

    def __cinit__(self, capacity, ports, seed):
        most = integer(capacity, "capacity", 1, CAPACITY_MAX)
        low, high = port_range(ports)
        set_secret(&self._secret, seed, "seed")
        self.capacity, self.size, self._free, self._fresh = most, 0, -1, 0
        self.looked, self._looks = 0, LOOKS_MAX
        self.port_low, self.port_high = low, high
        self._index = calloc(1, sizeof(Buckets))
        self._starts = calloc(STARTS, sizeof(Start))
        self._bindings = take_pages(self.capacity, sizeof(Binding))
        if self._index is NULL or self._starts is NULL or self._bindings is NULL \
                or not open_buckets(<Buckets*> self._index, self.capacity, self._bindings, sizeof(Binding)):
            raise MemoryError(f"no memory for {capacity} bindings of {sizeof(Binding)} bytes")

    def __dealloc__(self):
        if self._index is not NULL:
            close_buckets(<Buckets*> self._index)
            free(self._index)
        free(self._starts)
        give_pages(self._bindings, self.capacity, sizeof(Binding))

    def __len__(self):
        return self.size

    # ---- leaves ----

    cdef uint8_t bind(self, uint8_t protocol, const uint8_t* local, const uint8_t* remote, uint16_t remote_port,
                      uint16_t wanted, int32_t flow, uint16_t* port) noexcept nogil:
        cdef FlowKey key
        cdef uint64_t hash, remote_hash
        cdef Start* start
        cdef uint32_t ports = self.port_high - self.port_low + 1
        if not translatable(protocol):
            return REASON_PROTOCOL
        fill_key(&key, protocol, local, wanted, remote, remote_port)
        hash = hash_key(&key, &self._secret)
        if self.port_low <= wanted <= self.port_high and self._take(&key, hash, flow):
            port[0] = wanted
            return 0
        key.fields.a_port = 0
        remote_hash = hash_key(&key, &self._secret) | 1
        start = &(<Start*> self._starts)[(remote_hash >> 8) % STARTS]
        if start.remote != remote_hash:
            start.remote, start.taken, start.spare = remote_hash, 0, 0
        if self.size == self.capacity:
            return REASON_EXHAUSTED
        if start.taken == ports:
            key.fields.a_port, start.spare = start.spare, 0
            port[0] = key.fields.a_port
            return 0 if port[0] and self._take(&key, hash_key(&key, &self._secret), flow) else REASON_EXHAUSTED
        return self._look(start, &key, flow, port)

    cdef uint8_t _look(self, void* begin, void* at, int32_t flow, uint16_t* port) noexcept nogil:
        """Find a port that is free. What is left of a search that gets too long is for the next binding."""
        cdef Start* start = <Start*> begin
        cdef FlowKey* key = <FlowKey*> at
        cdef uint32_t ports = self.port_high - self.port_low + 1
        self._looks = min(self._looks + LOOKS_A_BIND, LOOKS_MAX)
        while self._looks and start.taken < ports:
            self._looks -= 1
            self.looked += 1
            start.next += 1
            key.fields.a_port = <uint16_t> (self.port_low + ((start.remote >> 32) + start.next) % ports)
            if self._take(key, hash_key(key, &self._secret), flow):
                port[0], start.taken = key.fields.a_port, 0
                return 0
            start.taken += 1
        return REASON_EXHAUSTED

    cdef int32_t find(self, uint8_t protocol, const uint8_t* local, uint16_t port,
                      const uint8_t* remote, uint16_t remote_port) noexcept nogil:
        cdef FlowKey key
        cdef int32_t slot
        fill_key(&key, protocol, local, port, remote, remote_port)
        slot = find_key(<Buckets*> self._index, hash_key(&key, &self._secret), key.words)
        return (<Binding*> self._bindings)[slot].flow if slot >= 0 else -1

    cdef int release(self, uint8_t protocol, const uint8_t* local, uint16_t port,
                     const uint8_t* remote, uint16_t remote_port) noexcept nogil:
        cdef FlowKey key
        cdef int32_t slot
        cdef uint64_t hash
        cdef Binding* binding
        cdef Start* start
        fill_key(&key, protocol, local, port, remote, remote_port)
        hash = hash_key(&key, &self._secret)
        slot = find_key(<Buckets*> self._index, hash, key.words)
        if slot < 0:
            return 0
        drop_slot(<Buckets*> self._index, hash, slot)
        binding = &(<Binding*> self._bindings)[slot]
        binding.next, self._free = self._free, slot
        self.size -= 1
        key.fields.a_port = 0
        hash = hash_key(&key, &self._secret) | 1
        start = &(<Start*> self._starts)[(hash >> 8) % STARTS]
        if start.remote == hash:
            if start.taken == <uint32_t> (self.port_high - self.port_low + 1) and start.spare == 0:
                start.spare = port
            else:
                start.taken = start.spare = 0
        return 1

    cdef int _take(self, const void* key, uint64_t hash, int32_t flow) noexcept nogil:
        cdef const FlowKey* wanted = <const FlowKey*> key
        cdef int32_t slot = self._free if self._free >= 0 else self._fresh
        cdef Binding* binding
        if self.size == self.capacity or find_key(<Buckets*> self._index, hash, wanted.words) >= 0 \
                or not add_slot(<Buckets*> self._index, hash, slot):
            return 0
        binding = &(<Binding*> self._bindings)[slot]
        if self._free >= 0:
            self._free = binding.next
        else:
            self._fresh += 1
        binding.key, binding.hash, binding.flow, binding.next = wanted[0], hash, flow, -1
        self.size += 1
        return 1

    # ---- Python ----

    def bind_one(self, protocol, local, remote, remote_port, wanted, flow):
        """Bind a local port to (protocol, local; remote, remote_port) for `flow`: `wanted` if it is free, else another.

        Args:
            local, remote: 16 bytes, IPv4 mapped.
            remote_port: 0 for ICMP, whose port is the echo identifier.
        Returns:
            The port, or None when no port or no binding is left, or so few ports that the search for one would take too long.
        Raises:
            ValueError: an address is not 16 bytes, or the protocol has no ports.
        """
        cdef Ends ends
        cdef uint16_t port = 0
        read_ends(&ends, protocol, local, remote, remote_port)
        if not translatable(ends.protocol):
            raise ValueError(f"protocol must be TCP, UDP, ICMP or ICMPv6, not {protocol}")
        first, of_flow = integer(wanted, "wanted", 0, SHORT_MAX), integer(flow, "flow", INT32_MIN, INT32_MAX)
        check_turn(&self._taken, "NatTable")
        reason = self.bind(ends.protocol, ends.local, ends.remote, ends.remote_port, <uint16_t> first, <int32_t> of_flow, &port)
        return None if reason else port

    def find_one(self, protocol, local, port, remote, remote_port):
        """Return the flow of a binding, or -1.

        Raises:
            ValueError: an address is not 16 bytes.
        """
        cdef Ends ends
        read_ends(&ends, protocol, local, remote, remote_port)
        at = integer(port, "port", 0, SHORT_MAX)
        check_turn(&self._taken, "NatTable")
        return self.find(ends.protocol, ends.local, <uint16_t> at, ends.remote, ends.remote_port)

    def release_one(self, protocol, local, port, remote, remote_port):
        """Take back a binding; return whether there was one.

        Raises:
            ValueError: an address is not 16 bytes.
        """
        cdef Ends ends
        read_ends(&ends, protocol, local, remote, remote_port)
        at = integer(port, "port", 0, SHORT_MAX)
        check_turn(&self._taken, "NatTable")
        return bool(self.release(ends.protocol, ends.local, <uint16_t> at, ends.remote, ends.remote_port))

    def bind_rows(self, PacketBatch batch not None, rows, addresses, flows, ports):
        """Bind outbound packets: (protocol, addresses[k]; destination of row rows[k]) to flows[k], the row's port wanted.

        Args:
            rows: uint16[n], rows of the batch in use.
            addresses: uint8[n, 16], the local address of each, IPv4 mapped.
            flows: int32[n], what find_rows is to answer.
            ports: uint16[n], written: the port of each.
        Returns:
            How many were bound; dead rows are passed over.
        Raises:
            ValueError: shapes differ, or a row is not in use.
        Drops:
            NAT_EXHAUSTED, NAT_PROTOCOL, NAT_FRAGMENT, NAT_FAMILY.
        """
        cdef Columns* b = &batch.columns
        cdef const uint16_t[::1] of_rows = uint16s(rows, "rows")
        cdef const uint8_t[:, ::1] local = byte_rows(addresses, "addresses", 16)
        cdef const int32_t[::1] told = int32s(flows, "flows")
        cdef uint16_t[::1] given = writable16(ports, "ports")
        cdef int k, i, n = <int> of_rows.shape[0], bound = 0
        for name, size in (("addresses", local.shape[0]), ("flows", told.shape[0]), ("ports", given.shape[0])):
            same_size(size, name, n, "rows")
        parsed_rows(b, of_rows, "rows")
        if n == 0:
            return 0
        apart(&given[0], 2 * <size_t> n, "ports", &of_rows[0], 2 * <size_t> n, "rows")
        apart(&given[0], 2 * <size_t> n, "ports", &local[0, 0], 16 * <size_t> n, "addresses")
        apart(&given[0], 2 * <size_t> n, "ports", &told[0], 4 * <size_t> n, "flows")
        take_turn(&self._taken, "NatTable")
        with nogil:
            for k in range(n):
                i = of_rows[k]
                if b.reason[i] == 0:
                    bound += bind_row(self, b, i, &local[k, 0], told[k], &given[k])
        self._taken = 0
        return bound

    def find_rows(self, PacketBatch batch not None, rows, flows):
        """Find the flows of inbound packets: bound to (protocol, destination and port; source and port) of row rows[k].

        Args:
            rows: uint16[n], rows of the batch in use.
            flows: int32[n], written: the flow, or -1 (also for a dead row or a packet without ports).
        Returns:
            How many were found.
        Raises:
            ValueError: shapes differ, or a row is not in use.
        """
        cdef Columns* b = &batch.columns
        cdef const uint16_t[::1] of_rows = uint16s(rows, "rows")
        cdef int32_t[::1] out = writable_int32(flows, "flows")
        cdef int k, n = <int> of_rows.shape[0], found = 0
        same_size(out.shape[0], "flows", n, "rows")
        parsed_rows(b, of_rows, "rows")
        if n == 0:
            return 0
        apart(&out[0], 4 * <size_t> n, "flows", &of_rows[0], 2 * <size_t> n, "rows")
        take_turn(&self._taken, "NatTable")
        with nogil:
            for k in range(n):
                out[k] = find_row(self, b, of_rows[k])
                found += out[k] >= 0
        self._taken = 0
        return found


cdef bint bind_row(NatTable table, Columns* b, int i, const uint8_t* local, int32_t flow, uint16_t* port) noexcept nogil:
    cdef uint8_t reason
    cdef uint16_t remote_port = b.destination_port[i]
    if b.fragment[i] == FRAGMENT_LATER:
        reason = REASON_FRAGMENT
    elif is_mapped(local) != (b.ip_version[i] == 4):
        reason = REASON_FAMILY
    elif not has_port(b, i):
        reason = REASON_PROTOCOL
    else:
        if b.protocol[i] == ICMP or b.protocol[i] == ICMPV6:
            remote_port = 0
        reason = table.bind(b.protocol[i], local, b.destination + <size_t> i * 16, remote_port, b.source_port[i], flow,
                            port)
    if reason:
        drop(b, i, reason)
    return reason == 0


cdef int32_t find_row(NatTable table, Columns* b, int i) noexcept nogil:
    cdef uint16_t remote_port = b.source_port[i]
    if b.reason[i] or not has_port(b, i):
        return -1
    if b.protocol[i] == ICMP or b.protocol[i] == ICMPV6:
        remote_port = 0
    return table.find(b.protocol[i], b.destination + <size_t> i * 16, b.destination_port[i],
                      b.source + <size_t> i * 16, remote_port)

