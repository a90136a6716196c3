"""DNS over TCP through real loopback sockets, with a real server behind."""

import asyncio
import contextlib
import socket
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

import dns.exception
import dns.message
import dns.rcode
import dns.rrset
import pytest
from tests.zcc.connector.fakes import (
    FLOW,
    PORTAL,
    FakeDatapath,
    FakeEdge,
    FakeFlows,
    FakeNames,
    FakeRecords,
    helpers,
    labels,
    networks_of,
)

from zcc.clock import ManualClock
from zcc.connector import dns_stream as module
from zcc.connector.dns import DnsService
from zcc.connector.dns_journal import Journal
from zcc.connector.dns_stream import frame, read_message
from zcc.connector.dns_tcp import DnsTcp
from zcc.connector.resolver import Resolver
from zcc.connector.shares import Shares
from zcc.connector.teaching import Teacher
from zcc.dns.intercept import Interceptor
from zcc.dns.settings import DnsSettings
from zcc.synthetic.leases import LeaseCache

POOL = IPv4Network("10.254.0.0/19")
LOCAL = IPv4Address("127.0.0.1")


class Bench:
    """The listener, and the server that workloads ask: it answers in the reverse order of asking."""

    def __init__(self, path) -> None:
        self.edge, self.datapath, self.records, self.names = (
            FakeEdge(PORTAL), FakeDatapath(), FakeRecords(), FakeNames())
        self.cache = LeaseCache(path / "leases.sqlite")
        clock = ManualClock()
        resolver = Resolver(self.edge, self.cache, self.datapath, self.names, clock, lambda number: f"co{number}", networks_of)
        interceptor = Interceptor(self.names.application_of, (POOL,), 60)
        teacher = Teacher(self.datapath, self.names, lambda name: True, [POOL])
        service = DnsService(
            DnsSettings(), self.datapath, helpers(resolver, interceptor, teacher, clock),
            Journal(self.records, labels(self.names), clock))
        self.flows = FakeFlows()
        self.tcp = DnsTcp(service, self.flows, self.bound)
        self.listener = self.tcp.listener
        self.asked: list[dns.message.Message] = []
        self.batch = 1
        self.silent = False

    def bound(self, alias: IPv4Address, port: int) -> socket.socket:
        made = socket.socket()
        made.setblocking(False)
        made.bind((str(alias), port))
        return made

    async def serve(self, reader, writer) -> None:
        held: list[bytes] = []
        # What hostile clients say is passed on to here as it is; the connection ends by what can not be read.
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, dns.exception.DNSException, IndexError):
            while (wire := await read_message(reader)) is not None:
                query = dns.message.from_wire(wire)
                self.asked.append(query)
                if self.silent:
                    break
                reply = dns.message.make_response(query)
                reply.answer = [dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "192.0.2.9")]
                held.append(frame(reply.to_wire()))
                if len(held) == self.batch:
                    writer.write(b"".join(reversed(held)))
                    held.clear()
        writer.close()

    def run(self, talk):
        async def served():
            server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            if self.flows.flow is not None:
                self.flows.flow = replace(FLOW, destination=LOCAL, destination_port=port)
            await self.listener.start("127.0.0.1", 0)
            reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
            try:
                async with asyncio.timeout(10):
                    return await talk(reader, writer)
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
                await self.listener.close()
                server.close()
                while len(asyncio.all_tasks()) > 1:
                    await asyncio.sleep(0)

        return asyncio.run(served())


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.cache.close()


def full() -> Shares:
    shares = Shares(1)
    assert shares.take("another")
    return shares


async def answer(reader) -> dns.message.Message:
    wire = await read_message(reader)
    assert wire is not None
    return dns.message.from_wire(wire)


def asked(name: str, message_id: int = 7) -> bytes:
    return frame(dns.message.make_query(name, "A", id=message_id).to_wire())


def test_owned_name_is_answered_here(bench):
    async def talk(reader, writer):
        writer.write(asked(PORTAL.name))
        return await answer(reader)

    reply = bench.run(talk)
    assert reply.answer[0][0].address == "10.254.0.7"
    assert bench.asked == [] and bench.datapath.verbs == ["learn"]
    assert bench.records.exchanges[0]["protocol"] == "TCP"


def test_other_name_is_asked_of_the_server_and_learned_before_the_answer(bench):
    async def talk(reader, writer):
        writer.write(asked("www.example"))
        reply = await answer(reader)
        assert [said[:3] for said in bench.datapath.said] == [("learn", 1, "192.0.2.9")]
        return reply

    reply = bench.run(talk)
    assert (reply.id, reply.answer[0][0].address) == (7, "192.0.2.9")


def test_queries_in_a_row_are_answered_in_any_order_over_one_connection(bench):
    bench.batch = 3

    async def talk(reader, writer):
        for number, name in enumerate(("a.example", "b.example", "c.example")):
            writer.write(asked(name, number))
        writer.write(asked(PORTAL.name, 9))
        return [(await answer(reader)).id for _ in range(4)]

    assert sorted(bench.run(talk)) == [0, 1, 2, 9]


def test_query_cut_into_octets_is_put_together(bench):
    async def talk(reader, writer):
        for octet in asked(PORTAL.name):
            writer.write(bytes([octet]))
            await writer.drain()
        return await answer(reader)

    assert bench.run(talk).answer


def test_workload_that_has_finished_still_gets_its_answer(bench):
    async def talk(reader, writer):
        writer.write(asked("www.example"))
        writer.write_eof()
        reply = await answer(reader)
        assert await read_message(reader) is None
        return reply

    assert bench.run(talk).answer


def test_server_that_ends_without_an_answer_is_a_failure(bench):
    bench.silent = True

    async def talk(reader, writer):
        writer.write(asked("www.example"))
        return await answer(reader)

    assert bench.run(talk).rcode() == dns.rcode.SERVFAIL


def test_server_that_can_not_be_reached_is_a_failure(bench):
    def refuse(alias, port):
        raise OSError("no route")

    bench.tcp._connect = refuse

    async def talk(reader, writer):
        writer.write(asked("www.example"))
        return await answer(reader)

    assert bench.run(talk).rcode() == dns.rcode.SERVFAIL


def test_idle_connection_is_closed(bench, monkeypatch):
    monkeypatch.setattr(module, "IDLE_S", 0.01)

    async def talk(reader, writer):
        return await reader.read()

    assert bench.run(talk) == b""


@pytest.mark.parametrize("why", ["no flow", "too many"])
def test_connection_without_a_flow_or_room_is_reset(bench, why):
    if why == "no flow":
        bench.flows.flow = None
    else:
        bench.listener._shares = full()

    async def talk(reader, writer):
        with pytest.raises(ConnectionResetError):
            await reader.read()

    bench.run(talk)


@pytest.mark.parametrize("sent", [b"\x00", b"\x00\x00", b"\x00\x05abcde", b"\xff\xff" + b"x" * 100, b"\x00\x0c" + bytes(12)],
                         ids=["half a length", "empty", "short", "cut", "zeros"])
def test_hostile_bytes_end_or_go_on_and_others_are_served(bench, sent):
    async def talk(reader, writer):
        writer.write(sent)
        writer.write_eof()
        await reader.read()
        other, sender = await asyncio.open_connection("127.0.0.1", bench.listener.port)
        sender.write(asked(PORTAL.name))
        reply = await answer(other)
        sender.close()
        await sender.wait_closed()
        return reply

    assert bench.run(talk).answer
