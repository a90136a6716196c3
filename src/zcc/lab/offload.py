"""Turn a network interface's offloads off, so that whole, finished packets leave it.

A veth hands checksums undone and TCP super-packets to whoever reads its other end by AF_PACKET; a kernel
would finish them, a program cannot. ethtool(8), linux/ethtool.h. Used by network, in the interface's own
network namespace.
"""

import ctypes
import fcntl
import socket
import struct

_SIOCETHTOOL = 0x8946
_SET_COMMANDS = {  # linux/ethtool.h
    "receive checksum": 0x15,
    "transmit checksum": 0x17,
    "TCP segmentation": 0x1F,
    "generic segmentation": 0x24,
    "generic receive": 0x2C,
}


def turn_off(name: str) -> None:
    """Turn checksum and segmentation offload of interface `name` off.

    Raises:
        OSError: no such interface, or it may not be changed; what the driver does not know at all is no
            error.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in _SET_COMMANDS.values():
            value = ctypes.create_string_buffer(struct.pack("=II", command, 0), 8)
            request = struct.pack("16sP", name.encode(), ctypes.addressof(value))
            try:
                fcntl.ioctl(control, _SIOCETHTOOL, request.ljust(40, b"\0"))
            except OSError as error:
                if error.errno != 95:  # EOPNOTSUPP: nothing to turn off
                    raise
