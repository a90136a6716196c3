"""The connector's client against edges that it can reach: a real DTLS server over loopback, no packets inside but control."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL

from fastpath.dtls import Session
from identities import authority, identity
from zcc.errors import PeerRefused
from zcc.fields import HostPort
from zcc.itunnel import wire
from zcc.itunnel.client import TunnelClient
from zcc.itunnel.dial import Dialler
from zcc.itunnel.gateways import Route
from zcc.itunnel.handshake import Handshake, use_fixed_mtu
from zcc.itunnel.settings import EdgeSettings, TunnelSettings
from zcc.pki.context import dtls_client, dtls_server


class Edge(asyncio.DatagramProtocol):
    """An edge that answers probes while `alive`; one session at a time."""

    def __init__(self, context: SSL.Context) -> None:
        use_fixed_mtu(context)
        self.context, self.alive = context, True
        self.handshake: Handshake | None = None
        self.session: Any = None
        self.sessions: dict[Any, Any] = {}      # by address of the connector's end
        self.largest = 1 << 16                  # datagram that the path to here takes
        self.takes_parts = False
        self.deaf = 0                           # hellos that are lost on the way
        self.heard: list[wire.Message | None] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self.alive or len(data) > self.largest:
            return
        if data[:1] == b"\x16" and data[13:14] == b"\x01":
            connection = SSL.Connection(self.context, None)
            connection.set_accept_state()
            self.handshake, self.session = Handshake(connection), None
        if addr in self.sessions:
            self.hear(self.sessions[addr].open(data), addr)
        elif self.handshake is not None:
            for answer in self.handshake.receive(data):
                self.transport.sendto(answer, addr)
            if self.handshake.done:
                self.session = self.sessions[addr] = Session(self.handshake.connection)
                self.handshake = None

    def hear(self, plain: bytes | None, addr: Any) -> None:
        message = wire.decode(plain or b"")
        self.heard.append(message)
        self.addr = addr
        match message:
            case wire.Probe(sequence, time_ns):
                self.say(wire.ProbeAnswer(sequence, time_ns))
            case wire.SizeProbe(number, size):
                self.say(wire.SizeAnswer(number, size))
            case wire.Hello() if self.deaf:
                self.deaf -= 1
            case wire.Hello():
                self.say(wire.Hello(wire.VERSION, list(self.sessions).index(addr) + 1, takes_parts=self.takes_parts))

    def say(self, message: wire.Message) -> None:
        self.transport.sendto(self.sessions[self.addr].seal(wire.encode(message)), self.addr)


class Plane:
    """The data plane's part: sessions on the event loop instead of a worker."""

    def __init__(self) -> None:
        self.client: TunnelClient
        self.slots: dict[int, tuple[Any, socket.socket]] = {}
        self.active: list[int | None] = []
        self.of_gateway: dict[int, tuple[int | None, set[int]]] = {}
        self.mtus: dict[int, int] = {}
        self.parts: dict[int, bool] = {}       # whether packets may go in parts
        self.swaps: list[int] = []
        self.records = 0

    def attach_tunnel(self, place: int, session: Any, sock_fd: int, mtu: int) -> None:
        sock = socket.socket(fileno=socket.dup(sock_fd))
        self.slots[place] = session, sock
        self.mtus[place] = mtu
        asyncio.get_running_loop().add_reader(sock, self._read, sock)

    def resize_tunnel(self, place: int, mtu: int, parts: bool) -> None:
        self.mtus[place] = mtu
        self.parts[place] = parts

    def swap_tunnel(self, slot: int) -> None:
        for places in (self.slots, self.mtus):
            places[slot], places[slot + 8] = places[slot + 8], places[slot]
        self.swaps.append(slot)

    def tunnel_records(self, place: int) -> tuple[int, int]:
        return self.records, 0

    def _read(self, of: socket.socket) -> None:
        slot, (session, sock) = next((slot, held) for slot, held in self.slots.items() if held[1] is of)
        with contextlib.suppress(OSError):
            plain = session.open(sock.recv(65536))
            if plain is not None:
                self.client.on_control(slot, plain)
            if session.closed:
                self.client.on_closed(slot)

    def detach_tunnel(self, slot: int) -> None:
        _, sock = self.slots.pop(slot)
        asyncio.get_running_loop().remove_reader(sock)
        sock.close()

    def send_control(self, slot: int, packet: bytes) -> None:
        session, sock = self.slots[slot]
        with contextlib.suppress(OSError):
            sock.send(session.seal(packet) or b"")

    def activate_tunnel(self, gateway: int, slot: int | None, edges: Iterable[int]) -> None:
        self.active.append(slot)
        self.of_gateway[gateway] = slot, set(edges)


