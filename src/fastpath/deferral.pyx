"""deferral: while much comes on a socket its reader does the interface's receive work itself, and interrupts stay off.

    recvmmsg finds the queue empty ─▶ receive work, at most POLLED packets twice ─▶ some are read ─▶ extend ─▶ the next are read …
                                                         what finds no room at the interface is lost there, at no cost here

Journey: inside packetio's GeneveSocket, round each system call that receives. Each round of receive work puts interrupts off by
the interface's own gro_flush_timeout, which is shorter than a batch takes; `extend` makes it irq_suspend_timeout, until the next
round. An event poll does that where it finds something, so it has something to find. One thread. Whether an interface puts
interrupts off at all, and for how long, is not said here (see napi).

Source: Linux networking/napi ("Busy polling", "IRQ suspension"); socket(7) SO_BUSY_POLL, linux/eventpoll.h EPIOCSPARAMS.
"""

from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free
from posix.unistd cimport close

from fastpath.batch cimport Columns
from fastpath.mmsg cimport RING, Ring, fill, settle_named

import os

cdef extern from "<sys/epoll.h>" nogil:
    struct epoll_event:
        uint32_t events
    int epoll_create1(int flags)
    int epoll_ctl(int epoll, int operation, int fd, epoll_event* event)
    int epoll_wait(int epoll, epoll_event* events, int n, int timeout_ms)
    int EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLLIN

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int value, int flags)
    int EFD_CLOEXEC

cdef extern from "<sys/ioctl.h>" nogil:
    int ioctl(int fd, unsigned long request, ...)

cdef extern from "<sys/socket.h>" nogil:
    int setsockopt(int fd, int level, int option, const void* value, unsigned int n)
    int SOL_SOCKET

cdef enum:
    SO_BUSY_POLL = 46
    SO_PREFER_BUSY_POLL = 69
    SO_BUSY_POLL_BUDGET = 70
    POLLED = 64                       # packets a round, the most without CAP_NET_ADMIN
    TOGETHER = 16                     # that are read between two calls of `extend`, and from which on it is worth it
    EPIOCSPARAMS = 0x40088A01

# struct epoll_params
cdef struct Params:
    uint32_t busy_poll_us
    uint16_t budget
    uint8_t prefer
    uint8_t padding


cdef Deferral* new_deferral(int fd) except NULL:
    cdef Params params = Params(1, POLLED, 1, 0)
    cdef epoll_event event
    cdef Deferral* made = <Deferral*> calloc(1, sizeof(Deferral))
    cdef int option, value
    if made == NULL:
        raise MemoryError()
    event.events = EPOLLIN
    made.epoll, made.event = epoll_create1(EPOLL_CLOEXEC), eventfd(1, EFD_CLOEXEC)
    cdef bint offered = (made.epoll >= 0 and made.event >= 0 and ioctl(made.epoll, EPIOCSPARAMS, &params) == 0
                         and epoll_ctl(made.epoll, EPOLL_CTL_ADD, made.event, &event) == 0)
    for option, value in ((SO_PREFER_BUSY_POLL, 1), (SO_BUSY_POLL_BUDGET, POLLED), (SO_BUSY_POLL, 1), (SO_BUSY_POLL, 0)):
        offered = offered and setsockopt(fd, SOL_SOCKET, option, &value, sizeof(int)) == 0
    if not offered:
        code = errno
        free_deferral(made)
        raise OSError(code, f"receive work in the reader: {os.strerror(code)}")
    return made


cdef void extend(Deferral* deferral, int fd) noexcept nogil:
    """Keep interrupts off until the next round of receive work, or until the time is over."""
    cdef epoll_event event
    if not deferral.off:
        poll_when_empty(fd, 1)
        event.events = 0          # whose interrupts, the event poll learns of a socket to which a packet has come
        epoll_ctl(deferral.epoll, EPOLL_CTL_ADD, fd, &event)
        epoll_ctl(deferral.epoll, EPOLL_CTL_DEL, fd, &event)
        deferral.off = True
    epoll_wait(deferral.epoll, &event, 1, 0)


cdef void poll_when_empty(int fd, int microseconds) noexcept nogil:
    """Have a recvmmsg that finds the queue empty do receive work, or not (0); it never waits, so any time is a round."""
    setsockopt(fd, SOL_SOCKET, SO_BUSY_POLL, &microseconds, sizeof(int))


cdef int receive_polling(int fd, Ring* ring, Columns* b, Deferral* deferral) noexcept nogil:
    """Fill up to RING rows and write who sent each; while there are TOGETHER of them, interrupts are kept off. Return the rows."""
    cdef int got, n = 0, most = min(b.capacity, <int> RING)
    while n < most:
        got = fill(fd, ring, b, n, min(n + TOGETHER, most))
        n += got
        if n >= TOGETHER:
            extend(deferral, fd)
        if got < TOGETHER:
            break
    if deferral.off and n < TOGETHER:      # the queue was found empty: that round has put interrupts off for a short time only
        poll_when_empty(fd, 0)
        deferral.off = False
    settle_named(ring, b, n)
    return n


cdef void free_deferral(Deferral* deferral) noexcept nogil:
    """Close what it holds; NULL is none."""
    if deferral == NULL:
        return
    if deferral.epoll >= 0:
        close(deferral.epoll)
    if deferral.event >= 0:
        close(deferral.event)
    free(deferral)
