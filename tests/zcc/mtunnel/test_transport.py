"""zcc.mtunnel.transport: a peer is verified first, a dead one is noticed, a slow one is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from zcc.clock import ManualClock
from zcc.errors import PeerRefused
from zcc.mtunnel.errors import StreamGone
from zcc.mtunnel.session import Session
from zcc.mtunnel.settings import KeepaliveSettings
from zcc.mtunnel.transport import ALPN, WRITE_HIGH_BYTES, MuxConnection


class Tls:
    """What asyncio gives as ssl_object."""

    def __init__(self, alpn: str | None = ALPN, certificate: bytes | None = b"der") -> None:
        self.alpn, self.certificate = alpn, certificate

    def selected_alpn_protocol(self) -> str | None:
        return self.alpn

    def getpeercert(self, binary_form: bool) -> bytes | None:
        assert binary_form
        return self.certificate


class Wire(asyncio.Transport):
    """A transport that keeps what is written; pauses its protocol when told."""

    def __init__(self, tls: Tls | None) -> None:
        super().__init__({"ssl_object": tls, "peername": ("192.0.2.1", 7)})
        self.written: list[Any] = []
        self.aborted = self.closed = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def writelines(self, list_of_data: Any) -> None:
        self.written += [bytes(data) for data in list_of_data]

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert high == WRITE_HIGH_BYTES

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.closed = True


def play(scene: Callable[[MuxConnection, Wire, ManualClock], Awaitable[None]], tls: Tls | None = None) -> None:
    async def whole() -> None:
        clock = ManualClock()
        keepalive = KeepaliveSettings.model_validate({"interval": "1ms", "timeout": "10s"})
        connection = MuxConnection(initiator=True, verify=verify, clock=clock, keepalive=keepalive)
        wire = Wire(tls or Tls())
        connection.connection_made(wire)
        async with asyncio.timeout(5):
            await scene(connection, wire, clock)

    asyncio.run(whole())


def verify(der: bytes) -> str:
    if der != b"der":
        raise PeerRefused("not you")
    return "peer"


@pytest.mark.parametrize("tls", [Tls(alpn=None), Tls(alpn="h2"), Tls(certificate=None), Tls(certificate=b"other")])
def test_a_peer_that_fails_is_not_listened_to(tls: Tls) -> None:
    async def scene(connection: MuxConnection, wire: Wire, clock: ManualClock) -> None:
        assert wire.aborted and connection.refused is not None and not connection.alive
        connection.data_received(b"\0\2\0\1\0\0\0\0\0\0\0\1")
        assert connection.bytes_in == 0 and wire.written == []
        with pytest.raises(StreamGone):
            await connection.open()
        assert await connection.accept() is None

    play(scene, tls)


def test_a_peer_that_does_not_answer_pings_is_dead() -> None:
    async def scene(connection: MuxConnection, wire: Wire, clock: ManualClock) -> None:
        stream = await connection.open()
        while not wire.written:
            await asyncio.sleep(0.001)
        clock.advance(11)
        assert await connection.closed == "no answer to pings"
        assert wire.aborted
        with pytest.raises(StreamGone, match="pings"):
            await stream.read()

    play(scene)


def test_a_peer_that_answers_pings_lives_and_its_distance_is_known() -> None:
    async def scene(connection: MuxConnection, wire: Wire, clock: ManualClock) -> None:
        far = Session(initiator=False)
        for _ in range(5):
            while not wire.written:
                await asyncio.sleep(0.001)
            clock.advance(9)
            far.receive(b"".join(wire.written))
            wire.written.clear()
            connection.data_received(b"".join(far.bytes_to_send()))
        assert connection.alive and connection.round_trip_ns == 9_000_000_000
        connection.close("test")

    play(scene)


def test_a_full_transport_stops_writers_and_control_frames_wait_too() -> None:
    async def scene(connection: MuxConnection, wire: Wire, clock: ManualClock) -> None:
        stream = await connection.open()
        await asyncio.sleep(0)
        connection.pause_writing()
        wire.written.clear()
        writing = asyncio.create_task(stream.write(bytes(100_000)))
        connection.session.ping(1)
        connection.kick()
        await asyncio.sleep(0.01)
        assert wire.written == [] and not writing.done()
        connection.resume_writing()
        await writing
        await asyncio.sleep(0)
        assert sum(map(len, wire.written)) > 100_000
        connection.close("test")

    play(scene)


def test_close_says_goodbye_and_ends_every_stream() -> None:
    async def scene(connection: MuxConnection, wire: Wire, clock: ManualClock) -> None:
        stream = await connection.open()
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        connection.close("enough")
        assert wire.closed and wire.written[-1].endswith(b"\0\3\0\0\0\0\0\0\0\0\0\0")
        with pytest.raises(StreamGone, match="enough"):
            await reading
        with pytest.raises(StreamGone, match="enough"):
            await stream.write(b"x")
        assert await connection.closed == "enough"
        connection.connection_lost(None)

    play(scene)


def test_a_peer_that_breaks_the_framing_is_told_and_left() -> None:
    async def scene(connection: MuxConnection, wire: Wire, clock: ManualClock) -> None:
        connection.data_received(b"\x07" * 12)
        assert wire.closed and "protocol error" in await connection.closed
        assert wire.written[-1][1] == 3

    play(scene)


def test_an_opener_waits_while_the_backlog_is_full_and_goes_on_when_it_is_not() -> None:
    async def scene(connection: MuxConnection, wire: Wire, clock: ManualClock) -> None:
        far = Session(initiator=False)
        first = [await connection.open() for _ in range(connection.session.limits.backlog)]
        waiting = asyncio.create_task(connection.open())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        far.receive(b"".join(wire.written))
        far.accept(first[0].stream_id)
        connection.data_received(b"".join(far.bytes_to_send()))
        assert (await waiting).stream_id == first[-1].stream_id + 2
        connection.close("test")

    play(scene)


def test_small_frames_do_not_cost_an_object_each() -> None:
    async def scene(connection: MuxConnection, wire: Wire, clock: ManualClock) -> None:
        stream = await connection.open()
        tiny = b"\0\0\0\0\0\0\0\1\0\0\0\1x"
        connection.data_received(tiny * 50_000)
        assert len(stream._chunks) < 5
        assert await stream.read_exactly(50_000) == b"x" * 50_000
        connection.close("test")

    play(scene)