class World:
    """Two edges, one client that runs."""

    def __init__(self, folder: Path, verify: Callable[[bytes], object], interval_ms: int = 20) -> None:
        self.interval_ms = interval_ms
        self.ca, self.verify = authority(folder / "ca"), verify
        self.plane, self.told = Plane(), []
        self.edges: list[Edge] = []
        self.refused, self.verify_now = 0, verify

    def check(self, der: bytes) -> object:
        try:
            return self.verify_now(der)
        except PeerRefused:
            self.refused += 1
            raise

    @asynccontextmanager
    async def running(self) -> AsyncIterator["World"]:
        loop, addresses = asyncio.get_running_loop(), []
        for name in ("ie-1", "ie-2"):
            context = dtls_server(identity(self.ca, "internet-edge", name))
            transport, edge = await loop.create_datagram_endpoint(lambda context=context: Edge(context), ("127.0.0.1", 0))
            self.edges.append(edge)
            addresses.append(EdgeSettings(name=name, address=HostPort.parse("127.0.0.1:{}".format(
                transport.get_extra_info("sockname")[1]))))
        settings = TunnelSettings(edges=tuple(addresses), probe_interval=timedelta(milliseconds=self.interval_ms), probe_lost=3,
                                  hold_down=timedelta(milliseconds=200))
        self.client = self.plane.client = TunnelClient(
            settings, Dialler(dtls_client(identity(self.ca, "connector", "cc-1")), self.check), self.plane, Session,
            report=lambda **fields: self.told.append((fields["peer"], fields["event"])), jitter=lambda: 0.0)
        task = asyncio.create_task(self.client.run())
        try:
            yield self
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
            for edge in self.edges:
                edge.transport.close()

    async def until(self, condition: Callable[[], object], limit_s: float = 5) -> None:
        """Let the loop run until something holds; fail after `limit_s`."""
        async with asyncio.timeout(limit_s):
            while not condition():
                await asyncio.sleep(0)


def play(folder: Path, scene: Callable[[World], Any], verify: Callable[[bytes], object] = lambda der: None,
         interval_ms: int = 20) -> World:
    """Run a scene in a world."""

    async def main() -> World:
        async with World(folder, verify, interval_ms).running() as world:
            await scene(world)
        return world

    return asyncio.run(main())


