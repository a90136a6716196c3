"""Small fixed inputs for three kernels, run by callgrind.py under valgrind: `python -m bench.kernels NAME`.

Nothing but these files' inputs is in the counts; the benches proper may change their cases freely.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np

from fastpath import flowtable, geneve, gwlb, lpm, packet
from fastpath.batch import PacketBatch

ROWS = 256
TURNS = 8
LPM_ROUTES, LPM_QUERIES = 20_000, 8192
FLOWS = 8192
ROOM = 512
# IPv4 TCP with data, IPv4 UDP with an option, IPv6 TCP; the options of GWLB before each.
INNER = tuple(bytes.fromhex(text) for text in (
    "45000034000140004006000 00a080604cb00710a".replace(" ", "") + "9c4001bb00000000000000005010ffff00000000" + "00" * 12,
    "4600002500010000401100000a080604cb00710a94040000" + "03e80035000d000068656c6c6f",
    "6000000000140640" + "fd" + "00" * 14 + "01fd" + "00" * 14 + "02" + "9c4001bb00000000000000005010ffff00000000",
))


def lpm4() -> int:
    """Look up addresses, three of four inside a route; return how many."""
    rng = np.random.default_rng(1)
    lengths = rng.choice(np.array([12, 16, 20, 22, 23, 24, 24, 24, 28], np.uint8), LPM_ROUTES)
    networks = rng.integers(1 << 24, 224 << 24, LPM_ROUTES).astype(np.uint32) & ~((1 << 32 - lengths.astype(np.int64)) - 1)
    table = lpm.Lpm4()
    table.replace_arrays(networks.astype(np.uint32), lengths, np.arange(1, LPM_ROUTES + 1, dtype=np.uint32))
    inside = networks[rng.integers(0, LPM_ROUTES, LPM_QUERIES)] | rng.integers(0, 256, LPM_QUERIES)
    wanted = np.where(np.arange(LPM_QUERIES) % 4 == 0, rng.integers(0, 1 << 32, LPM_QUERIES), inside).astype(np.uint32)
    out = np.zeros(LPM_QUERIES, np.uint32)
    for _ in range(TURNS):
        table.lookup_batch(wanted, out)
    return TURNS * LPM_QUERIES


def flow() -> int:
    """Look up flows in a table half full, one of eight not there; return how many."""
    table, batch = flowtable.FlowTable(2 * FLOWS), PacketBatch(ROWS, ROOM)
    for begin in range(0, FLOWS, ROWS):
        keyed(batch, np.arange(begin, begin + ROWS))
        table.insert_misses(batch, 1)
    rng = np.random.default_rng(2)
    for _ in range(TURNS):
        keyed(batch, np.where(np.arange(ROWS) % 8 == 0, FLOWS, 0) + rng.integers(0, FLOWS, ROWS))
        table.lookup_batch(batch)
    return TURNS * ROWS


def keyed(batch: PacketBatch, numbers: np.ndarray) -> None:
    """Give the rows the keys and hashes of these flows."""
    batch.reset(len(numbers))
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ mixed >> np.uint64(32)) * np.uint64(0xD6E8FEB86659FD93)
    batch.hash[:] = mixed ^ mixed >> np.uint64(32)
    batch.key[:, :8] = mixed.view(np.uint8).reshape(-1, 8)
    batch.entry[:] = -1


def decode() -> int:
    """Read the Geneve header, GWLB's options and the inner packet; return how many."""
    batch = PacketBatch(ROWS, ROOM)
    batch.load([gwlb.header(0x0AAA_AAAA_AAAA_AAA0 + i % 8, i, i * 7919, 4) + INNER[i % 3] for i in range(ROWS)])
    for _ in range(TURNS):
        geneve.decode_batch(batch)
        gwlb.decode_batch(batch)
        packet.parse_batch(batch)
    if int((batch.reason[:] != 0).sum()):
        raise RuntimeError("a packet of the kernel's own was refused")
    return TURNS * ROWS


KERNELS: dict[str, Callable[[], int]] = {"lpm4-lookup": lpm4, "flow-lookup": flow, "geneve-packet-decode": decode}
# What is counted, from entry to return: the functions of Python's side, in callgrind's patterns.
COUNTED = {
    "lpm4-lookup": ("__pyx_pw_8fastpath_3lpm_4Lpm4_*lookup_batch*",),
    "flow-lookup": ("__pyx_pw_8fastpath_9flowtable_9FlowTable_*lookup_batch*",),
    "geneve-packet-decode": ("__pyx_pw_8fastpath_6geneve_*decode_batch*", "__pyx_pw_8fastpath_4gwlb_*decode_batch*",
                             "__pyx_pw_8fastpath_6packet_*parse_batch*"),
}

if __name__ == "__main__":
    print(KERNELS[sys.argv[1]]())
