"""zcc.names.clienthello and the reader of streams: what TLS libraries send, in pieces of every kind, and what nobody should."""

from __future__ import annotations

import random
import select
import socket
import ssl
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hellos import extension, hello, message, of_library, records, server_name
from zcc.names.clienthello import read_message, read_records
from zcc.names.reader import GIVE_UP, STREAM_MAX, StreamReader
from zcc.names.said import NO_NAME, NOT_WEB, UNREAD, How, Said

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def sni(name: str) -> Said:
    return Said(How.SNI, name)


def contexts() -> list[ssl.SSLContext]:
    """Clients with many options."""
    made = []
    for lowest in VERSIONS:
        for highest in VERSIONS:
            for protocols in ([], ["h2", "http/1.1"], [f"p{n}" * 40 for n in range(40)]):
                if lowest <= highest:
                    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                    context.minimum_version, context.maximum_version = lowest, highest
                    if protocols:
                        context.set_alpn_protocols(protocols)
                    made.append(context)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ciphers("ECDHE+AESGCM")
    context.options |= ssl.OP_NO_TICKET
    context.post_handshake_auth = True
    return [*made, context]


@pytest.mark.parametrize("context", contexts())
@pytest.mark.parametrize("name", ["www.example.com", "a.test", "x" * 63 + "." + "y" * 63 + ".example", "xn--bcher-kva.example"])
def test_what_pythons_ssl_sends_is_read_and_not_before_it_is_whole(context: ssl.SSLContext, name: str) -> None:
    sent = of_library(context, name)
    assert read_records(sent) == sni(name)
    assert all(read_records(sent[:length]) is None for length in range(len(sent)))


def test_a_library_that_names_nobody() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    assert read_records(of_library(context, None)) == NO_NAME
    assert read_records(of_library(context, "192.0.2.7")) == NO_NAME      # it sends no name for an address


