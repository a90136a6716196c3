"""frames: packets in a stream of bytes, each behind its length in 16 bits. What TLS carries in place of datagrams.

    0                   1
    |   bytes of the packet 1 … n   |   the packet …   |   length …      (design §3)

Journey: between a stream's plain bytes and the rows of a batch. Total: every sequence of bytes is frames, cut anywhere; a frame
without a byte is passed over, one that is longer than a row is a dropped row, and what follows it is read all the same.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memmove

from fastpath.action cimport DROP_IO_TRUNCATED
from fastpath.arguments cimport uint8s
from fastpath.batch cimport HEADROOM, Columns, PacketBatch, reset, row
from fastpath.wire cimport load_be16


@cython.final
cdef class Frames:
    """What has come of a stream and is no whole frame yet; one thread."""

    def __cinit__(self):
        self.data = <uint8_t*> malloc(FRAMES_ROOM)
        if self.data == NULL:
            raise MemoryError("frames: no memory for their buffer")
        self.start = self.end = 0

    def __dealloc__(self):
        free(self.data)

    cdef uint8_t* room(self, int* n) noexcept nogil:
        if self.start:
            memmove(self.data, self.data + self.start, self.end - self.start)
            self.end -= self.start
            self.start = 0
        n[0] = FRAMES_ROOM - self.end
        return self.data + self.end

    cdef void filled(self, int n) noexcept nogil:
        self.end += n

    cdef int take(self, Columns* b) noexcept nogil:
        cdef int i, n, first = b.count
        while b.count < b.capacity and self.end - self.start >= FRAME_HEAD:
            n = load_be16(self.data + self.start)
            if self.end - self.start - FRAME_HEAD < n:
                break
            if n:
                i = b.count
                b.count += 1
                b.start[i], b.length[i] = HEADROOM, <uint16_t> min(n, b.room - HEADROOM)
                memcpy(row(b, i) + HEADROOM, self.data + self.start + FRAME_HEAD, b.length[i])
                b.peer_address[i] = b.peer_port[i] = 0
                b.reason[i] = DROP_IO_TRUNCATED if n > b.room - HEADROOM else 0
            self.start += FRAME_HEAD + n
        renew(b, first)
        return b.count

    def feed(self, data):
        """Take bytes of the stream as they came. Return how many: fewer when whole frames wait to be taken first."""
        cdef const uint8_t[::1] view = uint8s(data, "data")
        cdef int free_bytes, n
        cdef uint8_t* at = self.room(&free_bytes)
        n = <int> min(view.shape[0], free_bytes)
        if n:
            memcpy(at, &view[0], n)
            self.filled(n)
        return n

    def recv(self, PacketBatch batch not None):
        """Fill the batch with the frames that are whole. Return how many; 0 = more bytes are needed.

        Drops: DROP_IO_TRUNCATED for one that is longer than a row.
        """
        reset(&batch.columns, 0)
        return self.take(&batch.columns)


cdef void renew(Columns* b, int first) noexcept nogil:
    """Rows from `first` on are fresh, but for their reason."""
    cdef int i
    for i in range(first, b.count):
        b.action[i] = 3 if b.reason[i] else 0      # as `drop` leaves it
        b.rule[i] = b.entry[i] = -1
