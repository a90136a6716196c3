"""Workers side by side: how much more two carry than one, each on a CPU of its own; LOCAL, the whole loop of a worker.

    memory ─▶ MemoryPort ─▶ worker: poll, receive, all stages, send ─▶ memory      one thread a worker, no kernel, no load

The frames lie in memory, so that nobody has to send them: both CPUs are the workers'. One set of flows and one of frames; with
two workers each has those that are its own, as the kernel's steering parts them, and half of every table. `moved` is the
opposite: each worker gets frames at random, so half of all are handed to the other one. Runs alternate; a figure is the median.

`pps` and `scale` are by the clock; on a machine with other work they say how much of it the workers got. `scale-best` is of the
best runs of either kind, `cpu` what a packet takes of a thread's CPU time, `scale-cpu` what two do with two whole CPUs by that.
"""

from __future__ import annotations

import functools
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_network

import numpy as np

from bench.chain import POLICY, SEED
from bench.harness import Case
from bench.traffic import ENDPOINTS, frames
from fastpath import geneve, gwlb, packet
from fastpath.action import DropReason
from fastpath.admission import Admission
from fastpath.alias import AliasTable
from fastpath.batch import PacketBatch
from fastpath.endpoint import EndpointMap
from fastpath.flowtable import FlowTable
from fastpath.memoryport import MemoryPort
from fastpath.nametable import NameTable
from fastpath.nat import NatTable
from fastpath.ring import Ring
from fastpath.shard import Shard, shards
from fastpath.tunnels import Tunnels
from fastpath.worker import Worker
from zcc.connector.ruleset import RuleSet, build_ruleset
from zcc.policy.compile import compile_policy
from zcc.policy.model import Policy
from zcc.policy.names import NameBook

FLOWS, FLOWS_QUICK = 1 << 17, 1 << 12
PACKETS, PACKETS_QUICK = 1 << 17, 1 << 13
PAIRS, SECONDS, WARM_S = 15, 0.2, 0.15
PAIRS_QUICK, SECONDS_QUICK = 1, 0.05
INTERNAL = ip_network("198.18.0.0/16")
COLUMNS = {"pps-1": "Mpps", "pps-2": "Mpps", "scale": "times", "scale-best": "times", "scale-cpu": "times",
           "cpu-1": "CPU ns/packet", "cpu-2": "CPU ns/packet"}
MOVED = {"moved-pps": "Mpps", "moved-cpu": "CPU ns/packet", "moved-share": "%", "moved-lost": "%"}
Figures = dict[str, float]


