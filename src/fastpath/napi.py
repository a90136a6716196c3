"""napi: let programs that do an interface's receive work keep its interrupts off meanwhile, asked over generic netlink.

Journey: while a port is opened, never afterwards. What is set has no effect but for such programs (see deferral), so it stays.

Source: Linux networking/napi ("IRQ suspension", since 6.13), Documentation/netlink/specs/netdev.yaml, linux/genetlink.h.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator

from fastpath.netlink import attributes, messages

__all__ = ["suspendable"]

SUSPENDED_NS = 20_000_000      # then the kernel goes on by itself, whatever the program does

_NETLINK_GENERIC, _CONTROL, _GET_FAMILY, _FAMILY_ID, _FAMILY_NAME = 16, 0x10, 3, 1, 2
_REQUEST, _ACK, _DUMP, _ERROR, _DONE = 0x01, 0x04, 0x300, 2, 3
_NAPI_GET, _NAPI_SET = 11, 14
_INTERFACE, _ID, _DEFER_HARD_IRQS, _GRO_FLUSH_TIMEOUT, _IRQ_SUSPEND_TIMEOUT = 1, 2, 5, 6, 7


def suspendable(index: int) -> bool:
    """Let interrupts of interface `index` be kept off by a program that polls, for SUSPENDED_NS at most.

    Only where they are put off at all (napi_defer_hard_irqs, gro_flush_timeout): else each round of the work ends with them on.

    Returns: whether they may be now; False too where the kernel does not offer it, or not to us (CAP_NET_ADMIN).
    """
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_GENERIC) as netlink:
            (found,) = _ask(netlink, _CONTROL, _GET_FAMILY, {_FAMILY_NAME: b"netdev\0"}, _ACK)
            family = _number(found, _FAMILY_ID)
            contexts = list(_ask(netlink, family, _NAPI_GET, {_INTERFACE: struct.pack("=I", index)}, _DUMP))
            put_off = [one for one in contexts if _number(one, _DEFER_HARD_IRQS) and _number(one, _GRO_FLUSH_TIMEOUT)]
            for one in put_off:
                if not _number(one, _IRQ_SUSPEND_TIMEOUT):
                    wanted = {_ID: one[_ID], _IRQ_SUSPEND_TIMEOUT: struct.pack("=I", SUSPENDED_NS)}
                    list(_ask(netlink, family, _NAPI_SET, wanted, _ACK))
            return bool(put_off)
    except OSError:
        return False


def _number(napi: dict[int, bytes], name: int) -> int:
    return int.from_bytes(napi.get(name, b""), sys.byteorder)


def _ask(netlink: socket.socket, family: int, command: int, values: dict[int, bytes], flags: int) -> Iterator[dict[int, bytes]]:
    """Send one request; give the attributes of each answer, to the last one."""
    body = struct.pack("=BBH", command, 1, 0)
    for name, value in values.items():
        body += struct.pack("=HH", 4 + len(value), name) + value + bytes(-len(value) % 4)
    netlink.send(struct.pack("=IHHII", 16 + len(body), family, _REQUEST | flags, 1, 0) + body)
    while True:
        for kind, answer in messages(netlink.recv(1 << 17)):
            if kind == _ERROR:
                code = -struct.unpack_from("=i", answer)[0]
                if code:
                    raise OSError(code, os.strerror(code))
            if kind in (_ERROR, _DONE):
                return
            yield attributes(answer[4:])
