"""xskqueue: one AF_XDP socket on one queue of an interface, with memory of its own (UMEM).

    driver ─▶ rx ring ─▶ row          row ─▶ tx ring ─▶ driver
       ▲                  │            ▲                  │
       └──── fill ring ◀──┘            └── completion ◀───┘

Journey: the inside of xsk.XskPort. A received frame is copied into its row and given back at once, so that a batch may take its
time; a sent one is written with its headers straight into a frame. Copying a packet costs tens of nanoseconds, what it
saves is every question of who owns a frame. One thread an object.

Source: AF_XDP (kernel documentation, networking/af_xdp), linux/if_xdp.h.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport INT32_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy
from posix.mman cimport (
    MADV_HUGEPAGE, MAP_ANONYMOUS, MAP_FAILED, MAP_POPULATE, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE, madvise, mmap, munmap,
)
from posix.unistd cimport close

from fastpath.arguments cimport SHORT_MAX, integer
from fastpath.action cimport DROP_IO_SEND, DROP_IO_TRUNCATED, DROP_NONE
from fastpath.batch cimport HEADROOM, Columns, reset, row
from fastpath.ethernet cimport ETHERNET_BYTES, FRAME_HEADER_BYTES, Neighbours, mac_of, open_frame, write_frame_header
from fastpath.flowmarks cimport FlowMarks, open_queue, take_note

import os
import socket
import struct

cdef extern from *:
    """
    #define fastpath_load32(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
    #define fastpath_store32(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
    """
    uint32_t load_acquire "fastpath_load32" (uint32_t* at) noexcept nogil
    void store_release "fastpath_store32" (uint32_t* at, uint32_t value) noexcept nogil

cdef extern from "<sys/socket.h>" nogil:
    ssize_t send(int fd, const void* data, size_t n, int flags)
    ssize_t recv(int fd, void* data, size_t n, int flags)
    int setsockopt(int fd, int level, int name, const void* value, unsigned int bytes)
    int getsockopt(int fd, int level, int name, void* value, unsigned int* bytes)
    struct sockaddr:
        pass
    int bind(int fd, const sockaddr* name, unsigned int bytes)
    int MSG_DONTWAIT

cdef enum:
    AF_XDP = 44
    SOL_XDP = 283
    XDP_MMAP_OFFSETS = 1
    XDP_RX_RING = 2
    XDP_TX_RING = 3
    XDP_UMEM_REG = 4
    XDP_FILL_RING = 5
    XDP_COMPLETION_RING = 6
    XDP_STATISTICS = 7
    XDP_OPTIONS = 8
    XDP_MAX_TX_SKB_BUDGET = 9
    XDP_COPY = 2
    XDP_ZEROCOPY = 4
    XDP_USE_NEED_WAKEUP = 8
    XDP_USE_SG = 16
    NEED_WAKEUP = 1
    MORE_FOLLOWS = 1             # in a descriptor's options (XDP_PKT_CONTD)
    KICKS = 64                   # system calls to send one batch, at most
    TX_BUDGET = 256              # packets that one of them may send; 32 unless told (Linux 6.17)
    BATCH = 256

_PAGES = {"rx": 0, "tx": 0x80000000, "fill": 0x100000000, "completion": 0x180000000}     # offsets to map the rings at
_SO_PREFER_BUSY_POLL, _SO_BUSY_POLL_BUDGET, _SO_BUSY_POLL, _SO_SNDBUFFORCE = 69, 70, 46, 32

cdef struct Descriptor:
    uint64_t address
    uint32_t bytes
    uint32_t options


cdef void unmap(Shared* ring) noexcept:
    if ring.memory != NULL:
        munmap(ring.memory, ring.bytes)
    ring.memory = NULL


cdef checked(int result, str what):
    if result < 0:
        raise OSError(errno, f"{what}: {os.strerror(errno)}")


@cython.final
cdef class XskQueue:
    """An AF_XDP socket bound to one queue.

    Args:
        interface_index, queue: where.
        mtu: of the interface.
        zero_copy: ask the driver for it before copying is put up with.
        busy_poll_us: receive() polls the driver itself, which need not interrupt meanwhile; the kernel takes any number above 0
            as yes here. 0 = do not.
    Raises:
        OSError: EINVAL: no such queue; EPERM: CAP_NET_RAW is missing; ENOBUFS: more memory than may be locked (RLIMIT_MEMLOCK);
            EBUSY: another socket has the queue.
    """

    def __cinit__(self, interface_index, queue, mtu, *, bint zero_copy=True, busy_poll_us=0):
        self.fd, self.umem, self.state = -1, NULL, NULL
        self.queue = <int> integer(queue, "queue", 0, SHORT_MAX)
        self.most_bytes = <int> integer(mtu, "mtu", 0, SHORT_MAX) + ETHERNET_BYTES
        cdef int index = <int> integer(interface_index, "interface_index", 0, INT32_MAX)
        self.polls = integer(busy_poll_us, "busy_poll_us", 0, INT32_MAX) != 0
        self.several_buffers = self.most_bytes > FRAME_BYTES - 256 - 320     # the kernel's headroom, and its tail at most
        sock = socket.socket(AF_XDP, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
        if busy_poll_us:
            for option, value in ((_SO_PREFER_BUSY_POLL, 1), (_SO_BUSY_POLL, busy_poll_us), (_SO_BUSY_POLL_BUDGET, 64)):
                sock.setsockopt(socket.SOL_SOCKET, option, value)
        self.fd = sock.detach()
        try:
            self._register(index, zero_copy)
        except BaseException:
            self.close()
            raise

    cdef _register(self, int interface_index, bint ask_zero_copy):
        cdef size_t size = <size_t> (RX_FRAMES + TX_FRAMES) * FRAME_BYTES
        cdef void* memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        cdef uint64_t[16] offsets
        cdef unsigned int n = sizeof(offsets)
        cdef int i, slots, buffer = 1 << 24, budget = TX_BUDGET
        if memory == MAP_FAILED:
            raise MemoryError()
        self.umem = <uint8_t*> memory
        madvise(memory, size, MADV_HUGEPAGE)
        area = struct.pack("=QQIII4x", <uint64_t> memory, size, FRAME_BYTES, 0, 0)
        checked(setsockopt(self.fd, SOL_XDP, XDP_UMEM_REG, <const uint8_t*> area, len(area)), "AF_XDP memory")
        for option, slots in ((XDP_FILL_RING, RX_FRAMES), (XDP_COMPLETION_RING, TX_FRAMES), (XDP_RX_RING, RX_FRAMES),
                              (XDP_TX_RING, TX_FRAMES)):
            checked(setsockopt(self.fd, SOL_XDP, option, &slots, sizeof(int)), "AF_XDP ring")
        checked(getsockopt(self.fd, SOL_XDP, XDP_MMAP_OFFSETS, offsets, &n), "AF_XDP offsets")
        self._map(&self.rx, offsets, _PAGES["rx"], RX_FRAMES, sizeof(Descriptor))
        self._map(&self.tx, offsets + 4, _PAGES["tx"], TX_FRAMES, sizeof(Descriptor))
        self._map(&self.fill, offsets + 8, _PAGES["fill"], RX_FRAMES, 8)
        self._map(&self.completion, offsets + 12, _PAGES["completion"], TX_FRAMES, 8)
        for i in range(RX_FRAMES):
            self._give(<uint64_t> i * FRAME_BYTES)
        store_release(self.fill.producer, self.fill.at)
        for i in range(TX_FRAMES):
            self.free[i] = RX_FRAMES + TX_FRAMES - 1 - i
        self.n_free = TX_FRAMES
        setsockopt(self.fd, socket.SOL_SOCKET, _SO_SNDBUFFORCE, &buffer, sizeof(int))      # else 200 packets wait at most
        setsockopt(self.fd, SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &budget, sizeof(int))          # older kernels: 32 a call
        flags = XDP_USE_NEED_WAKEUP | (XDP_USE_SG if self.several_buffers else 0)
        try:
            if not ask_zero_copy:
                raise OSError()
            self._bind(interface_index, flags | XDP_ZEROCOPY)
        except OSError:
            self._bind(interface_index, flags | XDP_COPY)
        n = sizeof(int)
        checked(getsockopt(self.fd, SOL_XDP, XDP_OPTIONS, &i, &n), "AF_XDP options")
        self.zero_copy = i & 1

    cdef _bind(self, int interface_index, int flags):
        name = struct.pack("=HHIII", AF_XDP, flags, interface_index, self.queue, 0)
        checked(bind(self.fd, <const sockaddr*> <const uint8_t*> name, len(name)), "AF_XDP queue")

    cdef _map(self, Shared* ring, const uint64_t* offsets, long page, int slots, int slot_bytes):
        ring.bytes = offsets[2] + <size_t> slots * slot_bytes
        ring.memory = mmap(NULL, ring.bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, self.fd, page)
        if ring.memory == MAP_FAILED:
            ring.memory = NULL
            raise OSError(errno, "AF_XDP ring: " + os.strerror(errno))
        ring.producer = <uint32_t*> (<uint8_t*> ring.memory + offsets[0])
        ring.consumer = <uint32_t*> (<uint8_t*> ring.memory + offsets[1])
        ring.flags = <uint32_t*> (<uint8_t*> ring.memory + offsets[3])
        ring.slots = <uint8_t*> ring.memory + offsets[2]
        ring.mask, ring.at = slots - 1, 0

    def __dealloc__(self):
        self.close()

    def close(self):
        """Give everything back; again is no error."""
        if self.most_bytes > 0 and self.fd >= 0:     # arguments that could not be taken leave 0, which is standard input
            close(self.fd)
        self.fd = -1
        unmap(&self.rx)
        unmap(&self.tx)
        unmap(&self.fill)
        unmap(&self.completion)
        if self.umem != NULL:
            munmap(self.umem, <size_t> (RX_FRAMES + TX_FRAMES) * FRAME_BYTES)
        self.umem = NULL

    def statistics(self):
        """Return what the kernel has dropped here: rx_dropped, rx_invalid, tx_invalid, rx_ring_full, fill_ring_empty."""
        cdef uint64_t[6] counts
        cdef unsigned int n = sizeof(counts)
        checked(getsockopt(self.fd, SOL_XDP, XDP_STATISTICS, counts, &n), "AF_XDP statistics")
        names = ("rx_dropped", "rx_invalid", "tx_invalid", "rx_ring_full", "fill_ring_empty")
        return {name: counts[i] for i, name in enumerate(names)}

    cdef void share(self, FlowMarks marks):
        self.marks = marks
        self.state = NULL if marks is None else marks.queue(self.queue)
        if self.state != NULL:
            open_queue(self.state, RX_FRAMES // 2)

    cdef uint64_t refused(self) noexcept nogil:
        cdef uint64_t before = self.refused_seen
        if self.state != NULL:
            self.refused_seen = self.state.refused
        return self.refused_seen - before

    # ---- in ----

    cdef int receive(self, Columns* b, Neighbours* all) noexcept nogil:
        cdef uint32_t end = load_acquire(self.rx.producer)
        cdef int i = 0, want
        if end == self.rx.at and self.polls:
            recv(self.fd, NULL, 0, MSG_DONTWAIT)      # the driver's receive work is done in here (SO_PREFER_BUSY_POLL)
            end = load_acquire(self.rx.producer)
        want = min(<int> (end - self.rx.at), min(b.capacity, <int> BATCH))
        reset(b, want)
        if want == 0:
            self._tell(end)
            if self.tx.at != load_acquire(self.tx.consumer):
                self._kick()
            if self.fill.flags[0] & NEED_WAKEUP:
                recv(self.fd, NULL, 0, MSG_DONTWAIT)
            return 0
        while i < want and self._take(b, i, end, all):
            i += 1
        b.count = i
        store_release(self.fill.producer, self.fill.at)
        store_release(self.rx.consumer, self.rx.at)
        self._tell(end)
        return i

    cdef void _tell(self, uint32_t end) noexcept nogil:
        if self.state != NULL:
            take_note(self.state, self.state.sent - (end - self.rx.at))

    cdef int _take(self, Columns* b, int i, uint32_t end, Neighbours* all) noexcept nogil:
        """Make row i of the next packet, of one descriptor or several. 0 = there is no whole one."""
        cdef Descriptor* slots = <Descriptor*> self.rx.slots
        cdef Descriptor* d
        cdef uint32_t last = self.rx.at, mask = self.rx.mask
        cdef int missing = 0, piece
        cdef bint first = True
        while last != end and slots[last & mask].options & MORE_FOLLOWS:
            last += 1
        if last == end:
            return 0
        while True:
            d = &slots[self.rx.at & mask]
            if first:
                missing = open_frame(b, i, self.umem + d.address, d.bytes, all)
                first = False
            elif missing:
                piece = min(missing, <int> d.bytes)
                memcpy(row(b, i) + HEADROOM + b.length[i] - missing, self.umem + d.address, piece)
                missing -= piece
            self._give(d.address & ~(<uint64_t> FRAME_BYTES - 1))
            self.rx.at += 1
            if self.rx.at == last + 1:
                break
        if missing:
            b.reason[i] = DROP_IO_TRUNCATED
        return 1

    cdef void _give(self, uint64_t address) noexcept nogil:
        (<uint64_t*> self.fill.slots)[self.fill.at & self.fill.mask] = address
        self.fill.at += 1

    # ---- out ----

    cdef int transmit(self, Columns* b, const uint16_t* rows, int n, Neighbours* all, uint32_t address, uint16_t port,
                      uint16_t* strangers, int* n_strangers) noexcept nogil:
        cdef const uint8_t* mac
        cdef uint32_t total
        cdef int k, i, left = 0
        self._reap()
        for k in range(n):
            i = rows[k]
            if b.reason[i] != DROP_NONE or b.length[i] == 0 or b.start[i] + b.length[i] > b.room:
                continue
            total = FRAME_HEADER_BYTES + b.length[i]
            mac = mac_of(all, b.peer_address[i])
            if mac == NULL:
                strangers[n_strangers[0]] = i
                n_strangers[0] += 1
                continue
            if self.n_free * FRAME_BYTES < <int> total:
                self._kick()
                self._reap()
            if self.n_free * FRAME_BYTES < <int> total or total > self.most_bytes:
                b.reason[i] = DROP_IO_SEND
                continue
            self._put(b, i, mac, all, address, port)
            left += 1
        self._kick()
        return left

    cdef void _put(self, Columns* b, int i, const uint8_t* mac, Neighbours* all, uint32_t address, uint16_t port) noexcept nogil:
        """Write row i and its headers into frames, as many as it takes; there are enough."""
        cdef const uint8_t* data = row(b, i) + b.start[i]
        cdef uint32_t left = b.length[i], piece = min(left, <uint32_t> (FRAME_BYTES - FRAME_HEADER_BYTES))
        cdef uint8_t* at = self._next_frame(FRAME_HEADER_BYTES + piece, piece < left)
        write_frame_header(at, b, i, all.own, mac, address, port)
        memcpy(at + FRAME_HEADER_BYTES, data, piece)
        while piece < left:
            data += piece
            left -= piece
            piece = min(left, <uint32_t> FRAME_BYTES)
            memcpy(self._next_frame(piece, piece < left), data, piece)

    cdef uint8_t* _next_frame(self, uint32_t bytes, bint more) noexcept nogil:
        cdef Descriptor* d = &(<Descriptor*> self.tx.slots)[self.tx.at & self.tx.mask]
        self.n_free -= 1
        d.address, d.bytes, d.options = <uint64_t> self.free[self.n_free] * FRAME_BYTES, bytes, MORE_FOLLOWS if more else 0
        self.tx.at += 1
        return self.umem + d.address

    cdef void _reap(self) noexcept nogil:
        """Take back the frames that have been sent; the last one back is the next one out, still warm."""
        cdef uint32_t end = load_acquire(self.completion.producer)
        cdef uint64_t* slots = <uint64_t*> self.completion.slots
        while self.completion.at != end:
            self.free[self.n_free] = slots[self.completion.at & self.completion.mask] // FRAME_BYTES
            self.n_free += 1
            self.completion.at += 1
        store_release(self.completion.consumer, self.completion.at)

    cdef void _kick(self) noexcept nogil:
        """Have the kernel send what is in the ring; what it can not take now waits for the next kick."""
        cdef uint32_t before, now = load_acquire(self.tx.consumer)
        cdef int _
        store_release(self.tx.producer, self.tx.at)
        for _ in range(KICKS):
            before = now
            if before == self.tx.at or not self.tx.flags[0] & NEED_WAKEUP:
                return
            if send(self.fd, NULL, 0, MSG_DONTWAIT) >= 0:
                return
            now = load_acquire(self.tx.consumer)
            if errno != EAGAIN and errno != EINTR or now == before:
                return