def cases(quick: bool) -> Iterator[Case]:
    """Packets a second with one worker and with two, the ratio, and the CPU time of a packet; then the same all astray."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        print("cores: needs two CPUs; nothing measured", file=sys.stderr)
        return
    measured = functools.cache(lambda: medians(quick, cpus))
    for column, unit in {**COLUMNS, **MOVED}.items():
        yield Case("fastpath", column, unit, 1, lambda column=column: measured()[column])


def medians(quick: bool, cpus: list[int]) -> Figures:
    """Measure in turns; the median of each column."""
    flows, n = (FLOWS_QUICK, PACKETS_QUICK) if quick else (FLOWS, PACKETS)
    pairs, seconds = (PAIRS_QUICK, SECONDS_QUICK) if quick else (PAIRS, SECONDS)
    chance = np.random.default_rng(5)
    made = frames(chance.integers(0, flows, n).astype(np.uint64), chance.random(n) < 0.5, 4)
    one, two, astray = (Crew(made, flows, workers, parted) for workers, parted in ((1, True), (2, True), (2, False)))
    rows: list[Figures] = []
    for k in range(pairs):
        alone = one.run(cpus[k % 2:k % 2 + 1], seconds)
        both = two.run(cpus[:2], seconds)
        lost = astray.run(cpus[:2], seconds)
        if alone["lost"] or both["lost"] or both["share"]:
            raise RuntimeError(f"packets were dropped or handed over: {alone}, {both}")
        rows.append({"pps-1": alone["pps"], "pps-2": both["pps"], "scale": both["pps"] / alone["pps"], "cpu-1": alone["cpu"],
                     "cpu-2": both["cpu"], "scale-cpu": 2 * alone["cpu"] / both["cpu"],
                     **{f"moved-{name}": value for name, value in lost.items()}})
    best = max(row["pps-2"] for row in rows) / max(row["pps-1"] for row in rows)
    return {"scale-best": best, **{column: statistics.median(row[column] for row in rows) for column in rows[0]}}


class Crew:
    """Workers over frames in memory; after the first run every flow is there.

    Args:
        parted: each worker has the frames that are its own; else at random.
    """

    def __init__(self, made: np.ndarray, flows: int, workers: int, parted: bool) -> None:
        self.shards = shards(workers, ring_bytes=1 << 22, aliases=(INTERNAL[2], 64 * workers))
        rules = build_ruleset(compile_policy(Policy.model_validate(POLICY), "g", NameBook()), 1)
        whose = owners(self.shards[0], made) if parted else np.random.default_rng(6).integers(0, workers, len(made))
        self.ports = [MemoryPort([bytes(frame) for frame in made[whose == shard.number]]) for shard in self.shards]
        self.tables = [tables(shard, flows // workers, rules) for shard in self.shards]

    def run(self, cpus: list[int], seconds: float) -> Figures:
        """Let all work for so long, each on its CPU.

        Returns:
            Packets a second (millions), CPU ns a packet, and of all packets the percentage handed over, and lost.
        """
        workers = [worker(*made) for made in zip(self.shards, self.ports, self.tables, strict=True)]
        threads = [threading.Thread(target=pinned, args=(one.run, cpu)) for one, cpu in zip(workers, cpus, strict=True)]
        for thread in threads:
            thread.start()
        time.sleep(WARM_S)
        clocks = [time.pthread_getcpuclockid(thread.ident) for thread in threads if thread.ident is not None]
        before, begin, spent = self.carried(workers), time.perf_counter(), sum(map(time.clock_gettime, clocks))
        time.sleep(seconds)
        after, end, spent = self.carried(workers), time.perf_counter(), sum(map(time.clock_gettime, clocks)) - spent
        for one in workers:
            one.stop()
        for thread in threads:
            thread.join()
        n, moved, lost = (b - a for a, b in zip(before, after, strict=True))
        return {"pps": n / (end - begin) / 1e6, "cpu": spent / n * 1e9, "share": 100 * moved / n, "lost": 100 * lost / n}

    def carried(self, workers: list[Worker]) -> tuple[int, int, int]:
        """Packets sent, handed over and dropped so far."""
        counts = [one.counters()["drops"] for one in workers]
        moved = sum(count[DropReason.DROP_SHARD_MOVED] for count in counts)
        return sum(port.sent for port in self.ports), moved, sum(map(sum, counts)) - moved


def pinned(run: Callable[[], object], cpu: int) -> None:
    """Run in this thread, on this CPU."""
    os.sched_setaffinity(0, {cpu})
    run()


def tables(shard: Shard, flows: int, rules: RuleSet) -> Admission:
    """A worker's tables as the connector makes them."""
    flows = flows * 5 // 4          # parted by chance, one of two has a little more than half
    return Admission(
        FlowTable(flows, ready=flows), NatTable(64, shard.port_range, SEED), NameTable(64, SEED),
        AliasTable(*shard.alias_range), rules, Tunnels(), Ring(1 << 16), secret=SEED,
        pools=[ip_network("100.64.0.0/16")], internal=INTERNAL, ports=(1, 2, 3))


def worker(shard: Shard, port: MemoryPort, admission: Admission) -> Worker:
    """A worker as the connector makes one, without a device."""
    endpoints = EndpointMap((number, *of) for number, of in ENDPOINTS.items())
    return Worker(port, None, endpoints, admission, Ring(1 << 16), shard=shard if shard.count > 1 else None)


def owners(shard: Shard, made: np.ndarray) -> np.ndarray:
    """The worker of each frame."""
    batch, out = PacketBatch(), np.empty(len(made), np.int32)
    for at in range(0, len(made), 256):
        some = made[at:at + 256]
        batch.load([bytes(frame) for frame in some])
        for step in (geneve.decode_batch, gwlb.decode_batch, packet.parse_batch):
            step(batch)
        shard.owners_batch(batch, out[at:at + len(some)])
    return out
