"""The slow, obvious packetio: one plain socket call a packet. Same names and signatures as fastpath.packetio."""

import fcntl
import os
import socket
import struct

import numpy as np

from fastpath.action import DropReason
from fastpath.batch import HEADROOM_BYTES, PacketBatch

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 0x0003, 0x0800, 0x86DD
LIMIT = 256


def chosen(batch, rows):
    """The rows to send, live ones only."""
    if rows is None:
        rows = np.flatnonzero(batch.reason[:batch.count] == 0).astype(np.uint16)
    if not isinstance(rows, np.ndarray) or rows.dtype != np.uint16 or rows.ndim != 1:
        raise TypeError("rows must be a one-dimensional uint16 array")
    if len(rows) and int(rows.max()) >= batch.count:
        raise ValueError("rows must be below the batch's count")
    return [int(row) for row in rows if batch.reason[row] == 0]


class _Descriptor:
    def __init__(self, sock):
        sock.setblocking(False)
        self._socket = sock

    @property
    def fd(self):
        return self._socket.fileno()

    def fileno(self):
        return self._socket.fileno()

    def close(self):
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def check_open(self):
        if self._socket.fileno() < 0:
            raise ValueError("the port is closed")

    def recv(self, batch):
        self.check_open()
        room = batch.room - HEADROOM_BYTES
        got = []
        while len(got) < min(batch.capacity, LIMIT):
            try:
                got.append(self._socket.recvmsg(room))
            except OSError:
                break
        batch.reset(0)
        batch.load([data for data, _, _, _ in got])
        for row, (_, _, flags, peer) in enumerate(got):
            if flags & socket.MSG_TRUNC:
                batch.reason[row] = DropReason.DROP_IO_TRUNCATED
            self._note(batch, row, peer)
        return len(got)

    def _note(self, batch, row, peer):
        address, port = (peer[0], peer[1]) if peer else ("0.0.0.0", 0)
        batch.peer_address[row] = int.from_bytes(socket.inet_aton(address), "big")
        batch.peer_port[row] = port

    def send(self, batch, rows=None):
        self.check_open()
        left = 0
        for row in chosen(batch, rows):
            try:
                self._send_row(batch, row)
                left += 1
            except OSError:
                batch.reason[row] = DropReason.DROP_IO_SEND
        return left


def dotted(number):
    """An address as text."""
    return socket.inet_ntoa(int(number).to_bytes(4, "big"))


class UdpSocket(_Descriptor):
    """fastpath.packetio.UdpSocket."""

    def __init__(self, fd):
        sock = socket.socket(fileno=os.dup(fd))
        if sock.type != socket.SOCK_DGRAM:
            sock.close()
            raise ValueError("fd must be a datagram socket")
        super().__init__(sock)
        try:
            self._socket.getpeername()
            self.connected = True
        except OSError:
            self.connected = False

    @staticmethod
    def bind(address, port, *, reuse_port=False, buffer_bytes=1 << 26, merged=False):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            if reuse_port:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind((address, port))
            return UdpSocket(sock.fileno())

    def _send_row(self, batch, row):
        if self.connected:
            self._socket.send(batch.frame(row))
        else:
            self._socket.sendto(batch.frame(row), (dotted(batch.peer_address[row]), int(batch.peer_port[row])))

    def send_bytes(self, data):
        self.check_open()
        try:
            return self._socket.send(data)
        except OSError:
            return -1


class GeneveSocket(_Descriptor):
    """fastpath.packetio.GeneveSocket."""

    def __init__(self, address, port=6081, *, reuse_port=False, buffer_bytes=1 << 21, polls=False):
        try:
            self.address = int.from_bytes(socket.inet_aton(address), "big")
        except OSError:
            raise ValueError("address must be an IPv4 address") from None
        if not self.address:
            raise ValueError("address must be one of this host's")
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((address, port))
        super().__init__(sock)
        self.port = sock.getsockname()[1]
        self._raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def close(self):
        super().close()
        self._raw.close()

    def _send_row(self, batch, row):
        frame, peer = batch.frame(row), int(batch.peer_address[row])
        ip = struct.pack("!BBHHHBBHII", 0x45, 0, 28 + len(frame), 0, 0x4000, 64, 17, 0, self.address, peer)
        udp = struct.pack("!HHHH", int(batch.peer_port[row]), self.port, 8 + len(frame), 0)
        self._raw.sendto(ip + udp + frame, (dotted(peer), 0))


class _Queue:
    """What a socket does, over a TUN queue."""

    def __init__(self, fd):
        self._fd = fd

    def fileno(self):
        return self._fd

    def setblocking(self, blocking):
        os.set_blocking(self._fd, blocking)

    def close(self):
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def recvmsg(self, room):
        data = os.read(self._fd, room)
        return data, [], socket.MSG_TRUNC if len(data) == room else 0, None

    def send(self, packet):
        return os.write(self._fd, packet)


class Device(_Descriptor):
    """fastpath.packetio.Device."""

    def __init__(self, sock, name, kind, peer_mac=b""):
        super().__init__(sock)
        self.name, self.kind, self._mac = name, kind, peer_mac

    @staticmethod
    def tun(name, *, multi_queue=True, offloads=False):
        fd = os.open("/dev/net/tun", os.O_RDWR)
        flags = 0x1001 | (0x0100 if multi_queue else 0)
        fcntl.ioctl(fd, 0x400454CA, struct.pack("16sH22x", name.encode(), flags))
        return Device(_Queue(fd), name, "tun")

    @staticmethod
    def veth(name, *, peer_mac, buffer_bytes=1 << 26):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
        sock.setsockopt(263, 23, 1)
        sock.bind((name, ETH_P_ALL))
        return Device(sock, name, "veth", peer_mac)

    def recv(self, batch):
        count = super().recv(batch)
        batch.inner_start[:count], batch.inner_length[:count] = batch.start[:count], batch.length[:count]
        return count

    def _note(self, batch, row, peer):
        pass

    def _send_row(self, batch, row):
        begin = int(batch.inner_start[row])
        packet = batch.data[row, begin:begin + int(batch.inner_length[row])].tobytes()
        if self.kind == "tun":
            self._socket.send(packet)
        else:
            protocol = ETH_P_IPV6 if packet[0] >> 4 == 6 else ETH_P_IP
            self._socket.sendto(packet, (self.name, protocol, 0, 0, self._mac))


__all__ = ["Device", "GeneveSocket", "PacketBatch", "UdpSocket"]
