"""Servers that lie, break off, dawdle and drown: what a gateway makes of them, over real sockets on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address
from itertools import pairwise

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.zcc.connector.test_dns_upstream import ASKED, LOCAL, answer

from zcc.clock import ManualClock
from zcc.connector import dns_gateways, dns_upstream
from zcc.connector.dns_gateways import Gateways, Redirected
from zcc.connector.dns_upstream import MISFITS_LIMIT, NoAnswer, ask
from zcc.dns.disguise import undisguised
from zcc.dns.learning import learn
from zcc.dns.octets import records
from zcc.dns.question import Question, parse_question
from zcc.policy.objects.gateway import DnsGateway

Said = Callable[[bytes], list[bytes]]
TRUE = "192.0.2.1"
OVER_TCP = "192.0.2.9"


class Liar:
    """A server whose datagrams and octets of TCP streams are the test's; None over TCP keeps the stream open in silence."""

    def __init__(self, over_udp: Said, over_tcp: Callable[[bytes], list[bytes] | None], pause_s: float = 0.0) -> None:
        self.over_udp, self.over_tcp, self.pause_s = over_udp, over_tcp, pause_s
        self.asked: list[str] = []
        self._serving: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Liar:
        self._tcp = await asyncio.start_server(self._serve, str(LOCAL), 0)
        self.port = self._tcp.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=(str(LOCAL), self.port))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._udp.close()
        self._tcp.close()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)
        await self._tcp.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.append(task)
        try:
            await self._say(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # who asked is gone: it has heard enough; asyncio logs a handler that ends by being cancelled
        finally:
            writer.transport.abort()

    async def _say(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        self.asked.append("tcp")
        pieces = self.over_tcp(wire)
        for piece in pieces or ():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(self.pause_s)
        if pieces is None:
            await reader.read()
        writer.close()
        await writer.wait_closed()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, liar: Liar) -> None:
        self._liar = liar

    def connection_made(self, transport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr) -> None:
        self._liar.asked.append("udp")
        for said in self._liar.over_udp(data):
            self._transport.sendto(said, addr)


def framed(wire: bytes) -> bytes:
    return len(wire).to_bytes(2) + wire


def good_over_tcp(wire: bytes) -> list[bytes]:
    return [framed(answer(wire, OVER_TCP))]


def tell(over_udp: Said, over_tcp=good_over_tcp, **more) -> tuple[dns.message.Message, list[str]]:
    async def run() -> tuple[dns.message.Message, list[str]]:
        async with Liar(over_udp, over_tcp, **more) as liar:
            return dns.message.from_wire(await ask(LOCAL, ASKED, port=liar.port)), liar.asked

    message, asked = asyncio.run(run())
    assert message.id == 7 and message.question[0].to_text() == "www.example. IN A"
    return message, asked


@pytest.fixture(autouse=True)
def _patient(monkeypatch) -> None:
    """Where an answer comes, a machine that is busy does not matter."""
    monkeypatch.setattr(dns_upstream, "PATIENCE_S", 20.0)


@pytest.fixture
def impatient(monkeypatch) -> None:
    """Where none comes, the wait is short."""
    monkeypatch.setattr(dns_upstream, "PATIENCE_S", 0.3)


def recased(wire: bytes) -> bytes:
    return wire[:12] + wire[12:].swapcase()


def other_question(wire: bytes) -> bytes:
    said = dns.message.make_response(dns.message.make_query("www.other", "A"))
    return wire[:2] + said.to_wire()[2:]


LIES = {
    "other id": lambda wire: bytes([wire[0] ^ 0x80]) + answer(wire, "192.0.2.66")[1:],
    "other case": lambda wire: answer(recased(wire), "192.0.2.66"),
    "other name": other_question,
    "other type": lambda wire: answer(wire[:-4] + b"\0\x1c" + wire[-2:], "192.0.2.66"),
    "a query": lambda wire: wire,
    "other opcode": lambda wire: (said := answer(wire))[:2] + bytes([said[2] | 0x20]) + said[3:],
    "no question": lambda wire: (said := answer(wire))[:4] + b"\0\0" + said[6:],
    "two questions": lambda wire: (said := answer(wire))[:4] + b"\0\2" + said[6:],
    "header alone": lambda wire: answer(wire)[:12],
    "broken off in a record": lambda wire: answer(wire)[:-3],
    "a record too many": lambda wire: (said := answer(wire))[:6] + b"\0\2" + said[8:],
    "length beyond the end": lambda wire: (said := answer(wire))[:-6] + b"\xff\xff" + said[-4:],
    "nothing": lambda wire: b"",
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_before_the_truth_changes_nothing(lie) -> None:
    message, asked = tell(lambda wire: [lie(wire), answer(wire, TRUE)])
    assert message.answer[0][0].address == TRUE and asked == ["udp"]


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_a_lie_alone_is_asked_again_over_tcp(lie, monkeypatch) -> None:
    monkeypatch.setattr(dns_upstream, "PATIENCE_S", 1.0)
    message, asked = tell(lambda wire: [lie(wire)])
    assert message.answer[0][0].address == OVER_TCP and asked == ["udp", "tcp"]


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
@pytest.mark.usefixtures("impatient")
def test_over_tcp_a_lie_is_no_answer(lie) -> None:
    if lie is LIES["other case"]:
        return  # whose case it is does not matter where the connection tells who answers: it is the client's own there
    with pytest.raises(NoAnswer):
        tell(lambda wire: [], lambda wire: [framed(lie(wire))])


def test_who_is_drowned_in_guesses_asks_over_tcp_at_once(monkeypatch) -> None:
    monkeypatch.setattr(dns_upstream, "PATIENCE_S", 30.0)
    guesses = lambda wire: [LIES["other id"](wire)] * MISFITS_LIMIT  # noqa: E731
    assert tell(guesses)[0].answer[0][0].address == OVER_TCP


def test_an_answer_in_pieces_of_one_octet_is_put_together() -> None:
    cut = lambda wire: [answer(wire, flags=dns.flags.TC)]  # noqa: E731
    in_octets = lambda wire: [bytes([octet]) for octet in framed(answer(wire, OVER_TCP))]  # noqa: E731
    message, asked = tell(cut, in_octets)
    assert message.answer[0][0].address == OVER_TCP and asked == ["udp", "tcp"]


def test_an_answer_split_anywhere_is_put_together() -> None:
    whole = len(framed(answer(ASKED, OVER_TCP)))
    for at in range(1, whole):
        split = lambda wire, at=at: [(said := framed(answer(wire, OVER_TCP)))[:at], said[at:]]  # noqa: E731
        assert tell(lambda wire: [answer(wire, flags=dns.flags.TC)], split)[0].answer[0][0].address == OVER_TCP


@pytest.mark.parametrize(
    ("over_tcp", "pause_s"),
    [
        (lambda wire: None, 0.0),
        (lambda wire: [framed(answer(wire))[:9]], 0.0),
        (lambda wire: [b"\0"], 0.0),
        (lambda wire: [b"\0\0"], 0.0),
        (lambda wire: [b"\xff\xff" + answer(wire)], 0.0),
        (lambda wire: [framed(answer(wire, flags=dns.flags.TC))], 0.0),
        (lambda wire: [bytes([octet]) for octet in framed(answer(wire))], 0.1),
        (lambda wire: [], 0.0),
    ],
    ids=["silence", "half", "an octet", "empty", "too long", "cut again", "dawdling", "closed"],
)
@pytest.mark.usefixtures("impatient")
def test_what_never_becomes_whole_is_no_answer_in_bounded_time(over_tcp, pause_s: float) -> None:
    with pytest.raises(NoAnswer):
        tell(lambda wire: [answer(wire, flags=dns.flags.TC)], over_tcp, pause_s=pause_s)


def test_an_answer_of_64_kib_comes_over_tcp() -> None:
    def giant(wire: bytes) -> bytes:
        message = dns.message.make_response(dns.message.from_wire(wire))
        texts = [f'"{n:04}{"x" * 240}"' for n in range(250)]
        message.answer = [dns.rrset.from_text(message.question[0].name, 60, "IN", "TXT", *texts)]
        return message.to_wire(max_size=0xFFFF)

    message, _ = tell(lambda wire: [answer(wire, flags=dns.flags.TC)], lambda wire: [framed(giant(wire))])
    assert len(message.answer[0]) == 250


@settings(max_examples=300)
@given(st.data())
def test_whatever_is_taken_for_an_answer_is_one(data) -> None:
    """Octets of a true answer changed at random: what is passed on has the client's id and question."""
    sent = ASKED[:12] + b"\3WwW\7eXaMpLe" + ASKED[24:]
    wire = bytearray(answer(sent))
    for _ in range(data.draw(st.integers(0, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    said = undisguised(bytes(wire[: data.draw(st.integers(0, len(wire)))]), sent, ASKED)
    if said is not None and records(said) is not None:
        message = dns.message.from_wire(said, continue_on_error=True, ignore_trailing=True)
        assert message.id == 7 and [one.to_text() for one in message.question] == ["www.example. IN A"]


# ---- chains ----


def chain(*links: str, last: str = "A 192.0.2.1") -> bytes:
    message = dns.message.make_response(dns.message.make_query("n0.example", "A"))
    names = ["n0.example.", *links]
    for owner, target in pairwise(names):
        message.answer.append(dns.rrset.from_text(owner, 60, "IN", "CNAME", target))
    message.answer.append(dns.rrset.from_text(names[-1], 60, "IN", *last.split()))
    return message.to_wire(max_size=0xFFFF)


@pytest.mark.parametrize(
    ("links", "taught"),
    [
        ([f"n{n}.example." for n in range(1, 9)], True),
        ([f"n{n}.example." for n in range(1, 30)], False),  # longer than anybody follows
        (["n1.example.", "n0.example."], False),
        (["n0.example."], True),  # by its own record
    ],
    ids=["long", "too long", "loop", "itself"],
)
def test_chains_teach_their_end_and_loops_end(links: list[str], taught: bool) -> None:
    learned = learn(chain(*links), 30, 3600)
    assert learned is not None and bool(learned.addresses) == taught


# ---- the gateway of two servers ----


def gateway(first: Said, second: Said, *, fail_first_over_tcp: bool = True) -> tuple[Redirected | None, Gateways]:
    servers = {IPv4Address("192.0.2.53"): first, IPv4Address("192.0.2.54"): second}

    async def fake(server: IPv4Address, wire: bytes) -> bytes:
        said = servers[server](wire)
        if not said:
            raise NoAnswer("silence")
        return said[0]

    primary, secondary = servers
    made = Gateways([DnsGateway(name="g", primary=primary, secondary=secondary)], ManualClock(), fake)
    question = parse_question(ASKED)
    assert isinstance(question, Question)
    return asyncio.run(made.answer("g", ASKED, question)), made


def says(rcode: int) -> Said:
    def said(wire: bytes) -> list[bytes]:
        message = dns.message.make_response(dns.message.from_wire(wire))
        message.set_rcode(dns.rcode.Rcode.make(rcode))
        return [message.to_wire()]

    return said


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP])
def test_who_can_not_tell_is_passed_over(rcode: int) -> None:
    found, _ = gateway(says(rcode), lambda wire: [answer(wire, TRUE)])
    assert found is not None and found.slot == 2 and dns.message.from_wire(found.message).answer[0][0].address == TRUE


def test_what_the_first_could_not_tell_is_said_if_nobody_can() -> None:
    found, made = gateway(says(dns.rcode.REFUSED), lambda wire: [])
    assert found is not None and found.slot == 1 and dns.message.from_wire(found.message).rcode() == dns.rcode.REFUSED
    assert made.counts["gateway_failed"] == 0


def test_nxdomain_is_an_answer() -> None:
    found, _ = gateway(says(dns.rcode.NXDOMAIN), lambda wire: [answer(wire)])
    assert found is not None and found.slot == 1


def test_types_that_differ_by_the_case_of_a_letter_are_not_one_question() -> None:
    """65 is HTTPS and the letter A; 97 is the letter a."""
    asked: list[int] = []

    async def fake(server: IPv4Address, wire: bytes) -> bytes:
        asked.append(int(dns.message.from_wire(wire).question[0].rdtype))
        return answer(wire)

    async def run() -> None:
        made = Gateways([DnsGateway(name="g", primary=IPv4Address("192.0.2.53"))], ManualClock(), fake)
        for kind in (65, 97):
            wire = dns.message.make_query("www.example", dns.rdatatype.RdataType.make(kind)).to_wire()
            question = parse_question(wire)
            assert isinstance(question, Question)
            await made.answer("g", wire, question)

    asyncio.run(run())
    assert asked == [65, 97]


def test_an_old_answer_does_not_wait_for_servers_that_are_slow(monkeypatch) -> None:
    monkeypatch.setattr(dns_gateways, "STALE_AFTER_S", 0.05)
    clock, slow = ManualClock(), asyncio.Event()
    question = parse_question(ASKED)
    assert isinstance(question, Question)

    async def fake(server: IPv4Address, wire: bytes) -> bytes:
        if clock.monotonic_ns():
            await slow.wait()
        return answer(wire, TRUE if not clock.monotonic_ns() else OVER_TCP)

    async def run() -> list[Redirected | None]:
        made = Gateways([DnsGateway(name="g", primary=IPv4Address("192.0.2.53"))], clock, fake)
        found = [await made.answer("g", ASKED, question)]
        clock.advance(120)
        found.append(await made.answer("g", ASKED, question))
        slow.set()
        await asyncio.gather(*made._asking.values())
        found.append(await made.answer("g", ASKED, question))
        return found

    first, stale, fresh = asyncio.run(run())
    assert first and stale and fresh
    assert [found.flags for found in (first, stale, fresh)] == [
        "PRIMARY_SERVER_RESPONSE_PASS", "STALE_RESPONSE_PASS", "CACHE_RESPONSE_PASS"]  # fmt: skip
    said = [dns.message.from_wire(found.message).answer[0] for found in (first, stale, fresh)]
    assert [rrset[0].address for rrset in said] == [TRUE, TRUE, OVER_TCP] and said[1].ttl == 30
