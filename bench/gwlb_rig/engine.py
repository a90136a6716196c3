"""The engine under test: a worker with its real tables and a policy, LOCAL for every flow, by one of its three back ends.

Run as a program inside the namespace that holds DEVICE: `engine KIND CORE`. For every line of input it takes its log, and
says how many records of each kind there were, how many were lost and how many flows there are now; it ends with its input.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address, ip_network

from pyroute2 import IPRoute

from bench.gwlb_rig.load import DEVICE, ENDPOINT
from fastpath.action import PuntReason
from fastpath.admission import Admission
from fastpath.alias import AliasTable
from fastpath.endpoint import EndpointMap
from fastpath.flowmarks import FlowMarks
from fastpath.flowtable import FlowTable
from fastpath.message import drain
from fastpath.nametable import NameTable
from fastpath.nat import NatTable
from fastpath.packetio import Device, GenevePort, GeneveSocket
from fastpath.packetring import PacketRing
from fastpath.ring import Ring
from fastpath.tunnels import Tunnels
from fastpath.worker import Worker
from fastpath.xsk import XskPort
from zcc.connector.ruleset import build_ruleset
from zcc.policy.compile import compile_policy
from zcc.policy.model import Policy
from zcc.policy.names import NameBook

KINDS: dict[str, Callable[[], GenevePort]] = {
    "udp": lambda: GeneveSocket(DEVICE, polls=True), "packet": lambda: PacketRing(DEVICE, marks=FlowMarks(FLOWS)),
    "xdp": lambda: XskPort(DEVICE, marks=FlowMarks(FLOWS)),
    "xdp-polling": lambda: XskPort(DEVICE, busy_poll_us=50, marks=FlowMarks(FLOWS)),
    "kernel-flows": lambda: XskPort(DEVICE, kernel_flows=FLOWS, marks=FlowMarks(FLOWS))}
FLOWS = 1 << 16
LOG_BYTES = 1 << 27     # for all that happens between two lines of input
RULES = [{"name": "bad", "method": "DROP", "destinations": ["203.0.113.66"]},
         {"name": "east-west", "method": "LOCAL", "destinations": ["172.16.0.0/12"]}]


def made(kind: str) -> Worker:
    """A worker as the connector makes one."""
    policy = Policy.model_validate({"applications": [], "rules": RULES, "pool": "10.254.0.0/19"})
    rules = build_ruleset(compile_policy(policy, "group", NameBook(())), 1)
    idle = {"tcp": 400, "tcp_opening": 30, "tcp_closing": 5, "udp": 130, "icmp": 30, "other": 130}
    internal = ip_network("198.18.0.0/16")
    admission = Admission(
        FlowTable(FLOWS, dict(enumerate(idle.values()))), NatTable(FLOWS, (1024, 65535), os.urandom(32)),
        NameTable(1024, os.urandom(32)), AliasTable(internal[2], 16), rules, Tunnels(), Ring(LOG_BYTES),
        secret=os.urandom(32), pools=[ip_network("10.254.0.0/19")], internal=internal, ports=(5080, 5080, 5353),
        egress=(ip_address("198.51.100.9"),))
    port = KINDS[kind]()
    return Worker(port, kernel_side(), EndpointMap([(ENDPOINT, 1, 0)]), admission, Ring(1 << 20),
                  kernel_flows=port.flows if isinstance(port, XskPort) else None)


def kernel_side() -> Device:
    """A device to the kernel, which stays silent here."""
    with IPRoute() as ip:
        ip.link("add", ifname="k0", kind="veth", peer="k1")
        for name in ("k0", "k1"):
            ip.link("set", index=ip.link_lookup(ifname=name)[0], state="up", arp=False)
    return Device.veth("k0")


def serve(worker: Worker) -> None:
    """Say that it is ready, and work until the input ends."""
    thread = threading.Thread(target=worker.run)
    thread.start()
    print("ready", flush=True)
    for _ in sys.stdin:
        print(json.dumps(taken(worker)), flush=True)
    worker.stop()
    thread.join()


def taken(worker: Worker) -> dict[str, int]:
    """Empty the log."""
    events = worker.admission.events
    kinds: Counter[str] = Counter()
    while some := drain(events, 1 << 16):
        kinds.update(PuntReason(event.reason).name for event in some)
    return {**kinds, "lost": events.lost, "flows": worker.counters()["flows"]}


def main() -> None:
    """engine KIND CORE"""
    os.sched_setaffinity(0, {int(sys.argv[2])})
    worker = made(sys.argv[1])
    serve(worker)
    counts = worker.counters()
    print(json.dumps({"flows": counts["flows"], "packets": sum(counts["packets"]), "drops": sum(counts["drops"]),
                      "lost": worker.geneve.lost(), "turns": counts["loops"]}), flush=True)


if __name__ == "__main__":
    main()
