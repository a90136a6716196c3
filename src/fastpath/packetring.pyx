"""packetring: GWLB's packets by AF_PACKET rings (TPACKET_V2), the back end that needs CAP_NET_RAW and no driver's help.

    interface ─▶ filter ─▶ rx ring ─▶ rows          rows ─┬─▶ tx ring ─▶ interface, past its queueing discipline
         └─▶ kernel ─▶ UDP socket: refused there          └─▶ GeneveSocket: peers not heard lately

Journey: the first and the last stage, as packetio's GeneveSocket, which it holds for packets by other interfaces and so that the
port counts as taken. Fragments are put together by the kernel before they reach the ring (a fanout group's service, also to a
group of one). An answer goes to the MAC address that the peer's packets come from. One thread.

Source: packet(7), Linux networking/packet_mmap, linux/if_packet.h.
"""

cimport cython
from libc.errno cimport ENODEV, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset
from posix.mman cimport MAP_FAILED, MAP_POPULATE, MAP_SHARED, PROT_READ, PROT_WRITE, mmap, munmap

from fastpath.arguments cimport SHORT_MAX, integer
from fastpath.action cimport DROP_IO_SEND, DROP_IO_TRUNCATED, DROP_NONE
from fastpath.batch cimport Columns, reset, row
from fastpath.ethernet cimport (
    ETHERNET_BYTES, FRAME_HEADER_BYTES, Neighbours, mac_of, open_frame, tick, write_frame_header,
)
from fastpath.flowmarks cimport QUEUES_MAX, FlowMarks, open_queue, take_note
from fastpath.packetio cimport GenevePort, GeneveSocket

import os
import socket
import struct

from fastpath.interfaces import holder_of
from fastpath.packetfilter import attach, to_port
from fastpath.ringfilter import attach_early_drop
from fastpath.redirect import shield
from fastpath.steering import steer_ring

cdef extern from *:
    """
    #define fastpath_load32(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
    #define fastpath_store32(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
    """
    uint32_t load_acquire "fastpath_load32" (uint32_t* at) noexcept nogil
    void store_release "fastpath_store32" (uint32_t* at, uint32_t value) noexcept nogil

cdef extern from "<sys/socket.h>" nogil:
    ssize_t c_send "send"(int fd, const void* data, size_t n, int flags)
    int MSG_DONTWAIT

cdef enum:
    FRAME_BYTES = 9728           # of a ring's slot: a row's worth and the kernel's header
    FRAMES_A_BLOCK = 8           # a block is a whole number of pages
    RX_FRAMES = 2048
    TX_FRAMES = 1024
    DATA_AT = 32                 # of a frame to send, behind its header
    STATUS_OURS = 1              # rx: the kernel has filled it
    STATUS_SEND = 1              # tx: to be sent
    BATCH = 256
    KERNEL_EVERY = 16            # calls after which the kernel's way is looked at though the ring is busy

_ETH_P_ALL, _SOL_PACKET = 3, 263
_RX_RING, _VERSION, _TX_RING, _LOSS, _FANOUT, _QDISC_BYPASS, _IGNORE_OUTGOING, _STATISTICS = 5, 10, 13, 14, 18, 20, 23, 6
_TPACKET_V2 = 1
_FANOUT_HASH, _FANOUT_CPU, _FANOUT_CBPF, _FANOUT_UNIQUE, _FANOUT_DEFRAGMENT = 0, 2, 6, 0x2000, 0x8000

# struct tpacket2_hdr, its first 16 bytes
cdef struct Header:
    uint32_t status
    uint32_t bytes               # on the wire
    uint32_t kept                # in the ring
    uint16_t mac_at
    uint16_t net_at


