"""Programs pinned to an end, and what iperf3 says of TCP between the ends."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from zcc.lab import topology as plan
from zcc.lab.host import Host

NEAR, FAR = 0, 1                # cores: the workload's end and the internet's end
SETTLE_S, LIMIT_S = 0.5, 60


def pin(pid: int, core: int) -> None:
    """Keep all threads of a process, and those that they start, on one core."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {core})


def pinned(core: int, *command: str) -> list[str]:
    """Return a command that runs on one core."""
    return ["taskset", "-c", str(core), *command]


def cpu_s(pids: list[int]) -> float:
    """Return the CPU seconds that processes have used, all their threads."""
    ticks = 0
    for pid in pids:
        with suppress(OSError):
            ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def between(client: Host, server: Host, seconds: float, trials: int, pids: list[int]) -> list[dict[str, float]]:
    """Measure TCP from the client to the server's address and back: Gbit/s, and CPU seconds of `pids` a Gbit."""
    served = server.start(pinned(FAR, "iperf3", "-s"))
    time.sleep(SETTLE_S)
    found = []
    try:
        for _ in range(trials):
            figures = {}
            for way, flags in (("up", []), ("down", ["-R"])):
                before = cpu_s(pids)
                gbit, took = one(client, seconds, flags)
                figures |= {f"{way}-gbit": gbit, f"{way}-cpu": (cpu_s(pids) - before) / (gbit * took)}
            found.append(figures)
    finally:
        served.terminate()
        served.wait(5)
    return found


def one(client: Host, seconds: float, flags: list[str]) -> tuple[float, float]:
    """Run iperf3 once; return Gbit/s and the seconds that it took."""
    done = client.run(pinned(NEAR, "iperf3", "-c", plan.INTERNET, "-t", f"{seconds:g}", "-J", *flags), limit_s=LIMIT_S)
    said = json.loads(done.stdout)
    if "error" in said:
        raise RuntimeError(f"iperf3: {said['error']}")
    return said["end"]["sum_received"]["bits_per_second"] / 1e9, said["end"]["sum_received"]["seconds"]
