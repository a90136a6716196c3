"""kernelflows: flows that the XDP program carries without the worker; this end feeds it and reads what it counted.

    worker ─ offer ─▶ keys (hash map), slots (shared array) ◀─ look up, count ─ hairpin, in the kernel
    worker ◀─ credits: packets and bytes of each flow, within a second ─┘

Journey: beside the worker's way out. A flow is offered when one of its packets went LOCAL or was dropped by policy, but for its
first one, and withdrawn when it ends. It is the flow table's flow all the while: the credits keep its counters and its idle time
right. The worker's thread only. Off unless asked for.

Source: bpf(2), BPF_F_MMAPABLE.
"""

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from fastpath.arguments cimport integer
from fastpath.batch cimport Columns, row
from fastpath.bpf cimport delete_element, update_element

import os

from fastpath import bpf

cdef enum:
    HEADER_BYTES = 40        # a Geneve header as GWLB makes it: the only kind that the program reads
    PORT_DNS = 0x3500        # 53 as the wire has it
    TOUR_NS = 1000000000
    STEP = 64                # slots a sweep looks at, at least

NO_PREALLOCATION = 1         # a map's flag: memory for elements as they come

# What hairpin looks for, without the values: Geneve base, then the three options' class, type and length.
cdef const uint8_t* BASE = b"\x08\x00\x08\x00"
cdef const uint8_t* OPTION_1 = b"\x01\x08\x01\x02"
cdef const uint8_t* OPTION_2 = b"\x01\x08\x02\x02"
cdef const uint8_t* OPTION_3 = b"\x01\x08\x03\x01"


cdef inline bint readable(Columns* b, int i, const uint8_t* geneve) noexcept nogil:
    """Whether the program would find this packet's key; the rest of its kind it refuses by itself."""
    cdef const uint8_t* inner = geneve + HEADER_BYTES
    cdef uint16_t[2] ports
    if b.geneve_length[i] != HEADER_BYTES or b.ip_version[i] != 4 or inner[0] != 0x45 or b.fragment[i]:
        return False
    if b.protocol[i] != 6 and b.protocol[i] != 17 or b.tcp_flags[i] & 7:
        return False
    memcpy(ports, inner + 20, 4)
    if ports[0] == PORT_DNS or ports[1] == PORT_DNS:
        return False
    return memcmp(geneve, BASE, 4) == 0 and memcmp(geneve + 8, OPTION_1, 4) == 0 and \
        memcmp(geneve + 20, OPTION_2, 4) == 0 and memcmp(geneve + 32, OPTION_3, 4) == 0


