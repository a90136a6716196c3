"""The whole private path on loopback with real TLS: connector's client, edge, app connector, server."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest
import uvloop

from private_path import PrivatePath, running, server, until
from zcc.mtunnel.errors import Code, Refused, StreamGone
from zcc.mtunnel.messages import OpenRequest

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


def play(tmp_path: Path, scene: Callable[[PrivatePath], Awaitable[None]], **edge: object) -> None:
    async def whole() -> None:
        async with asyncio.timeout(20):
            async with running(tmp_path, **edge) as path:
                await scene(path)

    uvloop.run(whole())


async def everything(stream: object) -> bytes:
    parts = []
    while part := await stream.read():  # type: ignore[attr-defined]
        parts.append(part)
    return b"".join(parts)


def test_a_name_resolves_to_the_same_address_again_and_who_is_finds_it(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        lease = await path.client.resolve("co1", "portal.corp.example")
        assert lease is not None
        assert str(lease.address) == "10.254.0.2" and lease.application == "portal-co1"
        assert await path.client.resolve("co1", "portal.corp.example") == lease
        assert await path.client.who_is(lease.address) == lease
        assert await path.client.resolve("co2", "portal.corp.example") is None
        assert await path.client.resolve("co1", "elsewhere.example") is None
        assert await path.client.who_is(IPv4Address("10.254.9.9")) is None

    play(tmp_path, scene)


def test_leases_survive_the_edge(tmp_path: Path) -> None:
    answers = []

    async def scene(path: PrivatePath) -> None:
        answers.append(await path.client.resolve("co1", "b.wild.example"))
        answers.append(await path.client.resolve("co1", "a.wild.example"))

    async def again(path: PrivatePath) -> None:
        assert [await path.client.resolve("co1", f"{name}.wild.example") for name in "ba"] == answers

    (tmp_path / "1").mkdir()
    (tmp_path / "2").mkdir()
    play(tmp_path / "1", scene, state=tmp_path / "state")
    play(tmp_path / "2", again, state=tmp_path / "state")


def test_bytes_pass_both_ways_unchanged_and_the_session_is_logged(tmp_path: Path) -> None:
    sent = bytes(range(256)) * 40_000

    async def echo(reader: Reader, writer: Writer) -> None:
        digest = hashlib.sha256(await reader.read(-1)).digest()
        writer.write(digest + sent)
        writer.write_eof()

    async def scene(path: PrivatePath) -> None:
        async with server(echo) as port:
            stream = await path.client.open(path.request(port))
            await stream.write(sent)
            await stream.finish()
            assert await everything(stream) == hashlib.sha256(sent).digest() + sent
            await until(lambda: not path.edge.broker.passages)

    play(tmp_path, scene)
    [session] = PrivatePath.records(path_at(tmp_path), "session")
    assert session["clt_rx_bytes"] == len(sent) and session["clt_tx_bytes"] == len(sent) + 32
    assert session["zpa_appseg"] == "portal-co1" and session["gw_name"] == "ac-1"
    assert session["clt_dst_name"] == "portal.corp.example" and session["trace"] == "t-1"
    assert "reason" not in session
    ups = [one["peer"] for one in PrivatePath.records(path_at(tmp_path), "tunnel") if one["event"] == "UP"]
    assert sorted(ups) == ["app-connector/ac-1", "connector/cc-1"]


def path_at(folder: Path) -> PrivatePath:
    path = PrivatePath.__new__(PrivatePath)
    path.folder = folder
    return path


def test_the_late_answer_to_a_half_closed_stream_arrives(tmp_path: Path) -> None:
    async def late(reader: Reader, writer: Writer) -> None:
        assert await reader.read(-1) == b"question"
        await asyncio.sleep(0)
        writer.write(b"answer after your FIN")
        writer.write_eof()

    async def scene(path: PrivatePath) -> None:
        async with server(late) as port:
            stream = await path.client.open(path.request(port))
            await stream.write(b"question")
            await stream.finish()
            assert await everything(stream) == b"answer after your FIN"
            await until(lambda: not path.edge.broker.passages)

    play(tmp_path, scene)


def test_a_server_that_finishes_first_still_hears_the_client(tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def first(reader: Reader, writer: Writer) -> None:
        writer.write(b"banner")
        writer.write_eof()
        heard.append(await reader.read(-1))
        writer.close()

    async def scene(path: PrivatePath) -> None:
        async with server(first) as port:
            stream = await path.client.open(path.request(port))
            assert await everything(stream) == b"banner"
            await stream.write(b"still here")
            await stream.finish()
            await until(lambda: heard)
            assert heard == [b"still here"]
            await until(lambda: not path.edge.broker.passages)

    play(tmp_path, scene)


def test_a_reset_by_the_client_resets_the_server(tmp_path: Path) -> None:
    ended: list[object] = []

    async def wait(reader: Reader, writer: Writer) -> None:
        try:
            ended.append(await reader.read(-1))
        except ConnectionResetError as error:
            ended.append(type(error))
        writer.close()

    async def scene(path: PrivatePath) -> None:
        async with server(wait) as port:
            stream = await path.client.open(path.request(port))
            stream.reset()
            await until(lambda: ended)
            assert ended == [ConnectionResetError]
            await until(lambda: not path.edge.broker.passages)

    play(tmp_path, scene)


def test_a_reset_by_the_server_resets_the_client(tmp_path: Path) -> None:
    async def slam(reader: Reader, writer: Writer) -> None:
        kernel = writer.get_extra_info("socket")
        kernel.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        writer.transport.abort()

    async def scene(path: PrivatePath) -> None:
        async with server(slam) as port:
            stream = await path.client.open(path.request(port))
            with pytest.raises(StreamGone):
                await everything(stream)
            await until(lambda: not path.edge.broker.passages)

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        pytest.param({"host": "elsewhere.example"}, Code.NO_APPLICATION, id="no application"),
        pytest.param({"namespace": "co2"}, Code.NO_APPLICATION, id="another namespace"),
        pytest.param({"connector": "cc-2"}, Code.FORBIDDEN, id="another connector's name"),
        pytest.param({"group": "cc-group-9"}, Code.FORBIDDEN, id="another group's name"),
        pytest.param({"location": "forbidden-place"}, Code.FORBIDDEN, id="access rule"),
        pytest.param({"host": "far.corp.example", "port": "443"}, Code.FORBIDDEN, id="outside the networks"),
        pytest.param({"host": "nobody.corp.example", "port": "443"}, Code.NO_APP_CONNECTOR, id="no app connector"),
        pytest.param({"host": "10.1.2.3"}, Code.NO_APPLICATION, id="a literal address"),
        pytest.param({}, Code.REFUSED, id="nobody listens"),
    ],
)
def test_an_open_that_may_not_be_gives_its_code(tmp_path: Path, change: dict[str, str], code: Code) -> None:
    async def scene(path: PrivatePath) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = int(change.pop("port", 0)) or unused.getsockname()[1]
            host = change.pop("host", "portal.corp.example")
            with pytest.raises(Refused) as refused:
                await path.client.open(path.request(port, host, "tcp", **change))
        assert refused.value.code == code
        await until(lambda: not path.edge.broker.passages)

    play(tmp_path, scene)
    [session] = PrivatePath.records(path_at(tmp_path), "session")
    assert session["reason"] == code


def test_udp_datagrams_keep_their_bounds(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        loop = asyncio.get_running_loop()
        echo = socket.socket(type=socket.SOCK_DGRAM)
        echo.setblocking(False)
        echo.bind(("127.0.0.1", 0))
        port = echo.getsockname()[1]

        def answer() -> None:
            data, sender = echo.recvfrom(65535)
            echo.sendto(data[::-1], sender)

        loop.add_reader(echo.fileno(), answer)
        stream = await path.client.open(path.request(port, protocol="udp"))
        for data in (b"ab", b"", bytes(range(200)) * 40):
            await stream.write_datagram(data)
            assert await stream.read_datagram() == data[::-1]
        await stream.finish()
        assert await stream.read_datagram() is None
        await until(lambda: not path.edge.broker.passages)
        loop.remove_reader(echo.fileno())
        echo.close()

    play(tmp_path, scene)


def test_an_icmp_refusal_resets_the_udp_stream(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        stream = await path.client.open(path.request(port, protocol="udp"))
        await stream.write_datagram(b"anybody there")
        with pytest.raises(StreamGone):
            await stream.read_datagram()

    play(tmp_path, scene)


def test_a_slow_reader_stops_the_server_and_memory_stays_bounded(tmp_path: Path) -> None:
    written = [0]
    stopped = asyncio.Event()

    async def flood(reader: Reader, writer: Writer) -> None:
        block = bytes(1 << 20)
        try:
            while True:
                writer.write(block)
                await asyncio.wait_for(writer.drain(), 0.5)
                written[0] += len(block)
        except TimeoutError:
            stopped.set()
        writer.transport.abort()

    async def scene(path: PrivatePath) -> None:
        async with server(flood) as port:
            stream = await path.client.open(path.request(port))
            await stopped.wait()
            # Initial windows twice, transport buffers and the kernel's, and not the hundreds of MiB that 0.5 s give.
            assert written[0] < 40 << 20
            stream.reset()
            await until(lambda: not path.edge.broker.passages)

    play(tmp_path, scene)


def test_many_streams_at_once_arrive_whole_and_none_is_left(tmp_path: Path) -> None:
    async def echo(reader: Reader, writer: Writer) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()

    async def one(path: PrivatePath, port: int, seed: int) -> None:
        data = hashlib.sha256(bytes([seed])).digest() * 3000
        stream = await path.client.open(path.request(port))
        reading = asyncio.create_task(everything(stream))
        await stream.write(data)
        await stream.finish()
        assert await reading == data

    async def scene(path: PrivatePath) -> None:
        async with server(echo) as port:
            await asyncio.gather(*(one(path, port, seed) for seed in range(100)))
        await until(lambda: not path.edge.broker.passages)
        # One stream each is left: control.
        assert [connection.streams for connection in path.edge.broker.connections] == [1, 1]

    play(tmp_path, scene)


def test_an_app_connector_may_not_open_and_a_connector_may_not_register(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        wrong = path.client_of("app-connector", "ac-9", "dc1")
        task = asyncio.create_task(wrong.run())
        await until(lambda: wrong.connected)
        with pytest.raises(Exception) as refused:
            await wrong.open(path.request(80, connector="ac-9"))
        assert "edge" in str(refused.value)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    play(tmp_path, scene)
    reasons = [one["eventreason"] for one in PrivatePath.records(path_at(tmp_path), "tunnel")
               if one["event"] == "REFUSED"]
    assert any("only connectors open streams" in reason for reason in reasons)


def test_a_role_that_has_no_business_here_is_refused_and_logged(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        wrong = path.client_of("internet-edge", "ie-1", "")
        task = asyncio.create_task(wrong.run())
        await until(lambda: wrong.last_error)
        assert not wrong.connected
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    play(tmp_path, scene)
    refused = [one for one in PrivatePath.records(path_at(tmp_path), "tunnel") if one["event"] == "REFUSED"]
    assert "internet-edge/ie-1" in refused[0]["eventreason"]


def test_a_certificate_of_another_ca_is_refused_and_logged(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        (tmp_path / "foreign").mkdir()
        foreign = PrivatePath(tmp_path / "foreign")
        foreign.edge_address = path.edge_address
        wrong = foreign.client_of()
        task = asyncio.create_task(wrong.run())
        await until(lambda: wrong.last_error)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    play(tmp_path, scene)
    refused = [one for one in PrivatePath.records(path_at(tmp_path), "tunnel") if one["event"] == "REFUSED"]
    assert refused and refused[0]["eventreason"].startswith("TLS")


def test_a_revoked_connector_loses_its_connection_and_cannot_return(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        path.signer.revoke("connector/cc-1")
        path.edge.drop_revoked()
        await until(lambda: not path.client.connected)
        await until(lambda: path.client.last_error)
        assert not path.client.connected

    play(tmp_path, scene)
    refused = [one for one in PrivatePath.records(path_at(tmp_path), "tunnel") if one["event"] == "REFUSED"]
    assert any("revoked" in one["eventreason"] for one in refused)


def test_draining_refuses_new_streams_and_lets_open_ones_finish(tmp_path: Path) -> None:
    async def echo(reader: Reader, writer: Writer) -> None:
        writer.write(await reader.read(-1))
        writer.write_eof()

    async def scene(path: PrivatePath) -> None:
        async with server(echo) as port:
            stream = await path.client.open(path.request(port))
            await stream.write(b"open before the drain")
            draining = asyncio.create_task(path.edge.broker.drain(5))
            await until(lambda: not path.client.connected)
            await stream.finish()
            assert await everything(stream) == b"open before the drain"
            assert await draining == 0

    play(tmp_path, scene)


def test_the_request_has_no_say_in_the_application() -> None:
    request = OpenRequest.model_validate({"application": "x", "host": "a.example", "port": 1, "protocol": "tcp",
                                          "source": {"namespace": "n", "address": "::1", "connector": "c"}})
    assert request.source.group == ""
