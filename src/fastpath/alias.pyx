"""AliasTable: one stand-in IPv4 address for each (namespace, workload address), so that two workloads with one address never meet.

Journey: the worker rewrites a ZPA flow's source to its alias before the kernel's TCP sees it; the address that the kernel
accepts from leads back to the workload. Aliases are never reused within the life of the process: a late packet can not
reach another workload. One thread. It does not know ports or flows.
"""

cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

from fastpath.arguments cimport SHORT_MAX, integer, ip, ipv4, mapped

import ipaddress


cdef inline uint32_t mix(uint16_t namespace, const uint8_t* address) noexcept nogil:
    # Workload addresses come from the customer's own networks, behind endpoints that the configuration names; the table is
    # bounded and at most half full, so an aimed collision costs a bounded walk.
    cdef uint64_t low, high
    memcpy(&low, address, 8)
    memcpy(&high, address + 8, 8)
    low ^= (high ^ (<uint64_t> namespace << 48)) * <uint64_t> 0x9E3779B97F4A7C15
    low *= <uint64_t> 0xD6E8FEB86659FD93
    return <uint32_t> (low >> 32)


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
        cdef int64_t first = ipv4(base, "base")
        self.base, self.size = <uint32_t> first, 0
        self.capacity = <int> integer(capacity, "capacity", 1, min(1 << 24, (<int64_t> 1 << 32) - first))
        cdef uint32_t n = 16
        while n < 2 * <uint32_t> self.capacity:
            n *= 2
        self.mask = n - 1
        self.workloads = <Workload*> calloc(self.capacity, sizeof(Workload))
        self.slots = <int*> malloc(n * sizeof(int))
        if self.workloads == NULL or self.slots == NULL:
            raise MemoryError()
        cdef uint32_t i
        for i in range(n):
            self.slots[i] = -1

    def __dealloc__(self):
        free(self.workloads)
        free(self.slots)

    cdef int number(self, uint16_t namespace, const uint8_t* address) noexcept nogil:
        cdef uint32_t at = mix(namespace, address) & self.mask
        cdef int n
        while self.slots[at] >= 0:
            n = self.slots[at]
            if self.workloads[n].namespace == namespace and memcmp(self.workloads[n].address, address, 16) == 0:
                return n
            at = (at + 1) & self.mask
        if self.size == self.capacity:
            return -1
        n = self.size
        self.size += 1
        self.workloads[n].namespace = namespace
        memcpy(self.workloads[n].address, address, 16)
        self.slots[at] = n
        return n

    cdef Workload* find(self, uint32_t address) noexcept nogil:
        cdef uint32_t n = address - self.base
        return &self.workloads[n] if address >= self.base and n < <uint32_t> self.size else NULL

    def alias(self, namespace, address):
        """Return the IPv4Address that stands for a workload, making one if it is new; None when all are taken.

        Raises:
            ValueError: namespace is not 0 … 65,535, or address is no IP address.
        """
        cdef bytes packed = mapped(ip(address, "address"))
        cdef int n = self.number(<uint16_t> integer(namespace, "namespace", 0, SHORT_MAX), packed)
        return None if n < 0 else ipaddress.IPv4Address(self.base + n)

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