@pytest.mark.parametrize("options, wanted", [
    (["-servername", "one.example"], sni("one.example")),
    (["-servername", "one.example", "-tls1_2"], sni("one.example")),
    (["-servername", "one.example", "-tls1_3", "-groups", "P-521:P-384:X25519", "-alpn", "h2,http/1.1"], sni("one.example")),
    (["-servername", "UPPER.Example", "-status"], sni("upper.example")),
    (["-servername", "split.example", "-max_send_frag", "512", "-split_send_frag", "512", "-alpn", ",".join(["p" * 200] * 8)],
     sni("split.example")),
    (["-noservername"], NO_NAME),
], ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "")  # fmt: skip
def test_what_openssl_sends_is_read(options: list[str], wanted: Said) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with subprocess.Popen(["openssl", "s_client", "-connect", address, *options],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as client:
            try:
                assert select.select([server], [], [], 20)[0], "openssl does not call"
                connection = server.accept()[0]
                connection.settimeout(20)
                with connection:
                    reader, said, at = StreamReader(), None, 0
                    while said is None:
                        part = connection.recv(600)
                        assert part, "it hung up before it had said all"
                        said, at = reader.feed(at, part), at + len(part)
            finally:
                client.kill()
    assert said == wanted


@given(chance=st.integers(0, 1 << 32), record=st.integers(1, 700), segment=st.integers(150, 1460), padding=st.integers(0, 700))
def test_records_and_segments_cut_anywhere_in_any_order_and_again(chance: int, record: int, segment: int, padding: int) -> None:
    """Retransmissions may be cut elsewhere; the answer comes with the last segment that is missing, and not before."""
    draw = random.Random(chance)
    stream = records(hello("parts.example", padding=padding), max(record, 40))
    cuts = [(at, stream[at:at + segment]) for at in range(0, len(stream), segment)]
    again = [(at, stream[at:at + 100]) for at in draw.sample(range(len(stream)), 2)]
    order = [*cuts, *again]
    draw.shuffle(order)
    reader, seen = StreamReader(), set()
    for at, octets in order[:GIVE_UP - 1]:
        said = reader.feed(at, octets)
        seen.update(range(at, at + len(octets)))
        assert said == (sni("parts.example") if len(seen) == len(stream) else None)
        if said is not None:
            return


def test_an_octet_with_two_values_is_a_contradiction() -> None:
    reader = StreamReader()
    stream = records(hello("good.example"))
    assert reader.feed(20, stream[20:60]) is None
    assert reader.feed(0, stream[:20] + b"?" + stream[21:]) == UNREAD


def test_bounds_are_kept() -> None:
    reader = StreamReader()
    assert [reader.feed(n + 1, b"x") for n in range(GIVE_UP)] == [None] * (GIVE_UP - 1) + [UNREAD]
    large = records(hello("a.test", padding=40_000))
    assert StreamReader().feed(0, large) == UNREAD
    reader = StreamReader()
    assert reader.feed(STREAM_MAX + 5, b"x" * 2000) is None
    assert StreamReader().feed(0, records(hello("a.test", padding=9_000))) == sni("a.test")


@pytest.mark.parametrize("sent, wanted", [
    (message(), NO_NAME),
    (message(server_name(b"a.test")), sni("a.test")),
    (message(server_name(b"a.test.")), sni("a.test")),
    (message(server_name(b"A.Test")), sni("a.test")),
    (message(server_name(b"192.0.2.1")), NO_NAME),
    (message(server_name(b"2001:db8::1")), NO_NAME),
    (message(server_name(b"")), UNREAD),
    (message(server_name(b"a\0b.test")), UNREAD),
    (message(server_name(b"a b.test")), UNREAD),
    (message(server_name(b" a.test")), UNREAD),
    (message(server_name(b"a..test")), UNREAD),
    (message(server_name(b"b\xfccher.test")), UNREAD),
    (message(server_name(b"x" * 64 + b".test")), UNREAD),
    (message(server_name(b"a.test", kind=1)), UNREAD),
    (message(server_name(b"a.test"), server_name(b"b.test")), UNREAD),
    (message(extension(0, b"")), UNREAD),
    (message(extension(0, b"\0\x12" + b"\0\0\x06a.test" * 2)), UNREAD),
    (message(server_name(b"a.test"), session=bytes(33)), UNREAD),
    (message(server_name(b"a.test"), ciphers=b"\x13"), UNREAD),
    (message(server_name(b"a.test"), compressions=b""), UNREAD),
    (message(server_name(b"a.test"))[:-1] + b"", None),
    (b"\x01" + (10).to_bytes(3) + bytes(10), UNREAD),
    (b"\x02" + (10).to_bytes(3) + bytes(10), NOT_WEB),
    (message(server_name(b"a.test"), extension(0xFE0D, bytes(9))), Said(How.ECH, "a.test")),
    (message(extension(0xFE0D, bytes(9))), Said(How.ECH)),
])  # fmt: skip
def test_messages(sent: bytes, wanted: Said | None) -> None:
    assert read_message(sent, How.SNI) == wanted


@pytest.mark.parametrize("stream, wanted", [
    (b"", None),
    (b"\x16", None),
    (b"\x16\x03", None),
    (b"\x16\x02\x00", NOT_WEB),
    (b"\x15\x03\x01\x00\x02\x01\x00", NOT_WEB),
    (b"\x16\x03\x01\x00\x00", NOT_WEB),
    (b"\x16\x03\x01\x40\x01", NOT_WEB),
    (b"\x16\x03\x01\x00\x01\x01\x15\x03\x01\x00\x02\x01\x00", UNREAD),      # an alert in the middle of the message
    (b"\x80\x2e\x01\x03\x01\x00\x15", NOT_WEB),                              # the hello of SSL 2
])  # fmt: skip
def test_streams(stream: bytes, wanted: Said | None) -> None:
    assert read_records(stream) == wanted


@given(st.binary(max_size=600))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    for read in (read_records, lambda data: read_message(data, How.SNI)):
        said = read(data)
        assert said is None or (said.name is None) == (said.how not in (How.SNI, How.ECH)) or said.how is How.ECH


@given(st.data())
def test_a_hello_with_an_octet_changed_gives_its_name_or_a_cause_or_another_name_that_is_one(data: st.DataObject) -> None:
    sent = bytearray(hello("www.example.com"))
    sent[data.draw(st.integers(0, len(sent) - 1))] ^= data.draw(st.integers(1, 255))
    said = read_message(bytes(sent), How.SNI)
    assert said is None or said.name is None or len(said.name) <= 253
