"""Sets of prefixes for lpm4 and lpm6, other than a real table: `python -m bench.prefixes NAME > FILE`, one prefix a line.

The same set every time. `half` and `moved` are made from the file that $ZCC_BENCH_PREFIXES names, else from generated routes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address
from itertools import product
from random import Random

from bench import routes

GLOBAL = 1 << 125           # 2000::
Found = Iterator[tuple[int, int]]


def known(rng: Random, share: float, blocks: int) -> Found:
    """A share of the IPv6 routes there are, each block of so many bits moved as a whole to somewhere else in 2000::/3."""
    packed, lengths, _ = routes.table(6, quick=False)
    moved: dict[int, int] = {}
    below = 128 - blocks
    for row, length in zip(packed, lengths, strict=True):
        address = int.from_bytes(bytes(row))
        if rng.random() >= share:
            continue
        if length >= blocks:
            block = moved.setdefault(address >> below, rng.getrandbits(blocks - 3))
            address = GLOBAL | block << below | address & ((1 << below) - 1)
        yield address, int(length)


def small(rng: Random, n: int) -> Found:
    """n of the IPv6 routes there are."""
    yield from rng.sample(list(known(rng, 1, 128)), n)


def inside(rng: Random, bits: int, blocks: list[tuple[int, int]], lengths: range, n: int) -> Found:
    """n prefixes of these lengths anywhere in these blocks."""
    for _ in range(n):
        address, fixed = rng.choice(blocks)
        yield address | rng.getrandbits(bits - fixed), rng.choice(lengths)


def spread(rng: Random, length: int, n: int) -> list[tuple[int, int]]:
    """n blocks of this length anywhere in 2000::/3."""
    return [(GLOBAL | rng.getrandbits(length - 3) << 128 - length, length) for _ in range(n)]


def numbered(blocks: list[tuple[int, int]], length: int, n: int) -> Found:
    """The first n prefixes of this length in each block."""
    for (address, _), number in product(blocks, range(n)):
        yield address | number << 128 - length, length


def nested(rng: Random) -> Found:
    """Chains of 23 prefixes, each inside the one before."""
    for (address, _), length in product(spread(rng, 64, 3000), range(19, 65, 2)):
        yield address, length


def enterprise(rng: Random) -> Found:
    """A /32 with 200 regions (/40), of each some sites (/48), of each some buildings (/56), of each some networks (/64)."""
    blocks = spread(rng, 32, 1)
    for length, each in ((40, 200), (48, 8), (56, 4), (64, 4)):
        blocks = [(block >> 128 - fixed << 128 - fixed | rng.getrandbits(length - fixed) << 128 - length, length)
                  for block, fixed in blocks for _ in range(each)]
        yield from blocks


def local(rng: Random) -> Found:
    """400 private /48s (RFC 4193) and in each some /64s, numbered from its start."""
    sites = [(0xFD << 120 | rng.getrandbits(40) << 80, 48) for _ in range(400)]
    yield from sites
    yield from numbered(sites, 64, 10)


def tens(count: int) -> list[tuple[int, int]]:
    """The first /24s of 10.0.0.0/8."""
    return [(10 << 24 | number << 8, 24) for number in range(count)]


SETS: dict[str, tuple[int, Callable[[Random], Found]]] = {
    "half": (6, lambda rng: known(rng, 0.5, 24)),
    "moved": (6, lambda rng: known(rng, 1, 32)),
    "only32": (6, lambda rng: iter(spread(rng, 32, 60_000))),
    "only48": (6, lambda rng: iter(spread(rng, 48, 100_000))),
    "clustered48": (6, lambda rng: inside(rng, 128, spread(rng, 32, 5000), range(48, 49), 100_000)),
    "site48": (6, lambda rng: numbered(spread(rng, 32, 1), 48, 65_000)),
    "dense64": (6, lambda rng: numbered(spread(rng, 48, 200), 64, 500)),
    "sparse64": (6, lambda rng: inside(rng, 128, spread(rng, 48, 200), range(64, 65), 100_000)),
    "mixed": (6, lambda rng: inside(rng, 128, spread(rng, 19, 5000), range(19, 65), 100_000)),
    "nested": (6, nested),
    "sites48": (6, lambda rng: inside(rng, 128, spread(rng, 32, 20), range(48, 49), 20_000)),
    "sites48many": (6, lambda rng: inside(rng, 128, spread(rng, 32, 20), range(48, 49), 200_000)),
    "start52": (6, lambda rng: numbered(spread(rng, 32, 8), 52, 300)),
    "pools56": (6, lambda rng: numbered(spread(rng, 56, 5000), 64, 12)),
    "delegated56": (6, lambda rng: numbered(spread(rng, 40, 4), 56, 20_000)),
    "enterprise": (6, enterprise),
    "local": (6, local),
    "relay48": (6, lambda rng: inside(rng, 128, [(0x2002 << 112, 16)], range(48, 49), 20_000)),
    "anylength6": (6, lambda rng: inside(rng, 128, [(GLOBAL, 3)], range(29, 65), 50_000)),
    "hosts128": (6, lambda rng: numbered(spread(rng, 64, 1), 128, 2000)),
    "drawn128": (6, lambda rng: inside(rng, 128, spread(rng, 64, 1), range(128, 129), 20_000)),
    "lans128": (6, lambda rng: numbered(spread(rng, 64, 300), 128, 100)),
    "ten": (6, lambda rng: small(rng, 10)),
    "twenty": (6, lambda rng: small(rng, 20)),
    "hundred": (6, lambda rng: small(rng, 100)),
    "thousand": (6, lambda rng: small(rng, 1000)),
    "fivethousand": (6, lambda rng: small(rng, 5000)),
    "few4": (4, lambda rng: inside(rng, 32, [(10 << 24, 8)], range(24, 29), 200)),
    "long4": (4, lambda rng: inside(rng, 32, tens(3000), range(25, 33), 60_000)),
    "hosts4": (4, lambda rng: inside(rng, 32, tens(3500), range(32, 33), 300_000)),
    "networks4": (4, lambda rng: inside(rng, 32, tens(3500), range(28, 33), 100_000)),
    "anylength4": (4, lambda rng: inside(rng, 32, [(0, 0)], range(8, 33), 160_000)),
}


def prefixes(name: str) -> list[str]:
    """A set as text, without host bits, each prefix once.

    Raises:
        KeyError: there is no such set.
    """
    version, make = SETS[name]
    bits, text = (32, IPv4Address) if version == 4 else (128, IPv6Address)
    found = {(address >> bits - length << bits - length, length) for address, length in make(Random(7))}
    return [f"{text(address)}/{length}" for address, length in sorted(found)]


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in SETS:
        sys.exit(f"usage: python -m bench.prefixes {'|'.join(SETS)}")
    print("\n".join(prefixes(sys.argv[1])))
