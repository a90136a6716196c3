"""packetio: batches of packets in from the kernel and out to it, many a system call.

Journey: the first and the last stage. A GenevePort speaks to a gateway load balancer: GeneveSocket here (received on UDP, sent
through a raw socket so that the peer's own source port comes back), packetring and xsk are its faster back ends. UdpSocket
speaks to tunnel peers, Device to the kernel's IP (TUN, or AF_PACKET on one end of a veth pair where /dev/net/tun may not be
opened). One thread owns an object at a time.
Received bytes lie behind HEADROOM of a row. It neither parses packets nor makes interfaces or routes.

Source: socket(7), packet(7), raw(7), udp(7); RFC 791 §3.1, RFC 768 for the outer headers.
"""

cimport cython
from libc.stdint cimport INT32_MAX, uint8_t, uint16_t
from libc.stdlib cimport free
from libc.string cimport memcpy
from posix.unistd cimport close

from fastpath.arguments cimport SHORT_MAX, integer, rows_in_use, uint8s
from fastpath.batch cimport Columns, PacketBatch, reset
from fastpath.deferral cimport free_deferral, new_deferral, receive_polling
from fastpath.mmsg cimport Ring, new_ring, receive, receive_named, send_ethernet, send_geneve
from fastpath.segments cimport free_segments, new_segments, receive_segments, send_segments
from fastpath.tunqueue cimport free_queue, holds, new_queue, receive_tun, send_tun

import errno as errors
import os
import socket
import struct

import numpy as np

from fastpath.interfaces import holder_of, veth_peer_mac
from fastpath.napi import suspendable
from fastpath.sockets import bound_udp, grow, merges
from fastpath.steering import steer_group
from fastpath.tundevice import open_tun

cdef extern from "<sys/socket.h>" nogil:
    ssize_t c_send "send"(int fd, const void* data, size_t n, int flags)
    int MSG_DONTWAIT

cdef enum:
    BUFFER_BYTES = 1 << 26
    BUFFER_BYTES_MAX = 1 << 30
    GENEVE_BUFFER_BYTES = 1 << 21      # what waits in a longer queue is out of the caches, and late (decision 0010)
    ETH_P_ALL = 0x0003

# linux/if_packet.h
_SOL_PACKET, _PACKET_IGNORE_OUTGOING = 263, 23
_SO_MEMINFO = 55


cdef object chosen(PacketBatch batch, object rows):
    """The rows to send as a checked uint16 array: all live ones for None."""
    if rows is None:
        return np.flatnonzero(batch.reason[:batch.columns.count] == 0).astype(np.uint16)
    rows_in_use(rows, "rows", &batch.columns.count)
    return rows


def _bound(address, port, bint reuse_port, buffer_bytes, refused=0):
    return bound_udp(address, integer(port, "port", 0, SHORT_MAX), reuse_port,
                     integer(buffer_bytes, "buffer_bytes", 1, BUFFER_BYTES_MAX), refused)


cdef int check_open(Port port) except -1:
    if port.fileno() < 0:
        raise ValueError("the port is closed")
    return 0


