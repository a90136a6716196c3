"""A carrier over sockets: connectors on loopback with real sessions, and a socket pair where the internet is."""

from __future__ import annotations

import socket

import numpy as np

from dtls_pair import pair
from fastpath.batch import PacketBatch
from fastpath.carrier import Carrier
from fastpath.dtls import Session
from fastpath.flowkey import Secret
from fastpath.flowtable import FlowTable
from fastpath.fragments import FragmentTable
from fastpath.geneve import encode_header
from fastpath.identification import Identifications
from fastpath.inward import Inward
from fastpath.links import Links
from fastpath.nat import NatTable
from fastpath.outlet import Outlet
from fastpath.outward import Outward
from fastpath.packetio import Device, UdpSocket

SEED = bytes(range(32))
V4 = bytes(10) + b"\xff\xff"
LOCAL, LOCAL6 = "10.9.0.11", "fd00:9::11"
SILENT_NS = 3_000_000_000


class Connector:
    """One end of a session; `link` is the carrier's."""

    def __init__(self, rig, contexts):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.connect(("127.0.0.1", rig.port))
        self.socket.setblocking(False)
        client, server = pair(*contexts)
        self.session = Session(client)
        address = int.from_bytes(socket.inet_aton("127.0.0.1"), "big")
        self.link = rig.links.add(Session(server), self, address, self.socket.getsockname()[1], 0)
        self.link.mtu = 1400

    def send(self, packet, namespace=1, location=9, flags=0):
        """Send an IP packet as a connector does."""
        protocol = 0x86DD if packet[0] >> 4 == 6 else 0x0800
        options = [(0xFF5A, 1, location.to_bytes(4, "big"))]
        self.socket.send(self.session.seal(encode_header(options, protocol=protocol, vni=namespace, flags=flags) + packet))

    def receive(self):
        """Return the next Geneve packet, or None."""
        try:
            return self.session.open(self.socket.recv(65536))
        except BlockingIOError:
            return None


class Rig:
    """Everything that a carrier is lent."""

    def __init__(self, contexts, capacity=1024, batch=64):
        self.contexts, self.connectors = contexts, []
        self.udp = UdpSocket.bind("127.0.0.1", 0, merged=True)
        with socket.socket(fileno=socket.dup(self.udp.fd)) as own:
            self.port = own.getsockname()[1]
        here, self.net = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        here.setblocking(False)
        self.net.setblocking(False)
        self.device = Device(here.detach(), "net", "tun")
        self.links = Links(16, SEED)
        addresses = V4 + socket.inet_aton(LOCAL) + socket.inet_pton(socket.AF_INET6, LOCAL6)
        self.outlet = Outlet(FlowTable(capacity), NatTable(capacity, (1024, 65535), SEED), Secret(SEED),
                             np.frombuffer(addresses, np.uint8).reshape(-1, 16), np.zeros((0, 16), np.uint8))
        self.datagrams = np.full(batch, -1, np.int32)
        self.batch = PacketBatch(batch)
        self.outward = Outward(self.device, self.links, self.outlet, FragmentTable(seed=SEED), Identifications(seed=SEED),
                               self.datagrams, 1400)
        self.inward = Inward(self.udp, self.links, self.outlet, 1400, SILENT_NS)
        self.carrier = Carrier(self.batch, self.outward, self.inward)

    def connector(self):
        """Return one more."""
        self.connectors.append(Connector(self, self.contexts))
        return self.connectors[-1]

    def left(self):
        """Return the packets that went to the internet."""
        found = []
        while True:
            try:
                found.append(self.net.recv(65536))
            except BlockingIOError:
                return found

    def close(self):
        """Close all."""
        self.udp.close()
        self.device.close()
        self.net.close()
        for connector in self.connectors:
            connector.socket.close()
