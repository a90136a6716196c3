"""TCP through the internet tunnel, iperf3 in the lab's networks, one core each end; beside it OpenConnect and ocserv over DTLS.

By DTLS both seal with AES-128-GCM over links of 1,500 bytes, and `zcc` and the peer do the same job: from a client on the
near host by its kernel and a TUN device into the tunnel, out of it by a TUN device, by the far host's kernel to the server.
`small-…` are UDP packets of 64 bytes: CPU of the far end a packet at 20,000 a second, and as many as get through.
`zcc-gwlb` is a connector behind a load balancer; its near core also carries what a cloud would, the emulator. `zcc-tls` and the
peer's `-tls` go by TLS over TCP, as where UDP is blocked: AES-256-GCM here, AES-128-GCM there. Root, iperf3; `ocserv` and
`openconnect` where installed.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.harness import Case
from bench.peers import Field

PEER = "ocserv-openconnect"
PEERS = (PEER, f"{PEER}-tls")
ONCE = ("zcc-gwlb", "zcc-tls", f"{PEER}-tls")      # in the first round only: all together may take 90 s
ROUNDS, SECONDS, QUICK_SECONDS = 2, 2, 1      # a third would take more than 90 s in a slow hour
COLUMNS = {"up-gbit": "Gbit/s", "down-gbit": "Gbit/s", "up-cpu": "CPU s/Gbit", "down-cpu": "CPU s/Gbit"}
SMALL = {f"small-{way}-{what}": unit for what, unit in (("cpu", "CPU us/packet"), ("kpps", "kpps")) for way in ("up", "down")}
SMALL_OF = ("zcc", PEER)        # whose small packets are measured
Figures = dict[str, list[dict[str, float]]]


def cases(quick: bool) -> Iterator[Case]:
    """Each way and its cost, of both; taken in turns at the first question."""
    if os.geteuid() != 0 or not shutil.which("iperf3"):
        print("zia: needs root and iperf3; nothing measured", file=sys.stderr)
        return
    measured = functools.cache(lambda: rounds(quick))
    for impl in programs():
        if impl not in PEERS or impl in measured():
            for column, unit in (COLUMNS | SMALL if impl in SMALL_OF else COLUMNS).items():
                yield Case(impl, column, unit, 1, functools.partial(figure, measured, impl, column))


def programs() -> dict[str, tuple[str, ...]]:
    """What is measured, by the program that does it and what that is told."""
    peers = dict(zip(PEERS, (("vpn", "small"), ("vpn", "tls")), strict=True))
    there = shutil.which("ocserv") and shutil.which("openconnect")
    return {"zcc": ("routed", "small"), "zcc-gwlb": ("ours",), "zcc-tls": ("routed", "tls"), **(peers if there else {})}


def figure(measured: Callable[[], Figures], impl: str, column: str) -> float:
    """The median over all rounds that have it."""
    return statistics.median(trial[column] for trial in measured()[impl] if column in trial)


def rounds(quick: bool) -> Figures:
    """Take both tunnels in every round: the machine's pace changes, and must change for both."""
    found: Figures = {}
    field = Field("zia", dict.fromkeys(PEERS, "try by hand whether ocserv starts and openconnect reaches it"))
    for number in range(1 if quick else ROUNDS):
        for impl, program in programs().items():
            if number and impl in ONCE:
                continue
            words = tuple(word for word in program if number == 0 or word != "small")      # once, for the same reason
            found.setdefault(impl, []).extend(field.measure(impl, functools.partial(trials, words, quick)))
    return {impl: figures for impl, figures in found.items() if impl not in field.left_out}


def trials(program: tuple[str, ...], quick: bool) -> list[dict[str, float]]:
    """Run a tunnel's program."""
    name, *words = program
    command = [sys.executable, "-m", f"bench.zia_rig.{name}", str(QUICK_SECONDS if quick else SECONDS), "1", *words]
    done = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return json.loads(done.stdout)
