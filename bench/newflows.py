"""First packets: every packet begins a flow, decided by policy and logged at its end; LOCAL, one core; see bench/README.md.

The worker's real loop and tables, by three back ends. The flow table is full, so for each flow that begins the oldest one ends
and its record goes to the log. Beside them the bare reflectors of the folder that $ZCC_BENCH_IO names, as far as they are
there: they know no flows, and show what the way in and out alone costs; `fastpath-memory` is the opposite, the engine without a
kernel. Root, Linux 6.6, two cores; in namespaces of its own.
"""

from __future__ import annotations

import functools
import json
import os
import socket
import statistics
import sys
from collections.abc import Callable, Iterator

import namespaces
from bench import first_packets
from bench.gwlb import PAYLOAD, WINDOW, Program, engine, warm_up
from bench.gwlb_rig.engine import FLOWS
from bench.gwlb_rig.load import DEVICE
from bench.gwlb_rig.reflectors import start, there
from bench.gwlb_rig.rig import Rig, answer
from bench.harness import Case
from bench.peers import Field
from fastpath.redirect import shield

ROUNDS, TRIALS, SECONDS, QUICK_SECONDS, MEMORY_TRIALS = 3, 1, 0.5, 0.1, 3
COLUMNS = {"begun": "kflows/s", "cpu": "CPU us/flow", "logged": "%"}
OURS = ("fastpath-xdp", "fastpath-packet", "fastpath-udp")
PEERS = ("xreflect", "reflect-packet", "reflect-recvmmsg")
Figures = dict[str, float]


def cases(quick: bool) -> Iterator[Case]:
    """For each back end: flows begun a second, what one costs, and how many of those that ended are in the log."""
    if os.geteuid() != 0:
        print("newflows: needs root for namespaces and BPF; nothing measured", file=sys.stderr)
        return
    measured = functools.cache(lambda: rounds(quick))
    for impl in (*OURS, *there(*PEERS)):
        if impl in OURS or impl in measured():
            for column, unit in COLUMNS.items():
                if column != "logged" or impl in OURS:
                    yield Case(impl, f"local-{column}", unit, 1, functools.partial(figure, measured, impl, column))
    alone = functools.cache(functools.partial(first_packets.trials, 1 if quick else MEMORY_TRIALS))
    for column in ("cpu", "logged"):
        yield Case("fastpath-memory", f"local-{column}", COLUMNS[column], 1, functools.partial(
            figure, lambda: {"fastpath-memory": alone()}, "fastpath-memory", column))


def figure(measured: Callable[[], dict[str, list[Figures]]], impl: str, column: str) -> float:
    """The median over all rounds."""
    return statistics.median(trial[column] for trial in measured()[impl])


def rounds(quick: bool) -> dict[str, list[Figures]]:
    """Take all in every round: the machine's pace changes, and must change for all."""
    found: dict[str, list[Figures]] = {}
    field = Field("newflows", there(*PEERS))
    for _ in range(1 if quick else ROUNDS):
        for impl in (*OURS, *field.advice):
            found.setdefault(impl, []).extend(field.measure(impl, functools.partial(trials, impl, quick)))
    return {impl: figures for impl, figures in found.items() if impl not in field.left_out}


def trials(impl: str, quick: bool) -> list[Figures]:
    """Set up, fill the table, measure, end."""
    seconds, count = (QUICK_SECONDS, 1) if quick else (SECONDS, TRIALS)
    rig = Rig(PAYLOAD, in_kernel=False)
    try:
        if impl in PEERS:
            device = reflector(rig, impl)
            return [dict(zip(COLUMNS, rig.trial(device, seconds, WINDOW, distinct=True), strict=False)) for _ in range(count)]
        device = engine(rig, impl.removeprefix("fastpath-"))
        warm_up(rig, device)
        while log_of(device)["flows"] < FLOWS:
            rig.send(seconds=0.2, window=WINDOW, distinct=True)
        return [trial(rig, device, seconds) for _ in range(count)]
    finally:
        rig.close()


def reflector(rig: Rig, impl: str) -> Program:
    """Start a bare one; by rings, the kernel's own copy of what it takes is dropped as for ours."""
    if impl == "reflect-packet":
        with namespaces.inside(rig.device):
            rig.undo.callback(os.close, shield(socket.if_nametoindex("d0"), DEVICE, 6081))
    device = start(rig, impl)
    warm_up(rig, device)
    return device


def trial(rig: Rig, device: Program, seconds: float) -> Figures:
    """Measure once. What came back without a flow's end in the log, or its loss counted, is an error."""
    before = log_of(device)
    kpps, cpu_us = rig.trial(device, seconds, WINDOW, distinct=True)
    after = log_of(device)
    ended, lost = after["PUNT_FLOW_CLOSED"], after["lost"] - before["lost"]
    if ended + lost < kpps * 1e3 * seconds * 0.99:
        raise RuntimeError(f"{kpps:.0f} kpps for {seconds} s, but {ended} flows ended and {lost} records were lost")
    return {"begun": kpps, "cpu": cpu_us, "logged": 100 * ended / (ended + lost)}


def log_of(device: Program) -> dict[str, int]:
    """Have the engine take its log."""
    assert device.stdin is not None
    device.stdin.write("\n")
    device.stdin.flush()
    return json.loads(answer(device))