@cython.final
cdef class PacketRing(GenevePort):
    """Geneve as a gateway load balancer speaks it, on one IPv4 address, by AF_PACKET rings.

    Args:
        address: own IPv4 address in dotted form; packets are taken from its interface.
        port: UDP port, 6081 unless told.
        fanout: number of the group of rings that share the interface's packets; 0 = a new group.
        workers: so many rings will be in the group, made in the order of the workers, each for its own packets (see steering); 1:
            they share the packets by flow.
        marks: of flows that go first while a ring is crowded, the same for all workers; None = none do.
        worker: of several, whose ring this is.
    Raises:
        ValueError: address is not one IPv4 address; fanout is not 0 … 65535.
        OSError: EADDRNOTAVAIL: not this host's; EPERM: CAP_NET_RAW is missing; ENODEV: the interface has no MAC address.
    """

    def __cinit__(self, str address not None, port=6081, *, fanout=0, workers=1, FlowMarks marks=None, worker=0):
        self._memory, self._lost, self._shield, self._state = NULL, 0, -1, NULL
        cdef int group = <int> integer(fanout, "fanout", 0, SHORT_MAX)
        cdef int sharing = <int> integer(workers, "workers", 1, SHORT_MAX)
        cdef int number = <int> integer(worker, "worker", 0, QUEUES_MAX - 1)
        interface = holder_of(address)
        if len(interface.mac) != 6:
            raise OSError(ENODEV, f"{interface.name} is no Ethernet interface")
        self.kernel = GeneveSocket(address, port, reuse_port=group != 0, not_from=interface.index, workers=sharing)
        self.address, self.port, self.interface = self.kernel.address, self.kernel.port, interface.name
        memset(&self._neighbours, 0, sizeof(Neighbours))
        memcpy(self._neighbours.own, <const unsigned char*> (<bytes> interface.mac), 6)
        self._most_bytes = min(interface.mtu + ETHERNET_BYTES, FRAME_BYTES - DATA_AT)
        try:
            self.marks = marks
            self._open(interface, address, group, sharing, number)
        except BaseException:
            self.close()
            raise

    cdef _open(self, object interface, str address, int fanout, int workers, int worker):
        cdef void* memory
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0) as sock:
            self._filter(sock, address, worker)
            for option, value in ((_VERSION, _TPACKET_V2), (_IGNORE_OUTGOING, 1), (_QDISC_BYPASS, 1), (_LOSS, 1)):
                sock.setsockopt(_SOL_PACKET, option, value)
            for option, frames in ((_RX_RING, RX_FRAMES), (_TX_RING, TX_FRAMES)):
                ring = struct.pack("=IIII", FRAME_BYTES * FRAMES_A_BLOCK, frames // FRAMES_A_BLOCK, FRAME_BYTES, frames)
                sock.setsockopt(_SOL_PACKET, option, ring)
            memory = mmap(NULL, <size_t> (RX_FRAMES + TX_FRAMES) * FRAME_BYTES, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_POPULATE, sock.fileno(), 0)
            if memory == MAP_FAILED:
                raise OSError(errno, f"AF_PACKET ring: {os.strerror(errno)}")
            self._memory = <uint8_t*> memory
            sock.bind((interface.name, _ETH_P_ALL))
            # A ring alone needs no hash to be chosen by, which is a twelfth of what a packet costs here (decision 0010).
            kind = _FANOUT_CBPF if workers > 1 else _FANOUT_HASH if fanout else _FANOUT_CPU
            kind |= _FANOUT_DEFRAGMENT | (0 if fanout else _FANOUT_UNIQUE)
            sock.setsockopt(_SOL_PACKET, _FANOUT, struct.pack("=HH", fanout, kind))
            self.fanout = sock.getsockopt(_SOL_PACKET, _FANOUT) & SHORT_MAX
            if workers > 1 and not fanout:
                steer_ring(sock, workers)
            self.fd = sock.detach()
        try:
            self._shield = shield(interface.index, address, self.port)
        except OSError:
            pass      # then the kernel's copy goes up to the UDP socket, which refuses it

    cdef _filter(self, object sock, str address, int worker):
        if self.marks is None:
            attach(sock, to_port(address, self.port))
            return
        self._state = self.marks.queue(worker)
        open_queue(self._state, RX_FRAMES // 2)
        attach_early_drop(sock, address, self.port, self.marks.maps, worker)

    def __dealloc__(self):
        self.close()

    def lost(self):
        """Return how many packets the ring had no room for, since it was opened."""
        with socket.socket(fileno=os.dup(self.fd)) as view:      # reading clears the kernel's counters
            self._lost += struct.unpack("=II", view.getsockopt(_SOL_PACKET, _STATISTICS, 8))[1]
        return self._lost

    def close(self):
        """Close the sockets and unmap the rings; again is no error."""
        # Without rings there is no shield yet: arguments that could not be taken leave zeros, and 0 is standard input.
        if self._memory != NULL:
            munmap(self._memory, <size_t> (RX_FRAMES + TX_FRAMES) * FRAME_BYTES)
            if self._shield >= 0:
                os.close(self._shield)
        self._memory, self._shield = NULL, -1
        GenevePort.close(self)
        if self.kernel is not None:
            self.kernel.close()

    cdef int watch(self, int* fds) noexcept nogil:
        fds[0], fds[1] = self.fd, self.kernel.fd
        return 2

    # ---- in ----

    cdef int recv_rows(self, Columns* b) noexcept nogil:
        cdef int n = 0
        self._calls += 1
        if self._calls % KERNEL_EVERY == 0:
            n = self.kernel.recv_rows(b)
        if n == 0 and self._memory != NULL:
            n = self._receive(b)
        return n if n else self.kernel.recv_rows(b)

    cdef int _receive(self, Columns* b) noexcept nogil:
        cdef Header* header
        cdef int i = 0, want = min(b.capacity, <int> BATCH)
        tick(&self._neighbours)
        reset(b, want)
        while i < want:
            header = <Header*> (self._memory + <size_t> self._received * FRAME_BYTES)
            if not load_acquire(&header.status) & STATUS_OURS:
                break
            if open_frame(b, i, <uint8_t*> header + header.mac_at, header.kept, &self._neighbours):
                b.reason[i] = DROP_IO_TRUNCATED
                b.length[i] = 0
            store_release(&header.status, 0)
            self._received = self._received + 1 if self._received + 1 < RX_FRAMES else 0
            i += 1
        b.count = i
        if self._state != NULL:
            self._tell(i, i < want)
        return i

    cdef void _tell(self, int taken, bint all_of_them) noexcept nogil:
        """What the ring had no room for was counted as sent; that is made good whenever it is empty."""
        self.refused = self._state.refused
        take_note(self._state, self._state.sent if all_of_them else self._state.taken + taken)

    # ---- out ----

    cdef int send_rows(self, Columns* b, const uint16_t* rows, int n) noexcept nogil:
        cdef const uint8_t* mac
        cdef uint8_t* at
        cdef uint32_t total
        cdef int k, i, left = 0, strangers = 0
        if self._memory == NULL:
            return 0
        for k in range(n):
            i = rows[k]
            if b.reason[i] != DROP_NONE or b.length[i] == 0 or b.start[i] + b.length[i] > b.room:
                continue
            mac = mac_of(&self._neighbours, b.peer_address[i])
            if mac == NULL:
                self._strangers[strangers] = i
                strangers += 1
                continue
            total = FRAME_HEADER_BYTES + b.length[i]
            at = self._vacant() if total <= self._most_bytes else NULL
            if at == NULL:
                b.reason[i] = DROP_IO_SEND
                continue
            write_frame_header(at + DATA_AT, b, i, self._neighbours.own, mac, self.address, self.port)
            memcpy(at + DATA_AT + FRAME_HEADER_BYTES, row(b, i) + b.start[i], b.length[i])
            (<Header*> at).bytes = total
            store_release(&(<Header*> at).status, STATUS_SEND)
            self._sent = self._sent + 1 if self._sent + 1 < TX_FRAMES else 0
            left += 1
        if left:
            self._kick()
        if strangers:
            left += self.kernel.send_rows(b, self._strangers, strangers)
        return left

    cdef uint8_t* _vacant(self) noexcept nogil:
        """The next frame to send in, or NULL: the device has not sent what was there."""
        cdef uint8_t* at = self._memory + <size_t> (RX_FRAMES + self._sent) * FRAME_BYTES
        if load_acquire(&(<Header*> at).status) != 0:
            self._kick()
            if load_acquire(&(<Header*> at).status) != 0:
                return NULL
        return at

    cdef void _kick(self) noexcept nogil:
        c_send(self.fd, NULL, 0, MSG_DONTWAIT)
