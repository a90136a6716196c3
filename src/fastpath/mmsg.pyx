"""mmsg: many messages a system call, between a batch's rows and the kernel.

Journey: the inside of packetio, which owns the descriptors. A Ring holds what recvmmsg and sendmmsg want and is made once;
every call fills it anew. One thread a ring. It opens nothing and parses nothing.

Source: recvmmsg(2), sendmmsg(2), raw(7).
"""

from libc.errno cimport EAGAIN, EINTR, ENOBUFS, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc
from libc.string cimport memcpy, memset

from fastpath.action cimport DROP_IO_SEND, DROP_IO_TRUNCATED, DROP_NONE
from fastpath.batch cimport HEADROOM, Columns, reset, row
from fastpath.outer cimport OUTER_BYTES, write_outer
from fastpath.wire cimport load_be16, load_be32, store_be16, store_be32

cdef extern from "<sys/socket.h>" nogil:
    int recvmmsg(int fd, mmsghdr* messages, unsigned int n, int flags, void* timeout)
    int sendmmsg(int fd, mmsghdr* messages, unsigned int n, int flags)
    int AF_INET, MSG_DONTWAIT, MSG_TRUNC


cdef Ring* new_ring() except NULL:
    cdef Ring* ring = <Ring*> calloc(1, sizeof(Ring))
    if ring == NULL:
        raise MemoryError()
    return ring


cdef int fill(int fd, Ring* ring, Columns* b, int at, int end) noexcept nogil:
    """Fill rows at … end from the socket. Return the rows filled."""
    cdef int i, got
    cdef msghdr* header
    for i in range(at, end):
        ring.vectors[i].iov_base = row(b, i) + HEADROOM
        ring.vectors[i].iov_len = b.room - HEADROOM
        header = &ring.messages[i].msg_hdr
        header.msg_name = ring.names + i * NAME_BYTES
        header.msg_namelen = NAME_BYTES
        header.msg_iov = &ring.vectors[i]
        header.msg_iovlen = 1
        header.msg_flags = 0
    got = recvmmsg(fd, ring.messages + at, end - at, MSG_DONTWAIT, NULL)
    while got < 0 and errno == EINTR:
        got = recvmmsg(fd, ring.messages + at, end - at, MSG_DONTWAIT, NULL)
    return max(got, 0)


cdef void settle(Ring* ring, Columns* b, int n) noexcept nogil:
    """Make n rows of what was filled."""
    cdef int i
    reset(b, n)
    for i in range(n):
        b.start[i] = HEADROOM
        b.length[i] = ring.messages[i].msg_len
        if ring.messages[i].msg_hdr.msg_flags & MSG_TRUNC:
            b.reason[i] = DROP_IO_TRUNCATED


cdef int receive(int fd, Ring* ring, Columns* b) noexcept nogil:
    """Fill up to RING rows from the socket; the senders' addresses stay in ring.names. Return the rows filled."""
    cdef int got = fill(fd, ring, b, 0, min(b.capacity, <int> RING))
    settle(ring, b, got)
    return got


cdef void read_peer(msghdr* header, uint32_t* address, uint16_t* port) noexcept nogil:
    """Read an IPv4 peer's address from a message received; of other families both become 0."""
    cdef const uint8_t* name = <const uint8_t*> header.msg_name
    cdef uint16_t family
    memcpy(&family, name, 2)
    address[0] = port[0] = 0
    if header.msg_namelen >= 8 and family == AF_INET:
        port[0] = load_be16(name + 2)
        address[0] = load_be32(name + 4)


cdef void write_peer(uint8_t* name, uint32_t address, uint16_t port) noexcept nogil:
    """Write a sockaddr_in."""
    cdef uint16_t family = AF_INET
    memset(name, 0, 16)
    memcpy(name, &family, 2)
    store_be16(name + 2, port)
    store_be32(name + 4, address)


