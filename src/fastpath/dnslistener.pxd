# A UDP socket that clients ask directly: owned names are answered here, the rest is handed to the control plane. Row 3.

from libc.stdint cimport uint16_t, uint32_t

from fastpath.admission cimport Admission
from fastpath.batch cimport Columns
from fastpath.moderation cimport Moderation
from fastpath.packetio cimport UdpSocket

cdef enum:
    LISTENER_ROWS = 4096     # of a batch, at most

cdef class DnsListener:
    cdef readonly UdpSocket socket
    cdef Admission admission
    cdef readonly int namespace
    cdef readonly int location
    cdef Moderation moderation
    cdef readonly uint32_t rest_ns   # to be left alone for, from the beginning of its last turn
    cdef uint16_t[LISTENER_ROWS] rows
    # Take what is there, once; the rows taken.
    cdef int turn(self, Columns* b) noexcept nogil
