"""RuleSet: which rule is the first that matches a packet. NameTable: which name an address was learned for.

Journey: after flowtable.lookup, for missed rows only; before flowtable.insert. Python compiles the rules (zcc.policy)
into bitmaps; this module ANDs one row per criterion and takes the lowest set bit (Lakshman and Stiliadis, SIGCOMM
1998):

    location row  &  source row  &  service row  &  (destination row | name row)   →  clause  →  rule

A bit is a clause; a rule has one clause or more (an application's names go with that application's ports only),
numbered in rule order. The destination criterion is one criterion of two kinds of value, networks and names, hence
the OR: a clause without that criterion has its bit in every destination row. A later fragment has no ports: only
clauses that want no port match it.

A RuleSet is immutable and read by any thread; bind_name and add_name_row append into spare room and are safe with one
writer and readers that go on. A NameTable has one thread. No clock: the time is an argument. It does not know names,
only their ids."""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from fastpath.action cimport FRAGMENT_LATER
from fastpath.batch cimport Columns, PacketBatch
from fastpath.flowkey cimport FlowKey, hash_key, set_secret
from fastpath.lpm cimport Lpm4, Lpm6
from fastpath.wire cimport load_be32

import os

import numpy as np

from fastpath import criteria

cdef extern from *:
    """
    #include <stdint.h>
    #define fastpath_load32(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
    #define fastpath_store32(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
    """
    uint32_t load_acquire "fastpath_load32" (const uint32_t* at) noexcept nogil
    void store_release "fastpath_store32" (uint32_t* at, uint32_t value) noexcept nogil
    int lowest_bit "__builtin_ctzll" (uint64_t word) noexcept nogil

cdef enum:
    TCP = 6
    UDP = 17
    GROUP = 4                 # neighbouring slots of a NameTable; two groups an address
    CAPACITY_MAX = 1 << 26    # slots of a NameTable

WILDCARD_NAMESPACE = 0xFFFF   # a NameTable's namespace for addresses that mean the same in all of them

cdef struct Compiled:
    const uint64_t* location_rows
    const uint64_t* source_rows
    const uint64_t* destination_rows
    const uint64_t* service_rows
    const uint64_t* name_rows
    const uint16_t* tcp_ports
    const uint16_t* udp_ports
    const uint16_t* protocols
    const uint32_t* name_row_of
    const int32_t* rule_of
    uint32_t locations           # rows there are
    uint32_t sources
    uint32_t destinations
    uint32_t name_rows_used
    uint32_t name_rows_room
    uint32_t names               # length of name_row_of
    uint32_t words


cdef void* pointer(object array):
    return <void*> <size_t> array.ctypes.data