cdef class Port:
    """Batches in and out; what every port can do. Its kinds are made, it is not.

    The descriptors are closed by close() or with the object; `with` closes too.
    """

    def __cinit__(self):
        self.fd = -1
        self._ring = NULL

    def __dealloc__(self):
        free(self._ring)

    cdef int recv_rows(self, Columns* b) noexcept nogil:
        reset(b, 0)
        return 0

    cdef int send_rows(self, Columns* b, const uint16_t* rows, int n) noexcept nogil:
        return 0

    cdef int watch(self, int* fds) noexcept nogil:
        fds[0] = self.fd
        return 1

    cdef bint holds(self) noexcept nogil:
        return False

    @property
    def held(self):
        """Whether recv has more to give that no descriptor shows: ask again without waiting."""
        return self.holds()

    def recv(self, PacketBatch batch not None):
        """Fill the batch with what is there, at most 256 packets. Return how many; 0 = nothing there.

        Drops: DROP_IO_TRUNCATED for a packet longer than a row. Raises: ValueError when the port is closed.
        """
        cdef int n
        check_open(self)
        with nogil:
            n = self.recv_rows(&batch.columns)
        return n

    def send(self, PacketBatch batch not None, rows=None):
        """Send `rows` (uint16; None = every live row): to a gateway or a tunnel peer start … start+length of each, to a device its
        inner packet.

        Returns: how many left. Drops: DROP_IO_SEND.
        Raises: TypeError, ValueError for rows that are no rows of the batch, or a closed port.
        """
        check_open(self)
        array = chosen(batch, rows)
        cdef const uint16_t[::1] view = array
        cdef int n = len(view), left = 0
        if n:
            with nogil:
                left = self.send_rows(&batch.columns, &view[0], n)
        return left

    def fileno(self):
        """Return the receiving descriptor, for select."""
        return self.fd

    def close(self):
        """Close what is open; again is no error."""
        if self.fd >= 0:
            close(self.fd)
        self.fd = -1

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


cdef class GenevePort(Port):
    """Where a gateway load balancer's packets come from and go to: `address`, `port` (host order)."""

    def lost(self):
        """Return how many packets the kernel had to drop before we took them, since the port was opened."""
        with socket.socket(fileno=os.dup(self.fd)) as view:      # sock_diag(7): the last word of SO_MEMINFO counts drops
            return struct.unpack("=9I", view.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, 36))[8]


@cython.final
cdef class GeneveSocket(GenevePort):
    """Geneve as a gateway load balancer speaks it, on one IPv4 address.

    Args:
        address: own IPv4 address in dotted form; also the source of what is sent.
        port: UDP port, 6081 unless told.
        reuse_port: let several sockets share the port.
        workers: so many sockets will share it, made in the order of the workers, each for its own packets (see steering).
        buffer_bytes: kernel buffer asked for, for packets that wait to be received.
        not_from: index of an interface whose packets are refused, because a ring has them; 0 = none.
        polls: while much comes, do the interface's receive work in recv, where the kernel offers it to us and the interface puts
            interrupts off (see deferral, napi): `held` is then true between two batches.
    Raises:
        ValueError: address is not one IPv4 address.
        OSError: the address is taken or not ours; CAP_NET_RAW is missing.
    """

    def __cinit__(self, str address not None, port=6081, *, bint reuse_port=False, buffer_bytes=GENEVE_BUFFER_BYTES, not_from=0,
                  workers=1, bint polls=False):
        self._deferral = NULL
        self.send_fd = -1
        self._ring = new_ring()
        refused, sharing = integer(not_from, "not_from", 0, INT32_MAX), integer(workers, "workers", 1, SHORT_MAX)
        try:
            packed = socket.inet_pton(socket.AF_INET, address)
        except OSError:
            raise ValueError(f"address must be an IPv4 address, not {address!r}") from None
        self.address = int.from_bytes(packed, "big")
        if self.address == 0:
            raise ValueError("address must be one of this host's, not 0.0.0.0: it is the source of what is sent")
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, socket.IPPROTO_RAW)
        with raw, _bound(address, port, reuse_port or sharing > 1, buffer_bytes, refused) as sock:
            grow(raw, BUFFER_BYTES)
            if sharing > 1:
                steer_group(sock, sharing)
            self.port = sock.getsockname()[1]
            if polls:
                try:          # no interface need have an address that may be bound: all of 127.0.0.0/8 may
                    if suspendable(holder_of(address).index):
                        self._deferral = new_deferral(sock.fileno())
                except OSError:
                    pass      # then the kernel goes on doing it by itself
            self.fd, self.send_fd = sock.detach(), raw.detach()

    def __dealloc__(self):
        self.close()

    @property
    def polls(self):
        """Whether receive work is done in recv while much comes."""
        return self._deferral != NULL

    @property
    def buffer_bytes(self):
        """The receive buffer that the kernel granted, in its own counting: twice the data."""
        with socket.socket(fileno=os.dup(self.fd)) as view:
            return view.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    cdef int recv_rows(self, Columns* b) noexcept nogil:
        if self._deferral != NULL:
            return receive_polling(self.fd, <Ring*> self._ring, b, self._deferral)
        return receive_named(self.fd, <Ring*> self._ring, b)

    cdef bint holds(self) noexcept nogil:
        return self._deferral != NULL and self._deferral.off     # what comes while interrupts are off, only recv finds

    cdef int send_rows(self, Columns* b, const uint16_t* rows, int n) noexcept nogil:
        return send_geneve(self.send_fd, <Ring*> self._ring, b, rows, n, self.address, self.port)

    def close(self):
        """Close both sockets; again is no error."""
        GenevePort.close(self)
        if self._ring != NULL and self.send_fd >= 0:     # arguments that could not be taken leave 0, which is standard input
            close(self.send_fd)
        self.send_fd = -1
        free_deferral(self._deferral)
        self._deferral = NULL


