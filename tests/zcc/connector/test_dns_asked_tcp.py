"""Clients that ask the connector itself over TCP: what UDP cut, many queries at once, and those who mean ill."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from typing import TypeVar

import dns.flags
import dns.message
import dns.rcode
import pytest
from tests.zcc.connector.test_dns_asked import Asking, query
from tests.zcc.connector.test_dns_control import INHOUSE, response
from tests.zcc.connector.test_dns_service import PORTAL

from zcc.connector import dns_stream as module
from zcc.connector.dns_asked_tcp import listen_over_tcp
from zcc.connector.dns_stream import frame, read_message
from zcc.errors import ZccError

T = TypeVar("T")
LINES = [f"long.example. 60 IN TXT {'x' * 200}{n}" for n in range(9)]


@pytest.fixture
def asking(tmp_path):
    made = Asking(tmp_path, "inhouse")
    made.bench.servers.answers[INHOUSE] = response("long.example", *LINES)
    yield made
    made.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return int(made.getsockname()[1])


def served(asking: Asking, talk: Callable[[int], Awaitable[T]]) -> T:
    """Run a client against the listener; nothing is left behind."""

    async def run() -> T:
        port = free_port()
        close = await listen_over_tcp(asking.asked, ("127.0.0.1", port, 1, 1))
        try:
            async with asyncio.timeout(20):
                return await talk(port)
        finally:
            await close()
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0)

    return asyncio.run(run())


async def answer(reader: asyncio.StreamReader) -> dns.message.Message:
    wire = await read_message(reader)
    assert wire is not None
    return dns.message.from_wire(wire)


def test_an_answer_that_udp_cuts_is_whole_over_tcp(asking) -> None:
    cut = asking.ask(query("long.example", use_edns=0, payload=512))
    assert cut is not None and cut.flags & dns.flags.TC and not cut.answer

    async def talk(port: int) -> dns.message.Message:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(frame(query("long.example")))
        whole = await answer(reader)
        writer.close()
        return whole

    whole = served(asking, talk)
    assert not whole.flags & dns.flags.TC and len(whole.answer[0]) == 9
    assert [one["protocol"] for one in asking.bench.records.exchanges] == ["UDP", "TCP"]


@pytest.mark.parametrize("options", [(), ("+edns=0", "+cookie", "+nsid"), ("+noedns",), ("+keepopen",)], ids=" ".join)
def test_dig_gets_whole_answers(asking, options) -> None:
    async def talk(port: int) -> str:
        command = ["dig", "@127.0.0.1", "-p", str(port), "+tcp", "+tries=1", *options, "long.example", "TXT", PORTAL.name, "A"]
        asked = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        return (await asked.communicate())[0].decode()

    said = served(asking, talk)
    assert said.count("status: NOERROR") == 2 and said.count("IN\tTXT") == 10 and "10.254.0.7" in said


def test_a_thousand_queries_of_one_connection_are_all_answered(asking) -> None:
    async def talk(port: int) -> set[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        names = [PORTAL.name, "long.example"]
        wires = [dns.message.make_query(names[n % 2], "A", id=n).to_wire() for n in range(1000)]
        writer.write(b"".join(map(frame, wires)))
        writer.write_eof()
        found = {(await answer(reader)).id for _ in wires}
        assert await read_message(reader) is None
        writer.close()
        return found

    assert served(asking, talk) == set(range(1000))


def test_rules_and_refusals_are_those_of_udp(asking) -> None:
    asking.bench.servers.answers.clear()

    async def talk(port: int) -> dns.message.Message:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(frame(b"") + frame(b"\0" * 5) + frame(query("gone.example")))  # strangers' bytes get no answer
        found = await answer(reader)
        writer.close()
        return found

    assert served(asking, talk).rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize("behind", [b"", b"\0\x20", b"\0\x20half"], ids=["silent", "a length", "half a query"])
def test_a_slow_client_is_cut_however_it_drips(asking, monkeypatch, behind: bytes) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.2)

    async def drip(writer: asyncio.StreamWriter) -> None:
        for octet in behind + b"\0" * 1000:
            writer.write(bytes([octet]))
            await asyncio.sleep(0.02)

    async def talk(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        dripping = asyncio.ensure_future(drip(writer)) if behind else None
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""
        finally:
            if dripping is not None:
                dripping.cancel()
            writer.close()

    assert served(asking, talk) == b""


def test_a_client_that_does_not_read_is_cut_and_holds_no_more_than_its_pipeline(asking, monkeypatch) -> None:
    monkeypatch.setattr(module, "IDLE_S", 0.3)

    async def talk(port: int) -> None:
        loop = asyncio.get_running_loop()
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        made.setblocking(False)
        await loop.sock_connect(made, ("127.0.0.1", port))
        with contextlib.suppress(OSError):
            while True:  # until the listener has had enough
                await loop.sock_sendall(made, frame(query("long.example")) * 200)
                await asyncio.sleep(0.01)
        made.close()

    served(asking, talk)
    assert asking.asked.counts["tcp_connections"] == 1


def test_one_client_can_not_hold_all_connections(asking, monkeypatch) -> None:
    monkeypatch.setattr(module, "CONNECTIONS_LIMIT", 12)

    async def asked_from(address: str, port: int) -> asyncio.StreamReader | None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
        held.append(writer)
        writer.write(frame(query(PORTAL.name)))
        try:
            await answer(reader)
        except (ConnectionError, AssertionError):
            return None
        return reader

    held: list[asyncio.StreamWriter] = []

    async def talk(port: int) -> tuple[int, bool]:
        flood = [await asked_from("127.0.0.1", port) for _ in range(20)]
        other = await asked_from("127.0.0.2", port)
        for writer in held:
            writer.close()
        return sum(one is not None for one in flood), other is not None

    assert served(asking, talk) == (6, True)
    assert asking.asked.counts["tcp_refused"] == 14


def test_an_address_in_use_is_told_and_none_is_none(asking) -> None:
    async def run() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ZccError, match=r"dns\.listen 127.0.0.1"):
            await listen_over_tcp(asking.asked, ("127.0.0.1", taken.getsockname()[1], 1, 1))
        await (await listen_over_tcp(asking.asked, None))()

    asyncio.run(run())
