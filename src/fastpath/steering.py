"""steering: the classic BPF program by which the kernel chooses one of several workers for a packet from a load balancer.

    UDP header ▶ Geneve ▶ inner IP ┬ TCP, UDP, whole ─▶ addresses and ports ┐
                                   ├ ICMP error ─▶ the packet it quotes ────┼─▶ sum of both ends, mixed ─▶ number of a worker
                                   └ all else, fragments ─▶ addresses ──────┘

Journey: while several ports are opened on one address: sockets of a SO_REUSEPORT group, or rings of an AF_PACKET fanout group,
whose members stand in the order of the workers. It makes the number that fastpath.shard makes, so that nothing has to be handed
over; for what it can not read (IPv6 extension headers) the number may differ, which costs a copy and no more. No capability is
needed for such a program.

Source: Linux networking/filter (classic BPF); socket(7) SO_ATTACH_REUSEPORT_CBPF: the data begin behind the UDP header;
packet(7) PACKET_FANOUT: they begin with the IP header. RFC 8926 §3.4, RFC 791 §3.1, RFC 8200 §3, RFC 792, RFC 4443.
"""

from __future__ import annotations

import ctypes
import socket
import struct
from collections.abc import Callable

__all__ = ["program", "steer_group", "steer_ring"]

Instruction = tuple[int, int, int, int]      # code, jump if true, jump if false, number

_LOAD, _LOAD_HALF, _LOAD_BYTE = 0x40, 0x48, 0x50      # at X + number
_LOAD_FIRST_BYTE, _LOAD_NUMBER, _RECALL, _RECALL_X, _KEEP = 0x30, 0x00, 0x60, 0x61, 0x02
_ADD, _MULTIPLY, _AND, _SHIFT_LEFT, _SHIFT_RIGHT, _XOR_X, _ADD_X = 0x04, 0x24, 0x54, 0x64, 0x74, 0xAC, 0x0C
_TO_X, _TO_A, _RETURN_NUMBER, _RETURN_A = 0x07, 0x87, 0x06, 0x16
_GO, _EQUAL, _AT_LEAST, _ANY_BIT = 0x05, 0x15, 0x35, 0x45
_IP, _HERE, _THERE, _SUM, _L4, _WORD = range(6)       # what the program remembers where
_ICMP_ERRORS = (3, 4, 11, 12)
_MORE_OR_OFFSET, _OFFSET = 0x3FFF, 0x1FFF
_SO_ATTACH_REUSEPORT_CBPF, _SOL_PACKET, _FANOUT_DATA = 51, 263, 22
PORT_FACTOR, WORD_FACTOR, MIX = 0x9E3779B1, 0x01000193, (0x7FEB352D, 0x846CA68B)     # as in shard.pxd


class _Program:
    """Instructions, and jumps forward to names."""

    def __init__(self) -> None:
        self.code: list[list[int]] = []
        self._wanted: list[tuple[int, int, str]] = []     # instruction, which of its jumps, label
        self._labels: dict[str, int] = {}

    def add(self, code: int, number: int = 0) -> None:
        self.code.append([code, 0, 0, number])

    def jump(self, code: int, number: int, yes: str = "", no: str = "") -> None:
        """A test of A; a jump that names nothing goes on."""
        for place, label in ((1, yes), (2, no)):
            if label:
                self._wanted.append((len(self.code), place, label))
        self.add(code, number)

    def go(self, label: str) -> None:
        self._wanted.append((len(self.code), 3, label))
        self.add(_GO)

    def label(self, name: str) -> None:
        self._labels[name] = len(self.code)

    def finish(self) -> list[Instruction]:
        for at, place, label in self._wanted:
            self.code[at][place] = self._labels[label] - at - 1
        return [(code, yes, no, number) for code, yes, no, number in self.code]


def program(workers: int, outer: int = 0) -> list[Instruction]:
    """Make the program.

    Args:
        workers: how many there are.
        outer: bytes before the Geneve header: 0 in a reuseport group, 8 (of UDP, behind the IP header) in a fanout group.
    """
    made = _Program()
    if outer:
        made.add(_LOAD_FIRST_BYTE, 0)        # the outer IP header's length
        made.add(_AND, 0x0F)
        made.add(_SHIFT_LEFT, 2)
        made.add(_ADD, outer)
    else:
        made.add(_LOAD_NUMBER, 0)
    made.add(_TO_X)
    made.add(_LOAD_BYTE, 0)                  # Geneve: version, length of the options in words
    made.add(_AND, 0x3F)
    made.add(_SHIFT_LEFT, 2)
    made.add(_ADD, 8)
    made.add(_ADD_X)
    _enter(made)
    made.add(_LOAD_BYTE, 0)
    made.add(_SHIFT_RIGHT, 4)
    made.jump(_EQUAL, 6, yes="six")
    made.jump(_EQUAL, 4, no="nobody")
    _ports4(made, "", True)
    made.label("by addresses 4")
    _sum(made, workers, (12,), (16,))
    made.label("nobody")
    made.add(_RETURN_NUMBER, 0)
    made.label("six")
    _ports6(made, "", True)
    made.label("by addresses 6")
    _sum(made, workers, (8, 12, 16, 20), (24, 28, 32, 36))
    return made.finish()


