# First packets from tunnels: which flow and which binding they get, or none. Row 3. One thread.

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.flowkey cimport Secret
from fastpath.flowtable cimport FlowEntry, FlowTable
from fastpath.nat cimport NatTable

cdef enum:
    OUTLET_ADDRESSES = 16

cdef class Outlet:
    cdef readonly FlowTable flows
    cdef readonly NatTable nat
    cdef readonly Secret secret
    cdef readonly object addresses           # uint8[n, 16] that flows leave from, by nat_slot
    cdef uint8_t[256] ours                   # the same: OUTLET_ADDRESSES × 16
    cdef uint8_t[2][16] slots                # of IPv4's and of IPv6's, by their numbers
    cdef int[2] counts
    cdef bytes closed                        # addresses that no flow may reach, 16 bytes each, in order
    cdef const uint8_t* _closed
    cdef int _closed_count
    # A flow and a binding for every live row that has none; rows that may have none are dropped. Returns how many rows wait for room,
    # and nothing has been made; 0: done. `full`: those who find no room are dropped.
    cdef int admit(self, Columns* b, uint64_t now_ns, bint full) noexcept nogil
    cdef bint _end(self, int32_t index) noexcept nogil
    cdef int _refuse(self, Columns* b) noexcept nogil
    cdef void _admit_row(self, Columns* b, int i, uint64_t now_ns) noexcept nogil
    cdef uint32_t _slot(self, Columns* b, int i) noexcept nogil
    cdef bint _is_closed(self, const uint8_t* address) noexcept nogil


# The address that a flow leaves from.
cdef inline const uint8_t* leaves_from(Outlet outlet, const FlowEntry* entry) noexcept nogil:
    return outlet.ours + 16 * entry.nat_slot