@cython.final
cdef class RuleSet:
    """An immutable set of rules, compiled.

    Args:
        generation: number of the policy edit, 0 … 2**32 - 1.
        actions: uint8[rules], the Action of each rule.
        rule_of: int32[clauses], ascending; the last clause belongs to the last rule and matches everything.
        location: uint64[n, words], row by location id; an id of n or more reads row 0.
        source, destination: fastpath.criteria.Networks.
        service: fastpath.criteria.Services.
        name: fastpath.criteria.Names.
        spare_rows: room for add_name_row.
    Raises:
        ValueError: a shape, dtype or row number is wrong, or the last clause does not match everything; names the argument.
        TypeError: an argument is of another class.
        MemoryError: no memory.
    """

    def __cinit__(self, uint32_t generation, *, actions, rule_of, location, source, destination, service, name,
                  int spare_rows=1024):
        self.generation = generation
        self.actions = criteria.frozen(actions, "actions", np.uint8, None)
        self.rules = len(self.actions)
        rule_of = criteria.rule_of(rule_of, self.rules)
        last = len(rule_of) - 1
        self.words = last // 64 + 1
        location = criteria.rows(location, "location", self.words, last)
        sources = criteria.networks(source, "source", self.words, last)
        destinations = criteria.networks(destination, "destination", self.words, last)
        services = criteria.services(service, self.words, last)
        names = criteria.names(name, self.words, spare_rows)
        self._source4, self._source6 = source.v4, source.v6
        self._destination4, self._destination6 = destination.v4, destination.v6
        self._arrays = (rule_of, location, sources, destinations, services, names)   # keeps alive what is pointed to
        self._compiled = malloc(sizeof(Compiled))
        if self._compiled == NULL:
            raise MemoryError()
        self._point(len(name.rows))

    def __dealloc__(self):
        free(self._compiled)

    def _point(self, used):
        """Let _compiled point into the arrays that are kept."""
        cdef Compiled* c = <Compiled*> self._compiled
        memset(c, 0, sizeof(Compiled))
        rule_of, location, sources, destinations, services, names = self._arrays
        self.action_of = <uint8_t*> pointer(self.actions)
        c.rule_of = <const int32_t*> pointer(rule_of)
        c.location_rows, c.locations = <const uint64_t*> pointer(location), len(location)
        c.source_rows, c.sources = <const uint64_t*> pointer(sources), len(sources)
        c.destination_rows, c.destinations = <const uint64_t*> pointer(destinations), len(destinations)
        c.tcp_ports = <const uint16_t*> pointer(services.tcp)
        c.udp_ports = <const uint16_t*> pointer(services.udp)
        c.protocols = <const uint16_t*> pointer(services.protocols)
        c.service_rows = <const uint64_t*> pointer(services.rows)
        c.name_row_of, c.names = <const uint32_t*> pointer(names.row_of), len(names.row_of)
        c.name_rows, c.name_rows_room = <const uint64_t*> pointer(names.rows), len(names.rows)
        c.name_rows_used = used
        c.words = self.words

    cdef int32_t match(self, const Subject* s) noexcept nogil:
        cdef const Compiled* c = <const Compiled*> self._compiled
        cdef uint32_t source, destination, service, name, w
        if s.ip_version == 4:
            source = self._source4.find(load_be32(s.source + 12))
            destination = self._destination4.find(load_be32(s.destination + 12))
        else:
            source = self._source6.find(s.source)
            destination = self._destination6.find(s.destination)
        if s.protocol == TCP and s.fragment != FRAGMENT_LATER:
            service = c.tcp_ports[s.port]
        elif s.protocol == UDP and s.fragment != FRAGMENT_LATER:
            service = c.udp_ports[s.port]
        else:
            service = c.protocols[s.protocol]
        name = load_acquire(c.name_row_of + s.name_id) if s.name_id < c.names else 0
        # A table handed to the constructor is the caller's and could be changed; its values are bounded here, not trusted.
        if source >= c.sources or destination >= c.destinations:
            return self.rules - 1
        cdef const uint64_t* at_location = c.location_rows + <size_t> (s.location if s.location < c.locations else 0) * c.words
        cdef const uint64_t* at_source = c.source_rows + <size_t> source * c.words
        cdef const uint64_t* at_service = c.service_rows + <size_t> service * c.words
        cdef const uint64_t* at_destination = c.destination_rows + <size_t> destination * c.words
        cdef const uint64_t* at_name = c.name_rows + <size_t> name * c.words
        cdef uint64_t word
        for w in range(c.words):
            word = at_location[w] & at_source[w] & at_service[w] & (at_destination[w] | at_name[w])
            if word:
                return c.rule_of[(w << 6) + lowest_bit(word)]
        return self.rules - 1

    cdef int32_t decide(self, Columns* b, int i, uint32_t location, uint32_t name_id) noexcept nogil:
        cdef Subject s
        s.source = b.source + <size_t> i * 16
        s.destination = b.destination + <size_t> i * 16
        s.location = location
        s.name_id = name_id
        s.port = b.destination_port[i]
        s.ip_version = b.ip_version[i]
        s.protocol = b.protocol[i]
        s.fragment = b.fragment[i]
        return self.match(&s)

    def decide_batch(self, PacketBatch batch not None, const uint32_t[::1] locations not None,
                     const uint32_t[::1] name_ids not None, int32_t[::1] out not None):
        """Write the index of the first rule that matches each live row; -1 for a dead one.

        Args:
            batch: parsed rows.
            locations: uint32[≥ count], location id of each row.
            name_ids: uint32[≥ count], 0 where no name is known.
            out: int32[≥ count].
        Returns:
            Rows decided.
        Raises:
            ValueError: an array is shorter than the batch.
        """
        cdef int i, decided = 0, count = batch.columns.count
        for name, size in (("locations", locations.shape[0]), ("name_ids", name_ids.shape[0]), ("out", out.shape[0])):
            if size < count:
                raise ValueError(f"{name} must have at least {count} entries, not {size}")
        with nogil:
            for i in range(count):
                out[i] = -1
                if batch.columns.reason[i] == 0:
                    out[i] = self.decide(&batch.columns, i, locations[i], name_ids[i])
                    decided += 1
        return decided

    def add_name_row(self, bitmap):
        """Append a row of names' bits and return its number.

        Args:
            bitmap: uint64[words]. The last clause's bit has no meaning in it.
        Raises:
            ValueError: dtype or shape differ, or the spare rows are used up: compile a new RuleSet with more.
        """
        cdef Compiled* c = <Compiled*> self._compiled
        row = criteria.frozen(bitmap, "bitmap", np.uint64, self.words)
        if c.name_rows_used >= c.name_rows_room:
            raise ValueError(f"bitmap must fit into the {c.name_rows_room} name rows there are: none is spare")
        memcpy(<void*> (c.name_rows + <size_t> c.name_rows_used * c.words), pointer(row), c.words * sizeof(uint64_t))
        c.name_rows_used += 1
        return c.name_rows_used - 1

    def bind_name(self, uint32_t name_id, uint32_t row):
        """Say which name row a name that was first seen after compilation reads. Takes effect at once.

        Raises:
            ValueError: name_id is 0 or beyond the capacity, row does not exist, or the name is bound to another row.
        """
        cdef Compiled* c = <Compiled*> self._compiled
        if not 1 <= name_id < c.names:
            raise ValueError(f"name_id must be 1 to {c.names - 1}, not {name_id}")
        if row >= c.name_rows_used:
            raise ValueError(f"row must be below {c.name_rows_used}, not {row}")
        if c.name_row_of[name_id] not in (0, row):
            raise ValueError(f"name_id {name_id} is bound to row {c.name_row_of[name_id]} already")
        store_release(<uint32_t*> (c.name_row_of + name_id), row)

    @property
    def name_capacity(self):
        """Name ids there is room for, 0 included."""
        return (<Compiled*> self._compiled).names

    @property
    def spare_name_rows(self):
        """Rows that add_name_row can still append."""
        cdef Compiled* c = <Compiled*> self._compiled
        return c.name_rows_room - c.name_rows_used


