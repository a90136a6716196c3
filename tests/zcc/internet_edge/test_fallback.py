"""UDP blocked and free again, both ends real: the tunnel goes by TLS meanwhile, and a flow keeps its address and port."""

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from pyroute2 import IPRoute
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

import namespaces
from fastpath.batch import PacketBatch
from fastpath.dtls import Session
from fastpath.geneve import encode_header
from fastpath.stream import Stream
from identities import identity
from isolation import isolated
from tls_pair import contexts
from tunnel_client import LOCATION
from zcc.fields import HostPort
from zcc.itunnel.client import TunnelClient
from zcc.itunnel.dial import Dialler
from zcc.itunnel.settings import EdgeSettings, FallbackSettings, TunnelSettings
from zcc.pki.context import dtls_client, stream_client

from .world import EGRESS, SERVER, WORKLOAD, World, inner

COMES_UP_S, COMES_BACK_S = 5.0, 10.0


class Udp:
    """Whether UDP reaches the edge's host; the rule stands before the local table, so nobody is told.

    By a thread of its own: it stays in this namespace, and pyroute2 wants no loop that runs.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._thread.submit(self._prepare).result()

    def _prepare(self) -> None:
        with IPRoute() as ip:
            ip.rule("add", table=255, priority=100)
            ip.rule("del", table=255, priority=0)

    def block(self, blocked: bool) -> None:
        self._thread.submit(self._block, "add" if blocked else "del").result()

    def _block(self, what: str) -> None:
        with IPRoute() as ip:
            ip.rule(what, priority=10, action="blackhole", ip_proto=17, iifname="e0")


class Plane:
    """The worker's part on the event loop: DTLS sessions and TLS streams by place."""

    def __init__(self) -> None:
        self.client: TunnelClient
        self.places: dict[int, tuple[Any, Any]] = {}
        self.heard: list[bytes] = []
        self._batch = PacketBatch()

    def attach_tunnel(self, place: int, session: Any, sock_fd: int, mtu: int) -> None:
        sock = socket.socket(fileno=socket.dup(sock_fd))
        self._watch(place, session, sock)

    def attach_stream(self, place: int, connection: SSL.Connection, sock_fd: int, mtu: int) -> None:
        self._watch(place, None, Stream(connection, sock_fd))

    def _watch(self, place: int, session: Any, sock: Any) -> None:
        self.places[place] = session, sock
        asyncio.get_running_loop().add_reader(sock.fileno(), self._read, sock)

    def _read(self, sock: Any) -> None:
        place, session = next((place, held[0]) for place, held in self.places.items() if held[1] is sock)
        plains = []
        with contextlib.suppress(OSError):
            if session is None:
                plains = [self._batch.frame(row) for row in range(sock.recv(self._batch))]
            else:
                plains = [plain for plain in [session.open(sock.recv(65536))] if plain is not None]
        for plain in plains:
            if plain[1] & 0x80:
                self.client.on_control(place, plain)
            else:
                self.heard.append(inner(plain)[2])
        if (sock if session is None else session).closed:
            self.client.on_closed(place)

    def resize_tunnel(self, place: int, mtu: int, parts: bool) -> None: ...

    def swap_tunnel(self, slot: int) -> None:
        self.places[slot], self.places[slot + 8] = self.places[slot + 8], self.places[slot]

    def tunnel_records(self, place: int) -> tuple[int, int]:
        return 0, 0

    def detach_tunnel(self, place: int) -> None:
        _, sock = self.places.pop(place)
        asyncio.get_running_loop().remove_reader(sock.fileno())
        sock.close()

    def send_control(self, place: int, packet: bytes) -> None:
        session, sock = self.places[place]
        with contextlib.suppress(OSError):
            if session is None:
                sock.send_bytes(packet)
            else:
                sock.send(session.seal(packet) or b"")

    def activate_tunnel(self, gateway: int, slot: int | None, edges: Iterable[int]) -> None: ...


class Flow:
    """A workload's datagrams to a server that tells whom it sees."""

    def __init__(self, plane: Plane) -> None:
        self._plane, self._n = plane, 0
        self.seen: list[bytes] = []

    async def speak(self) -> None:
        """Say something, and wait for the answer."""
        self._n += 1
        packet = bytes(IP(src=WORKLOAD, dst=SERVER) / UDP(sport=5555, dport=7) / Raw(b"%d" % self._n))
        before = len(self._plane.heard)
        self._plane.send_control(0, encode_header([LOCATION], protocol=0x0800, vni=2) + packet)
        async with asyncio.timeout(5):
            while len(self._plane.heard) == before:
                await asyncio.sleep(0.01)
        self.seen.append(bytes(IP(self._plane.heard[-1])[UDP].payload))


