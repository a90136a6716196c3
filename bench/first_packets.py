"""First packets without a kernel: decode, policy, a flow made, the oldest one ended and its record logged, sent; in memory.

What bench newflows shows beside its back ends: the share of a packet's way that is the engine's own instructions.
"""

from __future__ import annotations

import time
from ipaddress import ip_network

import numpy as np

from bench.gwlb_rig.engine import FLOWS, RULES, taken
from bench.traffic import ENDPOINTS, frames
from fastpath.admission import Admission
from fastpath.alias import AliasTable
from fastpath.endpoint import EndpointMap
from fastpath.flowtable import FlowTable
from fastpath.memoryport import MemoryPort
from fastpath.nametable import NameTable
from fastpath.nat import NatTable
from fastpath.ring import Ring
from fastpath.tunnels import Tunnels
from fastpath.worker import Worker
from zcc.connector.ruleset import build_ruleset
from zcc.policy.compile import compile_policy
from zcc.policy.model import Policy
from zcc.policy.names import NameBook

FRAMES = 4 * FLOWS              # a frame comes again long after its flow has given way
TURNS, TURN_NS, LOG_BYTES = 128, 2_000_000, 1 << 27
SEED, INTERNAL = bytes(range(32)), ip_network("198.18.0.0/16")
LOCAL = {"name": "east-west", "method": "LOCAL", "destinations": ["10.192.0.0/10"]}       # where the frames go


def trials(count: int) -> list[dict[str, float]]:
    """CPU microseconds a first packet, and the % of flows that ended whose record is in the log; as often as told."""
    worker, now_ns, found = made(), 0, []
    for _ in range(1 + count):       # the first fills the table
        before, begun = worker.counters()["opened"], time.thread_time_ns()
        for _ in range(TURNS):
            now_ns += TURN_NS
            worker.step(now_ns)
        used, opened, log = time.thread_time_ns() - begun, worker.counters()["opened"] - before, taken(worker)
        found.append({"cpu": used / opened / 1e3, "logged": 100 * log.get("PUNT_FLOW_CLOSED", 0) / opened})
    return found[-count:]


def made() -> Worker:
    """A worker with the policy of the other back ends, over frames in memory."""
    policy = Policy.model_validate({"applications": [], "rules": [RULES[0], LOCAL], "pool": "10.254.0.0/19"})
    numbers = 4 * np.arange(FRAMES, dtype=np.uint64) + np.uint64(3)         # every fourth flow of the traffic is UDP
    port = MemoryPort([bytes(frame) for frame in frames(numbers, np.zeros(FRAMES, bool), 4)])
    admission = Admission(
        FlowTable(FLOWS, ready=FLOWS), NatTable(64, (1024, 65535), SEED), NameTable(1024, SEED), AliasTable(INTERNAL[2], 16),
        build_ruleset(compile_policy(policy, "group", NameBook(())), 1), Tunnels(), Ring(LOG_BYTES), secret=SEED,
        pools=[ip_network("10.254.0.0/19")], internal=INTERNAL, ports=(5080, 5080, 5353))
    endpoints = EndpointMap((number, *of) for number, of in ENDPOINTS.items())
    return Worker(port, None, endpoints, admission, Ring(1 << 16))
