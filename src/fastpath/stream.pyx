"""stream: packets over TLS 1.3 on TCP, where UDP does not get through. The data phase, without the GIL; as dtls does it.

Journey: in place of a DTLS session and its socket, on both ends of the internet tunnel. Several packets share a record. TCP keeps
what it was given, so little is given to it: when the kernel's buffer is full, rows are dropped and counted, as a full queue of a
router drops them, and at most one record waits here. Probes and the like may wait beside it, up to BACKLOG_MAX bytes.
It does not shake hands, verify certificates or keep timers.
Source: design §3; RFC 8446 §5.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport INT32_MAX, uint8_t, uint16_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from posix.unistd cimport close as close_fd

from fastpath.action cimport DROP_IO_SEND, DROP_NONE
from fastpath.arguments cimport integer, uint8s
from fastpath.batch cimport Columns, drop, reset, row
from fastpath.frames cimport FRAME_HEAD, Frames
from fastpath.openssl cimport Handles, bio_read, bio_write, err_clear_error, handles_of, ssl_get_error, ssl_read, ssl_write
from fastpath.packetio cimport Port
from fastpath.wire cimport store_be16

import os
import socket

cdef extern from "<sys/socket.h>" nogil:
    ssize_t c_send "send"(int fd, const void* data, size_t n, int flags)
    ssize_t c_recv "recv"(int fd, void* data, size_t n, int flags)
    int MSG_DONTWAIT, MSG_NOSIGNAL

cdef enum:
    RECORD_MAX = 16384           # plain bytes of a record, RFC 8446 §5.1
    SEALED_MAX = 32768
    BACKLOG_MAX = 65536
    FILLS = 16                   # reads of the kernel a call: a peer that sends nothing whole does not hold us
    SSL_ERROR_WANT_READ = 2      # openssl/ssl.h


@cython.final
cdef class Stream(Port):
    """The data phase of one TLS session.

    Args:
        connection: OpenSSL.SSL.Connection(context, None), handshake done. Use it no more except through this object.
        fd: the connected TCP socket; it is duplicated, the caller keeps its own.
    Raises:
        TypeError: connection is not one over memory BIOs.
        ValueError: fd is no stream socket. OSError: it is no socket.
    """

    def __cinit__(self, connection not None, fd):
        cdef Handles handles = handles_of(connection)
        self.connection, self.frames = connection, Frames()
        self.ssl, self.inbound, self.outbound = handles.ssl, handles.inbound, handles.outbound
        self.plain, self.sealed = <uint8_t*> malloc(RECORD_MAX), <uint8_t*> malloc(SEALED_MAX)
        if self.plain == NULL or self.sealed == NULL:
            raise MemoryError("stream: no memory for its buffers")
        self._more = True        # the handshake may have read further
        own = socket.socket(fileno=os.dup(integer(fd, "fd", 0, INT32_MAX)))
        with own:
            if own.type != socket.SOCK_STREAM:
                raise ValueError(f"fd must be a stream socket, not {own.type!r}")
            self.fd = own.detach()

    def __dealloc__(self):
        if self.fd >= 0:
            close_fd(self.fd)
        free(self.plain)
        free(self.sealed)

    cdef int recv_rows(self, Columns* b) noexcept nogil:
        cdef int fills = 0
        reset(b, 0)
        self._more = False
        if self.fd < 0:
            return 0
        self.flush()
        while True:
            if self.frames.take(b) == b.capacity:
                self._more = True
                break
            if self.read():
                continue
            if self.closed or fills == FILLS or not self.fill():
                break
            fills += 1
        self._more = self._more or fills == FILLS
        return b.count

    cdef bint holds(self) noexcept nogil:
        return self._more and self.fd >= 0

    cdef bint read(self) noexcept nogil:
        """Decrypt what there is; False: there is nothing, or the session is over."""
        cdef int room, got
        cdef uint8_t* at = self.frames.room(&room)
        err_clear_error()
        got = ssl_read(self.ssl, at, room)
        if got > 0:
            self.frames.filled(got)
            return True
        if ssl_get_error(self.ssl, got) != SSL_ERROR_WANT_READ:
            self.closed = True
            err_clear_error()    # this thread's queue is not ours alone
        return False

    cdef bint fill(self) noexcept nogil:
        """Read from the kernel; False: there is nothing, or the connection is over."""
        cdef uint8_t[16384] data
        cdef ssize_t got = c_recv(self.fd, data, sizeof(data), MSG_DONTWAIT)
        if got > 0:
            return bio_write(self.inbound, data, <int> got) == got
        if got == 0 or errno != EAGAIN and errno != EINTR:
            self.closed = True
        return False

    cdef int send_rows(self, Columns* b, const uint16_t* rows, int n) noexcept nogil:
        cdef int k = 0, i, used, left = 0
        cdef bint free_way = not self.closed and self.fd >= 0 and self.flush()
        while k < n and free_way:
            used = 0
            while k < n:
                i = rows[k]
                if b.reason[i] == DROP_NONE and b.length[i] + FRAME_HEAD > RECORD_MAX:
                    drop(b, i, DROP_IO_SEND)
                if b.reason[i] == DROP_NONE and b.length[i]:
                    if used + FRAME_HEAD + b.length[i] > RECORD_MAX:
                        break
                    store_be16(self.plain + used, b.length[i])
                    memcpy(self.plain + used + FRAME_HEAD, row(b, i) + b.start[i], b.length[i])
                    used += FRAME_HEAD + b.length[i]
                    left += 1
                k += 1
            free_way = used == 0 or self.write(used) and self.flush()
        while k < n:             # TCP is congested, or gone
            if b.reason[rows[k]] == DROP_NONE:
                drop(b, rows[k], DROP_IO_SEND)
            k += 1
        return left

    cdef int send_packet(self, const uint8_t* packet, int n) noexcept nogil:
        if self.closed or self.fd < 0 or n <= 0 or n + FRAME_HEAD > RECORD_MAX or self._backlog + n > BACKLOG_MAX:
            return 0
        store_be16(self.plain, n)
        memcpy(self.plain + FRAME_HEAD, packet, n)
        if not self.write(FRAME_HEAD + n):
            return 0
        self.flush()
        return 1

    cdef bint write(self, int n) noexcept nogil:
        """Seal n plain bytes; they wait to be flushed."""
        err_clear_error()
        if ssl_write(self.ssl, self.plain, n) != n:
            self.closed = True
            err_clear_error()
            return False
        self._backlog += n
        return True

    cdef bint flush(self) noexcept nogil:
        """Give the kernel what waits; False: it does not take all of it now."""
        cdef ssize_t sent
        cdef int got
        while True:
            if self._at == self._end:
                got = bio_read(self.outbound, self.sealed, SEALED_MAX)
                self._at, self._end = 0, max(got, 0)
                if got <= 0:
                    self._backlog = 0
                    return True
            sent = c_send(self.fd, self.sealed + self._at, self._end - self._at, MSG_DONTWAIT | MSG_NOSIGNAL)
            if sent >= 0:
                self._at += <int> sent
            elif errno != EINTR:
                self.closed = self.closed or errno != EAGAIN
                return False

    def send_bytes(self, packet):
        """Send one packet from outside a batch. Return whether it was taken; it may wait for the kernel.

        Raises:
            ValueError: it is empty, or longer than 16,382 bytes.
        """
        cdef const uint8_t[::1] view = uint8s(packet, "packet")
        if not 0 < view.shape[0] <= RECORD_MAX - FRAME_HEAD:
            raise ValueError(f"packet must be 1 to {RECORD_MAX - FRAME_HEAD} bytes, not {view.shape[0]}")
        return bool(self.send_packet(&view[0], <int> view.shape[0]))

    def close(self):
        """End the session, say so to the peer if it can be said at once, and close the descriptor; again is no error."""
        if self.fd >= 0:
            if not self.closed:
                try:
                    self.connection.shutdown()
                except Exception:        # OpenSSL.SSL.Error: there is nothing to say
                    err_clear_error()
                self.flush()
            close_fd(self.fd)
        self.fd = -1
        self.closed = True
