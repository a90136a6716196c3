# One queue of a TUN device: packets out of it, cut where they are large, and into it, coupled where they follow. Row 1, below
# packetio, its only user.

from libc.stdint cimport uint8_t, uint16_t

from fastpath.batch cimport Columns
from fastpath.mmsg cimport iovec
from fastpath.superpacket cimport Superpacket
from fastpath.trains cimport TRAIN_ROWS, Trains
from fastpath.vnet cimport Vnet

cdef enum:
    LANDING_BYTES = 65536

cdef struct TunQueue:
    uint8_t offloads             # a struct virtio_net_hdr stands before every packet
    uint8_t refused              # the kernel takes no large packets: one at a time from now on
    Vnet vnet
    Superpacket taken            # what the landing holds, while it is being cut
    Trains trains
    iovec vectors[TRAIN_ROWS + 2]
    uint8_t* landing

cdef TunQueue* new_queue(int fd) except NULL
cdef void free_queue(TunQueue* q) noexcept
# Rows from what waits; the rest of a large packet that found no more rows stays, and comes first the next time.
cdef int receive_tun(int fd, TunQueue* q, Columns* b) noexcept nogil
cdef bint holds(const TunQueue* q) noexcept nogil
# The inner packets of rows. Returns how many left; those that the kernel refuses are dropped.
cdef int send_tun(int fd, TunQueue* q, Columns* b, const uint16_t* rows, int n) noexcept nogil
