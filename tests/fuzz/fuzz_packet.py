"""Invariant: on any bytes fastpath.packet and flowkey write what their references write, and clamping keeps lengths and sums.

    python -m tests.fuzz.fuzz_packet --seconds 60 --seed 1

Packets are scapy's with bytes changed, cut, repeated or put in; the seed makes a run repeatable. A batch is used again and
again, so what an earlier packet left behind would show. A failure prints the batch in hexadecimal and exits 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
)

from fastpath import flowkey, packet
from fastpath.batch import PacketBatch
from model import checksum as sums
from model import flowkey as flowkey_reference
from model import packet as reference

INTERESTING = (0, 1, 4, 5, 6, 8, 17, 20, 40, 43, 44, 51, 58, 60, 0x20, 0x45, 0x46, 0x4F, 0x60, 0x7F, 0x80, 0xFF)
ROWS, ROOM, MTU = 16, 1024, 1400
SEED = bytes(range(32))
COLUMNS = ("ip_version", "protocol", "fragment", "tcp_flags", "l4_start", "inner_length", "source_port", "destination_port",
           "hash", "direction")
WIDE = ("source", "destination", "key")


def seeds() -> list[bytes]:
    """Packets to start from: each transport in each family, with and without what may stand between."""
    mss = [("NOP", None), ("MSS", 8460), ("SAckOK", b"")]
    transports = [TCP(sport=1, dport=2, flags="S", options=mss), TCP(flags="FA") / b"x", UDP(sport=3, dport=4) / b"yy"]
    made = [family / transport for transport in transports for family in (
        IP(), IP(options=IPOption_RR()), IP(flags="MF"), IPv6(), IPv6() / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt(),
        IPv6() / IPv6ExtHdrRouting(addresses=["::1"]), IPv6() / IPv6ExtHdrFragment(m=1))]
    made += [IP(frag=7, proto=17) / b"in the middle of it", IPv6() / IPv6ExtHdrFragment(offset=9, nh=6) / b"later bytes",
             IP() / ICMP(id=77), IP() / ICMP(type=3) / bytes(28), IPv6() / ICMPv6EchoRequest(id=9), IP(proto=47) / b"gre",
             IPv6(nh=51) / (bytes([6, 2]) + bytes(14)) / TCP()]
    return [bytes(each) for each in made]


def mutate(chance: random.Random, data: bytes) -> bytes:
    """Change a packet in up to four places, mostly in its headers."""
    changed = bytearray(data)
    for _ in range(chance.randrange(5)):
        at = chance.randrange(min(len(changed), 80) + 1)
        kind = chance.randrange(6)
        if kind <= 2 and changed:
            changed[at % len(changed)] = chance.choice(INTERESTING) if kind else chance.randrange(256)
        elif kind == 3:
            del changed[at:at + chance.randrange(12)]
        elif kind == 4:
            changed[at:at] = changed[chance.randrange(len(changed) + 1):][:8 * chance.randrange(4)]
        else:
            changed[at:at] = chance.randbytes(chance.randrange(9))
    return bytes(changed[:ROOM // 2])


def check(used: PacketBatch, packets: list[bytes], namespace: int) -> None:
    """Hold the invariant for one batch.

    Args:
        used: a batch that held other packets before.
    Raises:
        AssertionError: it does not hold.
    """
    fresh = PacketBatch(ROWS, ROOM)
    for batch, parser, keys in ((used, packet, flowkey), (fresh, reference, flowkey_reference)):
        batch.load(packets)
        batch.inner_start[:], batch.inner_length[:], batch.namespace[:] = batch.start, batch.length, namespace
        alive = parser.parse_batch(batch)
        assert alive == batch.alive() == keys.build_batch(batch, keys.Secret(SEED)), f"{alive} rows alive, not {batch.alive()}"
    for i in range(len(packets)):
        assert used.reason[i] == fresh.reason[i], f"row {i}: reason {used.reason[i]}, not {fresh.reason[i]}"
        for column in COLUMNS if not fresh.reason[i] else ():
            mine, theirs = getattr(used, column)[i], getattr(fresh, column)[i]
            assert mine == theirs, f"row {i}: {column} {mine}, not {theirs}"
        for column in WIDE if not fresh.reason[i] else ():
            mine, theirs = getattr(used, column)[i].tobytes(), getattr(fresh, column)[i].tobytes()
            assert mine == theirs, f"row {i}: {column} {mine.hex()}, not {theirs.hex()}"
    check_clamping(used, packets)


def check_clamping(batch: PacketBatch, packets: list[bytes]) -> None:
    """Clamp the parsed batch: only a SYN changes, and neither its length nor the sum over the segment does."""
    packet.clamp_mss_batch(batch, MTU)
    for i, before in enumerate(packets):
        after = batch.frame(i)
        assert len(after) == len(before), f"row {i}: clamping changed the length"
        if after == before:
            continue
        assert not batch.reason[i] and batch.protocol[i] == 6 and batch.tcp_flags[i] & 2, f"row {i}: clamped and no SYN"
        begin, end = int(batch.l4_start[i] - batch.start[i]), int(batch.inner_length[i])
        # Source and destination are the same before and after, so the pseudo-header may be left out. 0 and 0xFFFF are one sum.
        old, new = (sums.checksum(data[begin:end]) % 0xFFFF for data in (before, after))
        assert old == new, f"row {i}: the segment's sum is {new:04x} and was {old:04x}"


def main() -> int:
    """Fuzz for a time; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    chance, corpus, used, tried = random.Random(arguments.seed), seeds(), PacketBatch(ROWS, ROOM), 0
    end = time.monotonic() + arguments.seconds
    while time.monotonic() < end:
        packets = [mutate(chance, chance.choice(corpus)) for _ in range(chance.randrange(1, ROWS + 1))]
        try:
            check(used, packets, chance.randrange(65536))
        except Exception as error:
            print(f"after {tried} packets, {[data.hex() for data in packets]}:\n{error!r}", file=sys.stderr)
            return 1
        tried += len(packets)
    print(f"{tried} packets, seed {arguments.seed}: the invariant held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
