"""GWLB end to end: LOCAL hairpin of 1,000 flows on one core, packets a second and CPU time a packet; see bench/README.md.

Ours are the worker's real loop and tables, by each back end. Peers: `tunhandler`, a handler of the plain kind, compiled here;
and from the folder that $ZCC_BENCH_IO names, as far as they are there, `gwlbtun` and the bare reflectors `xreflect` (AF_XDP),
`kreflect` (XDP_TX), `reflect` (others). Root, Linux 6.6, two cores; in namespaces of its own.
"""

from __future__ import annotations

import contextlib
import functools
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from pyroute2 import IPRoute

import namespaces
from bench.gwlb_rig import load
from bench.gwlb_rig.reflectors import REFLECTORS, start, there
from bench.gwlb_rig.rig import DEVICE_CORE, Rig, ready
from bench.harness import Case
from bench.peers import Field

PAYLOAD = b"\x5a" * 64
WINDOW = 224            # packets on their way: a veth ring holds 256
WARM_UPS = 10           # a link's first packets may be lost
ROUNDS, TRIALS, SECONDS, QUICK_SECONDS = 3, 2, 0.4, 0.2
TUNHANDLER = "tunhandler"
PEERS = ("gwlbtun", "xreflect", "reflect-recvmmsg", "kreflect-xdptx")
Program = subprocess.Popen[str]
Start = Callable[[Rig], Program]
Figures = dict[str, list[tuple[float, float]]]      # of each implementation: kpps and microseconds, a trial


def cases(quick: bool) -> Iterator[Case]:
    """Each implementation twice: what it carried, and what that cost. All are measured in turns, at the first question."""
    if os.geteuid() != 0:
        print("gwlb: needs root for namespaces and BPF; nothing measured", file=sys.stderr)
        return
    measured = functools.cache(lambda: rounds(quick))
    for impl in impls():
        if impl.startswith("fastpath") or impl in measured():
            for column, unit in enumerate(("kpps", "CPU us/packet")):
                yield Case(impl, f"local-1000-{len(PAYLOAD)}", unit, 1, functools.partial(figure, measured, impl, column))


def figure(measured: Callable[[], Figures], impl: str, column: int) -> float:
    """The median over all rounds."""
    return statistics.median(pair[column] for pair in measured()[impl])


def rounds(quick: bool) -> Figures:
    """Take every implementation in every round: the machine's pace changes, and must change for all."""
    figures: Figures = {}
    field = Field("gwlb", {TUNHANDLER: "a C compiler, cc, makes it", **there(*PEERS)})
    for _ in range(1 if quick else ROUNDS):
        for impl, begin in impls().items():
            figures.setdefault(impl, []).extend(field.measure(impl, functools.partial(trials, impl, begin, quick)))
    return {impl: found for impl, found in figures.items() if impl not in field.left_out}


def trials(impl: str, begin: Start, quick: bool) -> list[tuple[float, float]]:
    """Set up, warm up, measure, end."""
    rig = Rig(PAYLOAD, in_kernel=impl == "fastpath-kernel-flows" or (impl in PEERS and REFLECTORS[impl].in_kernel))
    try:
        device = begin(rig)
        warm_up(rig, device)
        return [rig.trial(device, QUICK_SECONDS if quick else SECONDS, WINDOW) for _ in range(1 if quick else TRIALS)]
    finally:
        rig.close()


def warm_up(rig: Rig, device: Program) -> None:
    """Send until packets come back, and fill the caches."""
    for left in reversed(range(WARM_UPS)):
        try:
            rig.trial(device, 0.2, WINDOW)
            return
        except RuntimeError:
            if not left:
                raise


def impls() -> dict[str, Start]:
    """The worker by each back end, the handler compiled here, and what the folder holds."""
    kinds = ("kernel-flows", "xdp", "packet", "udp")
    return {**{f"fastpath-{kind}": functools.partial(engine, kind=kind) for kind in kinds}, TUNHANDLER: tunhandler,
            **{name: functools.partial(start, name=name) for name in there(*PEERS)}}


def engine(rig: Rig, kind: str) -> Program:
    """Start the worker."""
    device = rig.start([sys.executable, "-m", "bench.gwlb_rig.engine", kind, str(DEVICE_CORE)])
    ready(device)
    return device


def tunhandler(rig: Rig) -> Program:
    """Compile the plain handler and start it; the kernel forwards between its two devices."""
    with contextlib.ExitStack() as folders:
        folder = Path(folders.enter_context(tempfile.TemporaryDirectory()))
        source = Path(__file__).parent / "gwlb_rig" / "tunhandler.c"
        subprocess.run(["cc", "-O2", "-pthread", "-o", folder / "tunhandler", source], check=True)
        device = rig.start(["taskset", "-c", str(DEVICE_CORE), str(folder / "tunhandler"), load.DEVICE])
        ready(device)
    with namespaces.inside(rig.device), IPRoute() as ip:
        for name in ("all", "gwi"):
            switch(f"{name}/rp_filter", 0)
        switch("all/forwarding", 1)
        ip.route("replace", dst="172.16.0.0/12", oif=ip.link_lookup(ifname="gwo")[0])
    return device


def switch(name: str, value: int) -> None:
    """Write one of this thread's namespace's IPv4 switches; /proc/sys shows the namespace of whoever opens it."""
    Path(f"/proc/sys/net/ipv4/conf/{name}").write_text(str(value))