@cython.final
cdef class KernelFlows:
    """The maps of the program, with room for both directions of `capacity` flows.

    Args:
        capacity: flows, as the flow table's; each takes 64 bytes of shared memory, and as much again while it is in use.
    Raises:
        ValueError: capacity is not 1 … 2**24.
        OSError: CAP_BPF is missing.
    """

    def __cinit__(self, capacity):
        self._keys_fd = self._slots_fd = -1
        self._slots = NULL
        self._keys = NULL
        self._seen = NULL
        self._used = self._where = NULL
        self.capacity = <int> integer(capacity, "capacity", 1, 1 << 24)
        self.size, self._cursor, self._swept_ns = 0, 0, 0
        try:
            self._allocate()
        except BaseException:
            self.close()
            raise

    cdef _allocate(self):
        cdef size_t n = 2 * <size_t> self.capacity
        cdef void* memory
        self._keys_fd = bpf.map_create(bpf.MAP_HASH, sizeof(KernelKey), 4, n, NO_PREALLOCATION)
        self._slots_fd = bpf.map_create(bpf.MAP_ARRAY, 4, sizeof(Slot), n + 1, bpf.MMAPABLE)
        self._bytes = ((n + 1) * sizeof(Slot) + 4095) & ~(<size_t> 4095)
        memory = mmap(NULL, self._bytes, PROT_READ | PROT_WRITE, MAP_SHARED, self._slots_fd, 0)
        self._keys = <KernelKey*> calloc(n, sizeof(KernelKey))
        self._seen = <uint64_t*> calloc(n, 16)
        self._used = <int32_t*> malloc(n * 4)
        self._where = <int32_t*> malloc(n * 4)
        if memory == MAP_FAILED or self._keys == NULL or self._seen == NULL or self._used == NULL or self._where == NULL:
            raise MemoryError()
        memset(self._where, 0xFF, n * 4)
        self._slots = <Slot*> memory

    @property
    def maps(self):
        """Descriptors of the hash map of keys and of the array of slots, and the number of the policy's slot."""
        return self._keys_fd, self._slots_fd, 2 * self.capacity

    def close(self):
        """Give everything back; again is no error. The program must be off the interface."""
        if self._slots != NULL:
            munmap(self._slots, self._bytes)
        free(self._keys)
        free(self._seen)
        free(self._used)
        free(self._where)
        self._slots, self._keys, self._seen, self.size = NULL, NULL, NULL, 0
        self._used = self._where = NULL
        for fd in (self._keys_fd, self._slots_fd):
            if self.capacity > 0 and fd >= 0:     # arguments that could not be taken leave 0, which is standard input
                os.close(fd)
        self._keys_fd = self._slots_fd = -1

    def __dealloc__(self):
        self.close()

    cdef void decide_by(self, uint32_t generation) noexcept nogil:
        if self._slots != NULL:
            self._slots[2 * self.capacity].generation = generation

    cdef void offer(self, Columns* b, int i, int32_t index, int way, uint8_t action, uint32_t generation) noexcept nogil:
        cdef int32_t slot = 2 * index + way
        cdef const uint8_t* geneve = row(b, i) + b.geneve_start[i]
        cdef KernelKey* key
        if self._slots == NULL or index >= self.capacity:
            return
        if self._where[slot] >= 0:
            self._slots[slot].action, self._slots[slot].generation = action, generation     # decided anew, or a key that differs
            return
        if not readable(b, i, geneve):
            return
        key = &self._keys[slot]
        memcpy(key.endpoint, geneve + 12, 8)
        memcpy(key.addresses, geneve + HEADER_BYTES + 12, 8)
        memcpy(key.ports, geneve + HEADER_BYTES + 20, 4)
        key.protocol = b.protocol[i]
        self._slots[slot] = Slot(0, 0, action, generation, 0)
        self._seen[2 * slot] = self._seen[2 * slot + 1] = 0
        if update_element(self._keys_fd, key, &slot, 0) == 0:
            self._used[self.size], self._where[slot] = slot, self.size
            self.size += 1

    cdef int withdraw(self, int32_t index, Credit* out) noexcept nogil:
        cdef int way, n = 0
        if self._slots == NULL or index >= self.capacity:
            return 0
        for way in range(2):
            if self._where[2 * index + way] >= 0:
                self._remove(2 * index + way)
                n += self._credit(2 * index + way, out + n)
        return n

    cdef int _remove(self, int32_t slot) noexcept nogil:
        """The last one takes its place in the list."""
        cdef int32_t at = self._where[slot], last = self._used[self.size - 1]
        self._slots[slot].action = 0
        self._used[at], self._where[last], self._where[slot] = last, at, -1
        self.size -= 1
        return delete_element(self._keys_fd, &self._keys[slot])

    cdef int _credit(self, int32_t slot, Credit* out) noexcept nogil:
        """Write what has been carried since; 0 = nothing."""
        cdef uint64_t packets = self._slots[slot].packets, octets = self._slots[slot].bytes
        cdef uint64_t* seen = &self._seen[2 * slot]
        if packets == seen[0]:
            return 0
        out[0] = Credit(slot >> 1, slot & 1, packets - seen[0], octets - seen[1])
        seen[0], seen[1] = packets, octets
        return 1

    cdef int sweep(self, uint64_t now_ns, Credit* out, int room) noexcept nogil:
        cdef uint64_t part = min(now_ns - self._swept_ns, <uint64_t> TOUR_NS)
        cdef int n = 0, left = min(self.size, STEP + <int> (<uint64_t> self.size * part // TOUR_NS))
        self._swept_ns = now_ns
        while left > 0 and n < room:
            if self._cursor >= self.size:
                self._cursor = 0
            n += self._credit(self._used[self._cursor], out + n)
            self._cursor += 1
            left -= 1
        return n
