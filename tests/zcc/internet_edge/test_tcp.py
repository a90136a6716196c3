"""Kernel TCP on both sides of the edge: workload's kernel ── device ── tunnel ── edge ── internet's kernel."""

import hashlib
import os
import select
import socket
import threading
from ipaddress import IPv4Network
from pathlib import Path

import pytest

import namespaces
from fastpath.batch import PacketBatch
from fastpath.packetio import Device
from isolation import isolated
from tunnel_client import SmallClient
from zcc.device import DeviceSettings
from zcc.doorway import Doorway

from .world import SERVER, World, inner, valid

SIZE = 3_000_000


class Pump:
    """Carries packets between a device and a tunnel, and notes what it saw."""

    def __init__(self, device: Device, client: SmallClient) -> None:
        self.device, self.client = device, client
        self.longest = 0
        self.first: list[bytes] = []       # a few packets from the kernel, to check
        self.stop = os.eventfd(0)
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def close(self) -> None:
        os.eventfd_write(self.stop, 1)
        self.thread.join(5)

    def _run(self) -> None:
        batch = PacketBatch(64)
        self.client.socket.setblocking(False)
        while True:
            ready, _, _ = select.select([self.client.socket, self.device, self.stop], [], [])
            if self.stop in ready:
                return
            self.device.recv(batch)
            for row in range(batch.count):
                frame = batch.frame(row)
                self.longest = max(self.longest, len(frame))
                self.first += [frame][:20 - len(self.first)]
                self.client.send(frame, vni=3)
            self._from_tunnel(batch)

    def _from_tunnel(self, batch: PacketBatch) -> None:
        frames = []
        while len(frames) < 64:
            try:
                plain = self.client.open(self.client.socket.recv(65536))
            except BlockingIOError:
                break
            if plain is not None:
                frames.append(inner(plain)[2])
        batch.load(frames)
        batch.inner_start[:len(frames)] = batch.start[:len(frames)]
        batch.inner_length[:len(frames)] = batch.length[:len(frames)]
        self.device.send(batch)


@pytest.mark.parametrize("kind", ["veth", "auto"])
@isolated
def test_tcp_both_ways_arrives_whole(kind: str, tmp_path: Path) -> None:
    world = World(tmp_path)
    payload = os.urandom(SIZE)
    with namespaces.inside(world.internet):
        server = socket.create_server((SERVER, 80))
    server.settimeout(10)
    got: list[bytes] = []

    def serve() -> None:
        connection, peer = server.accept()
        connection.settimeout(10)
        with connection, connection.makefile("rb") as stream:
            got.append(peer[0].encode())
            got.append(hashlib.sha256(stream.read(SIZE)).digest())
            connection.sendall(payload)

    threading.Thread(target=serve).start()
    with world.edge(kernel=DeviceSettings(device=kind)):
        client = world.connect()
        with namespaces.inside(world.client):
            doorway = Doorway(DeviceSettings(device=kind, name="wl0", internal=IPv4Network("10.8.0.0/16")))
            doorway.open()
            doorway.route(IPv4Network(f"{SERVER}/32"))
            device = getattr(Device, doorway.kind)(doorway.device)
            pump = Pump(device, client)
            workload = socket.create_connection((SERVER, 80), timeout=10)
        workload.sendall(payload)
        with workload, workload.makefile("rb") as stream:
            assert hashlib.sha256(stream.read()).digest() == hashlib.sha256(payload).digest()
            segment = workload.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        pump.close()
    assert got == [b"10.9.0.11", hashlib.sha256(payload).digest()]
    assert pump.longest <= 1400, "super-packets left the kernel, or the MSS was not clamped"
    assert segment <= 1360
    for frame in pump.first:
        valid(frame)
