"""Health: the verdict, and an HTTP server that survives anything."""

import asyncio
import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.clock import ManualClock
from zcc.connector.health import CONNECTION_LIMIT, HealthServer, Observed, Way, assess, read_request

NOW = 10_000_000_000
UP = Way(used=True, up=True)
DOWN = Way(used=True, up=False)
GET = b"GET /?cchealth HTTP/1.1\r\nHost: cc\r\n\r\n"


def observed(**changes) -> Observed:
    base = {"heartbeat_ns": NOW - 1, "device": True, "zia": UP, "zpa": UP, "draining": False}
    return Observed(**{**base, **changes})


def test_all_parts_working_is_healthy():
    found = assess(observed(), NOW)
    assert found.healthy
    assert set(found.stages.values()) == {"ok"}


@pytest.mark.parametrize(("change", "stage"), [
    ({"heartbeat_ns": NOW - 2_000_000_000}, "worker"), ({"heartbeat_ns": 0}, "worker"),
    ({"device": False}, "device"),
    ({"zia": DOWN}, "zia"), ({"zpa": DOWN}, "zpa"), ({"draining": True}, "draining"),
])
def test_each_broken_part_is_named_and_unhealthy(change, stage):
    found = assess(observed(**change), NOW)
    assert not found.healthy
    assert found.stages.pop(stage) != "ok"
    assert set(found.stages.values()) == {"ok"}


@pytest.mark.parametrize("way", [Way(False, False), Way(True, False, True)], ids=["not used", "fails open"])
def test_edge_that_is_not_needed_does_not_count(way):
    assert assess(observed(zia=way, zpa=way), NOW).healthy


@pytest.mark.parametrize(("head", "status"), [
    (GET, 200),
    (b"HEAD /?cchealth HTTP/1.1\r\nhost:cc\r\n\r\n", 200),
    (b"GET /?cchealth HTTP/1.0\r\n\r\n", 200),
    (b"GET http://10.0.0.1:50000/?cchealth HTTP/1.1\r\nHost: 10.0.0.1:50000\r\n\r\n", 200),
    (b"GET / HTTP/1.1\r\nHost: cc\r\n\r\n", 404),
    (b"GET /?cchealth2 HTTP/1.1\r\nHost: cc\r\n\r\n", 404),
    (b"POST /?cchealth HTTP/1.1\r\nHost: cc\r\n\r\n", 405),
    (b"GET /?cchealth HTTP/2.0\r\nHost: cc\r\n\r\n", 505),
    (b"GET /?cchealth HTTP/1.1\r\n\r\n", 400),
    (b"GET /?cchealth HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET /?cchealth HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    (b"GET /?cchealth HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", 400),
    (b"GET /?cchealth HTTP/1.1\nHost: a\r\n\r\n", 400),
    (b"GET  /?cchealth HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
])
def test_request_is_read_strictly(head, status):
    assert read_request(head)[0] == status


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_an_error(head):
    assert read_request(head + b"\r\n\r\n")[0] in (200, 400, 404, 405, 505)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=20), st.integers(0, len(GET)))
def test_any_damage_to_a_request_is_survived(noise, at):
    read_request(GET[:at] + noise + GET[at + len(noise):] + b"\r\n\r\n")


async def served(talk, state: Observed | None = None):
    clock = ManualClock(monotonic_ns=NOW)
    server = HealthServer("127.0.0.1", 0, lambda: state or observed(), clock)
    await server.start()
    try:
        return await talk(server.port)
    finally:
        await server.close()


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def exchange(port: int, sent: bytes) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    writer.write_eof()
    try:
        answer = await reader.read()
    finally:
        await closed(writer)
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def test_healthy_connector_answers_200_and_names_each_stage():
    head, body = asyncio.run(served(lambda port: exchange(port, GET)))
    assert head.startswith(b"HTTP/1.1 200 ")
    assert set(json.loads(body)["stages"]) == {"worker", "device", "zia", "zpa", "draining"}


def test_draining_connector_answers_503_with_the_reason():
    head, body = asyncio.run(served(lambda port: exchange(port, GET), observed(draining=True)))
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body)["stages"]["draining"] == "draining"


def test_head_request_gets_no_body():
    head, body = asyncio.run(served(lambda port: exchange(port, GET.replace(b"GET", b"HEAD"))))
    assert head.startswith(b"HTTP/1.1 200 ") and body == b""


@pytest.mark.parametrize(("sent", "status"), [
    (b"", b"400"), (b"GET", b"400"), (b"\x00" * 100, b"400"), (b"a" * 100_000, b"431"),
    (b"GET /?cchealth HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n", b"431"),
], ids=["nothing", "cut", "zeros", "endless line", "endless head"])
def test_hostile_bytes_get_an_error_and_the_server_lives(sent, status):
    async def talk(port):
        try:
            head, _ = await exchange(port, sent)
        except ConnectionError:
            head = b"HTTP/1.1 431 reset before it was read"
        return head, await exchange(port, GET)

    head, after = asyncio.run(served(talk))
    assert head.split(b" ")[1] == status
    assert after[0].startswith(b"HTTP/1.1 200 ")


def test_connections_that_ask_nothing_do_not_keep_others_from_asking():
    async def talk(port):
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTION_LIMIT)]
        head, _ = await exchange(port, GET)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await idle[0][0].readexactly(1)
        for _, writer in idle:
            await closed(writer)
        return head

    assert asyncio.run(served(talk)).startswith(b"HTTP/1.1 200 ")
