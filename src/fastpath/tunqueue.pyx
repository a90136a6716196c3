"""TunQueue: one queue of a TUN device, whose packets may be as large as 64 KiB on the way in and out.

Journey: the inside of packetio.Device, which owns the descriptor. With IFF_VNET_HDR the kernel hands a TCP segment over as it left
the stack, with its checksum undone; it is read into a landing and cut into rows from there. What goes to the kernel is
coupled and written in one call, its payloads gathered from their rows. A packet crosses the kernel's stack once in forty, and
the cost of a system call is shared likewise.

Source: Documentation/networking/tuntap.rst, linux/if_tun.h, writev(2).
"""

from libc.errno cimport EAGAIN, EINTR, EINVAL, ENOBUFS, errno
from libc.stdint cimport uint8_t, uint16_t
from libc.stdlib cimport calloc, free

from fastpath.action cimport DROP_IO_SEND
from fastpath.batch cimport Columns, reset, row
from fastpath.mmsg cimport RING, iovec
from fastpath.superpacket cimport next_packet, take
from fastpath.trains cimport HEADERS_MAX, TRAIN_ROWS, Train, couple, lead
from fastpath.vnet cimport VNET_BYTES, Vnet, no_vnet

from fastpath.tundevice import has_offloads

cdef extern from "<sys/uio.h>" nogil:
    ssize_t readv(int fd, const iovec* vectors, int n)
    ssize_t writev(int fd, const iovec* vectors, int n)

cdef TunQueue* new_queue(int fd) except NULL:
    cdef TunQueue* q
    offloads = has_offloads(fd)
    q = <TunQueue*> calloc(1, sizeof(TunQueue))
    if q == NULL:
        raise MemoryError()
    q.landing = <uint8_t*> calloc(1, LANDING_BYTES)
    if q.landing == NULL:
        free(q)
        raise MemoryError()
    q.offloads = offloads
    return q


cdef void free_queue(TunQueue* q) noexcept:
    if q != NULL:
        free(q.landing)
    free(q)


cdef bint holds(const TunQueue* q) noexcept nogil:
    return q.taken.at < q.taken.length


# ---- out of the kernel ----

cdef int receive_tun(int fd, TunQueue* q, Columns* b) noexcept nogil:
    cdef int i = 0, want = min(b.capacity, <int> RING)
    reset(b, want)
    while i < want and (holds(q) or fetch(fd, q)):
        next_packet(&q.taken, b, i)
        i += 1
    b.count = i
    return i


cdef bint fetch(int fd, TunQueue* q) noexcept nogil:
    """Read one packet into the landing; false: there is none."""
    cdef int before = VNET_BYTES if q.offloads else 0
    cdef ssize_t got
    q.vectors[0].iov_base, q.vectors[0].iov_len = &q.vnet, before
    q.vectors[1].iov_base, q.vectors[1].iov_len = q.landing, LANDING_BYTES
    while True:
        got = readv(fd, q.vectors, 2)
        if got > before:
            break
        if got < 0 and errno != EINTR or got >= 0:
            return False
    if not q.offloads:
        no_vnet(&q.vnet)
    take(&q.taken, &q.vnet, q.landing, <int> got - before)
    return True


# ---- into the kernel ----

cdef int send_tun(int fd, TunQueue* q, Columns* b, const uint16_t* rows, int n) noexcept nogil:
    cdef int at = 0, m, k, left = 0
    while at < n:
        m = min(n - at, <int> TRAIN_ROWS)
        couple(&q.trains, b, rows + at, m, q.offloads and not q.refused)
        for k in range(q.trains.count):
            left += put(fd, q, b, &q.trains.trains[k])
        at += m
    return left


cdef int put(int fd, TunQueue* q, Columns* b, const Train* train) noexcept nogil:
    """Write a train; return how many of its rows left."""
    cdef uint8_t[HEADERS_MAX] headers
    cdef Vnet vnet
    cdef int k, at = train.first, i, size = 0
    no_vnet(&vnet)
    if train.packets > 1:
        size = lead(&q.trains, train, b, &vnet, headers)
    q.vectors[0].iov_base, q.vectors[0].iov_len = &vnet, VNET_BYTES if q.offloads else 0
    q.vectors[1].iov_base, q.vectors[1].iov_len = headers, size
    for k in range(train.packets):
        i = q.trains.rows[at]
        q.vectors[k + 2].iov_base = row(b, i) + b.inner_start[i] + size
        q.vectors[k + 2].iov_len = b.inner_length[i] - size
        at = q.trains.after[at]
    if write_whole(fd, q.vectors, train.packets + 2):
        return train.packets
    if train.packets > 1 and errno != EAGAIN and errno != ENOBUFS:
        q.refused |= errno == EINVAL
        return put_singly(fd, q, b, train)
    at = train.first
    for k in range(train.packets):
        b.reason[q.trains.rows[at]] = DROP_IO_SEND
        at = q.trains.after[at]
    return 0


cdef int put_singly(int fd, TunQueue* q, Columns* b, const Train* train) noexcept nogil:
    """Write the rows of a train, which the kernel would not take as one, each by itself."""
    cdef int _, i, at = train.first, left = 0
    cdef Vnet vnet
    no_vnet(&vnet)
    q.vectors[0].iov_base, q.vectors[0].iov_len = &vnet, VNET_BYTES
    for _ in range(train.packets):
        i = q.trains.rows[at]
        q.vectors[1].iov_base, q.vectors[1].iov_len = row(b, i) + b.inner_start[i], b.inner_length[i]
        if write_whole(fd, q.vectors, 2):
            left += 1
        else:
            b.reason[i] = DROP_IO_SEND
        at = q.trains.after[at]
    return left


cdef bint write_whole(int fd, const iovec* vectors, int n) noexcept nogil:
    cdef ssize_t put = writev(fd, vectors, n)
    while put < 0 and errno == EINTR:
        put = writev(fd, vectors, n)
    return put >= 0
