"""xsk: GWLB's packets by AF_XDP, the back end that spares them the kernel's network stack.

    interface ─ redirect (XDP program) ─┬─▶ one XskQueue a queue ─▶ rows        rows ─┬─▶ the queue they came from
                                        └─▶ kernel ─▶ GeneveSocket ─▶ rows            └─▶ GeneveSocket: peers not heard lately

Journey: the first and the last stage, as packetio's GeneveSocket, which it holds for what is not a plain packet: fragments,
IPv4 options, VLANs, other interfaces. An answer goes to the MAC address that the peer's packets come from. The worker's
thread only, once it runs.
"""

cimport cython
from libc.errno cimport EBUSY, EINVAL, ENODEV, ERANGE
from libc.stdint cimport INT32_MAX, uint16_t
from libc.string cimport memcpy, memset

from fastpath.arguments cimport integer
from fastpath.batch cimport Columns
from fastpath.ethernet cimport Neighbours, tick
from fastpath.flowmarks cimport FlowMarks
from fastpath.kernelflows cimport KernelFlows
from fastpath.packetio cimport GenevePort, GeneveSocket
from fastpath.xskqueue cimport XskQueue

import time

from fastpath.interfaces import holder_of
from fastpath.redirect import QUEUES, Redirect

cdef enum:
    KERNEL_EVERY = 16        # calls after which the kernel's way is looked at though the queues are busy

TRIES, TRY_S = 50, 0.02      # a second in all


def patiently(make, *args, **kwargs):
    """Make a queue; while the kernel is still letting go of a closed socket's (it does so later, by itself), wait a little."""
    for _ in range(TRIES):
        try:
            return make(*args, **kwargs)
        except OSError as error:
            if error.errno != EBUSY:
                raise
        time.sleep(TRY_S)
    return make(*args, **kwargs)


