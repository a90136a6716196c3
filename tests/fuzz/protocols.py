"""What holds on any bytes for each decoder of zcc: a value or its one documented error, and what was read can be written again.

Each check takes one input and raises when the invariant does not hold.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import random
import tempfile
from pathlib import Path

import dns.flags

from dtls_pair import contexts
from fuzz import fuzz_capture, fuzz_yamux
from zcc import config
from zcc.connector import packets
from zcc.connector.dns_stream import frame, read_message
from zcc.connector.health import read_request
from zcc.dns.learning import ADDRESS_LIMIT, CHAIN_LIMIT, learn
from zcc.dns.question import Question, parse_question
from zcc.document import read_document
from zcc.errors import ConfigurationError
from zcc.fields import (
    HostPort,
    PortRange,
    parse_dns_name,
    parse_dns_pattern,
    parse_duration,
    parse_endpoint_id,
)
from zcc.internet_edge.cookie import Cookies
from zcc.internet_edge.listener import Listener
from zcc.internet_edge.settings import LimitSettings
from zcc.itunnel import wire
from zcc.mtunnel import messages
from zcc.names.reader import STREAM_MAX, DatagramReader, StreamReader
from zcc.names.said import How, Said
from zcc.pki.certificate import AgentName
from zcc.pki.peer import Peer
from zcc.policy.objects.tag_expression import TagError, parse_expression

STRANGER = (0x0A000002, 4444)
STATUSES = {200, 400, 404, 405, 505}


def check_yamux(data: bytes) -> None:
    """Microtunnel frames: the same events for every cut, within the limits."""
    whole, cut = fuzz_yamux.play(data, None, 7), fuzz_yamux.play(data, random.Random(len(data)), 7)
    assert whole == cut, "another cut gives another answer"


def check_messages(data: bytes) -> None:
    """Messages of a microtunnel: one that reads the same when written, or BadMessage."""
    for decode in (messages.decode_control, messages.decode_open_request, messages.decode_open_reply):
        try:
            read = decode(data)
        except messages.BadMessage:
            continue
        if len(data) < messages.MESSAGE_LIMIT // 8:       # escapes may make it longer than what may be sent
            assert decode(messages.encode(read)[messages.LENGTH_BYTES:]) == read, f"{read} does not come back"


def check_itunnel(data: bytes) -> None:
    """Control packets of the internet tunnel: a message that reads the same when written, or None."""
    read = wire.decode(data)
    assert read is None or wire.decode(wire.encode(read)) == read, f"{read} does not come back"


def check_health(data: bytes) -> None:
    """Health requests: a status that the server can answer."""
    status, method = read_request(data)
    assert status in STATUSES and (method or status == 400), f"{status} {method!r}"


def check_question(data: bytes) -> None:
    """DNS off the hot path: a question or what else it is, and what an answer teaches, both bounded."""
    question = parse_question(data)
    if isinstance(question, Question):
        assert not question.flags & dns.flags.QR and len(question.text) <= 255 * 4, f"{question}"
    learned = learn(data, 30, 600)
    if learned is not None:
        assert len(learned.addresses) <= ADDRESS_LIMIT and len(learned.names) <= CHAIN_LIMIT + 2, f"{learned}"
        assert not learned.addresses or 30 <= learned.ttl <= 600, f"{learned}"


def check_dns_stream(data: bytes) -> None:
    """DNS over TCP: the messages of a stream, whole, in order, and the rest an error."""

    async def read() -> bytes:
        reader, out = asyncio.StreamReader(), b""
        reader.feed_data(data)
        reader.feed_eof()
        try:
            while (one := await read_message(reader)) is not None:
                out += frame(one)
        except asyncio.IncompleteReadError:
            return out
        assert out == data, "the end came before the stream's"
        return out

    assert data.startswith(asyncio.run(read()))


def check_answers(data: bytes) -> None:
    """Packets off the hot path: read or None; what refuses one is a packet to its source that can be read."""
    inner = packets.parse(data)
    if inner is None:
        return
    made = [packets.refusal(inner), packets.prohibited(inner)]
    if inner.protocol == packets.UDP and not inner.fragment:
        made.append(packets.udp_reply(inner, b"answer"))
    for packet in filter(None, made):
        back = packets.parse(packet)
        assert back is not None and (back.source, back.destination) == (inner.destination, inner.source), packet.hex()
        assert packets.refusal(back) is None or back.protocol == packets.UDP, "an error is refused with an error"


@functools.cache
def capture_path() -> Path:
    """A file that is written again for each input."""
    return Path(tempfile.mkdtemp(prefix="fuzz-")) / "capture"


def check_capture(data: bytes) -> None:
    """Captures: frames and at most one error with its offset; a cut file begins with the same frames."""
    fuzz_capture.check(capture_path(), data, len(data) * 2 // 3)


@functools.cache
def listener() -> Listener:
    """An internet edge's, for strangers."""
    with tempfile.TemporaryDirectory() as folder:
        server = contexts(Path(folder))[1]
    limits = LimitSettings(half_open=8, half_open_per_address=8)
    return Listener(server, lambda der: Peer("acme", "connector", "cc-1", 1), limits, Cookies(0))


