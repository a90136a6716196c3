"""The internet edge end to end: real namespaces, real DTLS, a real internet server; and strangers."""

import asyncio
import json
import os
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

import namespaces
from fastpath.geneve import decode_options
from identities import authority, identity
from tunnel_client import SmallClient
from zcc import notify
from zcc.doorway import DeviceSettings
from zcc.fields import HostPort
from zcc.internet_edge import daemon
from zcc.internet_edge.settings import InternetEdgeSettings, NatSettings
from zcc.itunnel import wire
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
            "nat": NatSettings(addresses=(EGRESS, EGRESS6)), "flows": 1024,
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


@namespaces.isolated
def test_udp_goes_out_with_the_edges_address_and_comes_back_to_the_workload(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        world.echo(socket.AF_INET, SERVER)
        world.echo(socket.AF_INET6, SERVER6)
        client = world.connect()
        client.send(bytes(IP(src=WORKLOAD, dst=SERVER) / UDP(sport=5555, dport=7) / Raw(b"hello")), vni=2)
        vni, location, packet = inner(client.receive())
        answer = valid(packet)
        assert (vni, location) == (2, 9)
        assert (answer[IP].src, answer[IP].dst, answer[UDP].sport, answer[UDP].dport) == (SERVER, WORKLOAD, 7, 5555)
        assert bytes(answer[UDP].payload) == EGRESS.encode() + b" hello"
        client.send(bytes(IPv6(src=WORKLOAD6, dst=SERVER6) / UDP(sport=5555, dport=7) / Raw(b"six")), vni=2)
        answer = valid(inner(client.receive())[2])
        assert (answer[IPv6].dst, bytes(answer[UDP].payload)) == (WORKLOAD6, EGRESS6.encode() + b" six")
        client.close()
    flow = next(record for record in world.records("session") if record["clt_src_ip"] == WORKLOAD)
    assert (flow["clt_rx_packets"], flow["clt_tx_packets"], flow["name"], flow["namespace"]) == (1, 1, "connector/cc-1", "2")
    assert [record["event"] for record in world.records("tunnel")] == ["UP", "DOWN"]


@namespaces.isolated
def test_two_workloads_with_one_address_and_port_do_not_meet(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        world.echo(socket.AF_INET, SERVER)
        clients = [world.connect(name="cc-1"), world.connect(name="cc-2")]
        for client, vni, said in ((clients[0], 1, b"a"), (clients[0], 2, b"b"), (clients[1], 1, b"c")):
            client.send(bytes(IP(src=WORKLOAD, dst=SERVER) / UDP(sport=5, dport=7) / Raw(said)), vni=vni)
            got, _, packet = inner(client.receive())
            assert (got, bytes(IP(packet)[UDP].payload)[-1:]) == (vni, said)


@namespaces.isolated
def test_ping_and_ttl(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        client = world.connect()
        client.send(bytes(IP(src=WORKLOAD, dst=SERVER, ttl=1) / ICMP(id=77, seq=1) / Raw(b"dies here")), vni=1)
        client.send(bytes(IP(src=WORKLOAD, dst=SERVER) / ICMP(id=77, seq=2) / Raw(b"data")), vni=1)
        answer = valid(inner(client.receive())[2])
        assert (answer[ICMP].type, answer[ICMP].id, answer[ICMP].seq) == (0, 77, 2)


@namespaces.isolated
def test_probes_are_answered_and_goodbye_ends_the_session(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        client = world.connect()
        client.say(wire.Hello(wire.VERSION))
        assert wire.decode(client.receive()) == wire.Hello(wire.VERSION)
        client.say(wire.Probe(7, 123))
        assert wire.decode(client.receive()) == wire.ProbeAnswer(7, 123)
        client.say(wire.Goodbye())
        with pytest.raises(AssertionError, match="closed"):
            client.receive()


@namespaces.isolated
def test_the_edges_own_kernel_is_closed_to_tunnels(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        world.echo(socket.AF_INET, SERVER)
        own = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        own.bind(("10.9.0.1", 9))
        own.setblocking(False)
        client = world.connect()
        client.send(bytes(IP(src=WORKLOAD, dst="10.9.0.1") / UDP(sport=5, dport=9) / Raw(b"x")), vni=1)
        client.send(bytes(IP(src=WORKLOAD, dst=SERVER) / UDP(sport=5, dport=7) / Raw(b"after")), vni=1)
        client.receive()
        with pytest.raises(BlockingIOError):
            own.recv(100)


@namespaces.isolated
def test_an_agent_of_another_role_is_refused(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        stranger = world.connect(role="app-connector", name="ac-1")
        stranger.say(wire.Probe(1, 1))
        with pytest.raises(AssertionError, match="closed"):
            stranger.receive()
        client = world.connect()
        client.say(wire.Probe(1, 1))
        assert wire.decode(client.receive()) == wire.ProbeAnswer(1, 1)


@namespaces.isolated
def test_garbage_from_strangers_and_in_a_session_changes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        client = world.connect()
        with namespaces.inside(world.client):
            stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for size in (0, 1, 13, 14, 100, 1400):
            for first in (0, 20, 21, 22, 23, 255):
                garbage = bytes([first, 254, 253, 0, 0]) + random.Random(size).randbytes(size)
                stranger.sendto(garbage, EDGE)
                client.socket.send(garbage)
        client._send(b"\0" * 40)
        client._send(b"\xff")
        client.send(b"\x45", vni=1)
        client.send(b"\x45" + bytes(60), vni=0)
        client.say(wire.Probe(2, 2))
        assert wire.decode(client.receive()) == wire.ProbeAnswer(2, 2)
