"""zcc.mtunnel.tcp: both directions of a kernel connection close on their own, a reset is a reset."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from zcc.mtunnel.errors import StreamGone
from zcc.mtunnel.tcp import TcpStream


def play(scene: Callable[[TcpStream, TcpStream], Awaitable[None]]) -> None:
    async def whole() -> None:
        loop = asyncio.get_running_loop()
        accepted: asyncio.Future[TcpStream] = loop.create_future()
        listening = await loop.create_server(lambda: TcpStream(accepted.set_result), "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        _, near = await loop.create_connection(TcpStream, "127.0.0.1", port)
        far = await accepted
        try:
            async with asyncio.timeout(10):
                await scene(near, far)
        finally:
            near.reset()
            far.reset()
            listening.close()
            await asyncio.sleep(0)

    uvloop.run(whole())


async def everything(stream: TcpStream) -> bytes:
    parts = []
    while part := await stream.read():
        parts.append(part)
    return b"".join(parts)


def test_each_direction_finishes_on_its_own() -> None:
    async def scene(near: TcpStream, far: TcpStream) -> None:
        assert near.remote == far.local and near.local == far.remote
        await near.write(b"question")
        await near.finish()
        await near.finish()
        assert await everything(far) == b"question"
        await far.write(b"answer")
        await far.finish()
        assert await everything(near) == b"answer"
        assert await near.read() == b""
        with pytest.raises(ValueError, match="finished"):
            await near.write(b"more")

    play(scene)


def test_a_reset_is_seen_as_one() -> None:
    async def scene(near: TcpStream, far: TcpStream) -> None:
        near.reset()
        with pytest.raises(StreamGone):
            await far.read()
        with pytest.raises(StreamGone):
            await near.read()
        with pytest.raises(StreamGone):
            await near.write(b"x")

    play(scene)


def test_a_reader_that_does_not_read_stops_the_writer() -> None:
    async def scene(near: TcpStream, far: TcpStream) -> None:
        written = 0

        async def flood() -> None:
            nonlocal written
            while written < 200 << 20:
                await near.write(bytes(1 << 20))
                written += 1 << 20
            await near.finish()

        flooding = asyncio.create_task(flood())
        done, _ = await asyncio.wait([flooding], timeout=0.3)
        assert not done and written < 60 << 20
        assert len(await everything(far)) == 200 << 20
        await flooding

    play(scene)


def test_read_gives_at_most_what_was_asked_for() -> None:
    async def scene(near: TcpStream, far: TcpStream) -> None:
        await near.write(b"abcdef")
        assert [await far.read(4), await far.read(4)] == [b"abcd", b"ef"]

    play(scene)
