"""segments: several UDP datagrams for one pass through the kernel's stack, both ways.

    rows of one length to one peer ─▶ one message with UDP_SEGMENT ─▶ kernel or card cuts it
    kernel merges what one peer sent (UDP_GRO) ─▶ one message and its segments' length ─▶ cut into rows here

Journey: the inside of packetio's UdpSocket, where DTLS records of one tunnel go to one peer. A message that the kernel will not
segment is sent datagram by datagram, so nothing is lost by trying. One thread an object.

Source: udp(7), UDP_SEGMENT and UDP_GRO; linux/udp.h.
"""

from libc.errno cimport EAGAIN, EINTR, EINVAL, EIO, ENOBUFS, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fastpath.action cimport DROP_IO_SEND, DROP_IO_TRUNCATED, DROP_NONE
from fastpath.batch cimport HEADROOM, Columns, reset, row
from fastpath.mmsg cimport NAME_BYTES, RING, mmsghdr, msghdr, read_peer, write_peer

cdef extern from "<sys/socket.h>" nogil:
    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    size_t CMSG_LEN(size_t bytes)
    size_t CMSG_SPACE(size_t bytes)
    uint8_t* CMSG_DATA(cmsghdr* message)
    cmsghdr* CMSG_FIRSTHDR(msghdr* message)
    int recvmmsg(int fd, mmsghdr* messages, unsigned int n, int flags, void* timeout)
    int sendmmsg(int fd, mmsghdr* messages, unsigned int n, int flags)
    int MSG_DONTWAIT, MSG_TRUNC

cdef enum:
    SOL_UDP = 17
    UDP_SEGMENT = 103
    UDP_GRO = 104
    MOST_BYTES = 65000       # of a message: an IPv4 packet less its headers, and slack


cdef Segments* new_segments(bint receiving) except NULL:
    cdef Segments* s = <Segments*> calloc(1, sizeof(Segments))
    if s == NULL:
        raise MemoryError()
    if receiving:
        s.merged = <uint8_t*> calloc(MERGED, MERGED_BYTES)
        if s.merged == NULL:
            free(s)
            raise MemoryError()
    return s


cdef void free_segments(Segments* s) noexcept:
    if s != NULL:
        free(s.merged)
    free(s)


# ---- out ----

cdef inline bint joins(Segments* s, Columns* b, int first, int last, int i, int count, int size, bint connected) noexcept nogil:
    """Whether row i may follow in the message that began with row `first` and now ends with row `last`."""
    return not s.refused and count < SEGMENTS and size + b.length[i] <= MOST_BYTES and \
        b.length[last] == b.length[first] and b.length[i] <= b.length[first] and \
        (connected or b.peer_address[i] == b.peer_address[first] and b.peer_port[i] == b.peer_port[first])


cdef void put_segments(Segments* s, Columns* b, int m, int from_, int to, bint connected) noexcept nogil:
    """Make message m of rows[from_ … to-1]; with more than one it says how long each is."""
    cdef msghdr* header = &s.messages[m].msg_hdr
    cdef cmsghdr* control = <cmsghdr*> (s.control + m * CONTROL_BYTES)
    cdef int first = s.rows[from_]
    cdef uint16_t size = b.length[first]
    s.first[m] = from_
    header.msg_iov, header.msg_iovlen = &s.vectors[from_], to - from_
    header.msg_name, header.msg_namelen = NULL, 0
    if not connected:
        write_peer(s.names + m * NAME_BYTES, b.peer_address[first], b.peer_port[first])
        header.msg_name, header.msg_namelen = s.names + m * NAME_BYTES, 16
    header.msg_control, header.msg_controllen = NULL, 0
    if to - from_ > 1:
        control.cmsg_len, control.cmsg_level, control.cmsg_type = CMSG_LEN(2), SOL_UDP, UDP_SEGMENT
        memcpy(CMSG_DATA(control), &size, 2)
        header.msg_control, header.msg_controllen = control, CMSG_SPACE(2)


cdef int send_segments(int fd, Segments* s, Columns* b, const uint16_t* rows, int n, bint connected) noexcept nogil:
    cdef int k = 0, i, at, m, begin, size, left = 0
    while k < n:
        at = m = begin = size = 0
        while k < n and at < RING:
            i = rows[k]
            k += 1
            if b.reason[i] != DROP_NONE or b.length[i] == 0 or b.start[i] + b.length[i] > b.room:
                continue
            if at > begin and not joins(s, b, s.rows[begin], s.rows[at - 1], i, at - begin, size, connected):
                put_segments(s, b, m, begin, at, connected)
                m, begin, size = m + 1, at, 0
            s.rows[at] = i
            s.vectors[at].iov_base, s.vectors[at].iov_len = row(b, i) + b.start[i], b.length[i]
            size += b.length[i]
            at += 1
        if at > begin:
            put_segments(s, b, m, begin, at, connected)
            m += 1
        s.first[m] = at
        left += flush_segments(fd, s, b, m, connected)
    return left


