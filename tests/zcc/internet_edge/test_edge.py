"""The internet edge end to end: real namespaces, real DTLS, a real internet server; and strangers."""

import random
import socket
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

import namespaces
from isolation import isolated
from zcc.itunnel import wire

from .world import EDGE, EGRESS, EGRESS6, SERVER, SERVER6, WORKLOAD, WORKLOAD6, World, inner, valid


@isolated
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


@isolated
def test_two_workloads_with_one_address_and_port_do_not_meet(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        world.echo(socket.AF_INET, SERVER)
        clients = [world.connect(name="cc-1"), world.connect(name="cc-2")]
        for client, vni, said in ((clients[0], 1, b"a"), (clients[0], 2, b"b"), (clients[1], 1, b"c")):
            client.send(bytes(IP(src=WORKLOAD, dst=SERVER) / UDP(sport=5, dport=7) / Raw(said)), vni=vni)
            got, _, packet = inner(client.receive())
            assert (got, bytes(IP(packet)[UDP].payload)[-1:]) == (vni, said)


@isolated
def test_ping_and_ttl(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        client = world.connect()
        client.send(bytes(IP(src=WORKLOAD, dst=SERVER, ttl=1) / ICMP(id=77, seq=1) / Raw(b"dies here")), vni=1)
        client.send(bytes(IP(src=WORKLOAD, dst=SERVER) / ICMP(id=77, seq=2) / Raw(b"data")), vni=1)
        assert valid(inner(client.receive())[2])[ICMP].type == 11
        answer = valid(inner(client.receive())[2])
        assert (answer[ICMP].type, answer[ICMP].id, answer[ICMP].seq) == (0, 77, 2)


@isolated
def test_probes_are_answered_and_goodbye_ends_the_session(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        client = world.connect()
        client.say(wire.Hello(wire.VERSION))
        assert wire.decode(client.receive()) == wire.Hello(wire.VERSION, session=1, takes_parts=True)
        client.say(wire.Probe(7, 123))
        assert wire.decode(client.receive()) == wire.ProbeAnswer(7, 123)
        client.say(wire.Goodbye())
        with pytest.raises(AssertionError, match="closed"):
            client.receive()


@isolated
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


@isolated
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


@isolated
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
