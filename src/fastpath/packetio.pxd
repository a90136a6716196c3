# Batches in from and out to the kernel: UDP sockets, raw UDP, TUN, a veth end by AF_PACKET. Row 1.
# All descriptors are non-blocking. recv resets the rows that it fills; send takes the rows it is told and returns how many
# left; rows that could not be sent get DROP_IO_SEND.

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastpath.batch cimport Columns

# Geneve as GWLB speaks it: received on UDP `port`, sent by a raw socket so that the source port is the peer's own
# (domain: "UDP ports not swapped"). Row columns peer_address and peer_port say who. Needs CAP_NET_RAW.
@cython.final
cdef class GeneveSocket:
    cdef readonly int fd
    cdef readonly int send_fd
    cdef readonly uint32_t address
    cdef readonly uint16_t port
    cdef void* _ring
    cdef int recv(self, Columns* b) noexcept nogil                              # rows filled, 0 = nothing there
    cdef int send(self, Columns* b, const uint16_t* rows, int n) noexcept nogil  # UDP peer_port → peer_address:port

# Plain UDP. Unconnected: peer_address, peer_port of each row. Connected: peers are ignored on send.
@cython.final
cdef class UdpSocket:
    cdef readonly int fd
    cdef void* _ring
    cdef int recv(self, Columns* b) noexcept nogil
    cdef int send(self, Columns* b, const uint16_t* rows, int n) noexcept nogil
    # One datagram from outside a batch, to the connected peer. Bytes sent or -1.
    cdef int send_bytes(self, const uint8_t* data, int n) noexcept nogil
    cdef readonly bint connected

# IP packets (no link header) to and from the kernel: a TUN queue, or one end of a veth pair by AF_PACKET where TUN may not be
# opened. recv puts the packet behind HEADROOM and sets inner_start and inner_length too.
@cython.final
cdef class Device:
    cdef readonly int fd
    cdef readonly str name
    cdef readonly str kind                                                      # "tun" or "veth"
    cdef void* _ring
    cdef int recv(self, Columns* b) noexcept nogil
    cdef int send(self, Columns* b, const uint16_t* rows, int n) noexcept nogil  # inner_start, inner_length of each row
    cdef bint _is_tun
