"""The whole way of a packet in memory: decode, parse, key, lookup, decide, encode, over flows at random.

    geneve ▶ gwlb ▶ place ▶ packet ▶ flowkey ▶ lookup ▶ decide ▶ encode

decide is the verdict (generation, action, way), the newest header kept, counters and last use; encode the outer headers.

`FLOWS-flows-BATCH`: fastpath.ingress, the worker's own walk, and egress's outer headers; one call each a batch. The frames are
put into the rows before, as a device does, and the clock rests meanwhile. `STAGE-BATCH`: the same run, the clock read around
each stage. Every flow is met with the same chance, so next to nothing of a table of a million is in a cache: the worst case.
The table has its memory from the start, in huge pages, as the connector's has.
The reference does the same with the models of these modules and a dictionary for the rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from ipaddress import ip_network
from time import perf_counter_ns

import numpy as np

from bench.harness import Case
from bench.traffic import ENDPOINTS, frames, receive
from fastpath import flowkey, geneve, gwlb, packet
from fastpath.admission import Admission
from fastpath.alias import AliasTable
from fastpath.batch import PacketBatch
from fastpath.egress import Egress
from fastpath.endpoint import EndpointMap
from fastpath.flowtable import FlowTable
from fastpath.ingress import Ingress
from fastpath.nametable import NameTable
from fastpath.nat import NatTable
from fastpath.ring import Ring
from fastpath.tunnels import Tunnels
from model import chain as reference
from zcc.connector.ruleset import build_ruleset
from zcc.policy.compile import compile_policy
from zcc.policy.model import Policy
from zcc.policy.names import NameBook

FLOWS, FLOWS_QUICK, FLOWS_REFERENCE = 1_000_000, 16_384, 4_096    # the reference's dictionary does not care
SIZES = (1, 32, 256)
PACKETS = 1 << 19               # drawn beforehand, then met again and again: half a packet a flow
SEED = bytes(range(32))
OWN, PORT = 0x0A63_0001, 6081
STEP_NS = 120                   # the clock's step a packet, so that as much of a second passes as the bar allows
POLICY = {"rules": [{"name": "east-west", "method": "LOCAL", "destinations": ["10.0.0.0/8", "fd00::/8"]}]}


def cases(quick: bool) -> Iterator[Case]:
    """The chain at three sizes of batch, its stages, the chain with IPv6 inside, and the reference."""
    flows = FLOWS_QUICK if quick else FLOWS
    for version, name in ((4, ""), (6, "-ipv6")):
        chain = Chain(flows, version)
        for size in SIZES if version == 4 else (256,):
            calls = max(1, (4096 if quick else 65536) // size)
            yield Case("fastpath", f"{flows}-flows-{size}{name}", "ns", calls * size,
                       partial(chain.timed, size, calls, [chain.walk, chain.encode]), own_clock=True)
        yield from stages(chain, flows, quick, name)
        del chain
    model = reference.Chain(FLOWS_REFERENCE, SEED, ENDPOINTS)
    for size in SIZES:
        yield Case("reference", f"{flows}-flows-{size}", "ns", size, walking(model, size), own_clock=True)


class Chain:
    """The tables of a worker that knows `flows` flows, without its devices."""

    def __init__(self, flows: int, version: int) -> None:
        """Make the tables, and have every flow admitted and answered."""
        rules = build_ruleset(compile_policy(Policy.model_validate(POLICY), "g", NameBook()), 1)
        admission = Admission(
            FlowTable(flows, ready=flows), NatTable(64, (1024, 65535), SEED), NameTable(64, SEED),
            AliasTable(ip_network("198.18.0.0/16")[2], 16), rules, Tunnels(), Ring(1 << 16), secret=SEED,
            pools=[ip_network("100.64.0.0/16")], internal=ip_network("198.18.0.0/16"), ports=(1, 2, 3))
        self.egress = Egress(None, None, admission)
        self.ingress = Ingress(EndpointMap((number, *of) for number, of in ENDPOINTS.items()), admission, self.egress)
        self.flows, self.secret = admission.flows, flowkey.Secret(SEED)
        self.batch, self.now_ns = PacketBatch(), 1 << 40
        for begin in range(0, 2 * flows, 256):                     # first there, then back: all are established
            numbers = np.arange(begin, min(2 * flows, begin + 256), dtype=np.uint64)
            receive(self.batch, frames(numbers % flows, numbers >= flows, version))
            self.walk(self.batch)
        if len(self.flows) != flows:
            raise RuntimeError(f"{len(self.flows)} flows were made, not {flows}")
        chance = np.random.default_rng(3)
        self.frames = frames(chance.integers(0, flows, PACKETS).astype(np.uint64), chance.random(PACKETS) < 0.5, version)
        self.at = 0

    def walk(self, batch: PacketBatch) -> None:
        """Take the batch as far as its ways out."""
        self.now_ns += STEP_NS * batch.count
        self.ingress.walk_batch(batch, self.now_ns)

    def encode(self, batch: PacketBatch) -> None:
        """Make the packets ready for the wire."""
        self.egress.encode_batch(batch, OWN, PORT)

    def timed(self, size: int, calls: int, steps: list[Callable[[PacketBatch], object]], wanted: int | None = None) -> float:
        """Return the seconds that `calls` batches take, in all steps or in the one `wanted`."""
        total = 0
        for _ in range(calls):
            receive(self.batch, self.frames[self.at:self.at + size])
            self.at = (self.at + size) % PACKETS
            for number, step in enumerate(steps):
                begin = perf_counter_ns()
                step(self.batch)
                end = perf_counter_ns()
                if wanted is None or wanted == number:
                    total += end - begin
        return total * 1e-9

    def decide(self, batch: PacketBatch) -> None:
        """Find each row's verdict; keep its header and count it."""
        self.now_ns += STEP_NS * batch.count
        self.ingress.decide_batch(batch, self.now_ns)


def stages(chain: Chain, flows: int, quick: bool, name: str) -> Iterator[Case]:
    """One case a stage; all stages run, one is in the figure."""
    steps = {
        "geneve": geneve.decode_batch, "gwlb": gwlb.decode_batch, "place": chain.ingress.place_batch,
        "packet": packet.parse_batch, "flowkey": lambda batch: flowkey.build_batch(batch, chain.secret),
        "lookup": chain.flows.lookup_batch, "decide": chain.decide, "encode": chain.encode,
    }
    calls = 16 if quick else 256
    for number, stage in enumerate(steps):
        yield Case("fastpath", f"{stage}-256{name}", "ns", calls * 256,
                   partial(chain.timed, 256, calls, list(steps.values()), number), own_clock=True)


def walking(model: reference.Chain, size: int) -> Callable[[], float]:
    """One batch through the reference, with its own clock."""
    batch, chance = PacketBatch(256, 512), np.random.default_rng(3)
    made = frames(chance.integers(0, FLOWS_REFERENCE, size).astype(np.uint64), chance.random(size) < 0.5, 4)

    def walk() -> float:
        receive(batch, made)
        begin = perf_counter_ns()
        model.walk(batch, begin, OWN, PORT)
        return (perf_counter_ns() - begin) * 1e-9

    return walk
