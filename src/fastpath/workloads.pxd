# Who a workload is: (namespace, address) to the number of its set of groups, and how long ago that was confirmed. Row 2.

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    const uint64_t AGE_UNKNOWN "(UINT64_MAX - 1)"     # UINT64_MAX as a limit is none

cdef struct Workload:
    uint64_t address[2]          # 16 bytes as in a packet
    uint32_t set
    uint16_t namespace
    uint8_t ip_version           # 0 = empty
    uint8_t feed

cdef class Workloads:
    cdef readonly int size
    cdef readonly int feeds
    cdef Workload* slots
    cdef uint64_t mask
    cdef uint64_t* confirmed_ns  # by feed; one writer, any reader
    cdef uint64_t seed[2]
    cdef uint64_t place(self, uint16_t namespace, const uint8_t* address) noexcept nogil
    # NULL = unknown. `place` is that of the same address.
    cdef const Workload* find(self, uint64_t place, uint16_t namespace, const uint8_t* address, uint8_t ip_version) noexcept nogil
    # Since the workload's feed was confirmed; AGE_UNKNOWN, which is longer than any limit, for NULL.
    cdef uint64_t age(self, const Workload* workload, uint64_t now_ns) noexcept nogil
    cdef int _fill(self, const uint16_t[::1] namespaces, const uint8_t[:, ::1] addresses, const uint32_t[::1] sets,
                   const uint8_t[::1] feeds) noexcept nogil
