"""What the connector adds to a packet's way: LOCAL hairpin of 1,000 flows, at 10, 50 and 90 % of the peak; see bench/README.md.

Packets leave one by one at even gaps, each with the time in it, and are read again where they came from. The same way without
a connector, an XDP program that turns packets round, is measured in the same run: `wire`; what is above it is the connector's.
Interrupts are put off by 50 µs at both ends, as a card's moderation does, and then, `prompt`, not at all: two timers that run
beside each other add to a way what neither side spends on it. Root, Linux 6.6, two cores; in namespaces of its own.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import os
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing

from bench.gwlb import PAYLOAD, WINDOW, Program, Start, engine, warm_up
from bench.gwlb_rig.load import TICK_BITS
from bench.gwlb_rig.rig import DEVICE_CORE, Rig, ready
from bench.harness import Case
from bench.peers import Field

SHARES = (10, 50, 90)            # % of each one's own peak
PROMPT_SHARES = (10, 50)
QUANTILES = {"p50": 0.5, "p99.9": 0.999}
ROUNDS, PROMPT_ROUNDS, SECONDS, PEAK_SECONDS, QUICK_SECONDS = 3, 2, 0.5, 0.3, 0.1
Figures = dict[str, float]


def cases(quick: bool) -> Iterator[Case]:
    """For the wire and each back end: microseconds at each share of its peak, and what was lost."""
    if os.geteuid() != 0:
        print("latency: needs root for namespaces and BPF; nothing measured", file=sys.stderr)
        return
    measured = functools.cache(lambda: rounds(quick))
    for name in ways():
        yield Case(name, "peak", "kpps", 1, functools.partial(figure, measured, name, "peak"))
        for where in places():
            for column in (*QUANTILES, "lost"):
                key = f"{column}-at-{where}"
                yield Case(name, key, "%" if column == "lost" else "µs", 1, functools.partial(figure, measured, name, key))


def places() -> Iterator[str]:
    """At which share of the peak, and whether interrupts are prompt there."""
    yield from map(str, SHARES)
    yield from (f"{share}-prompt" for share in PROMPT_SHARES)


def ways() -> dict[str, Start]:
    """What a packet may meet: a program that turns it round, or the worker by one of its back ends."""
    kinds = ("xdp", "xdp-polling", "packet", "udp")
    return {"wire": wire, **{f"fastpath-{kind}": functools.partial(engine, kind=kind) for kind in kinds}}


def wire(rig: Rig) -> Program:
    """Start the program that turns packets round."""
    device = rig.start([sys.executable, "-m", "bench.gwlb_rig.wire", str(DEVICE_CORE)])
    ready(device)
    return device


def figure(measured: Callable[[], dict[str, list[Figures]]], name: str, key: str) -> float:
    """The median over all rounds."""
    return statistics.median(found[key] for found in measured()[name] if key in found)


def rounds(quick: bool) -> dict[str, list[Figures]]:
    """Take every way in every round: the machine's pace changes, and must change for all."""
    found: dict[str, list[Figures]] = {}
    field = Field("latency", {})
    for number in range(1 if quick else ROUNDS):
        for name, start in ways().items():
            some = field.measure(name, functools.partial(moderated, name, start, quick))
            if number < PROMPT_ROUNDS:
                some += field.measure(name, functools.partial(prompt, name, start, quick, some[0]["peak"]))
            found.setdefault(name, []).extend(some)
    return found


def moderated(name: str, start: Start, quick: bool) -> list[Figures]:
    """Set up, find the peak, then send at shares of it."""
    with closing(rig_for(name)) as rig:
        device = start(rig)
        warm_up(rig, device)
        kpps, _ = rig.trial(device, QUICK_SECONDS if quick else PEAK_SECONDS, WINDOW)
        return [{"peak": kpps} | at_shares(rig, quick, kpps, SHARES, "")]


def prompt(name: str, start: Start, quick: bool, kpps: float) -> list[Figures]:
    """The same with interrupts that have been prompt before anything was opened, at shares of a peak that is known."""
    with closing(rig_for(name)) as rig:
        rig.moderate(False)
        warm_up(rig, start(rig))
        return [at_shares(rig, quick, kpps, PROMPT_SHARES, "-prompt")]


def rig_for(name: str) -> Rig:
    """What this way is measured in."""
    return Rig(PAYLOAD, in_kernel=name == "wire", nice=("engine",) if name.endswith("polling") else ())


def at_shares(rig: Rig, quick: bool, kpps: float, shares: Sequence[int], suffix: str) -> Figures:
    """Send at shares of kpps."""
    found: Figures = {}
    for share in shares:
        sent = rig.send(seconds=QUICK_SECONDS if quick else SECONDS, gap_ns=round(1e8 / (kpps * share)))
        delays = {int(tick): count for tick, count in sent["delays"].items()}
        found |= {f"{column}-at-{share}{suffix}": quantile(delays, q) for column, q in QUANTILES.items()}
        found[f"lost-at-{share}{suffix}"] = 100 * (1 - sent["received"] / sent["sent"])
    return found


def quantile(delays: dict[int, int], q: float) -> float:
    """Microseconds that a share q of all packets took at most; the last tick stands for everything above."""
    ticks = sorted(delays)
    totals = list(itertools.accumulate(delays[tick] for tick in ticks))
    return (ticks[bisect.bisect_left(totals, q * totals[-1])] + 1) * (1 << TICK_BITS) / 1e3
