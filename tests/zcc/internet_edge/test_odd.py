"""The edge and odd packets, end to end: fragments and ICMP errors both ways, packets too large, no TTL left."""

import socket
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, UDP, defragment, fragment
from scapy.layers.inet6 import ICMPv6TimeExceeded, IPv6
from scapy.packet import Raw

import namespaces
from isolation import isolated
from tunnel_client import SmallClient

from .world import EGRESS, EGRESS6, SERVER, SERVER6, WORKLOAD, WORKLOAD6, World, inner, valid

PAYLOAD = bytes(k % 251 for k in range(3000))


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0]], ids=["in order", "backwards"])
@isolated
def test_fragments_go_out_in_any_order_and_come_back_cut_to_the_tunnel(tmp_path: Path, order: list[int]) -> None:
    world = World(tmp_path)
    with world.edge():
        world.echo(socket.AF_INET, SERVER)
        client = world.connect()
        parts = fragment(IP(src=WORKLOAD, dst=SERVER, id=7) / UDP(sport=5555, dport=7) / Raw(PAYLOAD), 1200)
        for k in order:
            client.send(bytes(parts[k]), vni=2)
        back = []
        while not back or sum(len(piece.payload) for piece in back) < len(PAYLOAD) + 8 + len(EGRESS) + 1:
            back.append(IP(inner(client.receive())[2]))
        assert all(len(piece) <= 1400 for piece in back)
        (answer,) = defragment(sorted(back, key=lambda piece: piece.frag))
        assert bytes(answer[UDP].payload) == EGRESS.encode() + b" " + PAYLOAD
        client.close()


@isolated
def test_fragments_of_two_workloads_with_the_same_number_are_not_put_together(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        world.echo(socket.AF_INET, SERVER)
        client = world.connect()
        payloads = {2: PAYLOAD, 3: PAYLOAD[::-1]}
        parts = {vni: fragment(IP(src=WORKLOAD, dst=SERVER, id=7) / UDP(sport=5555, dport=7) / Raw(payload), 1200)
                 for vni, payload in payloads.items()}
        for k in range(3):
            for vni in payloads:
                client.send(bytes(parts[vni][k]), vni=vni)
        back: dict[int, list[IP]] = {2: [], 3: []}
        wanted = len(PAYLOAD) + 8 + len(EGRESS) + 1
        while any(sum(len(piece.payload) for piece in pieces) < wanted for pieces in back.values()):
            vni, _, packet = inner(client.receive())
            back[vni].append(IP(packet))
        for vni, pieces in back.items():
            (answer,) = defragment(sorted(pieces, key=lambda piece: piece.frag))
            assert bytes(answer[UDP].payload) == EGRESS.encode() + b" " + payloads[vni]
        client.close()


@isolated
def test_a_workload_hears_that_nobody_listens(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        client = world.connect()
        for sent in (IP(src=WORKLOAD, dst=SERVER, id=9, flags="DF") / UDP(sport=5555, dport=99) / Raw(b"hello"),
                     IPv6(src=WORKLOAD6, dst=SERVER6) / UDP(sport=5555, dport=99) / Raw(b"hello")):
            client.send(bytes(sent), vni=2)
            told = inner(client.receive())[2]
            heard = IP(told) if IP in sent else IPv6(told)
            assert (heard.src, heard.dst) == (sent.dst, sent.src)
            quoted = bytearray(told[28 if IP in sent else 48:])
            wanted = bytearray(bytes(sent))
            for data in (quoted, wanted):              # the quote is of the packet as it arrived: TTL and its checksum differ
                data[7 if IPv6 in sent else 8] = 0
                data[10:12] = b"\0\0" if IP in sent else data[10:12]
            assert quoted == wanted
        valid(told)
        client.close()


def joined(world: World, family: int, header: IP | IPv6) -> tuple[SmallClient, socket.socket]:
    """A connector whose workload has written to a server, and the server's socket, connected to whom it heard."""
    with namespaces.inside(world.internet):
        server = socket.socket(family, socket.SOCK_DGRAM)
    server.bind((header.dst, 7))
    server.settimeout(5)
    client = world.connect()
    client.send(bytes(header / UDP(sport=5555, dport=7) / Raw(b"hello")), vni=2)
    _, peer = server.recvfrom(100)
    server.connect(peer)
    return client, server


@isolated
def test_a_server_hears_that_a_workload_does_not_listen(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        client, server = joined(world, socket.AF_INET, IP(src=WORKLOAD, dst=SERVER))
        server.send(b"answer")
        answer = inner(client.receive())[2]
        client.send(bytes(IP(src=WORKLOAD, dst=SERVER) / ICMP(type=3, code=3) / Raw(answer)), vni=2)
        with pytest.raises(ConnectionRefusedError):
            server.recv(100)
        client.close()


@isolated
def test_a_packet_without_ttl_is_told_of_by_the_edges_address(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        client = world.connect()
        client.send(bytes(IP(src=WORKLOAD, dst=SERVER, ttl=1) / UDP(sport=5555, dport=7) / Raw(b"hello")), vni=2)
        told = valid(inner(client.receive())[2])
        assert (told[IP].src, told[IP].dst, told[ICMP].type) == (EGRESS, WORKLOAD, 11)
        client.send(bytes(IPv6(src=WORKLOAD6, dst=SERVER6, hlim=1) / UDP(sport=5555, dport=7) / Raw(b"hello")), vni=2)
        told = valid(inner(client.receive())[2])
        assert (told[IPv6].src, ICMPv6TimeExceeded in told) == (EGRESS6, True)
        client.close()


@isolated
def test_a_server_learns_what_fits_the_tunnel(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        client, server = joined(world, socket.AF_INET6, IPv6(src=WORKLOAD6, dst=SERVER6))
        client.settle()
        server.setsockopt(socket.IPPROTO_IPV6, 23, 2)              # IPV6_MTU_DISCOVER, DO
        server.send(bytes(1452))
        with pytest.raises(OSError, match="too long"):
            for _ in range(50):
                server.send(bytes(1452))
                server.settimeout(0.1)
                try:
                    server.recv(1)
                except TimeoutError:
                    continue
        assert server.getsockopt(socket.IPPROTO_IPV6, 24) == 1400  # IPV6_MTU
        client.close()