@cython.final
cdef class UdpSocket(Port):
    """A UDP socket for batches; UdpSocket.bind makes one.

    Rows of one length to one peer leave as one message that the kernel or the card cuts (UDP_SEGMENT); on a connected socket, and
    where it is asked for, the kernel also merges what comes of one peer (UDP_GRO), which is cut into rows here.

    Args:
        fd: an open UDP socket; it is duplicated, the caller keeps its own.
        merged: have it merged on an unconnected socket too: for few peers that send much. A system call then brings at most 16
            messages, merged or not.
    Raises:
        OSError: fd is not a socket.
    """

    def __cinit__(self, fd, *, bint merged=False):
        self._segments = NULL
        self._ring = new_ring()
        own = socket.socket(fileno=os.dup(integer(fd, "fd", 0, INT32_MAX)))
        with own:
            if own.type != socket.SOCK_DGRAM:
                raise ValueError(f"fd must be a datagram socket, not {own.type!r}")
            try:
                own.getpeername()
                self.connected = True
            except OSError as error:
                if error.errno != errors.ENOTCONN:
                    raise
            self._segments = new_segments((merged or self.connected) and merges(own))
            self.fd = own.detach()

    @staticmethod
    def bind(str address not None, port, *, bint reuse_port=False, buffer_bytes=BUFFER_BYTES, bint merged=False):
        """Return an unconnected UdpSocket bound to address:port. Raises OSError when it is taken or not ours."""
        with _bound(address, port, reuse_port, buffer_bytes) as sock:
            return UdpSocket(sock.fileno(), merged=merged)

    def __dealloc__(self):
        self.close()
        free_segments(self._segments)

    cdef bint holds(self) noexcept nogil:
        return self._segments.taken < self._segments.got

    cdef int recv_rows(self, Columns* b) noexcept nogil:
        if self._segments.merged != NULL:
            return receive_segments(self.fd, self._segments, b)
        return receive_named(self.fd, <Ring*> self._ring, b)

    cdef int send_rows(self, Columns* b, const uint16_t* rows, int n) noexcept nogil:
        return send_segments(self.fd, self._segments, b, rows, n, self.connected)

    cdef int send_bytes(self, const uint8_t* data, int n) noexcept nogil:
        return <int> c_send(self.fd, data, n, MSG_DONTWAIT)

    def send_bytes(self, data):
        """Send one datagram to the connected peer. Return the bytes sent, -1 when the kernel refused it.

        Raises:
            ValueError: the port is closed.
        """
        cdef const uint8_t[::1] sent = uint8s(data, "data")
        check_open(self)
        return c_send(self.fd, &sent[0] if sent.shape[0] else NULL, sent.shape[0], MSG_DONTWAIT)


