# A port without a network: what it receives lies in memory. Row 2.

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.batch cimport Columns
from fastpath.packetio cimport GenevePort

@cython.final
cdef class MemoryPort(GenevePort):
    cdef uint8_t* frames
    cdef uint64_t* places            # of each frame in `frames`, and the end
    cdef uint32_t* peers
    cdef readonly int count          # of frames
    cdef int next
    cdef uint8_t* room               # where what is sent goes
    cdef int next_room
    cdef uint16_t* lengths           # of what lies in each slot of `room`
    cdef readonly uint64_t sent
