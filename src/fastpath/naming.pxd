# The name of a flow in one word: the number of the name, and how that is known or why there is none. Row 0.
#
#     31 … 26   Naming
#     25 … 0    number of the name; 0 = none
#
# A table from address to name holds numbers, which are such words too: those that are known by the address.

from libc.stdint cimport uint8_t, uint32_t

cdef enum:
    NAME_NUMBER_BITS = 26

cdef inline uint32_t number_of(uint32_t word) noexcept nogil:
    return word & ((1 << NAME_NUMBER_BITS) - 1)


cdef inline uint8_t naming_of(uint32_t word) noexcept nogil:
    return word >> NAME_NUMBER_BITS
