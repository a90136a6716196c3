"""ringfilter: the eBPF program in front of an AF_PACKET ring where known flows go first: packetfilter.to_port, and earlydrop.

    untagged frame for this host ─ IPv4, no later fragment ─ UDP ─ to address:port ─▶ may it wait? ─▶ the ring
                          └── anything else ──▶ not here; the kernel has it too

Journey: while a packetring.PacketRing is opened with marks. It saves the ring's places and the worker's time, not what the
kernel did before: a packet has been received when its tap sees it.

Source: linux/bpf.h (struct __sk_buff, bpf_skb_load_bytes), socket(7) SO_ATTACH_BPF; RFC 791 §3.1.
"""

from __future__ import annotations

import os
import socket

from fastpath import bpf
from fastpath.bpfcode import Code
from fastpath.earlydrop import Marks, Packet, let_in

__all__ = ["attach_early_drop", "program"]

SKB_LOAD = 26                # bpf_skb_load_bytes
_PACKET_TYPE, _VLAN_PRESENT = 4, 20      # of struct __sk_buff
_HELD = -154                 # where the packet's beginning stands on the stack: so that addresses are aligned, outer and inner
_PORT = -8                   # and a port
_HEADERS = 34                # Ethernet and IPv4
_WHOLE = 0x40000
_SO_ATTACH_BPF = 50


def program(address: str, port: int, marks: Marks, ring: int) -> bytes:
    """Assemble the program for one address and port; `ring` is its number among the marks' queues."""
    code = Code()
    code.alu("mov", "r6", "r1")
    match(code, address, port)
    code.alu("mov", "r1", ring)
    let_in(code, marks, Packet("r10", _HELD, _fetch), "ring", 0)
    code.label("ring")
    code.alu("mov", "r0", _WHOLE)
    code.exit()
    code.label("other")
    code.alu("mov", "r0", 0)
    code.exit()
    return code.assemble()


def match(code: Code, address: str, port: int) -> None:
    """Go on only with what packetfilter.to_port takes, else to "other". r6 = context."""
    for field in (_PACKET_TYPE, _VLAN_PRESENT):
        code.load(4, "r1", "r6", field)
        code.jump("ne", "r1", 0, "other")
    fetch(code, 0, _HELD, _HEADERS, "other")
    for size, at, wanted in ((2, 12, b"\x08\x00"), (1, 23, b"\x11"), (4, 30, socket.inet_aton(address))):
        code.load(size, "r1", "r10", _HELD + at)
        code.jump("ne", "r1", int.from_bytes(wanted, "little"), "other", bits=32)
    code.load(2, "r1", "r10", _HELD + 20)
    code.jump("set", "r1", 0xFF1F, "other")     # an offset, in network order
    code.load(1, "r2", "r10", _HELD + 14)
    code.alu("and", "r2", 0x0F)
    code.alu("lsh", "r2", 2)
    code.alu("add", "r2", 16)                   # behind Ethernet and IPv4 the source port, then this one
    fetch(code, "r2", _PORT, 2, "other")
    code.load(2, "r1", "r10", _PORT)
    code.jump("ne", "r1", int.from_bytes(port.to_bytes(2, "big"), "little"), "other")


def fetch(code: Code, start: str | int, to: int, size: int, missing: str) -> None:
    """Copy bytes of the packet to the stack, if it has them. r6 = context; r0 to r5 change."""
    if start != "r2":
        code.alu("mov", "r2", start)
    code.alu("mov", "r1", "r6")
    code.alu("mov", "r3", "r10")
    code.alu("add", "r3", to)
    code.alu("mov", "r4", size)
    code.call(SKB_LOAD)
    code.jump("ne", "r0", 0, missing)


def _fetch(code: Code, size: int) -> None:
    fetch(code, 0, _HELD, size, "newcomer")


def attach_early_drop(sock: socket.socket, address: str, port: int, marks: Marks, ring: int) -> None:
    """Have an AF_PACKET socket take only what the program lets through.

    Raises:
        OSError: CAP_BPF is missing.
    """
    loaded = bpf.program_load(bpf.PROGRAM_SOCKET_FILTER, program(address, port, marks, ring))
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_BPF, loaded)
    finally:
        os.close(loaded)
