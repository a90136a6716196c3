"""AliasTable: one stand-in IPv4 address for each (namespace, workload address), so that two workloads with one address never meet.

Journey: the worker rewrites a ZPA flow's source to its alias before the kernel's TCP sees it; the address that the kernel
accepts from leads back to the workload. Aliases are never reused within the life of the process: a late packet can not
reach another workload. One thread. It does not know ports or flows.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy

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

    def __cinit__(self, base, int capacity=65000):
        first = int(ipaddress.IPv4Address(base))
        if not 1 <= capacity <= 1 << 24 or first + capacity > 1 << 32:
            raise ValueError(f"capacity must be 1 to {min(1 << 24, (1 << 32) - first)}, not {capacity}")
        self.base, self.capacity, self.size = first, capacity, 0
        cdef uint32_t n = 16
        while n < 2 * <uint32_t> capacity:
            n *= 2
        self.mask = n - 1
        self.workloads = <Workload*> calloc(capacity, sizeof(Workload))
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

    def alias(self, int namespace, address):
        """Return the IPv4Address that stands for a workload, making one if it is new; None when all are taken.

        Raises:
            ValueError: namespace is not 0 … 65,535, or address is no IP address.
        """
        if not 0 <= namespace <= 65535:
            raise ValueError(f"namespace must be 0 to 65535, not {namespace}")
        packed = ipaddress.ip_address(address).packed
        packed = bytes(10) + b"\xff\xff" + packed if len(packed) == 4 else packed
        cdef int n = self.number(namespace, packed)
        return None if n < 0 else ipaddress.IPv4Address(self.base + n)

    def workload(self, alias):
        """Return (namespace, address) behind an alias, or None."""
        cdef Workload* w = self.find(int(ipaddress.IPv4Address(alias)))
        if w == NULL:
            return None
        address = ipaddress.IPv6Address(w.address[:16])
        return w.namespace, address.ipv4_mapped or address
