# A TLS 1.3 session over TCP that carries packets, as a port. Row 1.
# One thread owns it at a time: the control plane during the handshake (pyOpenSSL), then a worker.

cimport cython
from libc.stdint cimport uint8_t

from fastpath.frames cimport Frames
from fastpath.packetio cimport Port

@cython.final
cdef class Stream(Port):
    cdef readonly object connection       # OpenSSL.SSL.Connection over memory BIOs, kept alive
    cdef void* ssl
    cdef void* inbound                    # BIO that the network's bytes go into
    cdef void* outbound                   # BIO that the bytes for the network come out of
    cdef Frames frames
    cdef uint8_t* plain                   # frames on their way into a record
    cdef uint8_t* sealed                  # on their way into the kernel: _at … _end
    cdef int _at, _end
    cdef int _backlog                     # plain bytes that wait; 0 once all has left
    cdef bint _more                       # there may be packets that no descriptor shows
    cdef readonly bint closed             # the peer said so, or the connection failed
    # One packet from outside a batch; it may wait a little where the rows of a batch may not. 1 if it was taken.
    cdef int send_packet(self, const uint8_t* packet, int n) noexcept nogil
    cdef bint flush(self) noexcept nogil
    cdef bint write(self, int n) noexcept nogil
    cdef bint read(self) noexcept nogil
    cdef bint fill(self) noexcept nogil