def settings_of(tls: bool = True) -> TunnelSettings:
    return TunnelSettings(
        edges=(EdgeSettings(name="ie-1", address=HostPort.parse("10.0.4.11:4433")),),
        probe_interval=timedelta(milliseconds=100), probe_lost=4, hold_down=timedelta(milliseconds=500),
        fallback=FallbackSettings(tls=tls, after=timedelta(milliseconds=500), retry=timedelta(milliseconds=500)))


async def run(world: World, settings: TunnelSettings, scene: Callable[[TunnelClient, Plane], Any]) -> None:
    plane, agent = Plane(), identity(world.ca, "connector", "cc-1")
    dialler = Dialler(dtls_client(agent), lambda der: None, stream_client(agent))
    client = plane.client = TunnelClient(settings, dialler, plane, Session, jitter=lambda: 0.0)
    task = asyncio.create_task(client.run())
    try:
        await scene(client, plane)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def goes_by(client: TunnelClient, transport: str, limit_s: float) -> float:
    """Wait until the tunnel is up by a transport; return after how many seconds."""
    begin = time.monotonic()
    async with asyncio.timeout(limit_s):
        while (client.status()[0].state, client.status()[0].transport) != ("up", transport):
            await asyncio.sleep(0.01)
    return time.monotonic() - begin


@isolated
def test_a_flow_survives_that_udp_is_blocked_and_free_again(tmp_path: Path) -> None:
    world, udp = World(tmp_path), Udp()
    with world.edge():
        world.echo(socket.AF_INET, SERVER)

        async def scene(client: TunnelClient, plane: Plane) -> None:
            flow = Flow(plane)
            udp.block(True)
            await goes_by(client, "TLS", COMES_UP_S)
            await flow.speak()
            udp.block(False)
            await goes_by(client, "DTLS", COMES_BACK_S)
            assert client.status()[0].renewals == 1
            await flow.speak()
            udp.block(True)
            await goes_by(client, "TLS", COMES_UP_S)
            await flow.speak()
            assert flow.seen == [EGRESS.encode() + b" %d" % n for n in (1, 2, 3)]
            udp.block(False)
            await goes_by(client, "DTLS", COMES_BACK_S)

        with namespaces.inside(world.client):
            asyncio.run(run(world, settings_of(), scene))
    flows = [record for record in world.records("session") if record["clt_src_ip"] == WORKLOAD]
    assert len(flows) == 1 and flows[0]["clt_rx_packets"] == 3, "one flow with one binding, whatever carried it"
    assert {record["tunneltype"] for record in world.records("tunnel")} == {"DTLS", "TLS"}


@isolated
def test_tls_is_not_used_where_the_file_forbids_it_and_not_while_dtls_works(tmp_path: Path) -> None:
    world, udp = World(tmp_path), Udp()
    with world.edge():

        async def works(client: TunnelClient, plane: Plane) -> None:
            await goes_by(client, "DTLS", COMES_UP_S)
            await asyncio.sleep(1)
            assert client.status()[0].transport == "DTLS"

        async def forbidden(client: TunnelClient, plane: Plane) -> None:
            udp.block(True)
            with pytest.raises(TimeoutError):
                await goes_by(client, "TLS", 1.5)

        with namespaces.inside(world.client):
            asyncio.run(run(world, settings_of(), works))
            asyncio.run(run(world, settings_of(tls=False), forbidden))


@isolated
def test_strangers_at_the_tcp_port_get_nowhere(tmp_path: Path) -> None:
    world = World(tmp_path)
    with world.edge():
        with namespaces.inside(world.client):
            idle = [socket.create_connection(("10.0.4.11", 4433), timeout=5) for _ in range(20)]
            for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", bytes(100)):
                with socket.create_connection(("10.0.4.11", 4433), timeout=5) as stranger:
                    stranger.settimeout(5)
                    with contextlib.suppress(ConnectionError):
                        stranger.sendall(garbage)
                        while stranger.recv(1000):
                            pass
        crowded = 0
        for one in idle:
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                crowded += one.recv(1) == b""
        assert crowded == 4, "16 half-open handshakes an address"
        client = world.connect()
        client.close()
        (tmp_path / "other").mkdir()
        stranger_context, _ = contexts(tmp_path / "other")           # of another tenant's CA
        for one in idle:
            one.close()

        async def refused() -> None:
            dialler = Dialler(dtls_client(identity(world.ca, "connector", "cc-1")), lambda der: None, stranger_context)
            dialled = await dialler.tls(HostPort.parse("10.0.4.11:4433"))
            dialled.drop()

        with namespaces.inside(world.client), pytest.raises(Exception, match=r"verify|certificate|alert|unknown ca"):
            asyncio.run(refused())
