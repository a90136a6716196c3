"""Answers a second and CPU time an answer, over loopback: our listener, dnsdist and unbound, one after the other.

    core 0: dnsperf            core 1: the server, with what the kernel does for it

All answer one name with one address from memory. Root, for a namespace of its own; dnsperf must be there, and the servers
that are not are left out. dnsperf itself tops out near 130,000 queries a second here, so the CPU time is the figure to compare.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from pyroute2 import IPRoute

import namespaces
from bench.gwlb_rig import load
from bench.gwlb_rig.rig import end, ready, run_ns, tasks
from bench.harness import Case
from bench.peers import Field

LOAD_CORE, SERVER_CORE = 0, 1
PORT = 5300
NAME, ADDRESS = "portal.corp.example", "10.254.0.7"
SECONDS, TRIALS, QUICK_SECONDS, QUICK_TRIALS = 2, 3, 1, 1
START_S = 5.0
Program = subprocess.Popen[str]
DNSDIST = """
setLocal("127.0.0.1:{port}")
setSecurityPollSuffix("")
newServer("127.0.0.1:9")
addAction(AllRule(), SpoofAction("{address}"))
"""
UNBOUND = """
server:
  interface: 127.0.0.1@{port}
  access-control: 127.0.0.0/8 allow
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: "{folder}/pid"
  use-syslog: no
  num-threads: 1
  local-data: "{name}. 60 IN A {address}"
remote-control:
  control-enable: no
"""


def cases(quick: bool) -> Iterator[Case]:
    """Each server twice: what it answered, and what that cost."""
    if os.geteuid() != 0 or shutil.which("dnsperf") is None:
        print("dns: answers over loopback need root and dnsperf; not measured", file=sys.stderr)
        return
    field = Field("dns", {name: f"try it by hand: {name} --version" for name in ("dnsdist", "unbound")})
    for impl, start in servers():
        measured = functools.cache(functools.partial(field.measure, impl, functools.partial(trials, start, quick)))
        if impl not in field.advice or measured():
            yield Case(impl, "served-loopback", "CPU us/query", 1, functools.partial(figure, measured, 0))
            yield Case(impl, "served-loopback", "kq/s", 1, functools.partial(figure, measured, 1))


def figure(measured: Callable[[], list[tuple[float, float]]], column: int) -> float:
    """The median of all trials."""
    return statistics.median(found[column] for found in measured())


class Place:
    """A namespace and a folder for one server."""

    def __init__(self, undo: ExitStack) -> None:
        self.folder = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        self.space = namespaces.another()
        undo.callback(os.close, self.space)
        with namespaces.inside(self.space), IPRoute() as ip:
            ip.addr("add", index=1, address=load.DEVICE, prefixlen=32)

    def run(self, *command: str | Path) -> Program:
        """Start a program here."""
        with namespaces.inside(self.space):
            return subprocess.Popen([*map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                    stderr=subprocess.DEVNULL, text=True, cwd=Path(__file__).parents[2])


Start = Callable[[Place], Program]


def servers() -> Iterator[tuple[str, Start]]:
    """Ours, and those that are installed."""
    yield "fastpath", listener
    if shutil.which("dnsdist"):
        yield "dnsdist", dnsdist
    if shutil.which("unbound"):
        yield "unbound", unbound


def listener(place: Place) -> Program:
    """The worker with its listener."""
    made = place.run(sys.executable, "-m", "bench.dns_rig.engine", "udp", str(PORT), str(SERVER_CORE))
    ready(made)
    return made


def dnsdist(place: Place) -> Program:
    """Its SpoofAction for every query."""
    file = place.folder / "dnsdist.conf"
    file.write_text(DNSDIST.format(port=PORT, address=ADDRESS))
    return place.run("taskset", "-c", str(SERVER_CORE), "dnsdist", "--supervised", "--disable-syslog", "-C", file)


def unbound(place: Place) -> Program:
    """Its local data."""
    file = place.folder / "unbound.conf"
    file.write_text(UNBOUND.format(port=PORT, address=ADDRESS, name=NAME, folder=place.folder))
    return place.run("taskset", "-c", str(SERVER_CORE), "unbound", "-d", "-c", file)


def trials(start: Start, quick: bool) -> list[tuple[float, float]]:
    """Start a server, ask it, end it: (microseconds of CPU time a query, thousand queries a second) of each trial."""
    with ExitStack() as undo:
        place = Place(undo)
        server = start(place)
        undo.callback(end, server)
        (place.folder / "queries").write_text(f"{NAME} A\n")
        wait_for(place)
        seconds, number = (QUICK_SECONDS, QUICK_TRIALS) if quick else (SECONDS, TRIALS)
        return [trial(place, server, seconds) for _ in range(number)]


def wait_for(place: Place) -> None:
    """Ask until the server answers."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if asked(place, 1, ("-c", "1", "-q", "1", "-n", "1"))[0]:
            return
        time.sleep(0.1)
    raise RuntimeError("the server does not answer")


def trial(place: Place, server: Program, seconds: int) -> tuple[float, float]:
    """Ask as fast as it goes."""
    before = run_ns(tasks(server.pid))
    answered, rate = asked(place, seconds, ("-c", "8", "-q", "400", "-l", str(seconds)))
    used = run_ns(tasks(server.pid)) - before
    if not answered:
        raise RuntimeError("the server stopped answering")
    return used / answered / 1e3, rate / 1e3


def asked(place: Place, seconds: int, options: tuple[str, ...]) -> tuple[int, float]:
    """Run dnsperf: (answers without error, answers a second)."""
    command = ["taskset", "-c", str(LOAD_CORE), "dnsperf", "-s", "127.0.0.1", "-p", str(PORT), "-d",
               str(place.folder / "queries"), "-t", "1", *options]
    with namespaces.inside(place.space):
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    good = re.search(r"NOERROR (\d+)", done.stdout)
    rate = re.search(r"Queries per second:\s+([\d.]+)", done.stdout)
    return (int(good[1]), float(rate[1])) if good and rate else (0, 0.0)
