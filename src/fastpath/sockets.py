"""sockets: UDP sockets as ports want them: bound, with large buffers, refusing what a ring has.

Journey: while ports are opened. Numbers have been checked before they come here.

Source: socket(7), udp(7).
"""

from __future__ import annotations

import socket

from fastpath.packetfilter import attach, not_from

__all__ = ["bound_udp", "grow", "merges"]

_UDP_GRO = 104
_FORCED = ((33, socket.SO_RCVBUF), (32, socket.SO_SNDBUF))      # SO_RCVBUFFORCE, SO_SNDBUFFORCE


def grow(sock: socket.socket, size: int) -> None:
    """Ask for kernel buffers of so many bytes, past the system's limit where we may."""
    for force, plain in _FORCED:
        try:
            sock.setsockopt(socket.SOL_SOCKET, force, size)
        except PermissionError:
            sock.setsockopt(socket.SOL_SOCKET, plain, size)


def bound_udp(address: str, port: int, reuse_port: bool, buffer_bytes: int, refused: int) -> socket.socket:
    """Open a socket at address and port; packets of the interface with index `refused` do not come (0: all do).

    Raises:
        OSError: taken, or not ours.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        grow(sock, buffer_bytes)
        if refused:
            attach(sock, not_from(refused))
        sock.bind((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def merges(sock: socket.socket) -> bool:
    """Ask the kernel to merge what comes; False: it can not."""
    try:
        sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
    except OSError:
        return False
    return True
