"""First packets: every packet begins a flow, decided by policy and logged at its end; LOCAL, one core; see bench/README.md.

The worker's real loop and tables, by two back ends. The flow table is full, so for each flow that begins the oldest one ends
and its record goes to the log. Root, Linux 6.6, two cores; in namespaces of its own.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import sys
from collections.abc import Iterator

from bench.gwlb import PAYLOAD, WINDOW, Program, engine, warm_up
from bench.gwlb_rig.engine import FLOWS
from bench.gwlb_rig.rig import Rig, answer
from bench.harness import Case

TRIALS, SECONDS, QUICK_SECONDS = 5, 0.4, 0.1
COLUMNS = {"begun": "kflows/s", "cpu": "CPU us/flow", "logged": "%"}


def cases(quick: bool) -> Iterator[Case]:
    """For each back end: flows begun a second, what one costs, and how many of those that ended are in the log."""
    if os.geteuid() != 0:
        print("newflows: needs root for namespaces and BPF; nothing measured", file=sys.stderr)
        return
    for kind in ("xdp", "packet"):
        measured = functools.cache(lambda kind=kind: trials(kind, quick))
        for column, unit in COLUMNS.items():
            yield Case(f"fastpath-{kind}", f"local-{column}", unit, 1,
                       lambda measured=measured, column=column: statistics.median(trial[column] for trial in measured()))


def trials(kind: str, quick: bool) -> list[dict[str, float]]:
    """Set up, fill the table, measure, end."""
    rig = Rig(PAYLOAD, in_kernel=False)
    try:
        device = engine(rig, kind)
        warm_up(rig, device)
        while log_of(device)["flows"] < FLOWS:
            rig.send(seconds=0.2, window=WINDOW, distinct=True)
        return [trial(rig, device, QUICK_SECONDS if quick else SECONDS) for _ in range(1 if quick else TRIALS)]
    finally:
        rig.close()


def trial(rig: Rig, device: Program, seconds: float) -> dict[str, float]:
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
