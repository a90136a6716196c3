# Records between two threads: one writes, one reads, neither waits. Row 1.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef class Ring:
    cdef uint8_t* buffer
    cdef readonly uint32_t size          # bytes, a power of two
    cdef uint64_t head                   # bytes ever written; the writer's
    cdef uint64_t tail                   # bytes ever read; the reader's
    cdef uint64_t reserved               # head after the record being written
    cdef uint64_t refused                # records that found the ring full
    cdef int event_fd
    # Writer: n bytes to fill, or NULL when full (counted). Nothing is seen by the reader before commit.
    cdef uint8_t* reserve(self, uint32_t n) noexcept nogil
    cdef void commit(self) noexcept nogil
    # Writer: wake the reader; once after a group of records.
    cdef void notify(self) noexcept nogil
    # Reader: the oldest record and its length, or NULL; it stays until consumed.
    cdef uint8_t* peek(self, uint32_t* n) noexcept nogil
    cdef void consume(self) noexcept nogil
    # Reader: forget past notifications; before draining, so that none is missed.
    cdef void quiet(self) noexcept nogil
