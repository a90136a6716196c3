"""zcc.connector.dns_upstream against real sockets on loopback: UDP, forged answers, cut answers, silence, TCP."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address

import dns.flags
import dns.message
import dns.rrset
import pytest

from zcc.connector import dns_upstream
from zcc.connector.dns_upstream import NoAnswer, ask

LOCAL = IPv4Address("127.0.0.1")
ASKED = dns.message.make_query("www.example", "A", id=7).to_wire()


def answer(wire: bytes, address: str = "192.0.2.1", flags: int = 0) -> bytes:
    message = dns.message.make_response(dns.message.from_wire(wire))
    message.answer = [dns.rrset.from_text(message.question[0].name, 60, "IN", "A", address)]
    message.flags |= flags
    return message.to_wire()


class Server:
    """A DNS server on loopback; what it says over UDP is up to the test, over TCP it always answers 192.0.2.9."""

    def __init__(self, over_udp) -> None:
        self.over_udp = over_udp
        self.seen: list[tuple[str, bytes]] = []

    async def __aenter__(self) -> Server:
        loop = asyncio.get_running_loop()
        self.tcp = await asyncio.start_server(self._serve, str(LOCAL), 0)
        self.port = self.tcp.sockets[0].getsockname()[1]
        self.udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self), local_addr=(str(LOCAL), self.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.udp.close()
        self.tcp.close()
        await self.tcp.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        self.seen.append(("tcp", wire))
        said = answer(wire, "192.0.2.9")
        writer.write(len(said).to_bytes(2) + said)
        await writer.drain()
        writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: Server) -> None:
        self.server = server

    def connection_made(self, transport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr) -> None:
        self.server.seen.append(("udp", data))
        for said in self.server.over_udp(data):
            self.transport.sendto(said, addr)


def asked(over_udp, **more) -> tuple[str, list[tuple[str, bytes]]]:
    async def run() -> tuple[str, list[tuple[str, bytes]]]:
        async with Server(over_udp) as server:
            said = dns.message.from_wire(await ask(LOCAL, ASKED, port=server.port, **more))
            assert said.id == 7 and said.question[0].name.to_text() == "www.example."
            return said.answer[0][0].address, server.seen

    return asyncio.run(run())


def test_the_answer_comes_over_udp_under_the_client_s_own_id() -> None:
    address, seen = asked(lambda wire: [answer(wire)])
    ((way, sent),) = seen
    assert address == "192.0.2.1" and way == "udp" and sent.lower()[12:] == ASKED.lower()[12:]


def test_forged_answers_are_passed_over_and_the_true_one_is_waited_for() -> None:
    def forge(wire: bytes) -> list[bytes]:
        other_id = bytes([wire[0] ^ 1]) + answer(wire, "192.0.2.66")[1:]
        other_case = answer(wire[:12] + wire[12:].swapcase(), "192.0.2.66")
        return [b"", other_id, other_case, answer(wire, "192.0.2.1")]

    assert asked(forge)[0] == "192.0.2.1"


@pytest.mark.parametrize("way", ["cut", "other spelling", "silent"])
def test_what_udp_can_not_bring_comes_over_tcp(way: str, monkeypatch) -> None:
    monkeypatch.setattr(dns_upstream, "PATIENCE_S", 0.3)
    said = {
        "cut": lambda wire: [answer(wire, flags=dns.flags.TC)],
        "other spelling": lambda wire: [answer(wire[:12] + wire[12:].lower())],
        "silent": lambda wire: [],
    }[way]
    address, seen = asked(said)
    assert address == "192.0.2.9" and [how for how, _ in seen] == ["udp", "tcp"]


def test_over_tcp_from_the_start() -> None:
    assert [how for how, _ in asked(lambda wire: [], over_tcp=True)[1]] == ["tcp"]


def test_nobody_there_is_no_answer() -> None:
    async def run() -> None:
        async with Server(lambda wire: []) as server:
            port = server.port
        with pytest.raises(NoAnswer):
            await ask(LOCAL, ASKED, port=port)

    asyncio.run(run())


def test_a_question_that_is_no_plain_name_is_no_answer_and_nothing_is_sent() -> None:
    with pytest.raises(NoAnswer, match="not one plain name"):
        asyncio.run(ask(LOCAL, ASKED[:12] + b"\xc0\x0c\0\1\0\1", port=9))
