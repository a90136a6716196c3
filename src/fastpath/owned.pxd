# Names whose queries are answered here, each with its address; and the answer, in place of the query. Row 2. One thread.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.flowkey cimport HashKey

cdef enum:
    OWNED_WAYS = 8                # places a name can be in
    OWNED_ROOM = 1600             # the longest answer: question 271, SOA 79, OPT 17 and its text

# 280 bytes.
cdef struct OwnedName:
    uint64_t until_ns             # 0 = a free place
    uint32_t address              # IPv4, host order
    uint32_t ttl                  # seconds, of answers
    uint32_t location             # 0 unless the table tells locations apart
    uint16_t namespace
    uint8_t length                # of name
    uint8_t name[255]             # wire form, lower case, root label included

cdef class OwnedNames:
    cdef readonly int capacity
    cdef uint32_t sets            # a power of two
    cdef uint32_t location_mask   # all bits: locations are told apart; 0: they are not
    cdef uint32_t* tags           # OWNED_WAYS a set: what most names of a set are told apart by
    cdef OwnedName* names
    cdef HashKey secret
    cdef uint8_t text[255]        # of the extended error that goes with an answer without data
    cdef uint8_t text_bytes
    # The name as it holds at this time, or NULL.
    cdef const OwnedName* find(self, uint16_t namespace, uint32_t location, const uint8_t* name, int length,
                               uint64_t now_ns) noexcept nogil
    # In a full set the name that would run out first gives way: its queries are asked of somebody else again.
    cdef void learn(self, uint16_t namespace, uint32_t location, const uint8_t* name, int length, uint32_t address,
                    uint32_t ttl, uint64_t until_ns) noexcept nogil
    # A name; with length 0 every name.
    cdef void forget(self, uint16_t namespace, uint32_t location, const uint8_t* name, int length) noexcept nogil
    # Row i is a whole UDP packet to port 53, `namespace` set. 1: it has become the answer, for the way back; 0: not one of ours.
    cdef bint answer(self, Columns* b, int i, uint32_t location, uint64_t now_ns) noexcept nogil
    # The answer to a DNS message of n bytes, in out (OWNED_ROOM): its length; 0 or less: not one of ours.
    cdef int reply(self, uint16_t namespace, uint32_t location, const uint8_t* message, int n, uint64_t now_ns,
                   uint8_t* out) noexcept nogil
    cdef uint64_t _hash(self, uint16_t namespace, uint32_t location, const uint8_t* name, int length) noexcept nogil