def _address(value):
    address = bytes(value)
    if len(address) != 16:
        raise ValueError(f"address must be 16 bytes (IPv4 as ::ffff:a.b.c.d), not {len(address)}")
    return address


@cython.final
cdef class NameTable:
    """Names learned for addresses, each until it expires.

    A keyed hash gives an address two groups of four neighbouring slots. A new address takes an empty slot of the emptier
    group or, of eight taken ones, that which expires first; the address that loses its slot so is forgotten and counted in
    `replaced`. There is no clock here, so an expired name keeps its slot, unseen, until another address takes it; `size`
    counts it.

    Args:
        capacity: slots, 8 … 2**26; rounded up to a power of two. Twice the names expected keeps losses rare.
        seed: 32 secret bytes, so that nobody can aim at the slots of another's address; None draws them.
    Raises:
        ValueError: capacity or seed is out of range.
        MemoryError: no memory.
    """

    def __cinit__(self, int capacity, seed=None):
        if not 2 * GROUP <= capacity <= CAPACITY_MAX:
            raise ValueError(f"capacity must be {2 * GROUP} to {CAPACITY_MAX}, not {capacity}")
        set_secret(&self._secret, os.urandom(32) if seed is None else seed)
        self.capacity = 2 * GROUP
        while self.capacity < capacity:
            self.capacity *= 2
        self._index = calloc(self.capacity, sizeof(NameSlot))
        if self._index == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self._index)

    cdef NameSlot* _locate(self, uint16_t namespace, const uint8_t* address, NameSlot** soonest) noexcept nogil:
        """The slot of the address, or NULL; then `soonest` is the one to take for it."""
        cdef FlowKey key
        memset(&key, 0, sizeof(FlowKey))
        memcpy(key.fields.a_address, address, 16)
        key.fields.namespace = namespace
        cdef uint64_t hash = hash_key(&key, &self._secret)
        cdef uint64_t mask = <uint64_t> (self.capacity - 1) & ~<uint64_t> (GROUP - 1)
        cdef NameSlot* slot
        cdef NameSlot* first[2]
        cdef int empty[2]
        cdef int i, g
        for i in range(2 * GROUP):
            g = i // GROUP
            slot = <NameSlot*> self._index + ((hash >> (32 * g)) & mask) + i % GROUP
            if slot.expires_ns and slot.namespace == namespace and memcmp(slot.address, address, 16) == 0:
                return slot
            if i % GROUP == 0:
                first[g], empty[g] = slot, 0
            if slot.expires_ns < first[g].expires_ns:
                first[g] = slot
            empty[g] += slot.expires_ns == 0
        # The emptier group: with two to choose from, both fill evenly (Azar et al., STOC 1994).
        g = empty[1] > empty[0] or (empty[0] == 0 and first[1].expires_ns < first[0].expires_ns)
        soonest[0] = first[g]
        return NULL

    cdef uint32_t find(self, uint16_t namespace, const uint8_t* address, uint64_t now_ns) noexcept nogil:
        cdef NameSlot* soonest
        cdef NameSlot* slot = self._locate(namespace, address, &soonest)
        return slot.name_id if slot != NULL and slot.expires_ns > now_ns else 0

    cdef int learn(self, uint16_t namespace, const uint8_t* address, uint32_t name_id, uint64_t expires_ns) noexcept nogil:
        cdef NameSlot* soonest
        cdef NameSlot* slot = self._locate(namespace, address, &soonest)
        if slot == NULL:
            slot = soonest
            if slot.expires_ns:
                self.replaced += 1
            else:
                self.size += 1
            slot.namespace = namespace
            memcpy(slot.address, address, 16)
        slot.name_id = name_id
        slot.expires_ns = expires_ns if expires_ns else 1   # 0 marks an empty slot
        return 0

    cdef int forget(self, uint16_t namespace, const uint8_t* address) noexcept nogil:
        cdef NameSlot* soonest
        cdef NameSlot* slot = self._locate(namespace, address, &soonest)
        if slot == NULL:
            return -1
        memset(slot, 0, sizeof(NameSlot))
        self.size -= 1
        return 0

    def lookup(self, uint16_t namespace, address, uint64_t now_ns):
        """Return the name id learned for an address, or 0.

        Args:
            namespace: id; 0xFFFF holds what is true in every namespace and is asked for separately.
            address: 16 bytes, IPv4 as ::ffff:a.b.c.d.
            now_ns: the caller's clock; a name is gone at its expiry.
        Raises:
            ValueError: address is not 16 bytes.
        """
        packed = _address(address)
        return self.find(namespace, <const uint8_t*> packed, now_ns)

    def insert(self, uint16_t namespace, address, uint32_t name_id, uint64_t expires_ns):
        """Learn that an address belongs to a name; the newest name of an address wins.

        Raises:
            ValueError: address is not 16 bytes, or name_id is 0.
        """
        packed = _address(address)
        if name_id == 0:
            raise ValueError("name_id must be 1 or more, not 0")
        self.learn(namespace, <const uint8_t*> packed, name_id, expires_ns)

    def remove(self, uint16_t namespace, address):
        """Forget an address; False when it was not there.

        Raises:
            ValueError: address is not 16 bytes.
        """
        packed = _address(address)
        return self.forget(namespace, <const uint8_t*> packed) == 0
