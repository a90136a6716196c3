"""Twice the rate that the engine can carry: LOCAL hairpin, one core; see bench/README.md.

First the peak: the most that came back of a closed loop and of several rates. Then twice as much, whatever comes back, in
bursts of up to 64; what is then carried should be within a tenth of the peak. `known`: 1,000 flows; `first`: each packet begins
a flow. `offered` is what was sent in fact: the source has a peak of its own. `mixed`: first packets, but every eighth is of 125
flows that were there before; how much of both came back. `connector`: `known` against the connector's own process, which is
asked for names and health meanwhile. Beside the UDP sockets the bare reflector by the same system calls, where $ZCC_BENCH_IO
has it: what it loses is lost to what the kernel does. Root, Linux 6.6, two cores; in namespaces of its own.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import closing

from bench.gwlb import PAYLOAD, WINDOW, engine, warm_up
from bench.gwlb_rig.connector import asker, connector, memory_kib
from bench.gwlb_rig.reflectors import REFLECTORS, start, there
from bench.gwlb_rig.rig import Rig, answer
from bench.harness import Case
from bench.peers import Field

OURS, PEERS = ("xdp", "packet", "udp"), ("reflect-recvmmsg",)
ROUNDS, SECONDS, QUICK_SECONDS = 3, 0.5, 0.1
STEP_SECONDS, STEPS = 0.1, (1.2, 1.6, 2.0, 2.4)        # of what a closed loop carries, whose batches are smaller
ASKED_SECONDS, QUICK_ASKED_SECONDS = 2.0, 0.5
TIMES, BURST = 2, 64
EQUALS = ("engine", "receive")
LOADS: dict[str, dict[str, bool]] = {"known": {}, "first": {"distinct": True}}
CARRIED = {"peak": "kpps", "offered": "kpps", "carried": "kpps", "of-peak": "%"}
MIXED = {"mixed-peak": "kpps", "mixed-offered": "kpps", "mixed-staying": "%", "mixed-new": "%"}
ASKED = {"connector-of-peak": "%", "connector-offered": "kpps", "connector-names": "%", "connector-health": "%",
         "connector-slowest": "wall ms", "connector-grown": "MiB"}
Figures = dict[str, float]


def cases(quick: bool) -> Iterator[Case]:
    """For each back end what was found; all at the first question, in turns."""
    if os.geteuid() != 0:
        print("overload: needs root for namespaces and BPF; nothing measured", file=sys.stderr)
        return
    measured = functools.cache(lambda: rounds(quick))
    carried = {f"{load}-{column}": unit for load in LOADS for column, unit in CARRIED.items()}
    columns = {**dict.fromkeys(OURS, carried | MIXED | ASKED), "kernel-flows": MIXED}
    for kind, units in (columns | dict.fromkeys(there(*PEERS), carried)).items():
        if kind not in PEERS or kind in measured():
            for column, unit in units.items():
                yield Case(impl(kind), column, unit, 1, functools.partial(figure, measured, kind, column))


def impl(kind: str) -> str:
    """How a back end or a peer is called."""
    return kind if kind in PEERS else f"fastpath-{kind}"


def figure(measured: Callable[[], dict[str, list[Figures]]], kind: str, column: str) -> float:
    """The median over all rounds that have it."""
    return statistics.median(found[column] for found in measured()[kind] if column in found)


def rounds(quick: bool) -> dict[str, list[Figures]]:
    """Take every back end in every round: the machine's pace changes, and must change for all."""
    found: dict[str, list[Figures]] = {}
    peers = there(*PEERS)
    field = Field("overload", peers)
    rounds_of = {carried_twice: (*OURS, *peers), mixed: (*OURS, "kernel-flows"), asked: OURS}
    for number in range(1 if quick else ROUNDS):
        for part, kinds in rounds_of.items():
            for kind in kinds if part is carried_twice or number == 0 else ():       # the others tell shares, not rates: once
                found.setdefault(kind, []).extend(field.measure(impl(kind), functools.partial(part, kind, quick)))
    return {kind: figures for kind, figures in found.items() if kind not in field.left_out}


def carried_twice(kind: str, quick: bool) -> list[Figures]:
    """Of each load the peak, and what is carried of twice as much."""
    found: Figures = {}
    with closing(Rig(PAYLOAD, in_kernel=False, nice=EQUALS)) as rig:
        warm_up(rig, start(rig, kind) if kind in REFLECTORS else engine(rig, kind))
        for load, how in LOADS.items():
            peak = most(rig, quick, **how)
            sent = at_rate(rig, TIMES * peak, seconds=QUICK_SECONDS if quick else SECONDS, **how)
            found |= {f"{load}-peak": peak, f"{load}-offered": rate(sent, "sent"), f"{load}-carried": rate(sent, "received"),
                      f"{load}-of-peak": 100 * rate(sent, "received") / peak}
    return [found]


def mixed(kind: str, quick: bool) -> list[Figures]:
    """Twice the peak of first packets, and a few flows that were there: what came back of each. Receive work is first here."""
    with closing(Rig(PAYLOAD, in_kernel=kind == "kernel-flows")) as rig:
        warm_up(rig, engine(rig, kind))
        peak = most(rig, quick, distinct=True)
        at_rate(rig, peak / TIMES, seconds=0.1, distinct=True, mixed=True)      # so that those are there
        sent = at_rate(rig, TIMES * peak, seconds=QUICK_SECONDS if quick else SECONDS, distinct=True, mixed=True)
    staying, received = sent["staying_sent"], sent["staying_received"]
    return [{"mixed-peak": peak, "mixed-offered": rate(sent, "sent"), "mixed-staying": 100 * received / staying,
             "mixed-new": 100 * (sent["received"] - received) / (sent["sent"] - staying)}]


def asked(kind: str, quick: bool) -> list[Figures]:
    """What the connector answers at twice its peak: names and health checks, % of those asked, and the MiB that it grows by."""
    seconds = QUICK_ASKED_SECONDS if quick else ASKED_SECONDS
    with closing(Rig(PAYLOAD, in_kernel=False, nice=EQUALS)) as rig:
        device = connector(rig, kind)
        asking = asker(rig)
        peak, before = most(rig, quick), memory_kib(device)
        assert asking.stdin is not None
        print(seconds, file=asking.stdin, flush=True)
        sent = at_rate(rig, TIMES * peak, seconds=seconds)
        said, grown = json.loads(answer(asking)), memory_kib(device) - before
    return [{"connector-of-peak": 100 * rate(sent, "received") / peak, "connector-offered": rate(sent, "sent"),
             "connector-names": 100 * said["answered"] / said["asked"], "connector-slowest": 1e3 * said["slowest_s"],
             "connector-health": 100 * said["healthy"] / said["checks"], "connector-grown": grown / 1024}]


def most(rig: Rig, quick: bool, **how: bool) -> float:
    """The peak: kpps that came back at most."""
    closed = rate(rig.send(seconds=STEP_SECONDS, window=WINDOW, **how), "received")
    steps = STEPS[::2] if quick else STEPS
    return max(closed, *(rate(at_rate(rig, step * closed, seconds=STEP_SECONDS, **how), "received") for step in steps))


def at_rate(rig: Rig, kpps: float, **how: float) -> dict[str, float]:
    """Send so much, whatever comes back."""
    return rig.send(gap_ns=round(1e6 / kpps), batch=BURST, **how)


def rate(sent: dict[str, float], what: str) -> float:
    """Thousands a second."""
    return sent[what] / sent["seconds"] / 1e3
