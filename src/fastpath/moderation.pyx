"""Moderation: how far apart a port's batches are, so that what comes meanwhile comes together; as network cards put off interrupts.

    free ── rows come close by, in small batches ──▶ resting ── each small batch is followed by a rest
     ▲                                                  │
     └── rows come sparsely, or the rests slow them ────┘       and now and then, to compare

Journey: between two turns of the worker, for a port whose batches are worth more when they are large. A port that rests is looked
at each 250 µs, or as soon as TOGETHER rows may have come; a turn that takes longer leaves no rest. It never begins where
few rows come in that time, so who asks alone is answered at once, nor follows a batch of TOGETHER. Those who ask may be
waiting for answers before they ask again: then rests make rows come slower than they did without, and end for a while. One
thread. No clock: the time is an argument.
"""

cimport cython
from libc.stdint cimport INT32_MAX, uint32_t, uint64_t

from fastpath.arguments cimport integer, uint64

cdef extern from "sys/prctl.h" nogil:
    int prctl(int option, ...)
    int PR_SET_TIMERSLACK

cdef enum:
    LONGEST_NS = 250_000
    TOGETHER = 64
    SPARSE_NS = 12_500         # between two rows: fewer than twenty would come together
    WINDOW_NS = 4_000_000      # what a rate is taken from
    PATIENCE = 3               # slow windows that are borne: others may have had the processor
    COMPARED_NS = 250_000_000  # from one look at how it is without rests to the next


cdef void keep_short_times() noexcept nogil:
    prctl(PR_SET_TIMERSLACK, <unsigned long> 1000)


@cython.final
cdef class Moderation:
    """The rests of one port; it begins without any."""

    cdef uint32_t after(self, uint64_t now_ns, int rows) noexcept nogil:
        cdef uint64_t took = now_ns - self.begun_ns
        if took >= WINDOW_NS:
            self.judge(now_ns, took // max(self.rows, <uint64_t> 1))
            self.begun_ns, self.rows, self.batches = now_ns, 0, 0
        self.rows += rows
        self.batches += 1
        return self.rest_ns if 0 < rows < TOGETHER else 0

    cdef void judge(self, uint64_t now_ns, uint64_t gap_ns) noexcept nogil:
        """Rest or do not in the next window, after one in which a row came each gap_ns."""
        cdef uint32_t rest_ns = <uint32_t> min(TOGETHER * gap_ns, <uint64_t> LONGEST_NS)
        if self.rest_ns == 0:
            if gap_ns > SPARSE_NS or self.rows >= TOGETHER * self.batches:
                gap_ns = 0
            elif self.free_gap_ns and now_ns >= self.next_ns:
                gap_ns = max(gap_ns, self.free_gap_ns)      # the slower of two: a burst is not how it would be
                self.rest_ns, self.slow, self.next_ns = rest_ns, 0, now_ns + COMPARED_NS
            self.free_gap_ns = gap_ns
            return
        self.slow = self.slow + 1 if gap_ns > SPARSE_NS or gap_ns > self.free_gap_ns + self.free_gap_ns // 4 else 0
        self.rest_ns = rest_ns
        if self.slow == PATIENCE:
            self.rest_ns, self.free_gap_ns, self.next_ns = 0, 0, now_ns + COMPARED_NS
        elif now_ns >= self.next_ns:
            self.rest_ns, self.free_gap_ns = 0, 0

    def rest(self, now_ns, rows):
        """Count a batch that was taken at now_ns. Return how many nanoseconds from then on the port is to be left alone, 0 … 250,000.

        Args:
            now_ns: any clock that never goes back.
            rows: of the batch, 0 or more.
        Raises:
            ValueError: a number is out of range.
        """
        return self.after(uint64(now_ns, "now_ns"), <int> integer(rows, "rows", 0, INT32_MAX))
