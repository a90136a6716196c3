"""Prefixes and addresses as people give them, made into the numbers that fastpath.lpm keeps. Pure Python, never per packet.

A key is (high, low, length): up to 128 bits left-aligned in two 64-bit words. Called by fastpath.lpm only.
"""

from __future__ import annotations

import ipaddress
import operator
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Prefix = Network | str | tuple[int, int]
Words = npt.NDArray[np.uint64]
WORD = (1 << 64) - 1


def check_value(value: int, name: str) -> int:
    """Return a value that fits a table.

    Raises:
        TypeError: no int.
        ValueError: more than 32 bits.
    """
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}") from None
    if not 0 <= number <= 0xFFFFFFFF:
        raise ValueError(f"{name} must be 0 to 4294967295, not {value}")
    return number


def parse_prefix(prefix: Prefix, bits: int) -> tuple[int, int, int]:
    """Return (high, low, length).

    Args:
        prefix: a network, its text, or (address as int, length).
        bits: of an address, 32 or 128.
    Raises:
        ValueError: not a prefix of this family, or host bits set.
    """
    if isinstance(prefix, tuple):
        if len(prefix) != 2:
            raise ValueError(f"prefix {prefix!r}: must be (address, length)")
        try:
            address, length = map(operator.index, prefix)       # of NumPy too, whose own arithmetic would lose bits
        except TypeError:
            raise TypeError(f"prefix {prefix!r}: address and length must be ints") from None
    else:
        network = network_in(prefix) if isinstance(prefix, str) else prefix
        if not isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network):
            raise TypeError(f"prefix must be a network, a str or (address, length), not {type(prefix).__name__}")
        if network.max_prefixlen != bits:
            raise ValueError(f"prefix {prefix!s} is not of {bits}-bit addresses")
        address, length = int(network.network_address), operator.index(network.prefixlen)
    if not 0 <= length <= bits:
        raise ValueError(f"prefix {prefix!r}: length must be 0 to {bits}")
    if not 0 <= address < 1 << bits:
        raise ValueError(f"prefix {prefix!r}: address must have at most {bits} bits")
    if address & ((1 << (bits - length)) - 1):
        raise ValueError(f"prefix {prefix!r}: host bits set")
    address <<= 128 - bits
    return address >> 64, address & WORD, length


def network_in(text: str) -> Network:
    """The network that a str says."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ValueError(f"prefix {text!r}: {error}") from None


def network_of(high: int, low: int, length: int, bits: int) -> Network:
    """The network of a key."""
    address = (high << 64 | low) >> (128 - bits)
    return ipaddress.IPv4Network((address, length)) if bits == 32 else ipaddress.IPv6Network((address, length))


def parse_address(address: Address | str | bytes | int, bits: int) -> int:
    """Return an address as a number.

    Raises:
        TypeError: nothing that could be an address.
        ValueError: not an address of this family.
    """
    try:
        if hasattr(type(address), "__index__"):
            address = (ipaddress.IPv4Address if bits == 32 else ipaddress.IPv6Address)(operator.index(address))
        elif isinstance(address, str | bytes):
            address = ipaddress.ip_address(address)
    except ValueError as error:
        raise ValueError(f"address {address!r} is none of {bits} bits: {error}") from None
    if not isinstance(address, ipaddress.IPv4Address | ipaddress.IPv6Address):
        raise TypeError(f"address must be an IP address, a str, bytes or an int, not {type(address).__name__}")
    if address.max_prefixlen != bits:
        raise ValueError(f"address {address!s} does not have {bits} bits")
    return int(address)


def columns_of(
    routes: Mapping[Prefix, int] | Iterable[tuple[Prefix, int]], bits: int
) -> tuple[Words, Words, npt.NDArray[np.uint8], npt.NDArray[np.uint32]]:
    """Return (high, low, lengths, values) of pairs.

    Raises:
        TypeError: routes are no pairs.
        ValueError: a prefix or a value is wrong.
    """
    try:
        pairs = [(prefix, value) for prefix, value in (routes.items() if isinstance(routes, Mapping) else routes)]
    except (TypeError, ValueError) as error:
        raise TypeError(f"routes must be a mapping or (prefix, value) pairs: {error}") from None
    keys = [parse_prefix(prefix, bits) for prefix, _ in pairs]
    values = [check_value(value, "a value of routes") for _, value in pairs]
    high, low, lengths = zip(*keys, strict=True) if keys else ((), (), ())
    return np.array(high, np.uint64), np.array(low, np.uint64), np.array(lengths, np.uint8), np.array(values, np.uint32)


def words_of(addresses: npt.NDArray[np.integer]) -> tuple[Words, Words]:
    """Return (high, low) of IPv4 addresses, uint32[n], or IPv6 addresses, uint8[n, 16]."""
    if addresses.ndim == 1:
        return addresses.astype(np.uint64) << np.uint64(32), np.zeros(len(addresses), np.uint64)
    halves = addresses.view(">u8").astype(np.uint64)
    return halves[:, 0].copy(), halves[:, 1].copy()


def check_columns(high: Words, low: Words, lengths: npt.NDArray[np.uint8], n_values: int, bits: int) -> None:
    """Refuse columns that differ in size, lengths out of range, and host bits.

    Raises:
        ValueError: naming the first wrong element.
    """
    if not len(high) == len(lengths) == n_values:
        raise ValueError(f"addresses, lengths and values must be equally many, not {len(high)}, {len(lengths)} and {n_values}")
    if (lengths > bits).any():
        at = int(np.argmax(lengths > bits))
        raise ValueError(f"lengths[{at}] must be at most {bits}, not {lengths[at]}")
    whole = lengths.astype(np.int64)
    wrong = (high & tail_mask(whole) | low & tail_mask(whole - 64)) != 0
    if wrong.any():
        raise ValueError(f"addresses[{int(np.argmax(wrong))}]: host bits set")


def tail_mask(lengths: npt.NDArray[np.int64]) -> Words:
    """The bits of a word behind its first `lengths`, which may be below 0 or above 64."""
    within = np.clip(lengths, 0, 64)
    some = (np.uint64(1) << (64 - np.maximum(within, 1)).astype(np.uint64)) - np.uint64(1)
    return np.where(within == 0, np.uint64(WORD), some)


def order_of(high: Words, low: Words, lengths: npt.NDArray[np.uint8], bits: int) -> npt.NDArray[np.intp]:
    """The order of address, then length; equal ones as they came."""
    if bits == 32:
        return np.argsort(high >> np.uint64(24) | lengths, kind="stable")
    return np.lexsort((lengths, low, high))
