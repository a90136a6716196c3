# Packets in a stream of bytes, each behind its length. Row 1.

from libc.stdint cimport uint8_t

from fastpath.batch cimport Columns

cdef enum:
    FRAME_MAX = 0xFFFF
    FRAME_HEAD = 2             # length, 16 bits (design §3)
    FRAMES_ROOM = 3 * 32768    # the longest frame that is not whole yet, and then room for a TLS record

cdef class Frames:
    cdef uint8_t* data
    cdef int start, end        # of what has come and was not taken
    # Where the next bytes go, and how many: 16,384 at least once take has found nothing more.
    cdef uint8_t* room(self, int* n) noexcept nogil
    cdef void filled(self, int n) noexcept nogil
    # Append whole frames to the rows of a batch until it is full or there are none. Returns the rows in it.
    cdef int take(self, Columns* b) noexcept nogil