cdef int flush(int fd, Ring* ring, Columns* b, int n) noexcept nogil:
    """Send the n messages made in the ring; a row whose message the kernel refuses is dropped. Return how many left."""
    cdef int at = 0, left = 0, got
    while at < n:
        got = sendmmsg(fd, ring.messages + at, n - at, MSG_DONTWAIT)
        if got > 0:
            at += got
            left += got
        elif errno == EINTR:
            continue
        elif errno == EAGAIN or errno == ENOBUFS:
            while at < n:
                b.reason[ring.rows[at]] = DROP_IO_SEND
                at += 1
        else:
            b.reason[ring.rows[at]] = DROP_IO_SEND
            at += 1
    return left


cdef bint sendable(Columns* b, int i, int start, int length) noexcept nogil:
    """A live row whose bytes lie within it."""
    return b.reason[i] == DROP_NONE and length > 0 and start + length <= b.room


cdef void put_message(Ring* ring, Columns* b, int at, int i, int start, int length, void* name, int name_bytes) noexcept nogil:
    """Make message `at` of row i: its bytes, and the name it goes to (NULL: connected)."""
    cdef msghdr* header = &ring.messages[at].msg_hdr
    ring.rows[at] = i
    ring.vectors[at].iov_base = row(b, i) + start
    ring.vectors[at].iov_len = length
    header.msg_name = name
    header.msg_namelen = name_bytes
    header.msg_iov = &ring.vectors[at]
    header.msg_iovlen = 1


cdef void settle_named(Ring* ring, Columns* b, int n) noexcept nogil:
    """Make n rows of what was filled, and write who sent each."""
    cdef int i
    settle(ring, b, n)
    for i in range(n):
        read_peer(&ring.messages[i].msg_hdr, &b.peer_address[i], &b.peer_port[i])


cdef int receive_named(int fd, Ring* ring, Columns* b) noexcept nogil:
    """Fill up to RING rows and write who sent each. Return the rows filled."""
    cdef int n = fill(fd, ring, b, 0, min(b.capacity, <int> RING))
    settle_named(ring, b, n)
    return n


cdef int send_geneve(int fd, Ring* ring, Columns* b, const uint16_t* rows, int n,
                     uint32_t address, uint16_t port) noexcept nogil:
    """Send each row as UDP from address:peer_port to peer_address:port through a raw socket. Return how many left."""
    cdef int k, i, at = 0, left = 0
    cdef msghdr* header
    for k in range(n):
        i = rows[k]
        if not sendable(b, i, b.start[i], b.length[i]):
            continue
        write_outer(ring.outer + at * OUTER_BYTES, address, b.peer_port[i], b.peer_address[i], port, b.length[i])
        write_peer(ring.names + at * NAME_BYTES, b.peer_address[i], 0)
        ring.rows[at] = i
        ring.vectors[2 * at].iov_base = ring.outer + at * OUTER_BYTES
        ring.vectors[2 * at].iov_len = OUTER_BYTES
        ring.vectors[2 * at + 1].iov_base = row(b, i) + b.start[i]
        ring.vectors[2 * at + 1].iov_len = b.length[i]
        header = &ring.messages[at].msg_hdr
        header.msg_name = ring.names + at * NAME_BYTES
        header.msg_namelen = 16
        header.msg_iov = &ring.vectors[2 * at]
        header.msg_iovlen = 2
        at += 1
        if at == RING:
            left += flush(fd, ring, b, at)
            at = 0
    return left + flush(fd, ring, b, at)


cdef int send_ethernet(int fd, Ring* ring, Columns* b, const uint16_t* rows, int n) noexcept nogil:
    """Send the inner packet of each row to ring.name, a sockaddr_ll. Return how many left."""
    cdef uint8_t* name
    cdef int k, i, at = 0, left = 0
    for k in range(n):
        i = rows[k]
        if not sendable(b, i, b.inner_start[i], b.inner_length[i]):
            continue
        name = ring.names + at * NAME_BYTES
        memcpy(name, ring.name, 20)
        store_be16(name + 2, ETH_P_IPV6 if row(b, i)[b.inner_start[i]] >> 4 == 6 else ETH_P_IP)
        put_message(ring, b, at, i, b.inner_start[i], b.inner_length[i], name, 20)
        at += 1
        if at == RING:
            left += flush(fd, ring, b, at)
            at = 0
    return left + flush(fd, ring, b, at)
