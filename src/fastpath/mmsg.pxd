# Many messages a system call: the arrays that recvmmsg and sendmmsg want, made once and filled from a batch's rows. Row 1,
# below packetio, its only user.

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastpath.batch cimport Columns
from fastpath.outer cimport OUTER_BYTES

cdef extern from "<sys/socket.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len
    struct msghdr:
        void* msg_name
        unsigned int msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen
        int msg_flags
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len

cdef enum:
    RING = 256           # messages a system call
    NAME_BYTES = 28      # the longest socket address here: sockaddr_in6
    ETH_P_IP = 0x0800
    ETH_P_IPV6 = 0x86DD

# Everything a batched system call needs, made once. One ring serves both ways of an object: every call fills it anew.
cdef struct Ring:
    mmsghdr messages[RING]
    iovec vectors[2 * RING]
    uint8_t names[RING * NAME_BYTES]
    uint8_t outer[RING * OUTER_BYTES]
    uint8_t name[NAME_BYTES]            # the one address that a Device sends to
    uint16_t rows[RING]


cdef Ring* new_ring() except NULL
cdef void write_peer(uint8_t* name, uint32_t address, uint16_t port) noexcept nogil               # a sockaddr_in
cdef void read_peer(msghdr* header, uint32_t* address, uint16_t* port) noexcept nogil
cdef int receive(int fd, Ring* ring, Columns* b) noexcept nogil                                   # datagrams
# receive_named in parts: rows at … end filled, as often as wanted; then the n in all made rows of a batch, with who sent each.
cdef int fill(int fd, Ring* ring, Columns* b, int at, int end) noexcept nogil                     # rows filled
cdef void settle_named(Ring* ring, Columns* b, int n) noexcept nogil
cdef int receive_named(int fd, Ring* ring, Columns* b) noexcept nogil                             # with peer_address, peer_port
cdef int send_geneve(int fd, Ring* ring, Columns* b, const uint16_t* rows, int n, uint32_t address, uint16_t port) noexcept nogil
cdef int send_ethernet(int fd, Ring* ring, Columns* b, const uint16_t* rows, int n) noexcept nogil
