"""Invariant: on any bytes geneve and gwlb give what their references give; what is read from a header, encoded, reads the same.

    python -m tests.fuzz.fuzz_geneve --seconds 60 --seed 1
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fastpath import geneve, gwlb
from fastpath.batch import PacketBatch
from fuzz.mutation import compared, fuzz
from model import geneve as geneve_model
from model import gwlb as gwlb_model

COLUMNS = ("geneve_start", "geneve_length", "geneve_flags", "vni", "inner_start", "inner_length")
GWLB_COLUMNS = (*COLUMNS, "endpoint", "attachment", "cookie")
INNER = bytes.fromhex("4500001d0001000040110000 0a080604 cb00710a 03e8 0035 0009 0000 68")
SEEDS = [
    gwlb.header(0xAAAAAAAAAAAAAAA1, 7, 9, 4) + INNER,
    gwlb.header(1, 2**64 - 1, 2**32 - 1, 6) + b"\x60" + bytes(39),
    geneve.encode_header() + INNER,
    geneve.encode_header([(0x0108, 3, b"cook"), (0xFFFF, 0x80, b""), (0x0108, 1, bytes(8)), (0x0108, 2, bytes(8))]) + INNER,
    geneve.encode_header([(0xFF5A, 0x11, bytes(16))], protocol=0, vni=2**24 - 1, flags=0x80),
    geneve.encode_header([(1, 2, bytes(124)), (3, 4, bytes(120))]) + INNER,
]


def check(packets: list[bytes], fast: PacketBatch, slow: PacketBatch) -> None:
    """Hold the invariant for a batch of packets."""
    for batch, first, second in ((fast, geneve, gwlb), (slow, geneve_model, gwlb_model)):
        batch.load(packets)
        first.decode_batch(batch)
        second.decode_batch(batch)
    compared(fast, slow, GWLB_COLUMNS)
    for packet in packets:
        options = geneve.decode_options(packet)
        assert options == geneve_model.decode_options(packet), f"options of {packet.hex()}: {options}"
        header = geneve.encode_header(options)
        assert header == geneve_model.encode_header(options), f"header of {options}: {header.hex()}"
        assert geneve.decode_options(header) == options, f"{options} read back from {header.hex()}"


if __name__ == "__main__":
    sys.exit(fuzz(__doc__.splitlines()[0], SEEDS, check))
