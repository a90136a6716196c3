"""Health checks and DNS questions while a connector is under load, from the load balancer's side.

Run as a program inside the namespace that holds GATEWAY: `asker CORE`. For every line of input, a number of seconds, it asks a
name in Geneve, from an address of its own, and checks health, ten times a second, each for its own answer; it says in JSON
how many it asked, how many were answered, and how long the slowest health check took. It ends with its input.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time

from pyroute2 import IPRoute

from bench.gwlb_rig.connector import HEALTH_PORT, SINK
from bench.gwlb_rig.load import DEVICE, ENDPOINT
from fastpath import gwlb
from fastpath.batch import PacketBatch
from fastpath.packetio import GeneveSocket
from flood_site import query
from inner_packets import udp

ADDRESS = "10.99.0.3"        # the load's sink takes only what goes to the other one
WORKLOAD, RESOLVER = "10.8.6.9", "10.8.0.2"
EVERY_S, PATIENCE_S, START_S = 0.1, 3.0, 20       # a load balancer waits for 5 s and more


class Asker:
    """A workload that asks names, and a load balancer that checks health."""

    def __init__(self) -> None:
        with IPRoute() as ip:
            ip.addr("add", index=ip.link_lookup(ifname="g0")[0], address=ADDRESS, prefixlen=24)
        self.port, self.batch, self.number = GeneveSocket(ADDRESS), PacketBatch(64), 0

    def ask(self) -> None:
        """Send a question for a name that nobody has asked for."""
        self.number += 1
        packet = udp(WORKLOAD, RESOLVER, 5000 + self.number % 50_000, 53, query(self.number))
        self.batch.load([gwlb.header(ENDPOINT, 2, 7, 4) + packet])
        self.batch.peer_address[0], self.batch.peer_port[0] = int.from_bytes(socket.inet_aton(DEVICE), "big"), 50_000
        self.port.send(self.batch)

    def answers(self) -> int:
        """Take the answers that have come; how many."""
        found = 0
        while count := self.port.recv(self.batch):
            for row in range(count):
                start, length = int(self.batch.start[row]), int(self.batch.length[row])
                found += socket.inet_aton(SINK) in self.batch.data[row, start:start + length].tobytes()
        return found

    def stretch(self, seconds: float) -> dict[str, float]:
        """Ask for so long."""
        seen = {"asked": 0, "answered": 0, "checks": 0, "healthy": 0, "slowest_s": 0.0}
        end = time.monotonic() + seconds
        while (begun := time.monotonic()) < end:
            self.ask()
            seen["asked"] += 1
            seen["checks"] += 1
            seen["healthy"] += health() == 200
            seen["slowest_s"] = max(seen["slowest_s"], time.monotonic() - begun)
            time.sleep(max(0, begun + EVERY_S - time.monotonic()))
            seen["answered"] += self.answers()
        return seen


def health() -> int:
    """Check as GWLB does: the status, 0 where none comes in time."""
    try:
        with socket.create_connection((DEVICE, HEALTH_PORT), PATIENCE_S, (ADDRESS, 0)) as asked:
            asked.settimeout(PATIENCE_S)
            asked.sendall(b"GET /?cchealth HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return int(asked.makefile("rb").read().split()[1])
    except (OSError, IndexError):
        return 0


def main() -> None:
    """asker CORE"""
    os.sched_setaffinity(0, {int(sys.argv[1])})
    asker, limit = Asker(), time.monotonic() + START_S
    while not asker.stretch(EVERY_S)["answered"] or health() != 200:
        if time.monotonic() > limit:
            raise SystemExit(f"no answer from the connector within {START_S} s; health: {health()}")
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))       # above the load, which else has the core for itself
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(asker.stretch(float(line))), flush=True)


if __name__ == "__main__":
    main()
