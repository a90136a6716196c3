# From the lines of one criterion to rows of bits, and to the table that finds the row of what a packet shows. Row 1.
#
# All numbers of clauses are those of bits here. `rest` is uint64[words]: the clauses that are content with everything.
# What returns an int returns -1 when there is no memory.

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.bitmaps cimport BitmapBook
from fastpath.domains cimport DomainTable

# Rows of numbers 0 … count-1 into rows[0 … count]; the last is that of any other number. `clause` is sorted by label: those of
# label l are clause[starts[l] … starts[l + 1] - 1].
cdef int label_rows(BitmapBook book, const uint64_t* rest, const int32_t[::1] clause, const int64_t[::1] starts,
                    const int32_t[::1] offsets, const int32_t[::1] members, uint32_t[::1] rows) noexcept nogil
# How many prefixes the ranges are, or, where `out` is there, these prefixes: their words, lengths and line numbers.
cdef int64_t split_ranges(const uint64_t[:, ::1] first, const uint64_t[:, ::1] last, uint64_t[:, ::1] out, uint8_t[::1] lengths,
                          int32_t[::1] lines) noexcept nogil
# The row of each different prefix, of those that hold it, and of none (rows[n]). `order` sorts prefixes by address and length.
# Writes which are different into `chosen` and returns how many.
cdef int64_t prefix_rows(BitmapBook book, const uint64_t* rest, const uint64_t[:, ::1] prefixes, const uint8_t[::1] lengths,
                         const int64_t[::1] order, const int32_t[::1] clause, const uint8_t[::1] excluded,
                         int64_t[::1] chosen, uint32_t[::1] rows) noexcept nogil
# The row of each port: `rest` and the clauses whose turns are on there. Turns are sorted by port; change is +1 or -1.
cdef int port_rows(BitmapBook book, const uint64_t* rest, const int32_t[::1] port, const int8_t[::1] change,
                   const int32_t[::1] clause, uint32_t[::1] rows) noexcept nogil
# The row of each protocol: `rest` and the clauses that want it, or every one (-1), whatever the port.
cdef int protocol_rows(BitmapBook book, const uint64_t* rest, const int16_t[::1] protocol, const int32_t[::1] clause,
                       uint32_t[::1] rows) noexcept nogil
# Turns each value of `table`, the number of a pattern, into the row of names of which that pattern is the most specific.
# `clause` is sorted by pattern, as in label_rows; `owned` likewise.
cdef int pattern_rows(BitmapBook book, DomainTable* table, const uint64_t* rest, const uint8_t[::1] owner,
                      const int32_t[::1] clause, const int64_t[::1] starts, const int32_t[::1] owned,
                      const int64_t[::1] owned_starts) noexcept nogil
# The row of each span of ages that begins at one of `limits`.
cdef int age_rows(BitmapBook book, const uint64_t* rest, const uint64_t[::1] limits, const int32_t[::1] clause,
                  const uint64_t[::1] least, const uint64_t[::1] below, uint32_t[::1] rows) noexcept nogil