def _enter(made: _Program) -> None:
    """A is where an IP header begins: go on from there, with no ports so far."""
    made.add(_KEEP, _IP)
    made.add(_TO_X)
    made.add(_LOAD_NUMBER, 0)
    made.add(_KEEP, _HERE)
    made.add(_KEEP, _THERE)


def _ports4(made: _Program, of: str, errors: bool) -> None:
    """Keep the ports of the IPv4 packet at X, or of the one that it quotes; X is then where that one begins."""
    made.add(_LOAD_HALF, 6)
    made.jump(_ANY_BIT, _MORE_OR_OFFSET if errors else _OFFSET, yes=f"addresses 4{of}")
    made.add(_LOAD_BYTE, 0)
    made.add(_AND, 0x0F)
    made.add(_SHIFT_LEFT, 2)
    made.add(_ADD_X)
    made.add(_KEEP, _L4)
    made.add(_LOAD_BYTE, 9)
    made.jump(_EQUAL, socket.IPPROTO_TCP, yes=f"ports 4{of}")
    made.jump(_EQUAL, socket.IPPROTO_UDP, yes=f"ports 4{of}")
    if errors:
        made.jump(_EQUAL, socket.IPPROTO_ICMP, no="addresses 4")
        made.add(_RECALL_X, _L4)
        made.add(_LOAD_BYTE, 0)
        for kind in _ICMP_ERRORS:
            made.jump(_EQUAL, kind, yes="error 4")
    made.go(f"addresses 4{of}")
    _behind_ports(made, 4, of, _ports4 if errors else None)


def _ports6(made: _Program, of: str, errors: bool) -> None:
    """The same for IPv6 without extension headers."""
    made.add(_TO_A)
    made.add(_ADD, 40)
    made.add(_KEEP, _L4)
    made.add(_LOAD_BYTE, 6)
    made.jump(_EQUAL, socket.IPPROTO_TCP, yes=f"ports 6{of}")
    made.jump(_EQUAL, socket.IPPROTO_UDP, yes=f"ports 6{of}")
    if errors:
        made.jump(_EQUAL, socket.IPPROTO_ICMPV6, no="addresses 6")
        made.add(_RECALL_X, _L4)
        made.add(_LOAD_BYTE, 0)
        made.jump(_EQUAL, 0, yes="addresses 6")
        made.jump(_AT_LEAST, 5, no="error 6")
    made.go(f"addresses 6{of}")
    _behind_ports(made, 6, of, _ports6 if errors else None)


def _behind_ports(made: _Program, version: int, of: str, quoted: Callable[[_Program, str, bool], None] | None) -> None:
    """Keep the ports where there are some, and go on by the addresses; an ICMP error by those of the packet that it quotes."""
    made.label(f"ports {version}{of}")
    made.add(_RECALL_X, _L4)
    for at, place in ((0, _HERE), (2, _THERE)):
        made.add(_LOAD_HALF, at)
        made.add(_MULTIPLY, PORT_FACTOR)
        made.add(_KEEP, place)
    made.label(f"addresses {version}{of}")
    made.add(_RECALL_X, _IP)
    if quoted is not None:
        made.go(f"by addresses {version}")
        made.label(f"error {version}")
        made.add(_RECALL, _L4)
        made.add(_ADD, 8)
        _enter(made)
        quoted(made, " quoted", False)


def _sum(made: _Program, workers: int, source: tuple[int, ...], destination: tuple[int, ...]) -> None:
    """Return the worker of the packet at X, whose ports are kept."""
    for words, ports, last in ((source, _HERE, False), (destination, _THERE, True)):
        made.add(_RECALL_X, _IP)
        made.add(_LOAD, words[0])
        for at in words[1:]:
            made.add(_MULTIPLY, WORD_FACTOR)
            made.add(_KEEP, _WORD)
            made.add(_LOAD, at)
            made.add(_RECALL_X, _WORD)
            made.add(_ADD_X)
            made.add(_RECALL_X, _IP)
        made.add(_RECALL_X, ports)
        made.add(_ADD_X)
        _mix(made)
        if last:
            made.add(_RECALL_X, _SUM)
            made.add(_ADD_X)
        made.add(_KEEP, _SUM)
    made.add(_SHIFT_RIGHT, 16)
    made.add(_MULTIPLY, workers)
    made.add(_SHIFT_RIGHT, 16)
    made.add(_RETURN_A)


def _mix(made: _Program) -> None:
    for shift, factor in ((16, MIX[0]), (15, MIX[1]), (16, 0)):
        made.add(_TO_X)
        made.add(_SHIFT_RIGHT, shift)
        made.add(_XOR_X)
        if factor:
            made.add(_MULTIPLY, factor)


def steer_group(sock: socket.socket, workers: int) -> None:
    """Have a SO_REUSEPORT group, of which `sock` is a bound member, give each packet to the member of its worker's number.

    Raises:
        OSError: the kernel refuses the program.
    """
    _attach(sock, socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, program(workers))


def steer_ring(sock: socket.socket, workers: int) -> None:
    """The same for a fanout group of type PACKET_FANOUT_CBPF."""
    _attach(sock, _SOL_PACKET, _FANOUT_DATA, program(workers, outer=8))


def _attach(sock: socket.socket, level: int, option: int, code: list[Instruction]) -> None:
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    sock.setsockopt(level, option, struct.pack("HP", len(code), ctypes.addressof(buffer)))
