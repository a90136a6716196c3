"""zcc.names.httphost: the first request's authority, whole or in pieces, and what servers would not agree about."""

from __future__ import annotations

import http.client

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcc.names.httphost import read_request
from zcc.names.reader import STREAM_MAX, StreamReader
from zcc.names.said import NO_NAME, NOT_WEB, UNREAD, How, Said


def host(name: str) -> Said:
    return Said(How.HOST, name)


def request(*fields: str, line: str = "GET / HTTP/1.1", end: str = "\r\n") -> bytes:
    return end.join([line, *fields, "", ""]).encode("latin-1")


@pytest.mark.parametrize("sent, wanted", [
    (request("Host: www.example.com"), host("www.example.com")),
    (request("Accept: */*", "hOST:\tWWW.Example.com.:8080 "), host("www.example.com")),
    (request("Host: a.test", end="\n"), host("a.test")),
    (b"\r\n" + request("Host: a.test"), host("a.test")),
    (request("Host: 192.0.2.7:80"), NO_NAME),
    (request("Host: [2001:db8::1]:80"), NO_NAME),
    (request("Host:"), NO_NAME),
    (request("Accept: */*", line="GET / HTTP/1.0"), NO_NAME),
    (request("Host: a.test", line="GET http://b.test:8080/x HTTP/1.1"), host("b.test")),
    (request("Host: a.test", line="OPTIONS * HTTP/1.1"), host("a.test")),
    (request("Host: a.test", line="CONNECT c.test:443 HTTP/1.1"), host("c.test")),
    (request("Host: a.test", line="GET urn:x HTTP/1.1"), host("a.test")),
    (request("Host: a.test", line="GET http://u:p@b.test/ HTTP/1.1"), UNREAD),
    (request("Host: a.test", "Host: b.test"), UNREAD),
    (request("Host: a.test", "Host: a.test"), UNREAD),
    (request("Host : a.test"), UNREAD),
    (request("Host: a.test", " b.test"), UNREAD),
    (request("X: 1\rHost: b.test", "Host: a.test"), UNREAD),
    (request("X: \0", "Host: a.test"), UNREAD),
    (request("no field", "Host: a.test"), UNREAD),
    (request("Host: a_b.test, c.test"), UNREAD),
    (request("Host: a.test:x"), UNREAD),
    (request("Host: b\xfccher.test"), UNREAD),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", UNREAD),
    (b"SSH-2.0-OpenSSH_9.2\r\n", NOT_WEB),
    (b"EHLO a.test\r\n", NOT_WEB),
    (b"GET /\r\n", NOT_WEB),
    (b"GET / HTTP/2.0\r\n\r\n", NOT_WEB),
    (b"GET  / HTTP/1.1\r\n\r\n", NOT_WEB),
    (b"\x00\x01", NOT_WEB),
    (b"\r\n\r\n\r\nGET / HTTP/1.1\r\n", NOT_WEB),
    (b"x" * 33, NOT_WEB),
    (b"GET /\x00", NOT_WEB),
    (b"", None), (b"\r\n", None), (b"GE", None), (b"GET ", None), (b"GET / HTTP/1.1\r", None),
    (b"GET / HTTP/1.1\r\nHost: a.te", None),
    (b"GET / HTTP/1.1\r\nHost: a.test\r\n", None),
])  # fmt: skip
def test_requests(sent: bytes, wanted: Said | None) -> None:
    assert read_request(sent) == wanted


class Sink:
    """A socket that keeps what it is sent."""

    def __init__(self) -> None:
        self.sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data


@pytest.mark.parametrize("body", [None, b"x" * 3000])
def test_what_pythons_http_sends_is_read_and_not_before_its_fields_are_whole(body: bytes | None) -> None:
    connection = http.client.HTTPConnection("www.example.com", 8080)
    connection.sock = sink = Sink()
    connection.request("POST", "/path?query", body, {"X-Long": "y" * 2000})
    fields = sink.sent.index(b"\r\n\r\n") + 4
    assert read_request(sink.sent) == host("www.example.com")
    assert all(read_request(sink.sent[:length]) is None for length in range(fields - 2))


def test_a_request_over_segments_and_one_without_an_end() -> None:
    reader, sent = StreamReader(), request("X: " + "y" * 4000, "Host: a.test")
    parts = [(at, sent[at:at + 1400]) for at in range(0, len(sent), 1400)]
    assert [reader.feed(*part) for part in reversed(parts)] == [None] * (len(parts) - 1) + [host("a.test")]
    assert StreamReader().feed(0, b"GET / HTTP/1.1\r\nX: " + b"y" * STREAM_MAX) == UNREAD


@given(st.binary(max_size=400))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    for sent in (data, b"GET / HTTP/1.1\r\n" + data + b"\r\n\r\n"):
        said = read_request(sent)
        assert said is None or (said.name is not None) == (said.how is How.HOST)
