# Rows of bits over the clauses of a rule set, kept small. Row 0.
#
# A row's words of 64 clauses are mostly all zeros or all ones, so only the others are kept. With `spans` = words / 64, rounded
# up, a row at place p of the arena is
#
#     arena[p …]              spans words: bit w says that word w is not zero      what is ANDed first, 64 words a time
#     arena[p + spans …]      spans words: bit w says that word w is kept
#     arena[p + 2 * spans …]  the kept words in order
#
# so that word w is 0, all ones, or the kept word numbered by the bits before w (Baboescu and Varghese, SIGCOMM 2001, with
# ones left out too). Equal rows are one row. A book is written by one thread, then read only.

from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    #define fastpath_ones64(x) __builtin_popcountll(x)
    #define fastpath_low64(x) __builtin_ctzll(x)
    """
    int ones64 "fastpath_ones64" (uint64_t x) noexcept nogil
    int low64 "fastpath_low64" (uint64_t x) noexcept nogil

cdef enum:
    CLAUSES_MAX = 262144
    NO_ROW = -1                  # put: no memory, or the arena would pass its limit

cdef class BitmapBook:
    cdef readonly int words
    cdef readonly int spans
    cdef readonly uint32_t rows          # different ones
    cdef uint64_t* valid                 # uint64[words]: the bits that stand for a clause; filled from bit 0
    cdef uint64_t* arena
    cdef uint64_t used, room             # words
    cdef uint64_t limit
    cdef uint32_t* places                # of rows by hash; place + 1, 0 = empty
    cdef uint32_t mask
    # The place of a row of `words` words, which must have no bit that is not valid; or NO_ROW.
    cdef int64_t put(self, const uint64_t* bits) noexcept nogil
    cdef int _grow(self) noexcept nogil
    cdef int _rehash(self) noexcept nogil


# Words of a kept row.
cdef inline uint32_t row_size(const uint64_t* row, int spans) noexcept nogil:
    cdef uint32_t size = 2 * spans
    cdef int s
    for s in range(spans):
        size += ones64(row[spans + s])
    return size


cdef inline void set_bit(uint64_t* bits, int32_t number) noexcept nogil:
    bits[number >> 6] |= <uint64_t> 1 << (number & 63)


cdef inline void clear_bit(uint64_t* bits, int32_t number) noexcept nogil:
    bits[number >> 6] &= ~(<uint64_t> 1 << (number & 63))
