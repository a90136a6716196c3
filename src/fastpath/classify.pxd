# Rules as bitmaps: which rule is the first that matches a packet; and which name an address was learned for. Row 2.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.lpm cimport Lpm4, Lpm6

# An immutable snapshot. Each criterion maps a packet to a row of a uint64 bitmap over the rules; AND, lowest set bit.
cdef class RuleSet:
    cdef readonly int rules               # the last one matches everything
    cdef readonly int words               # 64 rules a word
    cdef readonly uint32_t generation
    cdef readonly object actions          # uint8[rules]
    cdef uint8_t* action_of
    cdef void* _compiled
    # Index of the first rule that matches row i. location: id; name_id: 0 = no name known. Always ≥ 0.
    cdef int32_t decide(self, Columns* b, int i, uint32_t location, uint32_t name_id) noexcept nogil

# (namespace, address) → (name id, expiry). The worker's own; one thread. Namespace 0xFFFF = every namespace (synthetic).
cdef class NameTable:
    cdef readonly int capacity
    cdef readonly int size
    cdef void* _index
    cdef uint32_t find(self, uint16_t namespace, const uint8_t* address, uint64_t now_ns) noexcept nogil   # 0 = unknown
    # Newest wins. 0, or -1 when full of unexpired names (the one that expires first then gives way; still 0).
    cdef int learn(self, uint16_t namespace, const uint8_t* address, uint32_t name_id, uint64_t expires_ns) noexcept nogil
    cdef int forget(self, uint16_t namespace, const uint8_t* address) noexcept nogil
