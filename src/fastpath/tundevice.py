"""tundevice: queues of TUN interfaces opened, and what the kernel may leave to whoever reads them.

Journey: while devices are opened, never afterwards.

Source: Documentation/networking/tuntap.rst, linux/if_tun.h.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct

__all__ = ["has_offloads", "open_tun"]

_TUNSETIFF, _TUNGETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x800454D2, 0x400454D0
_IFF_TUN, _IFF_NO_PI, _IFF_MULTI_QUEUE, _IFF_VNET_HDR = 0x0001, 0x1000, 0x0100, 0x4000
# Checksums and TCP segmentation, with and without ECN; and that of UDP, since Linux 6.2.
_TCP, _UDP = 0x01 | 0x02 | 0x04 | 0x08, 0x20 | 0x40


def open_tun(name: str, multi_queue: bool, offloads: bool) -> int:
    """Open a queue of TUN interface `name`, without packet information; return its descriptor.

    Args:
        offloads: a struct virtio_net_hdr stands before each packet, and the kernel may hand over large ones.
    Raises:
        OSError: /dev/net/tun may not be opened, or the interface is of another kind.
    """
    flags = _IFF_TUN | _IFF_NO_PI | (_IFF_MULTI_QUEUE if multi_queue else 0) | (_IFF_VNET_HDR if offloads else 0)
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        if offloads:
            _leave_large(fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def has_offloads(fd: int) -> bool:
    """Whether a struct virtio_net_hdr stands before the packets of a descriptor; False for what is no TUN queue."""
    try:
        (flags,) = struct.unpack_from("=H", fcntl.ioctl(fd, _TUNGETIFF, bytes(40)), 16)
    except OSError:
        return False
    return bool(flags & _IFF_VNET_HDR)


def _leave_large(fd: int) -> None:
    """Tell the kernel what it may leave to us; of an older one, as much as it knows."""
    for offloads in (_TCP | _UDP, _TCP):
        try:
            fcntl.ioctl(fd, _TUNSETOFFLOAD, offloads)
            return
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
