# (namespace, address) to the name learned for it. Row 2.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.flowkey cimport HashKey

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
