"""TCP streams over real loopback sockets, with an edge that does what the test says."""

import asyncio
import socket
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from tests.zcc.connector.fakes import FLOW, PORTAL, FakeEdge, FakeFlows, FakeNames, FakeRecords, labels

from zcc.clock import ManualClock
from zcc.connector import relay as module
from zcc.connector.opening import Opening
from zcc.connector.relay import ZpaRelay
from zcc.mtunnel.errors import Code, Refused


class Bench:
    def __init__(self) -> None:
        self.edge, self.records, self.names = FakeEdge(), FakeRecords(), FakeNames()
        self.names.id_of(PORTAL.name)
        self.clock = ManualClock()
        self.flows = FakeFlows()
        opening = Opening(self.edge, self.names, labels(self.names), self.records, self.clock, ("cc-1", "group"))
        self.relay = ZpaRelay(opening, self.flows)

    def run(self, talk):
        async def served():
            await self.relay.start("127.0.0.1", 0, 0)
            try:
                async with asyncio.timeout(10):
                    return await talk()
            finally:
                await self.relay.close()
                await self.over()

        return asyncio.run(served())

    async def over(self) -> None:
        while self.relay.streams:
            await asyncio.sleep(0)

    async def connect(self) -> "Client":
        made = socket.socket()
        made.setblocking(False)
        await asyncio.get_running_loop().sock_connect(made, ("127.0.0.1", self.relay.tcp_port))
        return Client(made)


class Client:
    """A workload."""

    def __init__(self, made: socket.socket) -> None:
        self.socket = made
        self.port = made.getsockname()[1]

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.socket, data)

    async def receive(self, n: int = 65536) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.socket, n)

    async def receive_all(self) -> bytes:
        parts = []
        while part := await self.receive(1 << 20):
            parts.append(part)
        return b"".join(parts)

    def __enter__(self):
        return self

    def __exit__(self, *unused) -> None:
        self.socket.close()


@pytest.fixture
def bench():
    return Bench()


def test_request_names_application_port_and_source(bench):
    async def talk():
        with await bench.connect():
            await bench.edge.streams.get()

    bench.run(talk)
    (request,) = bench.edge.opened
    assert (request.application, request.host, request.port, request.protocol) == (
        "portal", "portal.corp.example", 443, "tcp")
    source = request.source
    assert (source.namespace, str(source.address), source.connector, source.group, source.location) == (
        "co1", "10.8.6.4", "cc-1", "group", "aws-co1")


def test_late_answer_reaches_a_workload_that_has_finished(bench):
    async def talk():
        with await bench.connect() as client:
            await client.send(b"question")
            stream = await bench.edge.streams.get()
            client.socket.shutdown(socket.SHUT_WR)
            await stream.finished.wait()
            assert bytes(stream.written) == b"question"
            stream.coming.put_nowait(b"late ")
            stream.coming.put_nowait(b"answer")
            stream.coming.put_nowait(None)
            assert await client.receive_all() == b"late answer"
            await bench.over()
            assert not stream.gone.is_set()

    bench.run(talk)
    (record,) = bench.records.sessions
    assert (record["clt_tx_bytes"], record["clt_rx_bytes"]) == (11, 8)
    assert record["zpa_appseg"] == "portal" and record["gw_name"] == "10.0.3.10:443" and "reason" not in record


def test_workload_goes_on_after_the_server_has_finished(bench):
    async def talk():
        with await bench.connect() as client:
            stream = await bench.edge.streams.get()
            stream.coming.put_nowait(b"banner")
            stream.coming.put_nowait(None)
            assert await client.receive_all() == b"banner"
            assert not stream.finished.is_set()
            await client.send(b"still here")
            await stream.until_written(10)
            client.socket.shutdown(socket.SHUT_WR)
            await stream.finished.wait()
            await bench.over()

    bench.run(talk)
    assert "reason" not in bench.records.sessions[0]


def test_bytes_sent_before_the_stream_is_open_are_not_lost(bench):
    async def talk():
        bench.edge.gate = asyncio.Event()
        with await bench.connect() as client:
            await client.send(b"early")
            bench.edge.gate.set()
            stream = await bench.edge.streams.get()
            await stream.until_written(5)
            assert bytes(stream.written) == b"early"

    bench.run(talk)


def test_refused_stream_resets_the_workload_and_is_recorded(bench):
    bench.edge.refusal = Refused(Code.NO_APPLICATION, "no such port")

    async def talk():
        with await bench.connect() as client, pytest.raises(ConnectionResetError):
            await client.receive()

    bench.run(talk)
    (record,) = bench.records.sessions
    assert "no such port" in record["reason"]


