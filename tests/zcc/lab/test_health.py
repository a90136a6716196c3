"""Health checks against real servers on loopback."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from ipaddress import IPv4Address

import pytest

from zcc.lab.emulator.health import check
from zcc.lab.emulator.settings import HealthSettings

LOOPBACK = IPv4Address("127.0.0.1")
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def answering(line: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        assert request.startswith(b"GET /?cchealth HTTP/1.1\r\n")
        writer.write(line)
        writer.close()

    return talk


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


def ask(talk: Talk, timeout_s: float = 5.0, **changes: object) -> str | None:
    async def main() -> str | None:
        done = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await talk(reader, writer)
            await writer.wait_closed()
            done.set()

        async with await asyncio.start_server(serve, str(LOOPBACK), 0) as server:
            port = server.sockets[0].getsockname()[1]
            settings = HealthSettings(port=port, timeout=timedelta(seconds=timeout_s), **changes)
            answer = await check(LOOPBACK, settings)
            await done.wait()
            return answer

    return asyncio.run(main())


@pytest.mark.parametrize("status", [200, 204, 399])
def test_a_status_below_400_is_healthy(status: int) -> None:
    assert ask(answering(f"HTTP/1.1 {status} -\r\n\r\n".encode())) is None


def test_a_503_is_not_healthy_and_says_so() -> None:
    assert ask(answering(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")) == "answered 503"


@pytest.mark.parametrize("line", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1\r\n", b"HTTP/1.1 abc\r\n", b"x" * 9000])
def test_other_answers_are_not_http(line: bytes) -> None:
    assert ask(answering(line)) == "the answer is not HTTP"


def test_silence_is_a_timeout() -> None:
    assert ask(silent, timeout_s=0.05) == "no answer within 0.05 s"


def test_tcp_asks_for_no_answer() -> None:
    assert ask(silent, protocol="tcp") is None


def test_nobody_there_is_refused() -> None:
    assert asyncio.run(check(LOOPBACK, HealthSettings(port=9))) is not None
