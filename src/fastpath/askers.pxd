# How often each source may ask the control plane. Row 2. One thread.

from libc.stdint cimport uint8_t, uint16_t, uint64_t

from fastpath.flowkey cimport HashKey

cdef struct Asker:
    uint64_t hash                # of namespace and address
    uint64_t full_ns             # when its share is whole again; who is past that need not be remembered

cdef class AskerTable:
    cdef readonly int rate       # of one source, a second; 0 = without a bound
    cdef uint64_t each_ns
    cdef Asker* slots
    cdef HashKey secret
    # Take one of what a source (16 bytes) may ask now; False: not now.
    cdef bint take(self, uint16_t namespace, const uint8_t* source, uint64_t now_ns) noexcept nogil
