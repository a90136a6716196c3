"""Twice the rate that the engine can carry: LOCAL hairpin of 1,000 flows, one core; see bench/README.md.

First the peak, by a closed loop in which nothing is lost; then packets at even gaps, twice as many, whatever comes back. What
is then carried should be within a tenth of the peak. `offered` says what was sent in fact: one packet a gap, the source has a
peak of its own. Root, Linux 6.6, two cores; in namespaces of its own.
"""

from __future__ import annotations

import functools
import os
import statistics
import sys
from collections.abc import Callable, Iterator

from bench.gwlb import PAYLOAD, WINDOW, engine, warm_up
from bench.gwlb_rig.rig import Rig
from bench.harness import Case

ROUNDS, SECONDS, QUICK_SECONDS = 3, 1.0, 0.1
TIMES = 2
KINDS = ("xdp", "packet", "udp")
COLUMNS = {"peak": "kpps", "offered": "kpps", "carried": "kpps", "of-peak": "%"}
Figures = dict[str, float]


def cases(quick: bool) -> Iterator[Case]:
    """For each back end: the peak, what was offered then, what came back of it, and that as a share of the peak."""
    if os.geteuid() != 0:
        print("overload: needs root for namespaces and BPF; nothing measured", file=sys.stderr)
        return
    measured = functools.cache(lambda: rounds(quick))
    for kind in KINDS:
        for column, unit in COLUMNS.items():
            yield Case(f"fastpath-{kind}", column, unit, 1, functools.partial(figure, measured, kind, column))


def figure(measured: Callable[[], dict[str, list[Figures]]], kind: str, column: str) -> float:
    """The median over all rounds."""
    return statistics.median(found[column] for found in measured()[kind])


def rounds(quick: bool) -> dict[str, list[Figures]]:
    """Take every back end in every round: the machine's pace changes, and must change for all."""
    found: dict[str, list[Figures]] = {}
    for _ in range(1 if quick else ROUNDS):
        for kind in KINDS:
            found.setdefault(kind, []).append(measured_once(kind, QUICK_SECONDS if quick else SECONDS))
    return found


def measured_once(kind: str, seconds: float) -> Figures:
    """Set up, find the peak, then send more."""
    rig = Rig(PAYLOAD, in_kernel=False)
    try:
        device = engine(rig, kind=kind)
        warm_up(rig, device)
        kpps, _ = rig.trial(device, seconds, WINDOW)
        sent = rig.send(seconds=seconds, gap_ns=round(1e6 / (TIMES * kpps)))
        carried = sent["received"] / sent["seconds"] / 1e3
        offered = sent["sent"] / sent["seconds"] / 1e3
        return {"peak": kpps, "offered": offered, "carried": carried, "of-peak": 100 * carried / kpps}
    finally:
        rig.close()
