# Flows that the XDP program carries by itself: what it is told of them, and what it has counted. Row 2.

cimport cython
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from fastpath.batch cimport Columns

# One direction of one flow, as the program sees it (hairpin); element of an array that both share. 32 bytes.
cdef struct Slot:
    uint64_t packets
    uint64_t bytes
    uint32_t action          # Action; 0 = leave it to the worker
    uint32_t generation      # of the policy that decided; the program heeds it only while it is the policy's
    uint64_t pad

# 24 bytes, everything as on the wire.
cdef struct KernelKey:
    uint8_t endpoint[8]
    uint8_t addresses[8]
    uint8_t ports[4]
    uint32_t protocol

# What the kernel has carried of a flow since it was asked last. way: 0 from the initiator, 1 to it.
cdef struct Credit:
    int32_t index
    int way
    uint64_t packets
    uint64_t bytes

@cython.final
cdef class KernelFlows:
    cdef readonly int capacity           # flows; twice as many slots
    cdef readonly int size               # slots in use
    cdef int _keys_fd, _slots_fd
    cdef Slot* _slots
    cdef size_t _bytes
    cdef KernelKey* _keys                # of each slot
    cdef uint64_t* _seen                 # packets and bytes credited of each slot
    cdef int32_t* _used                  # numbers of the slots in use, in no order
    cdef int32_t* _where                 # of each slot in _used; -1 = not in use
    cdef int _cursor
    cdef uint64_t _swept_ns
    # The policy's generation from now on: what an older one decided comes to the worker again. At once, one store.
    cdef void decide_by(self, uint32_t generation) noexcept nogil
    # Row i of flow `index` was sent LOCAL or dropped by policy: let the kernel do so from now on, if it can.
    cdef void offer(self, Columns* b, int i, int32_t index, int way, uint8_t action, uint32_t generation) noexcept nogil
    # The flow ends: take both its directions back. Writes at most 2 credits, returns how many.
    cdef int withdraw(self, int32_t index, Credit* out) noexcept nogil
    # The next part of a tour of all slots that takes a second: up to `room` credits; returns how many.
    cdef int sweep(self, uint64_t now_ns, Credit* out, int room) noexcept nogil

    cdef int _credit(self, int32_t slot, Credit* out) noexcept nogil
    cdef int _remove(self, int32_t slot) noexcept nogil
    cdef _allocate(self)
