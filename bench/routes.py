"""Routes and addresses for the lpm benches: a real table when there is one, else one that looks like it.

$ZCC_BENCH_PREFIXES names a text file (or .gz) with one prefix a line, IPv4 and IPv6 mixed.
"""

from __future__ import annotations

import gzip
import os
import socket
from pathlib import Path

import numpy as np
import numpy.typing as npt

Arrays = tuple[npt.NDArray[np.integer], npt.NDArray[np.uint8], npt.NDArray[np.uint32]]

# Share of each length in a tier-1 router's table, in thousandths.
LENGTHS = {4: {16: 15, 17: 9, 18: 15, 19: 28, 20: 47, 21: 56, 22: 120, 23: 107, 24: 600, 13: 1, 14: 1, 32: 1},
           6: {29: 27, 32: 141, 33: 18, 34: 16, 36: 37, 40: 84, 42: 14, 44: 90, 46: 19, 47: 20, 48: 471, 64: 1, 28: 2, 38: 10}}
ROUTES = {4: 900_000, 6: 160_000}
NEXT_HOPS = 200


def table(version: int, quick: bool) -> Arrays:
    """Addresses (IPv4 uint32[n], IPv6 uint8[n, 16]), lengths and values."""
    path = os.environ.get("ZCC_BENCH_PREFIXES")
    addresses, lengths = read(Path(path), version) if path else generate(version, ROUTES[version] // (10 if quick else 1))
    values = np.random.default_rng(1).integers(1, NEXT_HOPS, len(lengths)).astype(np.uint32)
    return addresses, lengths, values


def read(path: Path, version: int) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.uint8]]:
    """The prefixes of one family in a file."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        pairs = [line.strip().split("/") for line in lines if (":" in line) == (version == 6)]
    packed = b"".join(socket.inet_pton(family, address) for address, _ in pairs)
    return unpack(packed, version), np.array([length for _, length in pairs], np.uint8)


def generate(version: int, n: int) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.uint8]]:
    """n prefixes clustered in registries' blocks, lengths as LENGTHS says."""
    rng = np.random.default_rng(2)
    shares = np.array(list(LENGTHS[version].values()), float)
    lengths = rng.choice(list(LENGTHS[version]), n, p=shares / shares.sum()).astype(np.uint8)
    packed = rng.integers(0, 256, (n, 4 if version == 4 else 16)).astype(np.uint8)
    if version == 4:
        packed[:, 0] = rng.integers(1, 224, n)
    else:                                       # 2000::/3, 6,000 providers, customers numbered from the start
        provider = rng.integers(0, 6000, n)
        packed[:, 0], packed[:, 1] = 0x20 + provider % 16, provider % 7
        packed[:, 2], packed[:, 3] = provider >> 5 & 255, provider << 3 & 255
        packed[:, 4:6] = (rng.integers(0, 65536, n) >> rng.integers(0, 12, n)).astype(">u2")[:, None].view(np.uint8)
    packed &= masks(lengths, packed.shape[1])
    return unpack(packed.tobytes(), version), lengths


def masks(lengths: npt.NDArray[np.uint8], width: int) -> npt.NDArray[np.uint8]:
    """The network masks of these lengths, uint8[n, width]."""
    return np.packbits(np.arange(8 * width)[None, :] < lengths[:, None], axis=1)


def unpack(packed: bytes, version: int) -> npt.NDArray[np.integer]:
    """Addresses in the form that the tables take."""
    if version == 4:
        return np.frombuffer(packed, ">u4").astype(np.uint32)
    return np.frombuffer(packed, np.uint8).reshape(-1, 16).copy()


def queries(version: int, routes: Arrays, n: int) -> dict[str, npt.NDArray[np.integer]]:
    """n addresses of each kind: uniform (IPv6: in 2000::/3), prefix (inside announced ones), local16k (16,384 of those)."""
    rng = np.random.default_rng(3)
    chosen = rng.integers(0, len(routes[1]), n)
    width = 4 if version == 4 else 16
    network = routes[0][chosen].astype(">u4").view(np.uint8).reshape(-1, 4) if version == 4 else routes[0][chosen]
    host = rng.integers(0, 256, (n, width)).astype(np.uint8)
    inside = unpack((network | host & ~masks(routes[1][chosen], width)).tobytes(), version)
    kinds = {"prefix": inside, "local16k": inside[:16384][rng.integers(0, min(n, 16384), n)]}
    anywhere = rng.integers(0, 256, (n, width)).astype(np.uint8)
    if version == 6:
        anywhere[:, 0] = anywhere[:, 0] & 0x1F | 0x20
    return {"uniform": unpack(anywhere.tobytes(), version), **kinds}
