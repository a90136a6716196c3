"""AliasTable: one stand-in IPv4 address for each (namespace, workload address), so that two workloads with one address never meet.

Journey: the worker rewrites a ZPA flow's source to its alias before the kernel's TCP sees it; the address that the kernel
accepts from leads back to the workload. A workload keeps its alias; only when none is left, it goes to another one, if no flow
has had it for QUIET_NS: longer than the kernel keeps anything of a connection (TIME_WAIT, SYN_RECV), so that a late packet can not
reach another workload. Sources that are forged use aliases up, therefore, but not for good. One thread. It does not know ports
or flows. No clock: the time is an argument.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from fastpath.arguments cimport SHORT_MAX, integer, ip, ipv4, mapped, uint64
from fastpath.flowkey cimport FlowKey, hash_key, set_secret

import ipaddress
import os

cdef enum:
    QUIET_NS = 300_000_000_000


@cython.final
cdef class AliasTable:
    """Up to `capacity` aliases counted from the IPv4 address `base`.

    Args:
        base: IPv4Address of the first alias.
        capacity: how many, 1 … 2**24.
    Raises:
        ValueError: capacity out of range, or the last alias would pass 255.255.255.255.
        MemoryError: no memory.
    """

    def __cinit__(self, base, capacity=65000):
        cdef int64_t start = ipv4(base, "base")
        self.base, self.size, self.first, self.last = <uint32_t> start, 0, -1, -1
        self.capacity = <int> integer(capacity, "capacity", 1, min(1 << 24, (<int64_t> 1 << 32) - start))
        set_secret(&self.secret, os.urandom(32), "seed")
        cdef uint32_t n = 16
        while n < 2 * <uint32_t> self.capacity:
            n *= 2
        self.mask = n - 1
        self.workloads = <Workload*> calloc(self.capacity, sizeof(Workload))
        self.slots = <int*> malloc(n * sizeof(int))
        if self.workloads == NULL or self.slots == NULL:
            raise MemoryError()
        memset(self.slots, 0xFF, n * sizeof(int))

    def __dealloc__(self):
        free(self.workloads)
        free(self.slots)

    cdef uint32_t _home(self, uint16_t namespace, const uint8_t* address) noexcept nogil:
        cdef FlowKey key
        memset(&key, 0, sizeof(FlowKey))
        memcpy(key.fields.a_address, address, 16)
        key.fields.namespace = namespace
        return <uint32_t> hash_key(&key, &self.secret) & self.mask

    cdef int number(self, uint16_t namespace, const uint8_t* address, uint64_t now_ns) noexcept nogil:
        cdef uint32_t at = self._home(namespace, address)
        cdef int n
        while self.slots[at] >= 0:
            n = self.slots[at]
            if self.workloads[n].namespace == namespace and memcmp(self.workloads[n].address, address, 16) == 0:
                if self.workloads[n].users == 0:
                    self._delist(n)
                    self._enlist(n, now_ns)
                return n
            at = (at + 1) & self.mask
        n = self.size
        if n < self.capacity:
            self.size += 1
        else:
            n = self.first
            if n < 0 or now_ns < self.workloads[n].quiet_ns + QUIET_NS:
                return -1
            self._delist(n)
            self._forget(n)
            at = self._home(namespace, address)
            while self.slots[at] >= 0:       # what was behind it may have moved up
                at = (at + 1) & self.mask
        self.workloads[n].namespace, self.workloads[n].users = namespace, 0
        memcpy(self.workloads[n].address, address, 16)
        self.slots[at] = n
        self._enlist(n, now_ns)
        return n

    cdef void hold(self, int n) noexcept nogil:
        if self.workloads[n].users == 0:
            self._delist(n)
        self.workloads[n].users += 1

    cdef void give(self, int n, uint64_t now_ns) noexcept nogil:
        self.workloads[n].users -= 1
        if self.workloads[n].users == 0:
            self._enlist(n, now_ns)

    cdef void _enlist(self, int n, uint64_t now_ns) noexcept nogil:
        cdef Workload* quiet = &self.workloads[n]
        quiet.quiet_ns, quiet.previous, quiet.next = now_ns, self.last, -1
        if self.last >= 0:
            self.workloads[self.last].next = n
        else:
            self.first = n
        self.last = n

    cdef void _delist(self, int n) noexcept nogil:
        cdef Workload* quiet = &self.workloads[n]
        if quiet.previous >= 0:
            self.workloads[quiet.previous].next = quiet.next
        else:
            self.first = quiet.next
        if quiet.next >= 0:
            self.workloads[quiet.next].previous = quiet.previous
        else:
            self.last = quiet.previous

    cdef void _forget(self, int n) noexcept nogil:
        """Empty its slot; those behind that were sent on by it move up (Knuth, TAOCP 3, 6.4 R)."""
        cdef uint32_t at = self._home(self.workloads[n].namespace, self.workloads[n].address), hole, home
        cdef Workload* other
        while self.slots[at] != n:
            at = (at + 1) & self.mask
        hole = at
        while True:
            at = (at + 1) & self.mask
            if self.slots[at] < 0:
                break
            other = &self.workloads[self.slots[at]]
            home = self._home(other.namespace, other.address)
            if (at - home) & self.mask >= (at - hole) & self.mask:
                self.slots[hole], hole = self.slots[at], at
        self.slots[hole] = -1

    cdef Workload* find(self, uint32_t address) noexcept nogil:
        cdef uint32_t n = address - self.base
        return &self.workloads[n] if address >= self.base and n < <uint32_t> self.size else NULL

    # ---- Python ----

    def alias(self, namespace, address, now_ns=0):
        """Return the IPv4Address that stands for a workload, making one if it is new; None when all are taken.

        Args:
            now_ns: any clock that never goes back.
        Raises:
            ValueError: namespace is not 0 … 65,535, or address is no IP address.
        """
        cdef bytes packed = mapped(ip(address, "address"))
        cdef uint16_t of = <uint16_t> integer(namespace, "namespace", 0, SHORT_MAX)
        cdef int n = self.number(of, packed, uint64(now_ns, "now_ns"))
        return None if n < 0 else ipaddress.IPv4Address(self.base + n)

    def hold_one(self, number):
        """Note that a flow has an alias: it stays its workload's.

        Args:
            number: of the alias, counted from `base`; below `size`.
        Raises:
            ValueError: it is out of range.
        """
        self.hold(<int> integer(number, "number", 0, self.size - 1))

    def give_one(self, number, now_ns):
        """Note that a flow that had an alias has ended.

        Args:
            number: as in hold_one.
        Raises:
            ValueError: it is out of range, or no flow has it.
        """
        cdef int n = <int> integer(number, "number", 0, self.size - 1)
        cdef uint64_t now = uint64(now_ns, "now_ns")
        if self.workloads[n].users == 0:
            raise ValueError(f"number must be of an alias that a flow has, which {n} is not")
        self.give(n, now)

    def workload(self, alias):
        """Return (namespace, address) behind an alias, or None.

        Raises:
            ValueError: alias is no IPv4 address.
        """
        cdef Workload* w = self.find(ipv4(alias, "alias"))
        if w == NULL:
            return None
        address = ipaddress.IPv6Address(w.address[:16])
        return w.namespace, address.ipv4_mapped or address
