"""Small packets through a tunnel: UDP of 64 bytes by iperf3, at a pace that all can hold and as many as get through.

At the pace most batches hold a packet or a few, as with names, voice, or many tunnels with little traffic each; so it says what
a packet costs that comes alone. The CPU is that of the tunnel's far end only: an edge carries many near ones.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

from bench.zia_rig.ends import FAR, LIMIT_S, NEAR, SETTLE_S, pinned
from zcc.lab import topology as plan
from zcc.lab.host import Host

PAYLOAD_BYTES, PACED_PPS = 64, 20_000
SECONDS = 1.0


def busy_us(pids: list[int]) -> float:
    """Return the CPU microseconds that processes have used, all their threads, as the scheduler counts them."""
    tasks = [task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e3


def small(client: Host, server: Host, far: list[int]) -> dict[str, float]:
    """Measure both ways: CPU µs a delivered packet at the pace, and thousands of packets a second that get through."""
    served = server.start(pinned(FAR, "iperf3", "-s"))
    time.sleep(SETTLE_S)
    found = {}
    try:
        for way, flags in (("up", []), ("down", ["-R"])):
            before = busy_us(far)
            packets, _ = one(client, f"{8 * PAYLOAD_BYTES * PACED_PPS}", flags)
            found[f"small-{way}-cpu"] = (busy_us(far) - before) / packets
            packets, took = one(client, "0", flags)
            found[f"small-{way}-kpps"] = packets / took / 1e3
    finally:
        served.terminate()
        served.wait(5)
    return found


def one(client: Host, bits: str, flags: list[str]) -> tuple[int, float]:
    """Run iperf3 once; return the packets that arrived and the seconds that it took."""
    command = ["iperf3", "-c", plan.INTERNET, "-u", "-l", f"{PAYLOAD_BYTES}", "-b", bits, "-t", f"{SECONDS:g}", "-J", *flags]
    done = client.run(pinned(NEAR, *command), limit_s=LIMIT_S)
    said = json.loads(done.stdout)
    if "error" in said:
        raise RuntimeError(f"iperf3: {said['error']}")
    told = said["end"]["sum"]
    return told["packets"] - told["lost_packets"], told["seconds"]
