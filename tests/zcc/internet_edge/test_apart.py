"""The edge and packets in parts, end to end: a path to the connector of 1,280 bytes, and packets of 1,280 bytes inside."""

import random
import socket
from pathlib import Path

import numpy as np
import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6
from scapy.packet import Raw

import namespaces
from fastpath import geneve
from fastpath.batch import PacketBatch
from fastpath.parts import Parts
from isolation import isolated
from tunnel_client import LOCATION, SmallClient
from zcc.internet_edge.apart import Apart
from zcc.itunnel import wire

from .world import SERVER, SERVER6, WORKLOAD, WORKLOAD6, World, inner, valid

PATH = 1280 - 28                     # datagrams
RECORD = PATH - 37                   # plain bytes
MTU = RECORD - 28


class Narrow:
    """A connector behind a narrow path, and what it knows of parts."""

    def __init__(self, client: SmallClient, takes_parts: bool = True) -> None:
        self.client, self.parts = client, Parts()
        client.largest = PATH
        client.say(wire.Hello(wire.VERSION, takes_parts=takes_parts))
        answer = wire.decode(client.receive())
        assert isinstance(answer, wire.Hello) and answer.takes_parts
        client.settle(1.0)

    def frames(self, *packets: bytes) -> list[bytes]:
        """Return the parts of packets, two each."""
        batch, out = PacketBatch(len(packets)), PacketBatch(64, 2048)
        batch.load([geneve.encode_header([LOCATION], protocol=0x86DD, vni=2) + packet for packet in packets])
        self.parts.split_rows(batch, np.arange(len(packets), dtype=np.uint16), RECORD, out)
        return [out.frame(row) for row in range(out.count)]

    def send(self, *frames: bytes) -> None:
        """Send Geneve packets as they are."""
        for frame in frames:
            sealed = self.client.session.seal(frame)
            assert sealed is not None and len(sealed) <= PATH
            self.client.socket.send(sealed)

    def receive(self) -> tuple[int, bytes]:
        """Return the next whole packet, and in how many records it came."""
        batch, records = PacketBatch(1), 0
        while True:
            records += 1
            batch.load([self.client.receive()])
            geneve.decode_batch(batch)
            if not batch.geneve_flags[0] or self.parts.join_rows(batch, np.zeros(1, np.uint16)):
                return records, inner(batch.frame(0))[2]
            assert batch.reason[0], "held, and no more"


def ping(size: int, number: int = 0) -> bytes:
    data = random.Random(number).randbytes(size)
    return bytes(IPv6(src=WORKLOAD6, dst=SERVER6) / ICMPv6EchoRequest(id=9, seq=number, data=data))


@isolated
def test_pings_of_1280_bytes_go_both_ways_in_parts(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge(inner_mtu=8500):
        narrow = Narrow(world.connect())
        for number, size in enumerate([1232, 1232, MTU - 48, MTU - 47]):
            packet = ping(size, number)
            assert len(packet) == size + 48
            narrow.send(*narrow.frames(packet))
            records, answer = narrow.receive()
            assert (records, len(answer)) == (1 if size == MTU - 48 else 2, size + 48)
            assert valid(answer)[ICMPv6EchoReply].data == random.Random(number).randbytes(size)


@isolated
def test_parts_in_any_order_and_what_lost_one_is_lost_alone(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge(inner_mtu=8500):
        narrow = Narrow(world.connect())
        narrow.send(*narrow.frames(ping(10, 99)))
        narrow.receive()
        frames = narrow.frames(*(ping(1232, number) for number in range(16)))
        del frames[6]
        random.Random(5).shuffle(frames)
        narrow.send(*frames, b"\x00\x40\x86\xdd" + bytes(50), narrow.frames(ping(1, 0))[0][:40])
        answers = [valid(narrow.receive()[1])[ICMPv6EchoReply].seq for _ in range(15)]
        assert sorted(answers) == [number for number in range(16) if number != 3]


@isolated
def test_a_connector_that_takes_no_parts_is_sent_none(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge(inner_mtu=8500):
        narrow = Narrow(world.connect(), takes_parts=False)
        narrow.send(*narrow.frames(ping(1232, 1), ping(100, 2)))
        assert valid(narrow.receive()[1])[ICMPv6EchoReply].seq == 2, "the large answer does not fit"


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "may be cut"])
@isolated
def test_ipv4_of_1280_bytes_comes_whole_too_and_in_its_order(tmp_path: Path, whole: bool) -> None:
    world = World(tmp_path)
    with world.edge(inner_mtu=8500):
        with namespaces.inside(world.internet):
            server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            errors = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        server.setsockopt(socket.IPPROTO_IP, 10, 3 if whole else 0)       # IP_MTU_DISCOVER: PROBE, DONT
        server.bind((SERVER, 9))
        server.settimeout(5)
        errors.settimeout(5)
        narrow = Narrow(world.connect())
        narrow.client.send(bytes(IP(src=WORKLOAD, dst=SERVER) / UDP(sport=5, dport=9) / Raw(b"first")), vni=2)
        _, peer = server.recvfrom(100)
        sizes = [1252, 100, 1252, 1252, MTU - 28, 1252, 7]
        for number, size in enumerate(sizes):
            server.sendto(bytes([number]) * size, peer)
        came = [valid(narrow.receive()[1])[Raw].load for _ in sizes]
        assert came == [bytes([number]) * size for number, size in enumerate(sizes)]
        if whole:
            server.sendto(bytes(1253), peer)
            told = IP(errors.recv(2000))
            assert (told[ICMP].type, told[ICMP].code, told[ICMP].nexthopmtu) == (3, 4, MTU)


def test_a_packet_that_fits_in_parts_is_no_larger_than_its_limit() -> None:
    lengths = np.array([100, 1280, 1281], np.uint16)
    assert (lengths > Apart.limits(lengths, MTU, True)).tolist() == [False, False, True]
    assert (lengths > Apart.limits(lengths, MTU, False)).tolist() == [False, True, True]
    assert (lengths > Apart.limits(lengths, 1400, True)).tolist() == [False, False, False]
