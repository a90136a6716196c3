# One AF_XDP socket on one queue of an interface: its memory, its four rings, and rows in and out of them. Row 1.

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.ethernet cimport Neighbours
from fastpath.flowmarks cimport FlowMarks, QueueState

cdef enum:
    FRAME_BYTES = 4096       # a page, the most that an aligned frame may have; longer packets are of several
    RX_FRAMES = 2048         # what can wait for us
    TX_FRAMES = 2048         # what can wait for the device

# A ring that is shared with the kernel, seen from our side.
cdef struct Shared:
    uint32_t* producer
    uint32_t* consumer
    uint32_t* flags
    uint8_t* slots
    uint32_t mask
    uint32_t at              # our own index: as producer of fill and tx, as consumer of rx and completion
    void* memory
    size_t bytes

# Counters of what this side gave up; the kernel's own are in statistics().
@cython.final
cdef class XskQueue:
    cdef readonly int fd
    cdef readonly int queue
    cdef readonly bint zero_copy
    cdef readonly bint polls             # receive() has the driver polled when nothing is there
    cdef bint several_buffers
    cdef uint32_t most_bytes             # of a frame: the interface's MTU and the Ethernet header
    cdef uint8_t* umem
    cdef Shared fill, completion, rx, tx
    cdef uint32_t[TX_FRAMES] free        # numbers of frames that nobody sends
    cdef int n_free
    cdef FlowMarks marks                 # keeps `state` in memory
    cdef QueueState* state               # what the program is told of this queue; NULL = nothing
    cdef uint64_t refused_seen
    # Have the program refuse others than known flows while half of the queue is taken.
    cdef void share(self, FlowMarks marks)
    # Packets that it has refused since it was asked last.
    cdef uint64_t refused(self) noexcept nogil
    # Rows from what has come; 0 = nothing there.
    cdef int receive(self, Columns* b, Neighbours* all) noexcept nogil
    # Send rows; those whose peer's MAC address is not known go to `strangers` instead. Returns how many left.
    cdef int transmit(self, Columns* b, const uint16_t* rows, int n, Neighbours* all, uint32_t address, uint16_t port,
                      uint16_t* strangers, int* n_strangers) noexcept nogil

    cdef int _take(self, Columns* b, int i, uint32_t end, Neighbours* all) noexcept nogil
    cdef void _give(self, uint64_t address) noexcept nogil
    cdef void _put(self, Columns* b, int i, const uint8_t* mac, Neighbours* all, uint32_t address, uint16_t port) noexcept nogil
    cdef uint8_t* _next_frame(self, uint32_t bytes, bint more) noexcept nogil
    cdef void _reap(self) noexcept nogil
    cdef void _tell(self, uint32_t end) noexcept nogil
    cdef void _kick(self) noexcept nogil
    cdef _register(self, int interface_index, bint ask_zero_copy)
    cdef _bind(self, int interface_index, int flags)
    cdef _map(self, Shared* ring, const uint64_t* offsets, long page, int slots, int slot_bytes)
