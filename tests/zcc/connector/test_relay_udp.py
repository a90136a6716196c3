"""UDP flows over real loopback sockets."""

import asyncio
import socket
from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from tests.zcc.connector.fakes import FLOW, PORTAL, FakeEdge, FakeFlows, FakeNames, FakeRecords, labels

from zcc.clock import ManualClock
from zcc.connector import relay_udp as module
from zcc.connector.opening import Opening
from zcc.connector.ports import UDP
from zcc.connector.relay_udp import UdpRelay
from zcc.mtunnel.errors import Code, Refused

ALIAS = IPv4Address("127.0.0.1")


class Bench:
    def __init__(self) -> None:
        self.edge, self.records, self.names = FakeEdge(), FakeRecords(), FakeNames()
        self.names.id_of(PORTAL.name)
        self.flows = FakeFlows(replace(FLOW, protocol=UDP))
        opening = Opening(
            self.edge, self.names, labels(self.names), self.records, ManualClock(), ("cc-1", "group"))
        self.relay = UdpRelay(opening, self.flows, Counter())

    def run(self, talk):
        async def served():
            await self.relay.start("127.0.0.1", 0)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                client.setblocking(False)
                client.connect(("127.0.0.1", self.relay.port))
                try:
                    async with asyncio.timeout(10):
                        return await talk(client)
                finally:
                    self.relay.close()
                    while self.relay.streams:
                        await asyncio.sleep(0)

        return asyncio.run(served())


@pytest.fixture
def bench():
    return Bench()


def test_datagrams_pass_both_ways_whole(bench):
    async def talk(client):
        client.send(b"one")
        client.send(b"two")
        stream = await bench.edge.streams.get()
        await stream.until_written(2)
        assert stream.datagrams == [b"one", b"two"]
        stream.coming.put_nowait(b"three")
        assert await asyncio.get_running_loop().sock_recv(client, 100) == b"three"

    bench.run(talk)
    assert bench.edge.opened[0].protocol == "udp"
    assert len(bench.records.sessions) == 1


def test_end_of_the_flow_resets_its_stream(bench):
    async def talk(client):
        client.send(b"one")
        stream = await bench.edge.streams.get()
        key = (ALIAS, client.getsockname()[1])
        assert bench.relay.closed(key)
        await stream.gone.wait()
        while bench.relay.streams:
            await asyncio.sleep(0)
        assert not bench.relay.closed(key)

    bench.run(talk)
    assert "reason" not in bench.records.sessions[0]


def test_refused_flow_asks_once_and_is_silent(bench):
    bench.edge.refusal = Refused(Code.FORBIDDEN)

    async def talk(client):
        for _ in range(5):
            client.send(b"x")
        while not bench.records.sessions:
            await asyncio.sleep(0)
        client.send(b"x")
        await asyncio.sleep(0)

    bench.run(talk)
    assert bench.edge.asked["open", PORTAL.name] == 1
    assert bench.records.sessions[0]["reason"] == "forbidden"


def test_a_workload_with_many_flows_leaves_others_room(monkeypatch):
    monkeypatch.setattr(module, "FLOWS_LIMIT", 9)
    bench = Bench()

    async def talk(_):
        senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(5)]
        for sender in senders[:4]:
            sender.sendto(b"x", ("127.0.0.1", bench.relay.port))
        while bench.relay.counts["udp_dropped"] < 1:
            await asyncio.sleep(0)
        bench.flows.flow = replace(FLOW, protocol=UDP, source=IPv4Address("10.8.9.9"))
        senders[4].sendto(b"x", ("127.0.0.1", bench.relay.port))
        for _ in range(4):
            await bench.edge.streams.get()
        for sender in senders:
            sender.close()

    bench.run(talk)
    assert bench.relay.counts["udp_dropped"] == 1


def test_datagrams_beyond_the_queue_are_dropped_and_counted(bench, monkeypatch):
    monkeypatch.setattr(module, "QUEUE_LIMIT", 2)

    async def talk(client):
        bench.edge.gate = asyncio.Event()
        for _ in range(5):
            client.send(b"x")
        while bench.relay.counts["udp_dropped"] < 3:
            await asyncio.sleep(0)
        bench.edge.gate.set()
        stream = await bench.edge.streams.get()
        await stream.until_written(2)

    bench.run(talk)


def test_datagram_of_no_flow_is_dropped(bench):
    bench.flows.flow = None

    async def talk(client):
        client.send(b"x")
        while not bench.relay.counts["udp_dropped"]:
            await asyncio.sleep(0)

    bench.run(talk)
    assert not bench.edge.opened