def test_packets_may_go_in_parts_once_the_edge_has_said_so_and_a_lost_hello_is_said_again(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        world.edges[0].takes_parts, world.edges[0].deaf = True, 3
        await world.until(lambda: all(status.state == "up" for status in world.client.status()))
        await world.until(lambda: world.plane.parts.get(0))
        assert not world.plane.parts.get(1), "the other edge is an older one"

    world = play(tmp_path, scene)
    assert world.edges[0].heard.count(wire.Hello(wire.VERSION, takes_parts=True)) == 4


def test_it_keeps_sessions_to_both_and_prefers_the_first(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await world.until(lambda: all(status.state == "up" for status in world.client.status()))
        await world.until(lambda: world.client.active() == "ie-1")
        assert [status.active for status in world.client.status()] == [True, False]
        assert world.client.status()[0].rtt_ms > 0

    world = play(tmp_path, scene)
    assert world.edges[0].heard.count(wire.Hello(wire.VERSION, takes_parts=True)) == 1, "it was answered"
    assert world.edges[0].heard[0] == wire.Hello(wire.VERSION, takes_parts=True)
    assert not world.plane.slots, "detached at the end"


def test_a_dead_edge_is_left_and_taken_again_when_it_is_back(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await world.until(lambda: world.client.active() == "ie-1" and world.client.status()[1].state == "up")
        world.edges[0].alive = False
        await world.until(lambda: world.client.active() == "ie-2")
        assert "not answered" in world.client.status()[0].reason or world.client.status()[0].state == "probing"
        world.edges[0].alive = True
        await world.until(lambda: world.client.active() == "ie-1")

    world = play(tmp_path, scene)
    assert ("ie-1", "DOWN") in world.told
    assert world.plane.active[-1] is None or world.plane.active.count(0) >= 2


def test_an_edge_that_says_goodbye_is_left_at_once(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await world.until(lambda: world.client.active() == "ie-1" and world.client.status()[1].state == "up")
        world.edges[0].say(wire.Goodbye())
        world.edges[0].alive = False
        await world.until(lambda: world.client.active() == "ie-2")
        assert ("ie-1", "DOWN") in world.told

    play(tmp_path, scene)


def test_without_any_edge_nobody_is_active(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await world.until(lambda: world.client.up)
        for edge in world.edges:
            edge.alive = False
        await world.until(lambda: not world.client.up)
        assert world.client.active() is None
        assert world.plane.active[-1] is None

    play(tmp_path, scene)


def test_an_edge_that_may_not_be_one_is_never_attached(tmp_path: Path) -> None:
    def refuse(der: bytes) -> object:
        raise PeerRefused("not one of ours")

    async def scene(world: World) -> None:
        await world.until(lambda: all("not one of ours" in status.reason for status in world.client.status()))
        assert not world.plane.slots
        assert not world.client.up

    play(tmp_path, scene, refuse)


def test_each_gateway_is_told_to_the_data_plane_with_its_own_edges(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        world.client.steer({"near": Route(1, (1, 0)), "lone": Route(2, (1,))})
        await world.until(lambda: world.client.active("near") == "ie-2" and world.client.active() == "ie-1")
        assert world.client.gateways() == {"": ("ie-1", "ie-2"), "near": ("ie-2", "ie-1"), "lone": ("ie-2",)}
        world.edges[1].alive = False
        await world.until(lambda: world.client.active("near") == "ie-1")
        assert world.client.active("lone") is None
        assert world.plane.of_gateway == {0: (0, {0, 1}), 1: (0, {0, 1}), 2: (None, {1})}
        world.client.steer({})
        assert world.client.gateways() == {"": ("ie-1", "ie-2")}

    play(tmp_path, scene)


def test_the_size_of_the_path_is_found_and_told_to_the_data_plane(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        for edge in world.edges:
            edge.largest = 1372
        await world.until(lambda: all(status.path_state == "complete" for status in world.client.status()), 20)
        assert {(status.path_mtu, status.inner_mtu) for status in world.client.status()} == {(1400, 1307)}
        assert world.plane.mtus == {0: 1307, 1: 1307}
        world.edges[0].largest = 1300
        await world.until(lambda: world.plane.mtus[0] == 1300 - 65, 20)
        assert world.plane.mtus[1] == 1307

    play(tmp_path, scene, interval_ms=500)


def test_a_new_session_takes_over_while_the_old_one_drains(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await world.until(lambda: world.client.active() == "ie-1" and world.client.status()[0].path_state == "complete", 20)
        found, old = world.plane.mtus[0], world.plane.slots[0][0]
        world.plane.records = 1 << 25
        await world.until(lambda: set(world.plane.swaps) == {0, 1}, 20)
        world.plane.records = 0
        assert world.plane.slots[8][0] is old, "packets on their way are still taken"
        assert world.client.active() == "ie-1" and ("ie-1", "DOWN") not in world.told
        await world.until(lambda: wire.Hello(wire.VERSION, replaces=1, takes_parts=True) in world.edges[0].heard)
        assert world.plane.mtus[0] == found, "the path is the same"
        await world.until(lambda: set(world.plane.slots) == {0, 1}, 20)
        await world.until(lambda: world.edges[0].heard.count(wire.Goodbye()) == 1)
        assert [status.renewals for status in world.client.status()] == [1, 1]

    play(tmp_path, scene, interval_ms=200)


def test_sessions_renewed_while_the_path_is_searched_find_all_of_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(world: World) -> None:
        world.edges[0].largest = 1303
        await world.until(lambda: world.client.status()[0].state == "up")
        world.client.renew()
        await world.until(lambda: world.client.status()[0].renewals == 1, 20)
        await world.until(lambda: world.client.status()[0].path_state == "complete", 20)
        assert world.plane.mtus[0] == 1303 - 65

    with caplog.at_level("INFO", "zcc.itunnel.keeper"):
        play(tmp_path, scene, interval_ms=500)
    told = [message for message in caplog.messages if "ie-1" in message and "carries" in message]
    assert len(told) == 1 and "carries packets of 1331 bytes, 1238 inside" in told[0]


def test_a_session_is_kept_when_no_new_one_can_be_had(tmp_path: Path) -> None:
    async def scene(world: World) -> None:
        await world.until(lambda: world.client.active() == "ie-1" and world.client.status()[1].state == "up")
        kept = world.plane.slots[0][0]
        world.verify_now = refuse
        world.client.renew()
        await world.until(lambda: world.refused >= 2)
        assert world.plane.slots[0][0] is kept and world.client.active() == "ie-1" and not world.plane.swaps

    def refuse(der: bytes) -> object:
        raise PeerRefused("not one of ours")

    play(tmp_path, scene)