@pytest.mark.parametrize("flow", [None, replace(FLOW, name_id=99)], ids=["no flow", "no name"])
def test_connection_without_a_way_is_reset(bench, flow):
    bench.flows.flow = flow

    async def talk():
        with await bench.connect() as client, pytest.raises(ConnectionResetError):
            await client.receive()

    bench.run(talk)
    assert not bench.edge.opened


def test_a_workload_with_many_connections_leaves_others_room(monkeypatch):
    monkeypatch.setattr(module, "STREAMS_LIMIT", 9)
    bench = Bench()

    async def talk():
        clients = [await bench.connect() for _ in range(4)]
        with pytest.raises(ConnectionResetError):
            await clients[3].receive()
        bench.flows.flow = replace(FLOW, source=IPv4Address("10.8.9.9"))     # its neighbour, in the same namespace
        clients.append(await bench.connect())
        for _ in range(4):
            await bench.edge.streams.get()
        for client in clients:
            client.socket.close()

    bench.run(talk)
    assert bench.relay.counts["turned_away"] == 1


def test_reset_of_the_stream_resets_the_workload(bench):
    async def talk():
        with await bench.connect() as client:
            stream = await bench.edge.streams.get()
            stream.reset()
            with pytest.raises(ConnectionResetError):
                await client.receive()

    bench.run(talk)
    assert bench.records.sessions[0]["reason"] == "reset"


def test_reset_of_the_workload_resets_the_stream(bench):
    async def talk():
        with await bench.connect() as client:
            stream = await bench.edge.streams.get()
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.gone.wait()

    bench.run(talk)
    assert "reset" in bench.records.sessions[0]["reason"]


def test_flow_that_is_decided_anew_loses_its_stream_and_is_recorded_once(bench):
    async def talk():
        with await bench.connect() as client:
            stream = await bench.edge.streams.get()
            flow = replace(FLOW, nat_port=client.port)
            assert bench.relay.closed(flow)
            await stream.gone.wait()
            with pytest.raises(ConnectionResetError):
                await client.receive()
            await bench.over()
            assert bench.relay.closed(flow)
            assert not bench.relay.closed(flow)
            assert not bench.relay.closed(replace(FLOW, alias=None))

    bench.run(talk)
    assert len(bench.records.sessions) == 1


def test_slow_far_end_stops_the_workload(bench):
    async def talk():
        bench.edge.gate = asyncio.Event()
        with await bench.connect() as client:
            sent = 0
            while sent < 64 << 20:
                try:
                    sent += client.socket.send(b"x" * 65536)
                except BlockingIOError:
                    for _ in range(50):
                        await asyncio.sleep(0)
                    try:
                        sent += client.socket.send(b"x" * 65536)
                    except BlockingIOError:
                        break
            assert sent < 64 << 20
            bench.edge.gate.set()
            stream = await bench.edge.streams.get()
            await stream.until_written(sent)

    bench.run(talk)


def test_many_bytes_pass_both_ways_unchanged(bench):
    data = bytes(range(256)) * (1 << 14)

    async def talk():
        with await bench.connect() as client:
            stream = await bench.edge.streams.get()
            for at in range(0, len(data), 100_000):
                stream.coming.put_nowait(data[at:at + 100_000])
            stream.coming.put_nowait(None)
            sending = asyncio.ensure_future(client.send(data))
            assert await client.receive_all() == data
            await sending
            client.socket.shutdown(socket.SHUT_WR)
            await stream.finished.wait()
            assert bytes(stream.written) == data
            await bench.over()

    bench.run(talk)


def test_drain_waits_for_streams_and_refuses_new_ones(bench):
    async def talk():
        with await bench.connect() as client:
            stream = await bench.edge.streams.get()
            draining = asyncio.ensure_future(bench.relay.drain(10))
            await asyncio.sleep(0)
            with await bench.connect() as late, pytest.raises(ConnectionResetError):
                await late.receive()
            client.socket.shutdown(socket.SHUT_WR)
            stream.coming.put_nowait(None)
            return await draining

    assert bench.run(talk) == 0


def test_drain_resets_what_is_left_at_the_limit(bench):
    async def talk():
        with await bench.connect(), await bench.connect():
            for _ in range(2):
                await bench.edge.streams.get()
            return await bench.relay.drain(0)

    assert bench.run(talk) == 2
    assert {record["reason"] for record in bench.records.sessions} == {"the connector ends"}
