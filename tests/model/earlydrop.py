"""earlydrop and flowmarks in plain Python: whose a packet is, and which counter its two ends have."""

from __future__ import annotations

QUESTION, NEWCOMER = "question", "newcomer"
TCP, UDP, DNS = 6, 17, 53
WORD = (1 << 64) - 1
Factors = tuple[int, int, int]


def place(source: bytes, destination: bytes, ports: tuple[int, int], bits: int, factors: Factors) -> int:
    """The number of the counter; addresses of 4 or 16 bytes, ports (0, 0) where there are none."""
    total = sum(side(address, port, factors) for address, port in zip((source, destination), ports, strict=True)) & WORD
    return (total * factors[2] & WORD) >> 64 - bits


def side(address: bytes, port: int, factors: Factors) -> int:
    """One end's part of the hash: all numbers as a little-endian load of what is on the wire."""
    upper, lower = (0, address) if len(address) == 4 else (int.from_bytes(address[:8], "little"), address[8:])
    value = upper * factors[0] + int.from_bytes(lower, "little")
    value = (value + (int.from_bytes(port.to_bytes(2, "big"), "little") << 32)) * factors[1] & WORD
    return value ^ value >> 29


def standing(frame: bytes, bits: int, factors: Factors) -> tuple[int | None, str]:
    """(counter that makes it a known flow's, None = none could; what it is else) of a frame that is Geneve for us."""
    inner = frame[82:]
    if len(inner) < 24 or frame[42] & 0x3F != 8:
        return None, NEWCOMER
    found = ends4(inner) if inner[0] == 0x45 else ends6(inner) if inner[0] >> 4 == 6 else None
    if found is None:
        return None, NEWCOMER
    source, destination, ports = found
    return place(source, destination, ports, bits, factors), QUESTION if ports[1] == DNS else NEWCOMER


def ends4(inner: bytes) -> tuple[bytes, bytes, tuple[int, int]]:
    """Addresses and ports of an IPv4 packet without options."""
    has_ports = int.from_bytes(inner[6:8], "big") & 0x1FFF == 0 and inner[9] in (TCP, UDP)
    return inner[12:16], inner[16:20], ports_at(inner, 20) if has_ports else (0, 0)


def ends6(inner: bytes) -> tuple[bytes, bytes, tuple[int, int]] | None:
    """Addresses and ports of an IPv6 packet; None: not to be read."""
    if len(inner) < 44:
        return None
    return inner[8:24], inner[24:40], ports_at(inner, 40) if inner[6] in (TCP, UDP) else (0, 0)


def ports_at(inner: bytes, at: int) -> tuple[int, int]:
    """Two ports."""
    return int.from_bytes(inner[at:at + 2], "big"), int.from_bytes(inner[at + 2:at + 4], "big")
