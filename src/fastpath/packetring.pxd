# GWLB's packets by AF_PACKET rings: shared with the kernel, no system call to receive. Row 2.

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastpath.batch cimport Columns
from fastpath.ethernet cimport Neighbours
from fastpath.flowmarks cimport QueueState
from fastpath.packetio cimport GenevePort, GeneveSocket

@cython.final
cdef class PacketRing(GenevePort):
    cdef readonly GeneveSocket kernel    # for other interfaces' packets, and for peers whose MAC address is unknown
    cdef readonly str interface
    cdef readonly int fanout             # number of its group of rings
    cdef uint8_t* _memory                # the received frames, then those to send
    cdef uint32_t _received, _sent       # next frame of each ring
    cdef uint32_t _most_bytes
    cdef object _lost
    cdef int _shield                     # a link, or -1
    cdef unsigned int _calls
    cdef QueueState* _state              # what the filter is told of this ring, in the memory of `marks`; NULL = nothing
    cdef Neighbours _neighbours
    cdef uint16_t _strangers[4096]
    cdef _open(self, object interface, str address, int fanout, int workers, int worker)
    cdef _filter(self, object sock, str address, int worker)
    cdef void _tell(self, int taken, bint all_of_them) noexcept nogil
    cdef int _receive(self, Columns* b) noexcept nogil
    cdef uint8_t* _vacant(self) noexcept nogil
    cdef void _kick(self) noexcept nogil
