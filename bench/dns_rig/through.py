"""Owned names through GWLB: queries in Geneve from 1,000 workloads, answered in the worker, by each back end; root, Linux 6.6.

The rig is that of bench gwlb: one core for the engine with all that the kernel does for it, a closed loop from the other one.
"""

from __future__ import annotations

import functools
import json
import os
import statistics
import sys
from collections.abc import Iterator

import dns.message

from bench.dns_rig.served import NAME, PORT
from bench.gwlb_rig.rig import DEVICE_CORE, Rig, answer, ready
from bench.harness import Case
from bench.peers import Field

QUERY = dns.message.make_query(NAME, "A", id=7).to_wire()
WINDOW, TRIALS, SECONDS, QUICK_SECONDS = 224, 3, 0.4, 0.1


def cases(quick: bool) -> Iterator[Case]:
    """Each back end twice: what a query cost, and what was answered."""
    if os.geteuid() != 0:
        print("dns: answers through GWLB need root; not measured", file=sys.stderr)
        return
    field = Field("dns", {})
    for kind in ("xdp", "packet", "udp"):
        measured = functools.cache(functools.partial(field.measure, f"fastpath-{kind}", functools.partial(trials, kind, quick)))
        for column, unit in ((1, "CPU us/query"), (0, "kq/s")):
            yield Case(f"fastpath-{kind}", "served-gwlb", unit, 1, lambda measured=measured, column=column: statistics.median(
                trial[column] for trial in measured()))


def trials(kind: str, quick: bool) -> list[tuple[float, float]]:
    """Set up, ask, end: (thousand answers a second, microseconds of CPU time an answer) of each trial."""
    rig = Rig(QUERY, in_kernel=False, port=53)
    try:
        engine = rig.start([sys.executable, "-m", "bench.dns_rig.engine", kind, str(PORT), str(DEVICE_CORE)])
        ready(engine)
        seconds = QUICK_SECONDS if quick else SECONDS
        rig.trial(engine, seconds, WINDOW)
        found = [rig.trial(engine, seconds, WINDOW) for _ in range(1 if quick else TRIALS)]
        assert engine.stdin is not None
        engine.stdin.close()
        answered = json.loads(answer(engine))["dns_answered"]
        if answered < sum(kqps * 1e3 * seconds for kqps, _ in found):
            raise RuntimeError(f"more came back than was answered, {answered}: queries went by")
        return found
    finally:
        rig.close()
