"""BitmapBook: rows of bits over clauses, compressed, equal ones kept once.

Journey: filled by fastpath.rows when rules are compiled, read by fastpath.classify for each first packet. One thread writes,
then it is read only. It does not know what a bit stands for.
"""

cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memcmp

from fastpath.arguments cimport uint64, uint64s

import numpy as np

cdef enum:
    ROOM_FIRST = 4096            # words
    PLACES_FIRST = 1024


cdef uint64_t hash_row(const uint64_t* row, uint32_t size) noexcept nogil:
    cdef uint64_t h = size
    cdef uint32_t i
    for i in range(size):
        h = (h ^ row[i]) * <uint64_t> 0x9E3779B97F4A7C15
        h ^= h >> 29
    return h


@cython.final
cdef class BitmapBook:
    """An empty book.

    Args:
        valid: uint64[words], the bits that stand for a clause; in each word the lowest ones, at least one.
        limit: bytes that rows may take.
    Raises:
        ValueError: valid is not such an array.
        MemoryError: no memory.
    """

    def __cinit__(self, valid, limit=1 << 30):
        cdef int w
        cdef const uint64_t[::1] bits = uint64s(valid, "valid")
        cdef uint64_t most = uint64(limit, "limit")
        if not 1 <= bits.shape[0] <= CLAUSES_MAX // 64:
            raise ValueError(f"valid must have 1 to {CLAUSES_MAX // 64} words, not {bits.shape[0]}")
        self.words = <int> bits.shape[0]
        self.spans = (self.words + 63) // 64
        self.room, self.mask, self.limit = ROOM_FIRST, PLACES_FIRST - 1, most // 8
        self.valid = <uint64_t*> malloc(self.words * sizeof(uint64_t))
        self.arena = <uint64_t*> malloc(self.room * sizeof(uint64_t))
        self.places = <uint32_t*> calloc(self.mask + 1, sizeof(uint32_t))
        if self.valid == NULL or self.arena == NULL or self.places == NULL:
            raise MemoryError("no memory for rows")
        for w in range(self.words):
            if not bits[w] & 1 or bits[w] & (bits[w] + 1):
                raise ValueError(f"valid[{w}] must have its lowest bits set and no others, not {bits[w]:#x}")
            self.valid[w] = bits[w]

    def __dealloc__(self):
        free(self.valid)
        free(self.arena)
        free(self.places)

    cdef int _grow(self) noexcept nogil:
        """Room for one more row of any kind."""
        cdef uint64_t wanted = self.used + 2 * self.spans + self.words
        cdef uint64_t room = self.room
        cdef uint64_t* arena
        # A place must fit 32 bits with one to spare for "empty".
        if wanted > self.limit or wanted >= <uint64_t> 0xFFFFFFFE:
            return NO_ROW
        if wanted <= room:
            return 0
        while room < wanted:
            room += room // 2
        arena = <uint64_t*> realloc(self.arena, room * sizeof(uint64_t))
        if arena == NULL:
            return NO_ROW
        self.arena, self.room = arena, room
        return 0

    cdef int _rehash(self) noexcept nogil:
        """Twice the places."""
        cdef uint32_t mask = 2 * self.mask + 1
        cdef uint32_t i, at
        cdef uint32_t* places = <uint32_t*> calloc(<size_t> mask + 1, sizeof(uint32_t))
        if places == NULL:
            return NO_ROW
        for i in range(self.mask + 1):
            if self.places[i]:
                at = <uint32_t> hash_row(self.arena + self.places[i] - 1, row_size(self.arena + self.places[i] - 1, self.spans))
                while places[at & mask]:
                    at += 1
                places[at & mask] = self.places[i]
        free(self.places)
        self.places, self.mask = places, mask
        return 0

    cdef int64_t put(self, const uint64_t* bits) noexcept nogil:
        cdef uint64_t* row
        cdef uint64_t one
        cdef uint32_t size = 2 * self.spans
        cdef uint32_t at
        cdef int w
        if self._grow() < 0 or (2 * self.rows > self.mask and self._rehash() < 0):
            return NO_ROW
        row = self.arena + self.used
        for w in range(2 * self.spans):
            row[w] = 0
        for w in range(self.words):
            if bits[w]:
                one = <uint64_t> 1 << (w & 63)
                row[w >> 6] |= one
                if bits[w] != self.valid[w]:
                    row[self.spans + (w >> 6)] |= one
                    row[size] = bits[w]
                    size += 1
        at = <uint32_t> hash_row(row, size)
        while self.places[at & self.mask]:
            # A shorter row is compared with words behind it too, which are still the arena's; its head differs.
            if memcmp(self.arena + self.places[at & self.mask] - 1, row, 8 * <size_t> size) == 0:
                return <int64_t> self.places[at & self.mask] - 1
            at += 1
        self.places[at & self.mask] = <uint32_t> self.used + 1
        self.rows += 1
        self.used += size
        return <int64_t> self.used - size

    def add(self, bits):
        """Keep a row and return its place.

        Raises:
            ValueError: bits has another length, or a bit that is not valid.
            MemoryError: no memory, or the rows would take more than `limit`.
        """
        cdef int64_t place
        cdef int w
        cdef const uint64_t[::1] row = uint64s(bits, "bits")
        if row.shape[0] != self.words:
            raise ValueError(f"bits must have {self.words} words, not {row.shape[0]}")
        for w in range(self.words):
            if row[w] & ~self.valid[w]:
                raise ValueError(f"bits[{w}] must have no bit but {self.valid[w]:#x}, not {row[w]:#x}")
        place = self.put(&row[0])
        if place < 0:
            raise MemoryError(f"no memory for another row; the limit is {8 * self.limit} bytes")
        return place

    def row(self, place):
        """Return the row at a place that `add` gave, as uint64[words].

        Raises:
            ValueError: no row can begin there.
        """
        cdef uint64_t begin = uint64(place, "place"), at = begin + 2 * self.spans
        if begin > self.used or at > self.used:
            raise ValueError(f"place must be one that add returned, not {place}")
        cdef const uint64_t* row = self.arena + begin
        cdef int w
        cdef uint64_t one
        if begin + row_size(row, self.spans) > self.used:
            raise ValueError(f"place must be one that add returned, not {place}")
        out = np.zeros(self.words, np.uint64)
        cdef uint64_t[::1] words = out
        for w in range(self.words):
            one = <uint64_t> 1 << (w & 63)
            if row[self.spans + (w >> 6)] & one:
                words[w] = self.arena[at]
                at += 1
            elif row[w >> 6] & one:
                words[w] = self.valid[w]
        return out

    @property
    def nbytes(self):
        """Bytes that the rows take."""
        return 8 * self.used
