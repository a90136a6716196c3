"""Invariant: whatever frames, device packets, tunnel datagrams, commands and edits arrive in whatever order, a worker's turn
ends, no flow outlives its binding nor a binding its flow, no flow goes uncounted, and a genuine packet gets through.

    python -m tests.fuzz.fuzz_worker --seconds 60 --seed 1

Runs in namespaces of its own. The seed makes a run repeatable; a failure prints the round and what it was made of, and exits 1.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import traceback
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6

from fastpath import gwlb
from fastpath.batch import PacketBatch
from fastpath.message import Command, command, drain
from fuzz.mutation import mutate
from inner_packets import DNS_PORT, TCP_PORT, UDP_PORT, WORKLOAD, WORKLOAD6, echo, pieces, tcp, udp
from worker_rig import APPLICATION, EGRESS4, EGRESS6, INTERNAL, REMOTE, REMOTE6, RULES, WorkerRig, tunnelled
from zcc.lab.namespaces import isolate

FLOWS, SLOTS, KEPT = 32, 2, 200
GENUINE = udp("10.8.9.9", "10.8.7.7", 9, 9, b"genuine")
PORTS = (7, 9, 53, 80, 443)
ANYWHERE, ANYWHERE6, STRAY = "192.0.2.1", "2001:db8:9::1", "10.254.0.77"
DESTINATIONS = ("10.8.7.4", REMOTE, ANYWHERE, str(APPLICATION), STRAY, "203.0.113.66", str(INTERNAL[1]), str(INTERNAL[2]))
POLICIES = (RULES, RULES, [], *([{"name": "all", "method": method}] for method in ("ZPA", "DROP", "LOCAL", "DIRECT")),
            [{"name": "all", "method": "DROP", "reject": True}])


class Attack:
    """One worker and what has been seen of it."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        # One row alone, so that a sanitizer sees the end of it; a small ring, so that it is full at times.
        batch = PacketBatch(chance.choice((1, 16, 256)), chance.choice((2048, 9216)))
        self.rig = WorkerRig(flows=FLOWS, event_bytes=1 << 14, fail_open=chance.random() < 0.5, batch=batch,
                             midstream=chance.choice(("adopt", "reset", "drop")))
        self.seen: list[bytes] = [GENUINE]
        for slot in range(SLOTS):
            self.rig.attach(slot)
        self.moves: tuple[Callable[[], None], ...] = (
            self.workload, self.workload, self.workload, self.kernel, self.kernel, self.edge, self.edge, self.word,
            self.edit, self.tunnel)

    def round(self) -> None:
        """Make some moves, take a turn, and look at what is left."""
        for _ in range(self.chance.randrange(1, 12)):
            self.chance.choice(self.moves)()
        self.rig.step(self.chance.choice((0, 0, 0, 0.1, 3, 31, 500)))
        self.collect()
        rig = self.rig
        counts = rig.worker.counters()
        held = sum(bool(entry["state"] & 32) for entry in rig.flows.entries_view if entry["used"])     # FLOW_BOUND
        assert rig.nat.size == held, f"{rig.nat.size} bindings, {held} flows that hold one"
        assert counts["opened"] - counts["closed"] == rig.flows.size <= FLOWS
        assert counts["closed"] >= counts["evicted"]

    def collect(self) -> None:
        """Keep what came out, to be answered and spoilt."""
        rig = self.rig
        for packet in (*rig.to_kernel(), *(frame[28:] for slot in range(SLOTS) for frame in rig.to_edge(slot))):
            self.seen.append(packet)
        for frame in rig.to_workload():
            self.seen.append(frame[40:])
        if self.chance.random() < 0.7:
            for event in drain(rig.events):
                if event.header and self.chance.random() < 0.5:
                    kind = self.chance.choice((Command.COMMAND_RESUME, Command.COMMAND_DELIVER))
                    command(rig.commands, kind, packet=event.packet, header=event.header,
                            peer=(event.peer_address, event.peer_port))
        del self.seen[:-KEPT]
        self.seen = [packet for packet in self.seen if packet] or [GENUINE]

    def packet(self, sources: tuple[str, ...], destinations: tuple[str, ...]) -> bytes:
        """Make a packet, often spoilt."""
        chance = self.chance
        source, destination = chance.choice(sources), chance.choice(destinations)
        ports = chance.choice((53, 4000, 4001, 5000)), chance.choice((*PORTS, 4000, TCP_PORT, UDP_PORT, DNS_PORT))
        made = chance.choice((
            lambda: udp(source, destination, *ports, bytes(chance.choice((0, 5, 1400, 8000)))),
            lambda: tcp(source, destination, *ports, chance.choice(("S", "SA", "A", "PA", "FA", "R"))),
            lambda: echo(source, destination, chance.randrange(3)),
        ))()
        if ":" not in source and chance.random() < 0.15:
            made = chance.choice(pieces(made, 600))
        return mutate(chance, made) if chance.random() < 0.4 and len(made) < 800 else made

    def answer(self) -> bytes:
        """Turn something seen round: ends exchanged, maybe spoilt."""
        packet = bytearray(self.chance.choice(self.seen))
        if packet[0] >> 4 == 4 and len(packet) >= 28:
            packet[12:16], packet[16:20] = packet[16:20], packet[12:16]
            packet[20:22], packet[22:24] = packet[22:24], packet[20:22]
        elif len(packet) >= 48:
            packet[8:24], packet[24:40] = packet[24:40], packet[8:24]
            packet[40:42], packet[42:44] = packet[42:44], packet[40:42]
        return mutate(self.chance, packet) if self.chance.random() < 0.2 and len(packet) < 800 else bytes(packet)

    def error(self) -> bytes:
        """An ICMP error to the sender of something seen, maybe spoilt."""
        about = self.chance.choice(self.seen)
        if about[0] >> 4 == 4 and len(about) >= 20:
            kind = ICMP(type=self.chance.choice((3, 4, 5, 11, 12)), code=4)
            body = bytes(IP(src=ANYWHERE, dst=IP(about).src) / kind / about[:548])
        else:
            target = str(ip_address(about[8:24])) if len(about) >= 40 else ANYWHERE6
            body = bytes(IPv6(src=ANYWHERE6, dst=target) / ICMPv6PacketTooBig() / about[:1232])
        return mutate(self.chance, body) if self.chance.random() < 0.3 and len(body) < 800 else body

    def workload(self) -> None:
        """A Geneve frame."""
        inner = self.chance.choice((
            lambda: self.packet((WORKLOAD, "10.8.6.5"), DESTINATIONS),
            lambda: self.packet((WORKLOAD6,), ("fd00:8::7", REMOTE6, ANYWHERE6, "::ffff:10.254.0.9")),
            self.answer, self.error))()
        header = gwlb.header(self.chance.choice((0xAAA, 0xBBB, 0xCCC)), 2, self.chance.randrange(4), 4)
        if self.chance.random() < 0.2:
            header = mutate(self.chance, header)
        self.rig.from_gwlb(header + inner)

    def kernel(self) -> None:
        """A packet from the device."""
        aliases = tuple(str(INTERNAL[number]) for number in range(1, 5))
        inner = self.chance.choice((
            lambda: self.packet(aliases, (ANYWHERE, REMOTE, "10.8.7.4", *aliases)),
            lambda: self.packet((REMOTE,), (str(EGRESS4),)),
            lambda: self.packet((REMOTE6,), (str(EGRESS6),)),
            self.answer, self.answer, self.error))()
        if inner:
            self.rig.kernel_sends(inner)

    def edge(self) -> None:
        """A datagram over a tunnel's wire: a record or nonsense."""
        slot = self.chance.randrange(SLOTS)
        packet = self.chance.choice((self.answer, self.answer, self.error))()
        frame = tunnelled(packet or b"\x45", self.chance.choice((1, 1, 2, 0xFFFF, 0x10001)))
        if self.chance.random() < 0.3:
            frame = mutate(self.chance, frame[:800])
        datagram = self.rig.edges[slot].seal(frame or b"\0") or b""
        if self.chance.random() < 0.1:
            datagram = mutate(self.chance, datagram[:800])
        if datagram:
            self.rig.edge_sends(datagram, slot)

    def word(self) -> None:
        """A command."""
        chance = self.chance
        kind = chance.choice((*Command, Command.COMMAND_LEARN, Command.COMMAND_RESET))
        if kind in (Command.COMMAND_EXCHANGE, Command.COMMAND_TUNNEL_DETACH, Command.COMMAND_DRAIN) and chance.random() < 0.9:
            return
        if kind == Command.COMMAND_EXCHANGE:
            self.rig.worker.exchange(lambda: None)
            return
        command(self.rig.commands, kind, namespace=chance.choice((1, 2, 0xFFFF)), slot=chance.choice((0, 1, 7, 8, 255)),
                packet=chance.choice((b"", self.answer(), bytes(chance.randrange(9217)))),
                header=chance.choice((b"", gwlb.header(0xAAA, 2, 3, 4), chance.randbytes(48))), peer=(0x7F000005, 6081),
                address=ip_address(chance.choice(DESTINATIONS)), value=chance.choice((0, 1, self.rig.portal)),
                until_ns=chance.choice((0, 1 << 62)),
                bound=(chance.choice((6, 17)), INTERNAL[chance.randrange(6)], chance.choice((4000, 4001, 5000))))

    def edit(self) -> None:
        """Another policy, now and then."""
        if self.chance.random() < 0.2:
            self.rig.edit(self.chance.choice(POLICIES))

    def tunnel(self) -> None:
        """An edge says goodbye, or comes back."""
        if self.chance.random() < 0.05:
            slot = self.chance.randrange(SLOTS)
            goodbye = self.rig.edges[slot].close()
            if goodbye:
                self.rig.edge_sends(goodbye, slot)
            self.rig.step()
            self.rig.attach(slot)

    def genuine(self) -> None:
        """A packet that must come back as it was."""
        rig = self.rig
        command(rig.commands, Command.COMMAND_DRAIN, value=0)
        rig.edit(RULES)
        for _ in range(40):      # a turn carries out one exchange, and a batch may be one row
            rig.step()
        rig.to_workload()
        rig.from_workload(GENUINE)
        assert [frame[40:] for frame in rig.to_workload()] == [GENUINE], "the genuine packet did not come back"


def attack(seconds: float, seed: int) -> int:
    """Attack until the time is over; return the exit code."""
    chance, rounds = random.Random(seed), 0
    made = Attack(chance)
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            made.round()
            rounds += 1
            if rounds % 50 == 0:
                made.genuine()
    except BaseException:
        traceback.print_exc()
        last = [packet.hex() for packet in made.seen[-10:]]
        print(f"seed {seed}, round {rounds}; seen last:", *last, sep="\n", file=sys.stderr)
        return 1
    print(f"{rounds} rounds, no failure; dropped {made.rig.drops()}, events lost {made.rig.events.lost}", flush=True)
    return 0


def main() -> int:
    """Attack in a world of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    return isolate(lambda: attack(options.seconds, options.seed))


if __name__ == "__main__":
    sys.exit(main())
