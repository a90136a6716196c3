"""packetfilter: the classic BPF programs that part GWLB's packets from the rest, on AF_PACKET and on the UDP socket beside it.

Journey: while a packetring.PacketRing is opened. The ring takes what `to_port` lets through; the kernel hands a copy of the
same packet to the UDP socket, where `not_from` refuses it: so each packet arrives once, and the port is taken (no ICMP).

Source: bpf(4) as in Linux networking/filter (linux/filter.h: SKF_AD_PKTTYPE, _IFINDEX, _VLAN_TAG_PRESENT); RFC 791 §3.1.
"""

from __future__ import annotations

import ctypes
import socket
import struct

__all__ = ["attach", "not_from", "to_port"]

_LOAD, _LOAD_HALF, _LOAD_BYTE, _LOAD_HALF_INDEXED, _HEADER_LENGTH = 0x20, 0x28, 0x30, 0x48, 0xB1
_EQUAL, _ANY_BIT, _RETURN = 0x15, 0x45, 0x06
_PACKET_TYPE, _INTERFACE, _VLAN_PRESENT = 0xFFFFF004, 0xFFFFF008, 0xFFFFF030     # about the packet, not in it
_WHOLE = 0x40000
_SO_ATTACH_FILTER = 26

Instruction = tuple[int, int, int, int]      # code, jump if true, jump if false, number


def to_port(address: str, port: int) -> list[Instruction]:
    """Take untagged Ethernet frames for this host with IPv4, UDP, to address:port; no later fragments."""
    tests: list[tuple[int, int, int]] = [      # what to load, from where, what it must be
        (_LOAD_HALF, 12, 0x0800),
        (_LOAD, _VLAN_PRESENT, 0),
        (_LOAD, _PACKET_TYPE, 0),
        (_LOAD_BYTE, 23, socket.IPPROTO_UDP),
        (_LOAD, 30, int.from_bytes(socket.inet_aton(address), "big")),
    ]
    code: list[Instruction] = []
    refuse = 2 * len(tests) + 6
    for load, at, wanted in tests:
        code.append((load, 0, 0, at))
        code.append((_EQUAL, 0, refuse - len(code) - 1, wanted))
    code.append((_LOAD_HALF, 0, 0, 20))
    code.append((_ANY_BIT, refuse - len(code) - 1, 0, 0x1FFF))
    code.append((_HEADER_LENGTH, 0, 0, 14))
    code.append((_LOAD_HALF_INDEXED, 0, 0, 16))
    code.append((_EQUAL, 0, 1, port))
    code.append((_RETURN, 0, 0, _WHOLE))
    code.append((_RETURN, 0, 0, 0))
    return code


def not_from(interface_index: int) -> list[Instruction]:
    """Take what came by any other interface."""
    return [
        (_LOAD, 0, 0, _INTERFACE),
        (_EQUAL, 0, 1, interface_index),
        (_RETURN, 0, 0, 0),
        (_RETURN, 0, 0, _WHOLE),
    ]


def attach(sock: socket.socket, code: list[Instruction]) -> None:
    """Have a socket take only what the program lets through.

    Raises:
        OSError: the kernel refuses the program.
    """
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    buffer = ctypes.create_string_buffer(packed, len(packed))
    program = struct.pack("HP", len(code), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
