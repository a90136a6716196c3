"""Invariant: on any bytes packet and flowkey give what their references give; clamping keeps lengths and sums as they were.

    python -m tests.fuzz.fuzz_packet --seconds 60 --seed 1
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from fastpath import flowkey, packet
from fastpath.batch import PacketBatch
from fuzz.mutation import compared, fuzz
from model import checksum as checksum_model
from model import flowkey as flowkey_model
from model import packet as packet_model

COLUMNS = ("ip_version", "protocol", "fragment", "tcp_flags", "l4_start", "inner_length", "source", "destination",
           "source_port", "destination_port", "key", "hash", "direction")  # fmt: skip
SEED = bytes(range(32))
TCP_SYN = "9c40 01bb 00000000 00000000 8002 ffff 0000 0000 020405b4 01 03 03 07 0402 0000"
SEEDS = [bytes.fromhex(text) for text in (
    # IPv4 with and without options, whole and in fragments; TCP, UDP, ICMP, GRE
    "45 00 0034 0001 0000 40 06 0000 0a080604 cb00710a" + TCP_SYN,
    "46 00 0025 0001 0000 40 11 0000 0a080604 cb00710a 94040000 03e8 0035 000d 0000 68656c6c6f",
    "45 00 0021 0001 2000 40 11 0000 0a080604 cb00710a 03e8 0035 000d 0000 68656c6c6f",
    "45 00 0021 0001 2007 40 11 0000 0a080604 cb00710a 03e8 0035 000d 0000 68656c6c6f",
    "45 00 001c 0001 0000 40 01 0000 0a080604 cb00710a 08 00 0000 004d 0001",
    "45 00 0018 0001 0000 40 2f 0000 0a080604 cb00710a 00000800",
    # IPv6: TCP; hop-by-hop, routing, destination options, UDP; fragments; AH before ICMPv6; no next header
    "60000000 0020 06 40" + "fd00" + "00" * 13 + "01" + "fd00" + "00" * 13 + "02" + TCP_SYN,
    "60000000 0020 00 40" + "00" * 15 + "01" + "00" * 15 + "02" + "2b00000000000000 3c00000000000000"
    "1100000000000000 03e8003500080000",
    "60000000 0010 2c 40" + "00" * 15 + "01" + "00" * 15 + "02" + "1100000100000001 03e8003500080000",
    "60000000 0010 2c 40" + "00" * 15 + "01" + "00" * 15 + "02" + "1100000900000001 03e8003500080000",
    "60000000 0014 33 40" + "00" * 15 + "01" + "00" * 15 + "02" + "3a01000000000001 00000001 8000000000630001",
    "60000000 0000 3b 40" + "00" * 15 + "01" + "00" * 15 + "02",
)]  # fmt: skip


def check(packets: list[bytes], fast: PacketBatch, slow: PacketBatch) -> None:
    """Hold the invariant for a batch of packets."""
    for batch, first, second in ((fast, packet, flowkey), (slow, packet_model, flowkey_model)):
        n = batch.load(packets)
        batch.inner_start[:n], batch.inner_length[:n], batch.namespace[:n] = batch.start[:n], batch.length[:n], 7
        first.parse_batch(batch)
        second.build_batch(batch, second.Secret(SEED))
    compared(fast, slow, COLUMNS)
    packet.clamp_mss_batch(fast, 1400)
    for i, data in enumerate(packets):
        after = fast.frame(i)
        changed = {at for at in range(len(data)) if after[at] != data[at]}
        assert len(after) == len(data) and len(changed) <= 4, f"clamping {data.hex()} gave {after.hex()}"
        assert not changed or (fast.reason[i] == 0 and fast.tcp_flags[i] & 2), f"clamping changed {data.hex()}"
        # The addresses stay, so the pseudo-header may be left out; 0 and 0xFFFF are one sum.
        if changed:
            segment = slice(int(fast.l4_start[i] - fast.start[i]), int(fast.inner_length[i]))
            before, now = (checksum_model.checksum(packet_bytes[segment]) % 0xFFFF for packet_bytes in (data, after))
            assert before == now, f"clamping {data.hex()} made its sum {now:04x} of {before:04x}"


if __name__ == "__main__":
    sys.exit(fuzz(__doc__.splitlines()[0], SEEDS, check))