cdef int receive_device(Device device, Columns* b) noexcept nogil:
    cdef int i, n
    n = receive_tun(device.fd, device._queue, b) if device._is_tun else receive(device.fd, <Ring*> device._ring, b)
    for i in range(n):
        b.inner_start[i], b.inner_length[i] = b.start[i], b.length[i]
    return n


cdef int send_device(Device device, Columns* b, const uint16_t* rows, int n) noexcept nogil:
    if device._is_tun:
        return send_tun(device.fd, device._queue, b, rows, n)
    return send_ethernet(device.fd, <Ring*> device._ring, b, rows, n)


@cython.final
cdef class Device(Port):
    """IP packets to and from the kernel; made by Device.tun or Device.veth.

    On a TUN queue that was opened with offloads the kernel's large packets are cut into rows, and rows of one TCP stream that
    follow one another are written as one.
    """

    def __cinit__(self, fd, str name not None, str kind not None, bytes peer_mac not None=b""):
        self._queue = NULL
        cdef int own = <int> integer(fd, "fd", 0, INT32_MAX)
        if kind not in ("tun", "veth"):
            raise ValueError(f"kind must be 'tun' or 'veth', not {kind!r}")
        if kind == "veth" and len(peer_mac) != 6:
            raise ValueError(f"peer_mac must be 6 bytes, not {len(peer_mac)}")
        self._ring = new_ring()
        self.name, self.kind, self._is_tun = name, kind, kind == "tun"
        if kind == "tun":
            self._queue = new_queue(own)
        else:      # sockaddr_ll: family, protocol, index, hardware type, packet type, address length, address
            address = struct.pack("=HHiHBB6s2x", socket.AF_PACKET, 0, socket.if_nametoindex(name), 0, 0, 6, peer_mac)
            memcpy((<Ring*> self._ring).name, <const uint8_t*> address, len(address))
        self.fd = own

    @staticmethod
    def tun(str name not None, *, bint multi_queue=True, bint offloads=True):
        """Open one queue of TUN interface `name`, without packet information; made if it does not exist.

        Args:
            offloads: let the kernel hand over and take large segments; all queues of an interface must be of one mind.
        Raises:
            OSError: /dev/net/tun may not be opened, or the interface is of another kind (multi_queue included).
        """
        fd = open_tun(name, multi_queue, offloads)
        try:
            return Device(fd, name, "tun")
        except BaseException:
            os.close(fd)
            raise

    @staticmethod
    def veth(str name not None, *, bytes peer_mac=None, buffer_bytes=BUFFER_BYTES, bint receives=True):
        """Open `name`, our end of a veth pair; packets go to and come from the kernel that holds the other end.

        Checksum and segmentation offloads must be off on the other end: else packets come unfinished and oversized.

        Args:
            peer_mac: of the other end; asked from the kernel when it is in the same network namespace.
            receives: False: it only sends; another object takes what comes.
        Raises:
            OSError: no such interface; CAP_NET_RAW is missing.
            ValueError: not a veth end, or its other end is elsewhere and peer_mac was not given.
        """
        integer(buffer_bytes, "buffer_bytes", 1, BUFFER_BYTES_MAX)
        mac = veth_peer_mac(name) if peer_mac is None else peer_mac
        with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, 0) as sock:
            sock.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
            grow(sock, buffer_bytes)
            sock.bind((name, ETH_P_ALL if receives else 0))
            made = Device(sock.fileno(), name, "veth", mac)
            sock.detach()
            return made

    def __dealloc__(self):
        self.close()
        free_queue(self._queue)

    cdef bint holds(self) noexcept nogil:
        return self._is_tun and holds(self._queue)

    cdef int recv_rows(self, Columns* b) noexcept nogil:
        return receive_device(self, b)

    cdef int send_rows(self, Columns* b, const uint16_t* rows, int n) noexcept nogil:
        return send_device(self, b, rows, n)

