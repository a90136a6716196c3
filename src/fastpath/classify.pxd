# Rules as bitmaps: which rule is the first that matches a packet; and which name an address was learned for. Row 2.

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.flowkey cimport HashKey
from fastpath.lpm cimport Lpm4, Lpm6

# What a decision looks at, from the side that began the flow.
cdef struct Subject:
    const uint8_t* source        # 16 bytes
    const uint8_t* destination   # 16 bytes
    uint32_t location            # id; one without a row counts as 0
    uint32_t name_id             # 0 = no name known
    uint16_t port                # destination port, host order; read iff protocol is TCP or UDP and not FRAGMENT_LATER
    uint8_t ip_version           # 4 or 6: which table the addresses are looked up in
    uint8_t protocol
    uint8_t fragment             # Fragment

# An immutable snapshot. Each criterion maps a packet to a row of a uint64 bitmap over the rules; AND, lowest set bit.
cdef class RuleSet:
    cdef readonly int rules               # the last one matches everything
    cdef readonly int words               # 64 clauses a word; a rule has one clause or more, in order
    cdef readonly uint32_t generation
    cdef readonly object actions          # uint8[rules]
    cdef uint8_t* action_of
    cdef void* _compiled
    # Index of the first rule that matches row i. location: id; name_id: 0 = no name known. Always ≥ 0.
    cdef int32_t decide(self, Columns* b, int i, uint32_t location, uint32_t name_id) noexcept nogil
    # The same for a flow whose packet is not in a batch, or whose packet at hand is a reply.
    cdef int32_t match(self, const Subject* subject) noexcept nogil
    cdef Lpm4 _source4
    cdef Lpm6 _source6
    cdef Lpm4 _destination4
    cdef Lpm6 _destination6
    cdef object _arrays                   # keeps alive what _compiled points into

cdef struct NameSlot:
    uint64_t expires_ns          # 0 = empty
    uint8_t address[16]
    uint32_t name_id
    uint16_t namespace
    uint16_t pad

# (namespace, address) → (name id, expiry). The worker's own; one thread. Namespace 0xFFFF = every namespace (synthetic).
cdef class NameTable:
    cdef readonly int capacity
    cdef readonly int size
    cdef void* _index
    cdef uint32_t find(self, uint16_t namespace, const uint8_t* address, uint64_t now_ns) noexcept nogil   # 0 = unknown
    # Newest wins. 0, or -1 when full of unexpired names (the one that expires first then gives way; still 0).
    cdef int learn(self, uint16_t namespace, const uint8_t* address, uint32_t name_id, uint64_t expires_ns) noexcept nogil
    cdef int forget(self, uint16_t namespace, const uint8_t* address) noexcept nogil
    cdef readonly uint64_t replaced       # slots taken from another address, expired or not
    cdef HashKey _secret
    cdef NameSlot* _locate(self, uint16_t namespace, const uint8_t* address, NameSlot** soonest) noexcept nogil
