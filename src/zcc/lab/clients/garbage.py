"""Hostile bytes for every open port of the host it runs in: random ones, and ones that begin as the port expects.

Journey: the row hostile-bytes runs it in each daemon's host. Which ports are open is read from /proc/net, so none can be
forgotten. Bounded: ROUNDS messages a port. The seed makes it repeatable.
"""

import contextlib
import ipaddress
import random
import socket
import sys
from pathlib import Path

ROUNDS = 120
_PATIENCE_S = 0.2
_LISTEN, _UNCONNECTED = "0A", "07"  # states in /proc/net/tcp and udp (include/net/tcp_states.h)
# How well-meant messages begin: TLS and DTLS ClientHello, Geneve with GWLB's options, HTTP, a yamux frame, a length of DNS.
_BEGINNINGS = (
    bytes.fromhex("16030100a5010000a10303"),
    bytes.fromhex("16fefd0000000000000000009f010000930000000000000093fefd"),
    bytes.fromhex("0800080000000000") + bytes.fromhex("01080102000aaaaaaaaaaaa1" "010802020000000000000002" "0108030100000007"),
    b"GET /?cchealth HTTP/1.1\r\nHost: ",
    b"GET /metrics HTTP/1.1\r\n",
    bytes.fromhex("000000010000000100000040"),
    bytes.fromhex("001c00070100000100000000"),
    b"",
)  # fmt: skip

Port = tuple[str, str, int]  # tcp or udp, address, port


def open_ports() -> list[Port]:
    """Return the ports that take packets from anyone in this network namespace."""
    found = set()
    for kind, state in (("tcp", _LISTEN), ("tcp6", _LISTEN), ("udp", _UNCONNECTED), ("udp6", _UNCONNECTED)):
        for line in Path("/proc/net", kind).read_text().splitlines()[1:]:
            local, _, found_state = line.split()[1:4]
            address, port = local.split(":")
            if found_state == state:
                found.add((kind[:3], _address(address), int(port, 16)))
    return sorted(found)


def throw(seed: int) -> str:
    """Send hostile bytes to every open port; return how many messages went to which ports."""
    chance = random.Random(seed)
    ports = open_ports()
    for port in ports:
        for _ in range(ROUNDS):
            message = chance.choice(_BEGINNINGS) + chance.randbytes(chance.choice((0, 1, 7, 60, 700, 8000)))
            _send(port, _spoilt(message, chance))
    return f"{ROUNDS * len(ports)} to {' '.join(f'{kind}/{number}' for kind, _, number in ports)}"


def _spoilt(message: bytes, chance: random.Random) -> bytes:
    data = bytearray(message)
    for _ in range(chance.randrange(4) if data else 0):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def _send(port: Port, message: bytes) -> None:
    kind, address, number = port
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM) as sock:
        sock.settimeout(_PATIENCE_S)
        with contextlib.suppress(OSError):  # a daemon may refuse, reset or ignore us; it may not fall over
            sock.connect((address, number))
            sock.sendall(message)


def _address(text: str) -> str:
    packed = b"".join(
        bytes.fromhex(text[k : k + 8])[::-1] if sys.byteorder == "little" else bytes.fromhex(text[k : k + 8])
        for k in range(0, len(text), 8)
    )
    address = ipaddress.ip_address(packed)
    if not address.is_unspecified:
        return str(address)
    return "127.0.0.1" if address.version == 4 else "::1"
