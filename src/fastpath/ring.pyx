"""Ring: byte records from one thread to another, bounded, without a lock or a wait.

Journey: between the worker and the control plane, one ring each way. One thread writes, one reads. A full ring refuses the
record and counts it; it never blocks and never overwrites. Each record is 8-byte aligned and contiguous; one that would
cross the end of the buffer is preceded by a filler. It does not know what the records mean.
"""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from posix.unistd cimport close, read, write

import os

cdef extern from *:
    """
    #include <stdint.h>
    #define fastpath_load(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
    #define fastpath_store(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
    """
    uint64_t load_acquire "fastpath_load" (uint64_t* at) noexcept nogil
    void store_release "fastpath_store" (uint64_t* at, uint64_t value) noexcept nogil

from fastpath.arguments cimport integer, octets

cdef enum:
    SIZE_MIN = 1 << 12
    SIZE_MAX = 1 << 30
    PREFIX = 8          # bytes before a record: its length, and padding
    FILLER = 0xFFFFFFFF # a length that says: go on at the start of the buffer


@cython.final
cdef class Ring:
    """A ring of `size` bytes.

    Args:
        size: bytes, a power of two, 4,096 … 2**30.
    Raises:
        ValueError: size is not such a number.
        MemoryError, OSError: no memory, no event descriptor.
    """

    def __cinit__(self, size=1 << 20):
        self.event_fd = -1
        cdef uint32_t room = <uint32_t> integer(size, "size", SIZE_MIN, SIZE_MAX)
        if room & (room - 1):
            raise ValueError(f"size must be a power of two from {SIZE_MIN} to {SIZE_MAX}, not {size}")
        self.buffer = <uint8_t*> malloc(room)
        if self.buffer == NULL:
            raise MemoryError()
        self.size = room
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def __dealloc__(self):
        # Without a buffer there is no descriptor yet: arguments that could not be taken leave zeros, and 0 is standard input.
        if self.buffer != NULL and self.event_fd >= 0:
            close(self.event_fd)
        free(self.buffer)

    cdef uint8_t* reserve(self, uint32_t n) noexcept nogil:
        cdef uint64_t need = PREFIX + ((<uint64_t> n + 7) & ~(<uint64_t> 7))
        cdef uint64_t at = self.head & (self.size - 1)
        cdef uint64_t filler = self.size - at if at + need > self.size else 0
        if n > self.size // 2 or self.head + filler + need - load_acquire(&self.tail) > self.size:
            self.refused += 1
            return NULL
        if filler:
            (<uint32_t*> (self.buffer + at))[0] = FILLER
            at = 0
        (<uint32_t*> (self.buffer + at))[0] = n
        self.reserved = self.head + filler + need
        return self.buffer + at + PREFIX

    cdef void commit(self) noexcept nogil:
        store_release(&self.head, self.reserved)

    cdef void notify(self) noexcept nogil:
        cdef uint64_t one = 1
        write(self.event_fd, &one, 8)

    cdef uint8_t* peek(self, uint32_t* n) noexcept nogil:
        cdef uint64_t at
        while self.tail != load_acquire(&self.head):
            at = self.tail & (self.size - 1)
            n[0] = (<uint32_t*> (self.buffer + at))[0]
            if n[0] != FILLER:
                return self.buffer + at + PREFIX
            store_release(&self.tail, self.tail + self.size - at)
        return NULL

    cdef void consume(self) noexcept nogil:
        cdef uint32_t n
        if self.peek(&n) != NULL:
            store_release(&self.tail, self.tail + PREFIX + ((<uint64_t> n + 7) & ~(<uint64_t> 7)))

    cdef void quiet(self) noexcept nogil:
        cdef uint64_t count
        read(self.event_fd, &count, 8)

    @property
    def lost(self):
        """Records refused because the ring was full."""
        return self.refused

    def fileno(self):
        """Return the event descriptor: readable after notify."""
        return self.event_fd

    def push(self, record):
        """Write one record and wake the reader.

        Args:
            record: bytes-like, at most half of the ring.
        Returns:
            False when the ring was full; the record is then counted as lost.
        """
        cdef bytes data = octets(record, "record")
        cdef const uint8_t* source = data
        cdef uint32_t n = len(data)
        cdef uint8_t* at = self.reserve(n)
        if at == NULL:
            return False
        memcpy(at, source, n)
        self.commit()
        self.notify()
        return True

    def drain(self, limit=1024):
        """Take out up to `limit` records, oldest first, as a list of bytes."""
        cdef uint32_t n
        cdef uint8_t* at
        cdef Py_ssize_t most = integer(limit, "limit", 1, SIZE_MAX)
        out = []
        self.quiet()
        while len(out) < most:
            at = self.peek(&n)
            if at == NULL:
                break
            out.append(at[:n])
            self.consume()
        if len(out) == most:
            self.notify()   # more may wait, and quiet() has forgotten that
        return out
