"""zcc.app_connector.datagrams: bounded, silent streams end by themselves."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address

import pytest

from zcc.app_connector.datagrams import HELD_LIMIT, DatagramPath, DatagramRelay
from zcc.clock import SystemClock
from zcc.mtunnel.errors import StreamGone
from zcc.mtunnel.splice import SpliceCount


class QuietStream:
    """A stream whose peer says nothing until we finish."""

    def __init__(self) -> None:
        self.finished = asyncio.Event()
        self.was_reset = False

    async def read_datagram(self) -> bytes | None:
        await self.finished.wait()
        return None

    async def read(self) -> bytes:
        await self.finished.wait()
        return b""

    async def finish(self) -> None:
        self.finished.set()

    def reset(self) -> None:
        self.was_reset = True


def bound() -> socket.socket:
    server = socket.socket(type=socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))
    return server


def test_a_silent_stream_is_finished() -> None:
    async def whole() -> None:
        with bound() as server:
            path = DatagramPath(IPv4Address("127.0.0.1"), server.getsockname()[1])
            stream, count = QuietStream(), SpliceCount()
            async with asyncio.timeout(5):
                await DatagramRelay(stream, path, count, SystemClock(), 0.05).run()  # type: ignore[arg-type]
            assert stream.finished.is_set() and count.reason == "idle"

    asyncio.run(whole())


def test_what_a_slow_stream_does_not_take_is_dropped_and_counted() -> None:
    async def whole() -> None:
        with bound() as server:
            path = DatagramPath(IPv4Address("127.0.0.1"), server.getsockname()[1])
            sent = 0
            while path.dropped < 10:
                for _ in range(50):
                    server.sendto(b"x", path.local)
                    sent += 1
                await asyncio.sleep(0)
            held = 0
            while path._held:
                await path.receive()
                held += 1
            assert held == HELD_LIMIT and held + path.dropped <= sent
            path.close()
            path.close()
            with pytest.raises(StreamGone):
                await path.receive()

    asyncio.run(whole())


def test_one_datagram_that_is_too_long_does_not_end_the_path() -> None:
    async def whole() -> None:
        with bound() as server:
            path = DatagramPath(IPv4Address("127.0.0.1"), server.getsockname()[1])
            path.send(bytes(65_530))
            assert path.dropped == 1
            path.send(b"short")
            assert server.recv(100) == b"short"
            path.close()

    asyncio.run(whole())
