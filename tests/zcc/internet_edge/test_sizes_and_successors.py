"""What the edge does by itself to keep a tunnel whole: it finds the size of the path, and lets sessions follow each other."""

import socket
import time
from pathlib import Path

from scapy.layers.inet import ICMP, IP, UDP
from scapy.packet import Raw

import namespaces
from isolation import isolated
from tunnel_client import SmallClient
from zcc.itunnel import wire

from .world import EGRESS, SERVER, WORKLOAD, World, inner, valid


def hello(client: SmallClient, replaces: int = 0) -> int:
    """Greet the edge; return the number that it gives the session."""
    client.say(wire.Hello(wire.VERSION, replaces=replaces))
    answer = wire.decode(client.receive())
    assert isinstance(answer, wire.Hello)
    return answer.session


def datagram(said: bytes, port: int = 5555) -> bytes:
    return bytes(IP(src=WORKLOAD, dst=SERVER) / UDP(sport=port, dport=9) / Raw(said))


def listener(world: World) -> socket.socket:
    with namespaces.inside(world.internet):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((SERVER, 9))
    server.settimeout(5)
    return server


@isolated
def test_flows_and_their_bindings_move_to_the_session_that_takes_over(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        server = listener(world)
        old = world.connect()
        number = hello(old)
        old.send(datagram(b"first"), vni=2)
        said, peer = server.recvfrom(100)
        new = world.connect()
        server.sendto(b"to the old one", peer)
        assert valid(inner(old.receive())[2])[Raw].load == b"to the old one"
        assert hello(new, replaces=number) != number
        server.sendto(b"to the new one", peer)
        assert valid(inner(new.receive())[2])[Raw].load == b"to the new one", "the workload has said nothing by it yet"
        old.send(datagram(b"on its way"), vni=2)
        new.send(datagram(b"second"), vni=2)
        assert {server.recvfrom(100) for _ in range(2)} == {(b"on its way", peer), (b"second", peer)}
        assert (said, peer[0]) == (b"first", EGRESS)
        old.say(wire.Goodbye())
        new.say(wire.Probe(1, 1))
        assert wire.decode(new.receive()) == wire.ProbeAnswer(1, 1), "the goodbye was the old session's"


@isolated
def test_another_connector_takes_no_flows_over(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        server = listener(world)
        mine = world.connect()
        number = hello(mine)
        mine.send(datagram(b"mine"), vni=2)
        _, peer = server.recvfrom(100)
        thief = world.connect(name="cc-2")
        hello(thief, replaces=number)
        server.sendto(b"private", peer)
        assert valid(inner(mine.receive())[2])[Raw].load == b"private"


@isolated
def test_what_a_connector_s_path_does_not_carry_is_answered_with_its_size(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge(inner_mtu=8500):
        server = listener(world)
        client = world.connect()
        client.largest = 1300 - 28
        hello(client)
        client.settle(1.2)
        assert client.longest == 1500 - 28, "no more than its interface takes"
        client.send(datagram(b"first"), vni=2)
        _, peer = server.recvfrom(100)
        server.setsockopt(socket.IPPROTO_IP, 10, 3)                 # IP_MTU_DISCOVER, PROBE: whole, whatever is said
        with namespaces.inside(world.internet):
            errors = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        errors.settimeout(5)
        server.sendto(bytes(1300 - 28 - 37 - 28 - 28 + 1), peer)
        told = IP(errors.recv(2000))
        assert (told[ICMP].type, told[ICMP].code, told[ICMP].nexthopmtu) == (3, 4, 1300 - 28 - 37 - 28)
        server.sendto(bytes(1300 - 28 - 37 - 28 - 28), peer)
        assert len(inner(client.receive())[2]) == 1300 - 93


@isolated
def test_a_path_that_shrinks_is_noticed(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge(inner_mtu=8500):
        client = world.connect()
        hello(client)
        client.settle(1.2)
        client.largest = 1400 - 28
        client.probed.clear()
        deadline = time.monotonic() + 8
        while 1400 - 28 - 37 not in client.probed:
            assert time.monotonic() < deadline
            client.socket.settimeout(1)
            try:
                client.receive()
            except TimeoutError:
                client.say(wire.Probe(1, 1))
