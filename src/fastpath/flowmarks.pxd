# What the XDP program is told so that flows which are known go first when a queue is crowded, and what it says of that. Row 1.

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastpath.flowkey cimport FlowKey

cdef enum:
    QUEUES_MAX = 64
    NEWCOMERS = 16           # packets of flows that nobody knows, and questions to port 53, let into a crowded queue a batch
    QUESTIONS = 64

# One receive queue, as both sides see it; element of an array that they share. A cache line.
cdef struct QueueState:
    uint64_t sent            # packets that the program has handed to the queue's socket
    uint64_t taken           # of these, what the worker has taken out; it says so after each batch
    uint64_t room            # packets that may wait before others than known flows are refused; 0 = nobody is refused
    uint64_t newcomers       # may pass all the same until the worker has taken its next batch
    uint64_t questions       # and so many packets to port 53
    uint64_t refused
    uint64_t pad[2]

@cython.final
cdef class FlowMarks:
    cdef readonly int bits               # 2**bits counters of one byte
    cdef uint32_t[3] _factors            # of the hash: odd, secret, below 2**31
    cdef int _marks_fd, _queues_fd
    cdef uint8_t* _marks
    cdef QueueState* _queues
    cdef size_t _bytes
    # Each key that is marked must be unmarked once, when its flow ends. Any thread.
    cdef void mark(self, const FlowKey* key) noexcept nogil
    cdef void unmark(self, const FlowKey* key) noexcept nogil
    cdef QueueState* queue(self, int number) noexcept nogil

    cdef uint64_t _place(self, const FlowKey* key) noexcept nogil
    cdef uint64_t _side(self, const uint8_t* address, uint32_t port) noexcept nogil
    cdef _allocate(self)


# Begin: others than known flows are refused while more than `room` packets wait.
cdef inline void open_queue(QueueState* queue, uint64_t room) noexcept nogil:
    memset(queue, 0, sizeof(QueueState))
    queue.room = room


# A batch was taken out; `taken` in all, as the program counts what it sent.
cdef inline void take_note(QueueState* queue, uint64_t taken) noexcept nogil:
    queue.taken, queue.newcomers, queue.questions = taken, NEWCOMERS, QUESTIONS
