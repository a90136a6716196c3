"""NameTable: which name an address was learned for.

Journey: worker and admission ask it for the destination of a first packet; fastpath.classify takes the name's number. One
thread. No clock: the time is an argument. It does not know names, only their numbers.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy, memset

from fastpath.arguments cimport SHORT_MAX, WORD_MAX, integer, octets_of, uint64
from fastpath.flowkey cimport FlowKey, HashKey, hash_key, set_secret

import os

cdef enum:
    GROUP = 4                 # neighbouring slots; two groups an address
    CAPACITY_MAX = 1 << 26    # slots

WILDCARD_NAMESPACE = 0xFFFF   # for addresses that mean the same in all namespaces


cdef uint64_t hash_of(uint16_t namespace, const uint8_t* address, const HashKey* secret) noexcept nogil:
    cdef FlowKey key
    memset(&key, 0, sizeof(FlowKey))
    memcpy(key.fields.a_address, address, 16)
    key.fields.namespace = namespace
    return hash_key(&key, secret)


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

    def __cinit__(self, capacity, seed=None):
        cdef int wanted = <int> integer(capacity, "capacity", 2 * GROUP, CAPACITY_MAX)
        set_secret(&self._secret, os.urandom(32) if seed is None else seed, "seed")
        self.capacity = 2 * GROUP
        while self.capacity < wanted:
            self.capacity *= 2
        self._index = calloc(self.capacity, sizeof(NameSlot))
        if self._index == NULL:
            raise MemoryError()

    def __dealloc__(self):
        free(self._index)

    cdef NameSlot* _locate(self, uint16_t namespace, const uint8_t* address, NameSlot** soonest) noexcept nogil:
        """The slot of the address, or NULL; then `soonest` is the one to take for it."""
        cdef uint64_t hash = hash_of(namespace, address, &self._secret)
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
        # As _locate, without the search for a slot to take: a first packet asks twice, and is told nothing mostly.
        cdef uint64_t hash = hash_of(namespace, address, &self._secret)
        cdef uint64_t mask = <uint64_t> (self.capacity - 1) & ~<uint64_t> (GROUP - 1)
        cdef NameSlot* slot
        cdef int g, k
        for g in range(2):
            slot = <NameSlot*> self._index + ((hash >> (32 * g)) & mask)
            for k in range(GROUP):
                if slot[k].expires_ns > now_ns and slot[k].namespace == namespace and memcmp(slot[k].address, address, 16) == 0:
                    return slot[k].name_id
        return 0

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

    def lookup(self, namespace, address, now_ns):
        """Return the name id learned for an address, or 0.

        Args:
            namespace: id; 0xFFFF holds what is true in every namespace and is asked for separately.
            address: 16 bytes, IPv4 as ::ffff:a.b.c.d.
            now_ns: the caller's clock; a name is gone at its expiry.
        Raises:
            ValueError: address is not 16 bytes.
        """
        cdef bytes packed = octets_of(address, "address", 16)
        return self.find(<uint16_t> integer(namespace, "namespace", 0, SHORT_MAX), packed, uint64(now_ns, "now_ns"))

    def insert(self, namespace, address, name_id, expires_ns):
        """Learn that an address belongs to a name; the newest name of an address wins.

        Raises:
            ValueError: address is not 16 bytes, or name_id is 0.
        """
        cdef bytes packed = octets_of(address, "address", 16)
        self.learn(<uint16_t> integer(namespace, "namespace", 0, SHORT_MAX), packed,
                   <uint32_t> integer(name_id, "name_id", 1, WORD_MAX), uint64(expires_ns, "expires_ns"))

    def remove(self, namespace, address):
        """Forget an address; False when it was not there.

        Raises:
            ValueError: address is not 16 bytes.
        """
        cdef bytes packed = octets_of(address, "address", 16)
        return self.forget(<uint16_t> integer(namespace, "namespace", 0, SHORT_MAX), packed) == 0
