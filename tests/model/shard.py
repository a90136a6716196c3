"""Shard, slowly: which worker packets between two ends belong to."""

from ipaddress import ip_address

WORD = 0xFFFF_FFFF


def shard_of(count: int, source, source_port: int, destination, destination_port: int) -> int:
    """See fastpath.shard."""
    if not 1 <= count <= 32:
        raise ValueError(f"count must be 1 to 32, not {count}")
    ends = [(ip_address(source), source_port), (ip_address(destination), destination_port)]
    if len({address.version for address, _ in ends}) != 1:
        raise ValueError(f"source and destination must be of one family, not {source} and {destination}")
    total = 0
    for address, port in ends:
        if not 0 <= port <= 0xFFFF:
            raise ValueError(f"port must be 0 to 65535, not {port}")
        word = 0
        for at in range(0, len(address.packed), 4):
            word = (word * 0x0100_0193 + int.from_bytes(address.packed[at:at + 4], "big")) & WORD
        total += mixed((word + port * 0x9E37_79B1) & WORD)
    return ((total & WORD) >> 16) * count >> 16


def mixed(word: int) -> int:
    """A word whose every bit depends on every bit of another."""
    word = (word ^ word >> 16) * 0x7FEB_352D & WORD
    word = (word ^ word >> 15) * 0x846C_A68B & WORD
    return word ^ word >> 16
