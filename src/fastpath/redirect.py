"""redirect: the XDP program that hands GWLB's packets to AF_XDP sockets and leaves all else to the kernel.

    Ethernet ─ IPv4 without options ─ not a fragment ─ UDP ─ to address:port ─▶ the socket of the queue it came on
                       └── anything else, a VLAN tag too, or a queue without a socket ──▶ the kernel, as if nothing were here

Journey: attached while an xsk.XskPort is open. Fragments and packets with options go the kernel's way and reach the UDP socket
that the port also holds; so do SSH, health checks, ARP, and GWLB's packets to another address.

Source: linux/bpf.h (struct xdp_md, bpf_redirect_map); RFC 791 §3.1, RFC 768.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from types import TracebackType

from fastpath import bpf
from fastpath.bpfcode import Code
from fastpath.earlydrop import Marks, Packet, let_in
from fastpath.hairpin import XDP_DROP, answer

__all__ = ["Redirect", "program", "shield"]

QUEUES = 64
XDP_PASS = 2
REDIRECT_MAP = 51            # bpf_redirect_map
Flows = tuple[int, int, int]

_DATA, _DATA_END, _QUEUE = 0, 4, 16     # of struct xdp_md
_SKB = (76, 80)              # data, data_end of struct __sk_buff
_TC_NEXT, _TC_SHOT = -1, 2
_MORE_OR_OFFSET = 0x3FFF     # more fragments, or an offset: not a whole packet
_GENERIC_TOO = (errno.EOPNOTSUPP, errno.EINVAL, errno.ERANGE, errno.ENOMEM)


def _as_loaded(value: int, size: int) -> int:
    """The number that a little-endian load makes of `value` in network order."""
    return int.from_bytes(value.to_bytes(size, "big"), "little")


def match(code: Code, address: str, port: int, other: str, at: tuple[int, int] = (_DATA, _DATA_END)) -> None:
    """Go on only with a whole Geneve packet to address:port, else to label `other`. r1 = context; afterwards r2 = its data.

    Args:
        at: where the context says where the packet begins and ends.
    """
    code.load(4, "r2", "r1", at[0])
    code.load(4, "r3", "r1", at[1])
    code.alu("mov", "r4", "r2")
    code.alu("add", "r4", 42)
    code.jump("gt", "r4", "r3", other)
    code.load(2, "r5", "r2", 12)
    code.jump("ne", "r5", _as_loaded(0x0800, 2), other)
    code.load(1, "r5", "r2", 14)
    code.jump("ne", "r5", 0x45, other)
    code.load(2, "r5", "r2", 20)
    code.jump("set", "r5", _as_loaded(_MORE_OR_OFFSET, 2), other)
    code.load(1, "r5", "r2", 23)
    code.jump("ne", "r5", socket.IPPROTO_UDP, other)
    code.load(4, "r5", "r2", 30)
    code.jump("ne", "r5", int.from_bytes(socket.inet_aton(address), "little"), other, bits=32)
    code.load(2, "r5", "r2", 36)
    code.jump("ne", "r5", _as_loaded(port, 2), other)


def _within(code: Code, size: int) -> None:
    code.alu("mov", "r5", "r7")
    code.alu("add", "r5", size)
    code.jump("gt", "r5", "r8", "newcomer")


def to_socket(code: Code, sockets_fd: int) -> None:
    """Return the verdict "to the socket of this queue", the kernel where there is none. r1 = context."""
    code.load(4, "r2", "r1", _QUEUE)
    code.map("r1", sockets_fd)
    code.alu("mov", "r3", XDP_PASS)
    code.call(REDIRECT_MAP)
    code.exit()


def program(address: str, port: int, sockets_fd: int, flows: Flows | None = None, marks: Marks | None = None) -> bytes:
    """Assemble the program for one address and port.

    Args:
        sockets_fd: its XSKMAP.
        flows: what KernelFlows.maps says, to have decided flows carried by the program itself.
        marks: what FlowMarks.maps says, to have others than known flows refused while a queue is crowded.
    """
    code = Code()
    code.alu("mov", "r6", "r1")
    match(code, address, port, "kernel")
    if flows is not None:
        answer(code, *flows, "worker")
        code.label("worker")
    if marks is not None:
        code.load(4, "r7", "r6", _DATA)
        code.load(4, "r8", "r6", _DATA_END)
        code.load(4, "r1", "r6", _QUEUE)
        let_in(code, marks, Packet("r7", 0, _within), "socket", XDP_DROP)
        code.label("socket")
    code.alu("mov", "r1", "r6")
    to_socket(code, sockets_fd)
    code.label("kernel")
    code.alu("mov", "r0", XDP_PASS)
    code.exit()
    return code.assemble()


def shield(interface_index: int, address: str, port: int) -> int:
    """Drop what match() lets through behind the taps of AF_PACKET: a ring has it, and the stack need not walk its copy.

    Returns:
        A link; the program is there as long as this descriptor is open.
    Raises:
        OSError: CAP_BPF or CAP_NET_ADMIN is missing, or the kernel is older than Linux 6.6.
    """
    code = Code()
    match(code, address, port, "kernel", _SKB)
    code.alu("mov", "r0", _TC_SHOT)
    code.exit()
    code.label("kernel")
    code.alu("mov", "r0", _TC_NEXT)
    code.exit()
    program_fd = bpf.program_load(bpf.PROGRAM_SCHED_CLS, code.assemble(), attach=bpf.ATTACH_TCX_INGRESS)
    try:
        return bpf.link_create(program_fd, interface_index, bpf.ATTACH_TCX_INGRESS)
    finally:
        os.close(program_fd)


class Redirect:
    """The program on one interface, and its sockets by queue.

    `mode` is "driver", or "generic" where the driver has no XDP (or not with this MTU).

    Raises:
        OSError: CAP_BPF or CAP_NET_ADMIN is missing; EBUSY: another XDP program is there.
    """

    def __init__(self, interface_index: int, address: str, port: int, flows: Flows | None = None,
                 marks: Marks | None = None) -> None:
        self.mode = "driver"
        with contextlib.ExitStack() as undo:
            self._sockets = self._keep(undo, bpf.map_create(bpf.MAP_XSK, 4, 4, QUEUES))
            loaded = self._load(program(address, port, self._sockets, flows, marks))
            undo.callback(os.close, loaded)
            self._program, self._index, self._link = loaded, interface_index, -1
            undo.pop_all()

    def _keep(self, undo: contextlib.ExitStack, fd: int) -> int:
        undo.callback(os.close, fd)
        return fd

    @staticmethod
    def _load(code: bytes) -> int:
        try:
            return bpf.program_load(bpf.PROGRAM_XDP, code, flags=bpf.XDP_HAS_FRAGS, attach=bpf.ATTACH_XDP)
        except OSError as error:
            if error.errno != errno.EINVAL:      # Linux before 5.18 knows no frames of several buffers
                raise
            return bpf.program_load(bpf.PROGRAM_XDP, code, attach=bpf.ATTACH_XDP)

    def add(self, queue: int, socket_fd: int) -> None:
        """Have the packets of a queue go to an AF_XDP socket."""
        bpf.map_update(self._sockets, queue.to_bytes(4, "little"), socket_fd.to_bytes(4, "little"))

    def attach(self) -> None:
        """Begin: put the program on the interface, by its driver where that can."""
        try:
            self._link = bpf.link_create(self._program, self._index, bpf.ATTACH_XDP, bpf.XDP_DRIVER)
        except OSError as error:
            if error.errno not in _GENERIC_TOO:
                raise
            self._link = bpf.link_create(self._program, self._index, bpf.ATTACH_XDP, bpf.XDP_GENERIC)
            self.mode = "generic"

    def close(self) -> None:
        """Take the program off; again is no error."""
        for fd in (self._link, self._program, self._sockets):
            if fd >= 0:
                os.close(fd)
        self._link = self._program = self._sockets = -1

    def __enter__(self) -> Redirect:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
