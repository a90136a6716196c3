"""earlydrop: the part of the XDP program that refuses packets of flows nobody knows while their queue is crowded.

    waiting ≤ room ─▶ the queue                                         more ─▶ whose is it?
      known flow (flowmarks) ─▶ the queue      question to port 53, newcomer ─▶ the queue, so many a batch; then refused

Journey: in front of redirect's last step. A packet costs the kernel and the worker most of their work before the worker can see
whose it is; where more come than can be carried, those of flows that are known would be lost with the others. Here a look
costs a hundredth, and only while the queue is crowded. Later fragments, options and extension headers make a newcomer.

Source: linux/bpf.h; RFC 8926 §3.4, RFC 791 §3.1, RFC 8200 §3; partial buffer sharing, see flowmarks.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from fastpath.bpfcode import Code
from fastpath.hairpin import INNER, find

__all__ = ["Marks", "Packet", "let_in"]

Marks = tuple[int, int, int, tuple[int, int, int]]

SENT, TAKEN, ROOM, NEWCOMERS, QUESTIONS, REFUSED = range(0, 48, 8)      # of flowmarks.QueueState
NUMBER = -4                  # where the number of an element stands on the stack
GENEVE, OPTION_WORDS = 42, 8      # where Geneve begins, and the length of GWLB's options
TURN = 29                    # of flowmarks.pyx
DNS = 53 << 8                # as the wire has it


@dataclass(frozen=True)
class Packet:
    """Where a program finds its packet: a register, what to add to it, and how it sees that so many bytes are there."""

    base: str
    at: int
    within: Callable[[Code, int], None]      # go on with them, else to "newcomer"; all but r6, r7, r8 and r9 may change


def let_in(code: Code, marks: Marks, packet: Packet, passes: str, verdict: int) -> None:
    """Go to `passes` with a packet that may wait, or end it with the verdict. r1 = the queue's number; r6 = context, and stays.

    Args:
        marks: what FlowMarks.maps says.
    """
    queues_fd, marks_fd, bits, factors = marks
    count(code, queues_fd, passes)
    parse(code, packet, factors)
    place(code, bits, factors)
    code.alu("mov", "r8", "r0")
    look_up(code, marks_fd, passes)
    code.jump("ne", "r8", DNS, "newcomer")
    spend(code, QUESTIONS, "newcomer")
    code.go(passes)
    code.label("newcomer")
    spend(code, NEWCOMERS, "refused")
    code.go(passes)
    code.label("refused")
    for counter, difference in ((REFUSED, 1), (SENT, -1)):
        add(code, counter, difference)
    code.alu("mov", "r0", verdict)
    code.exit()


def look_up(code: Code, marks_fd: int, known: str) -> None:
    """Go to `known` if the counter whose number is r2 is not zero; there are eight in a word."""
    code.alu("mov", "r7", "r2")
    code.alu("and", "r7", 7)
    code.alu("lsh", "r7", 3)
    code.alu("rsh", "r2", 3)
    code.store(4, "r10", NUMBER, "r2")
    find(code, marks_fd, NUMBER, "newcomer")
    code.load(8, "r1", "r0", 0)
    code.alu("rsh", "r1", "r7")
    code.alu("and", "r1", 0xFF)
    code.jump("ne", "r1", 0, known)


def count(code: Code, queues_fd: int, passes: str) -> None:
    """Count the packet, and go on only if its queue, r1, is crowded. r9 = its state.

    Where several processors fill one ring at a time some packets are not counted, as atomic adding costs 6 % of the rate: fewer
    seem to wait then, less than none in the end, so these numbers have a sign.
    """
    code.store(4, "r10", NUMBER, "r1")
    find(code, queues_fd, NUMBER, passes)
    code.alu("mov", "r9", "r0")
    add(code, SENT, 1)
    code.load(8, "r2", "r9", TAKEN)
    code.alu("sub", "r1", "r2")
    code.load(8, "r2", "r9", ROOM)
    code.jump("eq", "r2", 0, passes)
    code.jump("sge", "r2", "r1", passes)


def add(code: Code, counter: int, difference: int) -> None:
    """Add to a counter of the queue, r9; r1 = the sum."""
    code.load(8, "r1", "r9", counter)
    code.alu("add", "r1", difference)
    code.store(8, "r9", counter, "r1")


def spend(code: Code, allowance: int, nothing: str) -> None:
    """Take one of an allowance, or go to `nothing`; two processors at once may take the same one. r9 = state of the queue."""
    code.load(8, "r1", "r9", allowance)
    code.jump("eq", "r1", 0, nothing)
    add(code, allowance, -1)


def parse(code: Code, packet: Packet, factors: tuple[int, int, int]) -> None:
    """r2, r3 = the two ends of the inner packet, ports and addresses in one word each; r0 = its destination port, 0 = none.

    All offsets are constants: arithmetic on packet pointers needs CAP_PERFMON, which a connector has not.
    """
    packet.within(code, INNER + 24)
    code.load(1, "r1", packet.base, packet.at + GENEVE)
    code.alu("and", "r1", 0x3F)
    code.jump("ne", "r1", OPTION_WORDS, "newcomer")
    code.load(1, "r1", packet.base, packet.at + INNER)
    code.jump("eq", "r1", 0x45, "inner 4")
    code.alu("rsh", "r1", 4)
    code.jump("ne", "r1", 6, "newcomer")
    ends6(code, packet, factors[0])
    code.label("inner 4")
    ends4(code, packet)
    code.label("ends")


def ends4(code: Code, packet: Packet) -> None:
    """The ends of an IPv4 packet without options."""
    base, inner = packet.base, packet.at + INNER
    code.alu("mov", "r0", 0)
    code.load(4, "r2", base, inner + 12)
    code.load(4, "r3", base, inner + 16)
    code.load(2, "r5", base, inner + 6)
    code.jump("set", "r5", 0xFF1F, "ends")      # an offset, in network order: it has no ports
    code.load(1, "r1", base, inner + 9)
    code.jump("eq", "r1", socket.IPPROTO_TCP, "ports 4")
    code.jump("ne", "r1", socket.IPPROTO_UDP, "ends")
    code.label("ports 4")
    ports(code, base, inner + 20)


def ends6(code: Code, packet: Packet, factor: int) -> None:
    """The ends of an IPv6 packet, and go to "ends"; ports are taken only where they follow the header."""
    base, inner = packet.base, packet.at + INNER
    packet.within(code, INNER + 44)
    code.alu("mov", "r0", 0)
    for end, at in (("r2", inner + 8), ("r3", inner + 24)):
        code.load(8, end, base, at)
        code.alu("mul", end, factor)
        code.load(8, "r5", base, at + 8)
        code.alu("add", end, "r5")
    code.load(1, "r1", base, inner + 6)
    code.jump("eq", "r1", socket.IPPROTO_TCP, "ports 6")
    code.jump("ne", "r1", socket.IPPROTO_UDP, "ends")
    code.label("ports 6")
    ports(code, base, inner + 40)
    code.go("ends")


def ports(code: Code, base: str, at: int) -> None:
    """Add both ports to their ends; r0 = the destination's."""
    for end, of in (("r2", at), ("r3", at + 2)):
        code.load(2, "r0", base, of)
        code.alu("mov", "r5", "r0")
        code.alu("lsh", "r5", 32)
        code.alu("add", end, "r5")


def place(code: Code, bits: int, factors: tuple[int, int, int]) -> None:
    """r2 = the number of the counter of the two ends, r2 and r3: what FlowMarks._place says."""
    for end in ("r2", "r3"):
        code.alu("mul", end, factors[1])
        code.alu("mov", "r5", end)
        code.alu("rsh", "r5", TURN)
        code.alu("xor", end, "r5")
    code.alu("add", "r2", "r3")
    code.alu("mul", "r2", factors[2])
    code.alu("rsh", "r2", 64 - bits)
