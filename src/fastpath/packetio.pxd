# Batches in from and out to the kernel: UDP sockets, raw UDP, TUN, a veth end by AF_PACKET. Row 1.
# All descriptors are non-blocking. recv_rows resets the rows that it fills; send_rows takes the rows it is told and returns how
# many left; rows that could not be sent get DROP_IO_SEND.

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastpath.batch cimport Columns, PacketBatch
from fastpath.flowmarks cimport FlowMarks
from fastpath.deferral cimport Deferral
from fastpath.segments cimport Segments
from fastpath.tunqueue cimport TunQueue

cdef enum:
    WATCHED = 80         # the most descriptors that a port waits for: queues, and the kernel's own way

cdef object chosen(PacketBatch batch, object rows)

cdef class Port:
    cdef readonly int fd
    cdef void* _ring
    cdef int recv_rows(self, Columns* b) noexcept nogil                               # rows filled, 0 = nothing there
    cdef int send_rows(self, Columns* b, const uint16_t* rows, int n) noexcept nogil  # rows that left
    # Write the descriptors that become readable when there is something to receive; return how many, at most WATCHED.
    cdef int watch(self, int* fds) noexcept nogil
    # Whether recv_rows has more to give that no descriptor shows.
    cdef bint holds(self) noexcept nogil

# Geneve as GWLB speaks it. Row columns peer_address and peer_port say from whom a packet came, and to whom one goes: UDP from
# address:peer_port to peer_address:port, since GWLB wants the addresses swapped and the ports not.
cdef class GenevePort(Port):
    cdef readonly uint32_t address
    cdef readonly uint16_t port
    cdef readonly FlowMarks marks        # where flows that go first when too much comes are marked; None = nowhere
    cdef readonly uint64_t refused       # packets that were refused before they came here, because too many came: see earlydrop

# Received on a UDP socket, sent by a raw one, so that the source port is the peer's own. Needs CAP_NET_RAW.
@cython.final
cdef class GeneveSocket(GenevePort):
    cdef readonly int send_fd
    cdef Deferral* _deferral         # NULL: the kernel does the receive work by itself

# Plain UDP; runs of rows to one peer leave as one message, and a connected socket's come so. Unconnected: peer_address, peer_port of each row. Connected: peers are ignored on send.
@cython.final
cdef class UdpSocket(Port):
    # One datagram from outside a batch, to the connected peer. Bytes sent or -1.
    cdef int send_bytes(self, const uint8_t* data, int n) noexcept nogil
    cdef readonly bint connected
    cdef Segments* _segments

# IP packets (no link header) to and from the kernel: a TUN queue, or one end of a veth pair by AF_PACKET where TUN may not be
# opened. recv_rows puts the packet behind HEADROOM and sets inner_start and inner_length too.
@cython.final
cdef class Device(Port):
    cdef readonly str name
    cdef readonly str kind                                                      # "tun" or "veth"
    cdef bint _is_tun
    cdef TunQueue* _queue                                                       # of a TUN
