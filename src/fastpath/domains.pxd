# A value for each of many domain names and `*.` patterns; the most specific that a name matches counts. Row 1.
#
# One open-addressing table over the names without "*."; a slot has a value for the name itself and one for what is below it.
# A look-up goes through the name once, from its end, and asks at each dot. Names are kept whole and compared, so that no two
# are ever taken for each other. One writer; readers only when nobody writes.

from libc.stdint cimport uint8_t, uint32_t, uint64_t

cdef enum:
    NAME_MAX = 255
    UNSET = 0xFFFFFFFF

cdef struct Domain:
    uint32_t tag                 # of the hash
    uint32_t text                # place of its length and bytes; 0 = empty
    uint32_t exact               # UNSET or a value
    uint32_t below

cdef struct DomainTable:
    Domain* slots
    uint32_t mask
    uint32_t used                # slots
    uint8_t* texts
    uint64_t texts_used, texts_room
    uint64_t seed

cdef int open_domains(DomainTable* table, uint64_t seed) noexcept nogil                   # -1: no memory
cdef void close_domains(DomainTable* table) noexcept nogil
# The slot of a domain (no "*."), made if need be; NULL: no memory. Slots move when one is made.
cdef Domain* domain_slot(DomainTable* table, const uint8_t* name, int length) noexcept nogil
# The value of the most specific entry that a name matches, or UNSET. A name longer than NAME_MAX matches nothing.
cdef uint32_t find_domain(const DomainTable* table, const uint8_t* name, int length) noexcept nogil
# The value `below` of the nearest domain above a name that begins behind place `at` of it, which is moved there; or UNSET.
cdef uint32_t next_above(const DomainTable* table, const uint8_t* name, int length, int* at) noexcept nogil

cdef class DomainMap:
    cdef DomainTable table
    cdef int _readers                  # calls that gave the interpreter lock up
    cdef uint32_t find(self, const uint8_t* name, int length) noexcept nogil
    cdef int _set(self, const uint8_t* name, int length, uint32_t value, bint exact, bint below) except -1
