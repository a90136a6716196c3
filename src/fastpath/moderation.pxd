# How far apart a port's batches are, so that what comes meanwhile comes together. Row 1. One thread.

from libc.stdint cimport uint32_t, uint64_t

cdef class Moderation:
    cdef uint64_t begun_ns       # the window being counted, and what it has brought
    cdef uint64_t rows
    cdef uint64_t batches
    cdef uint64_t free_gap_ns    # between two rows without rests: before they began, or in the window before; 0 = not small and fast
    cdef uint64_t next_ns        # resting: when to compare anew; else: before that it does not begin
    cdef readonly uint32_t rest_ns   # 0 = it does not rest at present
    cdef int slow                # windows of late that rests have slowed
    # Count a batch taken at now_ns; nanoseconds from then on to leave the port alone.
    cdef uint32_t after(self, uint64_t now_ns, int rows) noexcept nogil
    cdef void judge(self, uint64_t now_ns, uint64_t gap_ns) noexcept nogil

cdef void keep_short_times() noexcept nogil      # this thread's timers go off within a microsecond, not within fifty
