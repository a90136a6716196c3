"""ZIA without a load balancer: client ─▶ TUN ─▶ connector ═ DTLS ═ internet edge ─▶ TUN ─▶ server, in the lab's networks.

The client is on the connector's host, as it is on OpenConnect's, and its packets are routed to the connector's device: both
tunnels do the same job from the same kernel to the same kernel. Run as a program: `routed SECONDS TRIALS [tls] [small]`; prints
a JSON list, one object a trial. With `tls` UDP between the two is blocked, as `zcc lab` blocks it, and the tunnel goes by TCP;
with `small` the first trial has small packets too.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from pyroute2 import IPRoute

from bench.zia_rig.ends import FAR, NEAR, between, pin
from bench.zia_rig.small import small
from zcc.asking import ask
from zcc.lab import identity, namespaces
from zcc.lab import topology as plan
from zcc.lab.deployment import Deployment

CONNECTOR, EDGE, DEVICE = "cc-1", "ie-1", "zccin0"
UP_S = 15
COMPANY = plan.COMPANIES[0]
TUNNEL_PORT, UDP = 443, 17


class Routed(Deployment):
    """One connector and one edge, and no other daemon."""

    def start(self) -> None:
        """Start both, and route the server's address to the connector."""
        for part in ("log", "run", "etc", "var"):
            (self.state / part).mkdir(exist_ok=True)
        identity.issue_agents(self.state / "pki", self.state / "identity")
        for name in (EDGE, CONNECTOR):
            self._make_daemon(name).start()
            self.daemons[name].wait_ready(UP_S)
        self.hosts[CONNECTOR].run(["ip", "route", "add", f"{plan.INTERNET}/32", "dev", DEVICE], limit_s=5)

    def write_config(self, name: str, **changes: Any) -> None:
        """Write a file that has the connector's packets routed, and all of them go by ZIA."""
        if name == CONNECTOR:
            ingress = {"routed": [{"endpoint": plan.ENDPOINT_ID[COMPANY], "name": DEVICE}]}
            changes = {"ingress": ingress, "rules": [], "applications": [], "zpa": None, "gateways": []} | changes
        super().write_config(name, **changes)

    def block_udp(self) -> None:
        """Have the router between the two drop the tunnel's datagrams."""
        with self.hosts["wan"].network(), IPRoute() as ip:
            ip.rule("add", priority=10, action="blackhole", ip_proto=UDP, dport_range=f"{TUNNEL_PORT}:{TUNNEL_PORT}")

    def transport(self) -> str:
        """What the connector's session to the edge goes by; "" while it is not up."""
        told = ask(self.state / "var" / CONNECTOR / "connector.sock", {"ask": "status"})
        edges = told["internet_edges"]
        return next((edge["transport"] for edge in edges if edge["name"] == EDGE and edge["state"] == "up"), "")


def run(seconds: float, trials: int, transport: str, with_small: bool) -> int:
    """Bring the tunnel up, pin its ends, measure."""
    deployment = Routed(namespaces.state_directory(), lambda _: None)
    if transport == "TLS":
        deployment.block_udp()
    deployment.start()
    deployment.wait_until(lambda: deployment.transport() == transport, UP_S, lambda: f"no session by {transport}")
    for name, core in ((CONNECTOR, NEAR), (EDGE, FAR)):
        pin(deployment.daemons[name].pid, core)
    time.sleep(1)
    tunnel = [deployment.daemons[name].pid for name in (CONNECTOR, EDGE)]
    found = between(deployment.hosts[CONNECTOR], deployment.hosts["internet"], seconds, trials, tunnel)
    if with_small:
        found[0] |= small(deployment.hosts[CONNECTOR], deployment.hosts["internet"], [deployment.daemons[EDGE].pid])
    print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    transport, with_small = "TLS" if "tls" in sys.argv[3:] else "DTLS", "small" in sys.argv[3:]
    sys.exit(namespaces.isolate(lambda: run(float(sys.argv[1]), int(sys.argv[2]), transport, with_small)))
