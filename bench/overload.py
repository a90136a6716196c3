"""Twice the rate that the engine can carry: LOCAL hairpin, one core; see bench/README.md.

First the peak: the rate, of several, at which most came back. Then in turns that rate and twice what came of it, in bursts of
up to 64; what is then carried should be within a tenth of the peak. `known`: 1,000 flows; `first`: each packet begins
a flow. `offered` is what was sent in fact: the source has a peak of its own. `mixed`: first packets, but every eighth is of 125
flows that were there before; how much of both came back. `connector`: both loads against the connector's own process, all of it
on the engine's core, which is asked for names and health meanwhile; each first packet is a line in its log. Its stretches are
longer: its rings hold the records of a tenth of a second, and what it keeps up with is its peak. Beside UDP sockets the bare
reflector by the same system calls, where $ZCC_BENCH_IO has it: what it loses is lost to what the kernel does. Root, Linux
6.6, two cores; in namespaces of its own.
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
TURNS = 5                                              # of the peak and of twice as much
STEP_SECONDS, STEPS = 0.1, (1.2, 1.6, 2.0, 2.4)        # of what a closed loop carries, whose batches are smaller
ASKED_SECONDS, QUICK_ASKED_SECONDS = 2.0, 0.5
KEPT_UP_SECONDS = 1.0                                  # of the connector; in less its rings hold back what its log costs
TIMES, BURST = 2, 64
EQUALS = ("engine", "receive")
LOADS: dict[str, dict[str, bool]] = {"known": {}, "first": {"distinct": True}}
CARRIED = {"peak": "kpps", "offered": "kpps", "carried": "kpps", "of-peak": "%"}
MIXED = {"mixed-peak": "kpps", "mixed-offered": "kpps", "mixed-staying": "%", "mixed-new": "%"}
ASKED = {"peak": "kpps", "offered": "kpps", "of-peak": "%", "names": "%", "health": "%", "slowest": "wall ms", "grown": "MiB"}
Figures = dict[str, float]


def cases(quick: bool) -> Iterator[Case]:
    """For each back end what was found; all at the first question, in turns."""
    if os.geteuid() != 0:
        print("overload: needs root for namespaces and BPF; nothing measured", file=sys.stderr)
        return
    measured = functools.cache(lambda: rounds(quick))
    carried = {f"{load}-{column}": unit for load in LOADS for column, unit in CARRIED.items()}
    answered = {f"connector-{load}-{column}": unit for load in LOADS for column, unit in ASKED.items()}
    columns = {**dict.fromkeys(OURS, carried | MIXED | answered), "kernel-flows": MIXED}
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
            figures = twice(rig, quick, (QUICK_SECONDS if quick else SECONDS) / TURNS, **how)
            found |= {f"{load}-{column}": value for column, value in figures.items()}
    return [found]


def twice(rig: Rig, quick: bool, seconds: float, **how: bool) -> Figures:
    """The peak, and twice as much in turns with it, in stretches of so many seconds: the machine's pace changes for both."""
    best = best_rate(rig, quick, seconds, **how)
    peaks, offers, carried = [], [], []
    for _ in range(TURNS):
        peaks.append(rate(at_rate(rig, best, seconds=seconds, **how), "received"))
        sent = at_rate(rig, TIMES * peaks[-1], seconds=seconds, **how)
        offers.append(rate(sent, "sent"))
        carried.append(rate(sent, "received"))
    return {"peak": statistics.median(peaks), "offered": statistics.median(offers), "carried": statistics.median(carried),
            "of-peak": statistics.median(100 * one / peak for one, peak in zip(carried, peaks, strict=True))}


def mixed(kind: str, quick: bool) -> list[Figures]:
    """Twice the peak of first packets, and a few flows that were there: what came back of each. Receive work is first here."""
    with closing(Rig(PAYLOAD, in_kernel=kind == "kernel-flows")) as rig:
        warm_up(rig, engine(rig, kind))
        best = best_rate(rig, quick, STEP_SECONDS, distinct=True)
        peak = rate(at_rate(rig, best, seconds=STEP_SECONDS, distinct=True), "received")
        at_rate(rig, peak / TIMES, seconds=0.1, distinct=True, mixed=True)      # so that those are there
        sent = at_rate(rig, TIMES * peak, seconds=QUICK_SECONDS if quick else SECONDS, distinct=True, mixed=True)
    staying, received = sent["staying_sent"], sent["staying_received"]
    return [{"mixed-peak": peak, "mixed-offered": rate(sent, "sent"), "mixed-staying": 100 * received / staying,
             "mixed-new": 100 * (sent["received"] - received) / (sent["sent"] - staying)}]


def asked(kind: str, quick: bool) -> list[Figures]:
    """What the connector carries of twice its peak, the names and health checks, % of those asked, that it answers meanwhile,
    and the MiB that it grows by.
    """
    seconds, found = QUICK_ASKED_SECONDS if quick else ASKED_SECONDS, Figures()
    with closing(Rig(PAYLOAD, in_kernel=False, nice=EQUALS)) as rig:
        device = connector(rig, kind)
        asking = asker(rig)
        assert asking.stdin is not None
        for load, how in LOADS.items():
            figures = twice(rig, quick, STEP_SECONDS if quick else KEPT_UP_SECONDS, **how)
            before = memory_kib(device)
            print(seconds, file=asking.stdin, flush=True)
            at_rate(rig, TIMES * figures["peak"], seconds=seconds, **how)
            said = json.loads(answer(asking))
            figures |= {"names": 100 * said["answered"] / said["asked"], "health": 100 * said["healthy"] / said["checks"],
                        "slowest": 1e3 * said["slowest_s"], "grown": (memory_kib(device) - before) / 1024}
            found |= {f"connector-{load}-{column}": figures[column] for column in ASKED}
    return [found]


def best_rate(rig: Rig, quick: bool, seconds: float, **how: bool) -> float:
    """The kpps at which most came back, in trials of so many seconds."""
    closed = rate(rig.send(seconds=seconds, window=WINDOW, **how), "received")
    steps = [step * closed for step in (STEPS[::2] if quick else STEPS)]
    carried = {step: rate(at_rate(rig, step, seconds=seconds, **how), "received") for step in steps}
    return max(carried, key=carried.__getitem__) if max(carried.values()) > closed else closed


def at_rate(rig: Rig, kpps: float, **how: float) -> dict[str, float]:
    """Send so much, whatever comes back."""
    return rig.send(gap_ns=round(1e6 / kpps), batch=BURST, **how)


def rate(sent: dict[str, float], what: str) -> float:
    """Thousands a second."""
    return sent[what] / sent["seconds"] / 1e3