@cython.final
cdef class XskPort(GenevePort):
    """Geneve as a gateway load balancer speaks it, on one IPv4 address, by AF_XDP.

    Args:
        address: own IPv4 address in dotted form; its interface is taken whole, all queues.
        port: UDP port, 6081 unless told.
        zero_copy: use it where the driver offers it.
        busy_poll_us: see XskQueue.
        kernel_flows: so many decided flows may be carried by the program itself (see kernelflows); 0 = none.
        marks: of flows that go first while a queue is crowded, the same for all workers; None = none do.
        worker, workers: of several, which one's queues these are: every so manyth. They are made in order, each with the first
            one as `first`; the last one begins.
        first: None for worker 0.
    Raises:
        ValueError: address is not one IPv4 address.
        OSError: EADDRNOTAVAIL: not this host's; EPERM: CAP_NET_RAW, CAP_BPF or CAP_NET_ADMIN is missing; EBUSY: another XDP
            program or AF_XDP socket is there; ENODEV: the interface has no MAC address; ERANGE: it has fewer queues than there
            are workers; see Redirect and XskQueue.
    """

    def __cinit__(self, str address not None, port=6081, *, bint zero_copy=True, busy_poll_us=0, kernel_flows=0,
                  FlowMarks marks=None, worker=0, workers=1, XskPort first=None):
        cdef int sharing = <int> integer(workers, "workers", 1, QUEUES)
        cdef int number = <int> integer(worker, "worker", 0, sharing - 1)
        if (first is None) != (number == 0):
            raise ValueError("first must be None for worker 0, and its port for every other one")
        self.queues = []
        self._n = self._next = self._last = 0
        cdef int poll_us = <int> integer(busy_poll_us, "busy_poll_us", 0, INT32_MAX)
        cdef int carried = <int> integer(kernel_flows, "kernel_flows", 0, 1 << 24)
        self.kernel = GeneveSocket(address, port, workers=sharing)
        self.address, self.port = self.kernel.address, self.kernel.port
        try:
            interface = holder_of(address)
            if len(interface.mac) != 6:
                raise OSError(ENODEV, f"{interface.name} is no Ethernet interface")
            memset(&self._neighbours, 0, sizeof(Neighbours))
            memcpy(self._neighbours.own, <const unsigned char*> (<bytes> interface.mac), 6)
            self.flows = KernelFlows(carried) if carried else None
            self.marks = marks
            self.redirect = first.redirect if first is not None else Redirect(
                interface.index, address, self.port, self.flows.maps if carried else None, None if marks is None else marks.maps)
            self._open(interface, zero_copy, poll_us, number, sharing)
            if number == sharing - 1:
                self.redirect.attach()
        except BaseException:
            self.close()
            raise

    cdef _open(self, interface, bint zero_copy, int busy_poll_us, int worker, int workers):
        cdef XskQueue queue
        for number in range(worker, min(interface.rx_queues, QUEUES), workers):
            try:
                queue = patiently(XskQueue, interface.index, number, interface.mtu, zero_copy=zero_copy,
                                  busy_poll_us=busy_poll_us)
            except OSError as error:
                if number and error.errno == EINVAL:      # queues that the driver has and does not use
                    break
                raise
            self.queues.append(queue)
            self._queues[self._n] = <void*> queue
            self._n += 1
            queue.share(self.marks)
            self.redirect.add(number, queue.fd)
        if self._n == 0:
            raise OSError(ERANGE, f"{interface.name} has too few queues for {workers} workers")
        self.fd = -1

    def __dealloc__(self):
        self.close()

    @property
    def mode(self):
        """How packets come: "driver, zero copy", "driver, copy" or "generic, copy"."""
        return f"{self.redirect.mode}, {'zero copy' if all(queue.zero_copy for queue in self.queues) else 'copy'}"

    def lost(self):
        """Return how many packets found no frame or no room in a ring, since the port was opened; see XskQueue.statistics."""
        counts = [queue.statistics() for queue in self.queues]
        return sum(count["rx_dropped"] + count["rx_ring_full"] for count in counts)

    def fileno(self):
        """Return the first queue's descriptor, for select."""
        return self.queues[0].fd if self.queues else -1

    def close(self):
        """Take the program off the interface and close everything; again is no error."""
        self._n = 0
        if self.redirect is not None:
            self.redirect.close()
        if self.flows is not None:
            self.flows.close()
        for queue in self.queues or ():
            queue.close()
        if self.kernel is not None:
            self.kernel.close()

    cdef int watch(self, int* fds) noexcept nogil:
        cdef int k
        for k in range(self._n):
            fds[k] = (<XskQueue> self._queues[k]).fd
        fds[self._n] = self.kernel.fd
        return self._n + 1

    cdef bint holds(self) noexcept nogil:
        # What a driver has that is polled, and does not interrupt, only receive() finds out.
        return self._n > 0 and (<XskQueue> self._queues[0]).polls

    cdef int recv_rows(self, Columns* b) noexcept nogil:
        cdef int k, n
        self._calls += 1
        if self._calls % KERNEL_EVERY == 0:
            n = self.kernel.recv_rows(b)
            if n:
                return n
        tick(&self._neighbours)
        for k in range(self._n):
            self._last = self._next
            self._next = self._next + 1 if self._next + 1 < self._n else 0
            n = (<XskQueue> self._queues[self._last]).receive(b, &self._neighbours)
            self.refused += (<XskQueue> self._queues[self._last]).refused()
            if n:
                return n
        return self.kernel.recv_rows(b)

    cdef int send_rows(self, Columns* b, const uint16_t* rows, int n) noexcept nogil:
        cdef int strangers = 0, left
        if self._n == 0:
            return 0
        left = (<XskQueue> self._queues[self._last]).transmit(
            b, rows, n, &self._neighbours, self.address, self.port, self._strangers, &strangers)
        if strangers:
            left += self.kernel.send_rows(b, self._strangers, strangers)
        return left
