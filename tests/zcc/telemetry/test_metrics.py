"""GET /metrics over real loopback sockets."""

import asyncio
import contextlib
import socket
from ipaddress import IPv4Address

import pytest
from prometheus_client import Counter

from zcc.errors import ListenError
from zcc.telemetry.metrics import MetricsServer
from zcc.telemetry.settings import MetricSettings

END = b"\r\n\r\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(*requests: bytes) -> list[bytes]:
    """Send each request on a connection of its own to one server; return the answers."""

    async def run() -> list[bytes]:
        port = free_port()
        server = MetricsServer(MetricSettings(address=IPv4Address("127.0.0.1"), port=port))
        Counter("zcc_drops", "Packets dropped", ["reason"], registry=server.registry).labels("STRAY").inc(3)
        await server.start()
        answers = []
        try:
            for request in requests:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(request)
                writer.write_eof()
                try:
                    answers.append(await reader.read())
                except ConnectionResetError:  # closed with more of the request still unread
                    answers.append(b"")
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()
        finally:
            await server.close()
        return answers

    return asyncio.run(run())


def test_get_shows_the_daemon_s_own_registry() -> None:
    [answer] = ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"Content-Type: text/plain" in head
    assert b'zcc_drops_total{reason="STRAY"} 3.0' in body and b"zcc_build_info" in body
    assert f"Content-Length: {len(body)}".encode() in head


def test_get_speaks_openmetrics_when_asked() -> None:
    [answer] = ask(b"GET /metrics?x=1 HTTP/1.1\r\naccept: application/openmetrics-text; version=1.0.0" + END)
    assert b"Content-Type: application/openmetrics-text" in answer and answer.endswith(b"# EOF\n")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.1", b"404"),
        (b"POST /metrics HTTP/1.1", b"405"),
        (b"GET /metrics/../x HTTP/1.1", b"404"),
        (b"\xff\xfe\xfd", b"404"),
        (b"", b"404"),
    ],
)
def test_other_requests_are_told_so(request_line: bytes, status: bytes) -> None:
    [answer] = ask(request_line + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 " + status)


def test_head_has_no_body() -> None:
    [answer] = ask(b"HEAD /metrics HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\r\n\r\n")


def test_a_request_that_never_ends_or_is_too_long_does_not_harm_the_next_one() -> None:
    answers = ask(b"GET /metr", b"x" * 20_000, b"GET /metrics HTTP/1.1\r\n\r\n")
    assert answers[:2] == [b"", b""] and answers[2].startswith(b"HTTP/1.1 200")


def test_an_address_in_use_is_named() -> None:
    async def run() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(ListenError, match=f"port {port}"):
                await MetricsServer(MetricSettings(address=IPv4Address("127.0.0.1"), port=port)).start()

    asyncio.run(run())


def test_without_settings_metrics_are_counted_but_not_served() -> None:
    async def run() -> None:
        server = MetricsServer(None)
        await server.start()
        await server.close()
        assert server.registry.get_sample_value("zcc_build_info", {"version": "0.1.0"}) == 1.0

    asyncio.run(run())
