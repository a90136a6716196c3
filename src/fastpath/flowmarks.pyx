"""flowmarks: which flows the worker knows, where the XDP program can see it, so that they go first when a queue is crowded.

    worker ─ mark, unmark ─▶ marks (shared array: a counter a flow, by hash) ◀─ look up ─ earlydrop, in the kernel
    worker ─ taken, room ─▶ queues (shared array) ◀─ sent, refused ─┘

Journey: beside the worker. A flow is marked with its second packet and unmarked when it ends, both by one store into memory that
the program reads too: no system call. Two flows may share a counter; then a stranger passes as known, which costs nothing but its
place in the queue. Counters, not bits, so that the end of one flow does not unmark another. One of these serves all workers.

Source: bpf(2), BPF_F_MMAPABLE. Losing the less important packets from a mark in the buffer on is partial buffer sharing
(Kröner, Hébuterne, Boyer, Gravey: Priority management in ATM switching nodes, IEEE JSAC 9(3), 1991).
"""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap
from posix.unistd cimport close

from fastpath.arguments cimport integer
from fastpath.flowkey cimport FlowKey
from fastpath.wire cimport swap16

import os

from fastpath import bpf

cdef extern from *:
    """
    #define fastpath_add8(p, n) __atomic_fetch_add(p, n, __ATOMIC_RELAXED)
    """
    uint8_t add_atomic "fastpath_add8" (uint8_t* at, uint8_t n) noexcept nogil

cdef enum:
    COUNTERS_A_FLOW = 8      # one in eight strangers passes as known when the table is full
    COUNTERS_A_WORD = 8      # an element of the array is 8 bytes at least
    IPV4 = 4
    TCP = 6
    UDP = 17
    TURN = 29


@cython.final
cdef class FlowMarks:
    """Marks for `capacity` flows, 8 bytes each, and the state of 64 queues; its memory lives as long as the object.

    Args:
        capacity: flows, as all flow tables together.
    Raises:
        ValueError: capacity is not 1 … 2**24.
        OSError: CAP_BPF is missing.
    """

    def __cinit__(self, capacity):
        self._marks_fd = self._queues_fd = -1
        self._marks, self._queues = NULL, NULL
        cdef int wanted = <int> integer(capacity, "capacity", 1, 1 << 24)
        self.bits = max(12, (COUNTERS_A_FLOW * wanted - 1).bit_length())
        for i in range(3):
            self._factors[<int> i] = int.from_bytes(os.urandom(4), "little") >> 1 | 1
        self._allocate()

    cdef _allocate(self):
        cdef void* memory
        self._bytes = <size_t> 1 << self.bits
        self._marks_fd = bpf.map_create(bpf.MAP_ARRAY, 4, COUNTERS_A_WORD, self._bytes // COUNTERS_A_WORD, bpf.MMAPABLE)
        self._queues_fd = bpf.map_create(bpf.MAP_ARRAY, 4, sizeof(QueueState), QUEUES_MAX, bpf.MMAPABLE)
        memory = mmap(NULL, self._bytes, PROT_READ | PROT_WRITE, MAP_SHARED, self._marks_fd, 0)
        if memory == MAP_FAILED:
            raise MemoryError()
        self._marks = <uint8_t*> memory
        memory = mmap(NULL, QUEUES_MAX * sizeof(QueueState), PROT_READ | PROT_WRITE, MAP_SHARED, self._queues_fd, 0)
        if memory == MAP_FAILED:
            raise MemoryError()
        self._queues = <QueueState*> memory

    @property
    def maps(self):
        """For earlydrop: descriptors of the arrays of queues and of marks, log2 of the number of marks, factors of the hash."""
        return self._queues_fd, self._marks_fd, self.bits, (self._factors[0], self._factors[1], self._factors[2])

    def __dealloc__(self):
        if self._marks != NULL:
            munmap(self._marks, self._bytes)
        if self._queues != NULL:
            munmap(self._queues, QUEUES_MAX * sizeof(QueueState))
        for fd in (self._marks_fd, self._queues_fd):
            if self.bits > 0 and fd >= 0:     # arguments that could not be taken leave 0, which is standard input
                close(fd)

    cdef void mark(self, const FlowKey* key) noexcept nogil:
        add_atomic(&self._marks[self._place(key)], 1)

    cdef void unmark(self, const FlowKey* key) noexcept nogil:
        add_atomic(&self._marks[self._place(key)], 0xFF)

    cdef QueueState* queue(self, int number) noexcept nogil:
        return &self._queues[number] if 0 <= number < QUEUES_MAX else NULL

    cdef uint64_t _place(self, const FlowKey* key) noexcept nogil:
        """As earlydrop.place has it: the same for both directions, without namespace and protocol; ports of TCP and UDP only."""
        cdef bint ported = key.fields.protocol == TCP or key.fields.protocol == UDP
        cdef uint64_t h = self._side(key.fields.a_address, swap16(key.fields.a_port) if ported else 0)
        h += self._side(key.fields.b_address, swap16(key.fields.b_port) if ported else 0)
        return h * self._factors[2] >> (64 - self.bits)

    cdef uint64_t _side(self, const uint8_t* address, uint32_t port) noexcept nogil:
        cdef uint64_t[2] words
        cdef uint64_t h
        memcpy(words, address, 16)
        if words[0] == 0 and <uint32_t> words[1] == <uint32_t> 0xFFFF0000:
            words[1] >>= 32                    # IPv4 as the packet has it
        h = (words[0] * self._factors[0] + words[1] + (<uint64_t> port << 32)) * self._factors[1]
        return h ^ h >> TURN