def check_hello(data: bytes) -> None:
    """A stranger's first datagram: no more than a cookie goes back, and nothing of it is kept."""
    answered = sum(map(len, listener().receive(STRANGER, data, 0)))
    assert answered <= len(data) + 100, f"{answered} octets for {len(data)}"
    assert len(listener()) == 0, "something is kept for who has shown no cookie"


def check_document(data: bytes) -> None:
    """YAML documents: a value, with a line for each problem, in bounds."""
    document = read_document(data, "fuzzed.yaml")
    lines = data.count(b"\n") + data.count(b"\r") + 2 + data.count(b"\xc2\x85") + data.count(b"\xe2\x80")
    assert all(1 <= problem.line <= lines for problem in document.problems), f"{document.problems}"


def check_configuration(data: bytes) -> None:
    """Whole configurations: settings, or ConfigurationError that says where."""
    for role in ("connector", "private-edge", "app-connector", "internet-edge"):
        try:
            config.parse(data, "fuzzed.yaml", role)
        except ConfigurationError as error:
            assert str(error)


def check_expression(data: bytes) -> None:
    """Workload groups' text: an expression that prints as text for the same, or TagError."""
    text = data.decode("utf-8", "replace")
    try:
        read = parse_expression(text)
    except TagError:
        return
    assert parse_expression(str(read)) == read, f"{text!r} prints as {str(read)!r}"


def check_identity(data: bytes) -> None:
    """Names in certificates: one that prints as it was, or ValueError."""
    text = data.decode("latin-1")
    try:
        name = AgentName.parse(text)
    except ValueError:
        return
    assert AgentName.parse(str(name)) == name, f"{text!r} is {name}"


def check_words(data: bytes) -> None:
    """Fields of configurations that are words: a value that prints as text for the same, or ValueError."""
    text = data.decode("utf-8", "replace")
    for parse in (parse_dns_name, parse_dns_pattern, PortRange.parse, HostPort.parse):
        try:
            read = parse(text)
        except ValueError:
            continue
        assert parse(str(read)) == read, f"{text!r} prints as {str(read)!r}"
    for parse in (parse_duration, parse_endpoint_id):
        with contextlib.suppress(ValueError):
            parse(text)


def check_stream_name(data: bytes) -> None:
    """Names in a TCP stream's beginning: the same answer for every cut, and a name that is one."""
    whole, reader, cut = StreamReader().feed(0, data), StreamReader(), None
    for at, end in itertools.pairwise((0, len(data) // 3, len(data) // 2, len(data))):
        cut = cut or reader.feed(at, data[at:end])
    assert whole is None or well_formed(whole), f"{whole}"
    # What is no request, or contradicts itself, may be told from its beginning.
    early = cut is not None and cut.name is None
    assert cut == whole or early or len(data) >= STREAM_MAX, f"{cut} in pieces, {whole} as a whole"


def check_datagram_name(data: bytes) -> None:
    """Names in UDP's first datagram: an answer or none yet, twice the same."""
    said = DatagramReader().feed(data)
    assert said is None or well_formed(said), f"{said}"
    assert DatagramReader().feed(data) == said


def well_formed(said: Said) -> bool:
    """Whether an answer has a name where it should, and it is one."""
    if said.name is not None and parse_dns_name(said.name) != said.name:
        return False
    return said.how is How.ECH or (said.name is not None) == (said.how in (How.SNI, How.HOST, How.QUIC))
