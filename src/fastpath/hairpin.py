"""hairpin: the part of the XDP program that carries decided flows by itself, inside the kernel: LOCAL goes back, DROP ends.

    whole Geneve packet, GWLB's three options, inner IPv4 with TCP or UDP, no fragment, no SYN, FIN or RST
      └─▶ keys: (endpoint, addresses, ports, protocol) ─▶ number ─▶ slots: counters, action, generation
            └── no such key, another generation than the policy's, no action ─▶ the worker, as ever

Journey: in front of redirect's last step. kernelflows.KernelFlows fills both maps and reads the counters. A packet that opens,
closes or resets a flow is always the worker's, so its states stay right; DNS is never put in.

Source: linux/bpf.h; RFC 8926 §3.4, AWS's options as in gwlb; RFC 791 §3.1, RFC 9293 §3.1.
"""

from __future__ import annotations

from fastpath.bpfcode import Code

__all__ = ["answer"]

XDP_DROP, XDP_TX = 1, 3
LOOKUP = 1                  # bpf_map_lookup_elem
BUFFER_LENGTH = 188         # bpf_xdp_get_buff_len
LOCAL, DROP = 2, 3          # action.Action
# Geneve without flags, eight words of options, IPv4; then class, type and length of each option.
HEADER = {42: b"\x08\x00\x08\x00", 50: b"\x01\x08\x01\x02", 62: b"\x01\x08\x02\x02", 74: b"\x01\x08\x03\x01"}
INNER = 82                  # outer 42, Geneve 8, options 32
PACKETS, BYTES, ACTION, GENERATION = 0, 8, 16, 20      # of kernelflows.Slot
KEY = -32                   # where the key stands on the stack: 24 bytes
NUMBER = -4


def answer(code: Code, keys_fd: int, slots_fd: int, last: int, other: str) -> None:
    """Answer a packet of a flow that has a slot, else go to `other`. r2 = data, r3 = its end; r6 is left as it was.

    Args:
        last: number of the slot whose generation is the policy's.
    """
    parse(code, other)
    find(code, keys_fd, KEY, other)
    code.load(4, "r1", "r0", 0)
    code.store(4, "r10", NUMBER, "r1")
    find(code, slots_fd, NUMBER, other)
    code.alu("mov", "r8", "r0")
    code.store(4, "r10", NUMBER, last)
    find(code, slots_fd, NUMBER, other)
    code.load(4, "r1", "r0", GENERATION)
    code.load(4, "r2", "r8", GENERATION)
    code.jump("ne", "r1", "r2", other)
    code.load(4, "r1", "r8", ACTION)
    code.jump("eq", "r1", LOCAL, "local")
    code.jump("ne", "r1", DROP, other)
    end(code, XDP_DROP)
    code.label("local")
    swap(code)
    end(code, XDP_TX)


def parse(code: Code, other: str) -> None:
    """r7 = data, r9 = bytes of the inner packet, the key on the stack."""
    code.alu("mov", "r7", "r2")
    reach(code, INNER + 28, other)
    for at, wanted in HEADER.items():
        code.load(4, "r5", "r7", at)
        code.jump("ne", "r5", int.from_bytes(wanted, "little"), other, bits=32)
    code.load(1, "r5", "r7", INNER)
    code.jump("ne", "r5", 0x45, other)
    code.load(2, "r5", "r7", INNER + 6)
    code.jump("set", "r5", 0xFF3F, other)      # more fragments, or an offset, in network order
    code.load(1, "r8", "r7", INNER + 9)
    code.jump("eq", "r8", 17, "key")
    code.jump("ne", "r8", 6, other)
    reach(code, INNER + 40, other)
    code.load(1, "r5", "r7", INNER + 33)
    code.jump("set", "r5", 0x07, other)        # FIN, SYN, RST
    code.label("key")
    code.load(1, "r9", "r7", INNER + 2)
    code.alu("lsh", "r9", 8)
    code.load(1, "r5", "r7", INNER + 3)
    code.alu("or", "r9", "r5")
    code.alu("mov", "r1", "r6")
    code.call(BUFFER_LENGTH)                   # the end less the beginning would want CAP_PERFMON
    code.alu("sub", "r0", INNER)
    code.jump("sgt", "r9", "r0", other)
    for size, at, to in ((8, 54, 0), (8, INNER + 12, 8), (4, INNER + 20, 16)):
        code.load(size, "r5", "r7", at)
        code.store(size, "r10", KEY + to, "r5")
    code.store(4, "r10", KEY + 20, "r8")


def reach(code: Code, bytes_: int, other: str) -> None:
    """Go on only if the packet has so many bytes."""
    code.alu("mov", "r4", "r7")
    code.alu("add", "r4", bytes_)
    code.jump("gt", "r4", "r3", other)


def find(code: Code, map_fd: int, key_at: int, missing: str) -> None:
    """r0 = the element of the key on the stack."""
    code.map("r1", map_fd)
    code.alu("mov", "r2", "r10")
    code.alu("add", "r2", key_at)
    code.call(LOOKUP)
    code.jump("eq", "r0", 0, missing)


def swap(code: Code) -> None:
    """Send it whence it came: MAC and IPv4 addresses change places, the UDP checksum is none, as the worker's is."""
    for size, one, another in ((4, 0, 6), (2, 4, 10), (4, 26, 30)):
        code.load(size, "r1", "r7", one)
        code.load(size, "r2", "r7", another)
        code.store(size, "r7", one, "r2")
        code.store(size, "r7", another, "r1")
    code.store(2, "r7", 40, 0)


def end(code: Code, verdict: int) -> None:
    """Count the packet in its slot, r8, and return the verdict."""
    code.alu("mov", "r1", 1)
    code.add_atomic("r8", PACKETS, "r1")
    code.add_atomic("r8", BYTES, "r9")
    code.alu("mov", "r0", verdict)
    code.exit()
