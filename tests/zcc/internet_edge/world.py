"""client ── edge ── internet: three network namespaces and a running internet edge."""

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6

import namespaces
from fastpath.geneve import decode_options
from identities import authority, identity
from tunnel_client import SmallClient
from zcc import notify
from zcc.device import DeviceSettings
from zcc.fields import HostPort
from zcc.internet_edge import daemon
from zcc.internet_edge.settings import InternetEdgeSettings, NatSettings
from zcc.pki.context import dtls_client
from zcc.telemetry.settings import LogSettings

EDGE = ("10.0.4.11", 4433)
SERVER, SERVER6 = "10.9.0.2", "fd00:9::2"
EGRESS, EGRESS6 = "10.9.0.11", "fd00:9::11"
WORKLOAD, WORKLOAD6 = "10.8.6.4", "fd00:8::4"


class World:
    """client ── edge ── internet, and an edge that runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = authority(folder / "ca")
        self.client, self.internet = namespaces.another(), namespaces.another()
        namespaces.link("e0", ["10.0.4.11/24"], self.client, "c0", ["10.0.4.2/24"])
        namespaces.link("e1", ["10.9.0.1/24", "fd00:9::1/64"], self.internet, "i0", [f"{SERVER}/24", f"{SERVER6}/64"])

    def connect(self, role: str = "connector", name: str = "cc-1") -> SmallClient:
        """Return a session of an agent to the edge."""
        agent = identity(self.ca, role, name)
        with namespaces.inside(self.client):
            return SmallClient(dtls_client(agent), EDGE)

    @contextmanager
    def edge(self, **changes: Any) -> Iterator[None]:
        """Run the daemon in a thread of its own."""
        settings = InternetEdgeSettings(**{
            "name": "ie-1", "identity": identity(self.ca, "internet-edge", "ie-1"),
            "listen": HostPort.parse("10.0.4.11:4433"), "kernel": DeviceSettings(device="veth"),
            "nat": NatSettings(addresses=(EGRESS, EGRESS6)), "flows": 1024, "inner_mtu": 1400,
            "logs": LogSettings(directory=self.folder), **changes})
        failures: list[BaseException] = []
        loop, stop = asyncio.new_event_loop(), asyncio.Event()

        def run() -> None:
            try:
                loop.run_until_complete(daemon.run(settings, stop=stop))
            except BaseException as error:
                failures.append(error)
                notify.status("failed")

        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(self.folder / "notify"))
            manager.settimeout(10)
            os.environ["NOTIFY_SOCKET"] = str(self.folder / "notify")
            thread = threading.Thread(target=run)
            thread.start()
            try:
                assert manager.recv(100) == b"READY=1", failures
                yield
            finally:
                loop.call_soon_threadsafe(stop.set)
                thread.join(10)
                loop.close()
                (self.folder / "notify").unlink()
        assert not failures, failures

    def echo(self, family: int, address: str, port: int = 7) -> None:
        """Serve UDP echo on the internet: the answer is who asked and what."""
        with namespaces.inside(self.internet):
            server = socket.socket(family, socket.SOCK_DGRAM)
        server.bind((address, port))

        def run() -> None:
            while True:
                data, peer = server.recvfrom(65536)
                server.sendto(f"{peer[0]} ".encode() + data, peer)

        threading.Thread(target=run, daemon=True).start()

    def records(self, kind: str) -> list[dict[str, Any]]:
        """Read a log back."""
        return [json.loads(line) for line in (self.folder / f"{kind}.jsonl").read_text().splitlines()]


def inner(geneve: bytes) -> tuple[int, int, bytes]:
    """Return VNI, location and the IP packet of what the edge sent."""
    assert geneve[1] & 0x80 == 0
    location = dict((kind, data) for _, kind, data in decode_options(geneve))[1]
    return int.from_bytes(geneve[4:7], "big"), int.from_bytes(location, "big"), geneve[8 + 4 * (geneve[0] & 0x3F):]


def valid(packet: bytes) -> IP | IPv6:
    """Parse an IP packet; assert that all its checksums are what scapy computes."""
    kind = IP if packet[0] >> 4 == 4 else IPv6
    parsed, again = kind(packet), kind(packet)
    for layer in (IP, UDP, TCP, ICMP):
        if again.haslayer(layer):
            del again[layer].chksum
    assert bytes(again) == packet
    return parsed