cdef int flush_segments(int fd, Segments* s, Columns* b, int n, bint connected) noexcept nogil:
    """Send n messages. Return how many rows left; those that the kernel refuses are dropped."""
    cdef int m = 0, k, got, left = 0
    while m < n:
        got = sendmmsg(fd, s.messages + m, n - m, MSG_DONTWAIT)
        if got > 0:
            left += s.first[m + got] - s.first[m]
            m += got
        elif errno == EINTR:
            continue
        elif errno == EAGAIN or errno == ENOBUFS:
            for k in range(s.first[m], s.first[n]):
                b.reason[s.rows[k]] = DROP_IO_SEND
            return left
        elif s.first[m + 1] - s.first[m] > 1:
            s.refused |= errno == EIO or errno == EINVAL
            left += send_singly(fd, s, b, m, connected)
            m += 1
        else:
            b.reason[s.rows[s.first[m]]] = DROP_IO_SEND
            m += 1
    return left


cdef int send_singly(int fd, Segments* s, Columns* b, int m, bint connected) noexcept nogil:
    """Send message m, which the kernel would not segment, a datagram at a time."""
    cdef mmsghdr one = s.messages[m]
    cdef int k, left = 0
    one.msg_hdr.msg_iovlen, one.msg_hdr.msg_control, one.msg_hdr.msg_controllen = 1, NULL, 0
    for k in range(s.first[m], s.first[m + 1]):
        one.msg_hdr.msg_iov = &s.vectors[k]
        if sendmmsg(fd, &one, 1, MSG_DONTWAIT) == 1:
            left += 1
        else:
            b.reason[s.rows[k]] = DROP_IO_SEND
    return left


# ---- in ----

cdef int receive_segments(int fd, Segments* s, Columns* b) noexcept nogil:
    cdef int i = 0, want = min(b.capacity, <int> RING)
    reset(b, want)
    while i < want and (s.taken < s.got or fetch(fd, s)):
        i = take_apart(s, b, i, want)
    b.count = i
    return i


cdef int take_apart(Segments* s, Columns* b, int i, int want) noexcept nogil:
    """Rows i … of the message in hand, as many as there is room for; returns the row behind the last."""
    cdef const uint8_t* data = s.merged + s.taken * MERGED_BYTES
    cdef Receipt* of = &s.receipts[s.taken]
    cdef int here
    while i < want and s.taken < s.got:
        here = min(of.size, of.length - s.at)
        b.start[i], b.length[i] = HEADROOM, min(here, b.room - HEADROOM)
        memcpy(row(b, i) + HEADROOM, data + s.at, b.length[i])
        b.peer_address[i], b.peer_port[i] = of.address, of.port
        if here > b.room - HEADROOM or of.cut:
            b.reason[i] = DROP_IO_TRUNCATED
        i += 1
        s.at += of.size
        if s.at >= of.length:
            s.at = 0
            s.taken += 1
            break
    return i


cdef bint fetch(int fd, Segments* s) noexcept nogil:
    """Receive up to MERGED messages; false: there is none."""
    cdef msghdr* header
    cdef int k
    for k in range(MERGED):
        s.vectors[k].iov_base, s.vectors[k].iov_len = s.merged + k * MERGED_BYTES, MERGED_BYTES
        header = &s.messages[k].msg_hdr
        header.msg_name, header.msg_namelen = s.names + k * NAME_BYTES, NAME_BYTES
        header.msg_iov, header.msg_iovlen = &s.vectors[k], 1
        header.msg_control, header.msg_controllen = s.control + k * CONTROL_BYTES, CONTROL_BYTES
        header.msg_flags = 0
    s.taken = s.at = 0
    s.got = recvmmsg(fd, s.messages, MERGED, MSG_DONTWAIT, NULL)
    while s.got < 0 and errno == EINTR:
        s.got = recvmmsg(fd, s.messages, MERGED, MSG_DONTWAIT, NULL)
    s.got = max(s.got, 0)
    for k in range(s.got):           # now: sending uses the same arrays
        note(&s.receipts[k], &s.messages[k])
    return s.got > 0


cdef void note(Receipt* to, mmsghdr* message) noexcept nogil:
    cdef msghdr* header = &message.msg_hdr
    to.length, to.size = message.msg_len, segment_bytes(header, message.msg_len)
    to.cut = header.msg_flags & MSG_TRUNC != 0
    read_peer(header, &to.address, &to.port)


cdef int segment_bytes(msghdr* header, int length) noexcept nogil:
    """How long each datagram of a message is, but for the last: what the kernel says, else all of it; at least 1."""
    cdef cmsghdr* control = CMSG_FIRSTHDR(header)
    cdef int size = 0
    if control != NULL and control.cmsg_level == SOL_UDP and control.cmsg_type == UDP_GRO:
        memcpy(&size, CMSG_DATA(control), sizeof(int))
    return size if 0 < size < length else max(length, 1)
