"""Workloads: (namespace, address) to the number of the set of groups that the workload there belongs to.

Journey: fastpath.classify asks it for the source and the destination of a first packet, when a rule wants workload groups.
The control plane makes a new one whenever discovery learns something and puts it in force with the next rule set; what says
"all of this still holds" (a feed: an account's discovery) is confirmed in place. Everything else is immutable; `confirm` has
one writer. It knows neither tags nor groups.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from fastpath.arguments cimport (SHORT_MAX, byte_rows, integer, int64s, octets_of, same_size, uint8s, uint16s, uint32s, uint64)
from fastpath.flowkey cimport fold_twice
from fastpath.memory cimport load_word, store_word

import os

cdef enum:
    FEEDS_MAX = 256
    SIZE_MAX = 1 << 26

cdef const uint8_t* MAPPED = <const uint8_t*> b"\0\0\0\0\0\0\0\0\0\0\xff\xff"      # ::ffff:0:0/96


@cython.final
cdef class Workloads:
    """An immutable table.

    Args:
        namespaces: uint16[n].
        addresses: uint8[n, 16], IPv4 as ::ffff:a.b.c.d.
        sets: uint32[n].
        feeds: uint8[n], below the length of confirmed_ns.
        confirmed_ns: int64[feeds, at most 256], when each feed was last known to hold, by the clock of the worker; before
            that clock began it is negative.
        seed: 16 bytes of the hash, so that nobody can aim at a neighbour's slot; None draws them.
    Raises:
        ValueError: lengths differ, a feed is out of range, or a workload is given twice; names the argument.
        MemoryError: no memory.
    """

    def __cinit__(self, namespaces, addresses, sets, feeds, confirmed_ns, seed=None):
        cdef const uint16_t[::1] spaces = uint16s(namespaces, "namespaces")
        cdef const uint8_t[:, ::1] at = byte_rows(addresses, "addresses", 16)
        cdef const uint32_t[::1] numbers = uint32s(sets, "sets")
        cdef const uint8_t[::1] of_feed = uint8s(feeds, "feeds")
        cdef const int64_t[::1] times = int64s(confirmed_ns, "confirmed_ns")
        cdef Py_ssize_t n = spaces.shape[0], i
        cdef bytes secret = octets_of(os.urandom(16) if seed is None else seed, "seed", 16)
        if n > SIZE_MAX:
            raise ValueError(f"namespaces must have at most {SIZE_MAX} elements, not {n}")
        for name, size in (("addresses", at.shape[0]), ("sets", numbers.shape[0]), ("feeds", of_feed.shape[0])):
            same_size(size, name, n, "namespaces")
        if times.shape[0] > FEEDS_MAX:
            raise ValueError(f"confirmed_ns must have at most {FEEDS_MAX} elements, not {times.shape[0]}")
        for i in range(n):
            if of_feed[i] >= times.shape[0]:
                raise ValueError(f"feeds[{i}] must be below {times.shape[0]}, not {of_feed[i]}")
        memcpy(self.seed, <const uint8_t*> secret, 16)
        self.size, self.feeds, self.mask = <int> n, <int> times.shape[0], 15
        while self.mask < 2 * <uint64_t> n:
            self.mask = 2 * self.mask + 1
        self.slots = <Workload*> calloc(self.mask + 1, sizeof(Workload))
        self.confirmed_ns = <uint64_t*> calloc(max(1, self.feeds), sizeof(uint64_t))
        if self.slots == NULL or self.confirmed_ns == NULL:
            raise MemoryError("no memory for workloads")
        for i in range(self.feeds):
            self.confirmed_ns[i] = <uint64_t> times[i]
        with nogil:
            twice = self._fill(spaces, at, numbers, of_feed)
        if twice >= 0:
            raise ValueError(f"addresses[{twice}] is there twice in namespace {spaces[twice]}")

    def __dealloc__(self):
        free(self.slots)
        free(self.confirmed_ns)

    cdef int _fill(self, const uint16_t[::1] namespaces, const uint8_t[:, ::1] addresses, const uint32_t[::1] sets,
                   const uint8_t[::1] feeds) noexcept nogil:
        """Fill the slots; the number of one given twice, or -1."""
        cdef Py_ssize_t i
        cdef uint64_t at
        cdef uint8_t version
        cdef Workload* slot
        for i in range(namespaces.shape[0]):
            version = 4 if memcmp(&addresses[i, 0], MAPPED, 12) == 0 else 6
            at = self.place(namespaces[i], &addresses[i, 0])
            if self.find(at, namespaces[i], &addresses[i, 0], version) != NULL:
                return <int> i
            while self.slots[at & self.mask].ip_version:
                at += 1
            slot = &self.slots[at & self.mask]
            memcpy(slot.address, &addresses[i, 0], 16)
            slot.set, slot.namespace, slot.ip_version, slot.feed = sets[i], namespaces[i], version, feeds[i]
        return -1

    cdef uint64_t place(self, uint16_t namespace, const uint8_t* address) noexcept nogil:
        cdef uint64_t[2] words
        memcpy(words, address, 16)
        return fold_twice(words[0] ^ self.seed[0] ^ namespace, words[1] ^ self.seed[1], self.seed[1], self.seed[0])

    cdef const Workload* find(self, uint64_t place, uint16_t namespace, const uint8_t* address, uint8_t ip_version) noexcept nogil:
        cdef const Workload* slot
        while True:
            slot = &self.slots[place & self.mask]
            if slot.ip_version == 0:
                return NULL
            if memcmp(slot.address, address, 16) == 0 and slot.namespace == namespace and slot.ip_version == ip_version:
                return slot
            place += 1

    cdef uint64_t age(self, const Workload* workload, uint64_t now_ns) noexcept nogil:
        cdef int64_t age
        if workload == NULL:
            return AGE_UNKNOWN
        age = <int64_t> (now_ns - load_word(&self.confirmed_ns[workload.feed]))
        return age if age > 0 else 0

    def confirm(self, feed, now_ns):
        """Say that all workloads of a feed are known to be so now.

        Raises:
            ValueError: there is no such feed.
        """
        store_word(&self.confirmed_ns[integer(feed, "feed", 0, self.feeds - 1)], uint64(now_ns, "now_ns"))

    def lookup(self, namespace, address, now_ns=0):
        """Return (set, age in ns) of a workload, or None.

        Args:
            address: 16 bytes, IPv4 as ::ffff:a.b.c.d.
        Raises:
            ValueError: address is not 16 bytes.
        """
        cdef bytes packed = octets_of(address, "address", 16)
        cdef uint16_t space = <uint16_t> integer(namespace, "namespace", 0, SHORT_MAX)
        cdef uint64_t now = uint64(now_ns, "now_ns")
        cdef const uint8_t* at = packed
        cdef const Workload* found = self.find(self.place(space, at), space, at, 4 if memcmp(at, MAPPED, 12) == 0 else 6)
        return None if found == NULL else (found.set, self.age(found, now))

    @property
    def nbytes(self):
        """Bytes of memory it holds."""
        return (self.mask + 1) * sizeof(Workload)
