"""A gateway at the other end of a cable: what the ports to GWLB are tried against. Needs a namespace of its own."""

import contextlib
import select
import socket

from pyroute2 import IPRoute

import namespaces

OURS, GATEWAY, SOURCE_PORT = "10.1.0.1", "10.1.0.2", 60123


class Site:
    """A gateway at the other end of a cable, and its sockets."""

    def __init__(self, mtu: int = 1500) -> None:
        self.namespace = namespaces.another()
        namespaces.link("g0", [f"{OURS}/24"], self.namespace, "g1", [f"{GATEWAY}/24", "10.1.0.3/24"])
        for name, where in (("g0", contextlib.nullcontext()), ("g1", namespaces.inside(self.namespace))):
            with where, IPRoute() as ip:
                ip.link("set", index=ip.link_lookup(ifname=name)[0], mtu=mtu)
        with namespaces.inside(self.namespace):
            self.listener, self.sender = bound(GATEWAY, 6081), bound(GATEWAY, SOURCE_PORT)

    def send(self, *payloads: bytes) -> None:
        """Send Geneve packets, as far as we care."""
        for payload in payloads:
            self.sender.sendto(payload, (OURS, 6081))

    def heard(self, n: int) -> list[tuple[bytes, tuple[str, int]]]:
        """Take n packets that came to the gateway's port 6081, and see that no more come."""
        got = [self.listener.recvfrom(10_000) for _ in range(n)]
        assert not select.select([self.listener], [], [], 0.05)[0], "more came than was sent"
        return got


def bound(address: str, port: int) -> socket.socket:
    """A UDP socket that waits 5 s at most."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, port))
    made.settimeout(5)
    return made
