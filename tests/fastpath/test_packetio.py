"""packetio over real sockets and devices: loopback, and a network namespace for what needs its own interfaces."""

import os
import select
import socket
import struct
from ipaddress import IPv4Network, ip_network
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroute2 import IPRoute
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

import namespaces
from fastpath import packetio as compiled
from fastpath.action import DropReason
from fastpath.batch import HEADROOM_BYTES, PacketBatch
from isolation import isolated
from model import packetio as reference
from zcc.device import DeviceSettings
from zcc.doorway import Doorway

LOOPBACK = int.from_bytes(socket.inet_aton("127.0.0.1"), "big")


@pytest.fixture(params=[compiled, reference], ids=["fastpath", "model"])
def impl(request: Any) -> ModuleType:
    """Both implementations."""
    return request.param


def wait(descriptor: Any) -> None:
    """Wait until something can be read."""
    assert select.select([descriptor], [], [], 5)[0], "nothing came within 5 s"


def send_until_seen(device: Any, sock: socket.socket, data: bytes, address: str) -> None:
    """Send until the device brings something: a TUN's carrier comes up a moment after it is opened."""
    for _ in range(50):
        sock.sendto(data, (address, 7))
        if select.select([device], [], [], 0.1)[0]:
            return
    raise AssertionError("nothing came within 5 s")


def bound(impl: ModuleType) -> tuple[Any, int]:
    """An unconnected UdpSocket and its port."""
    sock = impl.UdpSocket.bind("127.0.0.1", 0)
    with socket.socket(fileno=os.dup(sock.fd)) as view:
        return sock, view.getsockname()[1]


def test_udp_batch_arrives_behind_the_headroom_with_its_peers(impl: ModuleType) -> None:
    ours, port = bound(impl)
    batch = PacketBatch(8, 512)
    with ours, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        for size in (0, 1, 384):
            peer.sendto(b"x" * size, ("127.0.0.1", port))
        wait(ours)
        assert ours.recv(batch) == batch.count == 3
        assert [batch.frame(row) for row in range(3)] == [b"", b"x", b"x" * 384]
        assert set(batch.start[:3].tolist()) == {HEADROOM_BYTES}
        assert set(batch.peer_address[:3].tolist()) == {LOOPBACK}
        assert set(batch.peer_port[:3].tolist()) == {peer.getsockname()[1]}
        assert ours.recv(batch) == batch.count == 0


def test_datagram_longer_than_a_row_is_dropped_as_truncated(impl: ModuleType) -> None:
    ours, port = bound(impl)
    batch = PacketBatch(8, 512)
    with ours, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        for size in (385, 384):
            peer.sendto(b"y" * size, ("127.0.0.1", port))
        wait(ours)
        assert ours.recv(batch) == 2
        assert batch.reason[:2].tolist() == [DropReason.DROP_IO_TRUNCATED, 0]


def test_receiving_clears_what_the_row_held(impl: ModuleType) -> None:
    ours, port = bound(impl)
    batch = PacketBatch(2, 512)
    batch.load([b"old", b"older"])
    batch.reason[:], batch.action[:], batch.entry[:], batch.rule[:] = 7, 3, 5, 5
    with ours, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"new", ("127.0.0.1", port))
        wait(ours)
        assert ours.recv(batch) == 1
        assert (batch.reason[0], batch.action[0], batch.entry[0], batch.rule[0]) == (0, 0, -1, -1)


def test_udp_rows_go_to_their_own_peers_and_dead_rows_stay(impl: ModuleType) -> None:
    ours, _ = bound(impl)
    batch = PacketBatch(4, 512)
    batch.load([b"a", b"b", b"c"])
    with ours, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two:
        for peer in (one, two):
            peer.bind(("127.0.0.1", 0))
            peer.settimeout(5)
        batch.peer_address[:3] = LOOPBACK
        batch.peer_port[:3] = [one.getsockname()[1], two.getsockname()[1], one.getsockname()[1]]
        batch.reason[2] = DropReason.DROP_POLICY
        assert ours.send(batch) == 2
        assert (one.recv(9), two.recv(9)) == (b"a", b"b")
        assert ours.send(batch, np.array([1, 2], np.uint16)) == 1
        assert two.recv(9) == b"b"


def test_connected_socket_ignores_the_peers_of_rows(impl: ModuleType) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        peer.bind(("127.0.0.1", 0))
        peer.settimeout(5)
        mine.connect(peer.getsockname())
        batch = PacketBatch(4, 512)
        batch.load([b"row"])
        batch.peer_address[0], batch.peer_port[0] = 1, 1
        with impl.UdpSocket(mine.fileno()) as ours:
            assert ours.connected
            assert ours.send(batch) == 1
            assert ours.send_bytes(b"bytes") == 5
        assert (peer.recv(9), peer.recv(9)) == (b"row", b"bytes")
        assert mine.send(b"still open") == 10


def test_row_that_the_kernel_refuses_is_dropped_and_the_others_leave(impl: ModuleType) -> None:
    ours, port = bound(impl)
    batch = PacketBatch(4, 512)
    batch.load([b"a", b"b", b"c"])
    batch.peer_address[:3] = LOOPBACK
    batch.peer_port[:3] = [port, 0, port]      # port 0: EINVAL
    with ours:
        assert ours.send(batch) == 2
        assert batch.reason[:3].tolist() == [0, DropReason.DROP_IO_SEND, 0]


def test_wrong_rows_are_refused(impl: ModuleType) -> None:
    ours, _ = bound(impl)
    batch = PacketBatch(4, 512)
    batch.load([b"a"])
    with ours:
        with pytest.raises(ValueError, match="rows"):
            ours.send(batch, np.array([1], np.uint16))
        for rows in ([0], np.array([0], np.int32), np.zeros((1, 1), np.uint16)):
            with pytest.raises((TypeError, ValueError), match="rows"):
                ours.send(batch, rows)
        assert ours.send(batch, np.zeros(0, np.uint16)) == 0


def test_only_datagram_sockets_are_taken(impl: ModuleType) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream, pytest.raises(ValueError, match="fd"):
        impl.UdpSocket(stream.fileno())


def test_more_than_one_system_calls_worth_is_sent_and_received() -> None:
    ours, port = bound(compiled)
    batch = PacketBatch(600, 512)
    batch.load([str(number).encode() for number in range(600)])
    batch.peer_address[:], batch.peer_port[:] = LOOPBACK, port
    got = []
    with ours:
        assert ours.send(batch) == 600
        while ours.recv(batch):
            assert batch.count <= 256
            got += [batch.frame(row) for row in range(batch.count)]
    assert got == [str(number).encode() for number in range(600)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=400), max_size=8))
def test_any_datagrams_arrive_alike_in_both(datagrams: list[bytes]) -> None:
    seen = []
    for impl in (compiled, reference):
        ours, port = bound(impl)
        batch = PacketBatch(8, 512)
        with ours, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for datagram in datagrams:
                peer.sendto(datagram, ("127.0.0.1", port))
            ours.recv(batch)
        rows = range(batch.count)
        seen.append([(batch.frame(row), int(batch.reason[row]), int(batch.peer_address[row])) for row in rows])
    assert seen[0] == seen[1]


@pytest.mark.parametrize("name", ["fastpath", "model"])
@isolated
def test_geneve_reply_carries_the_peers_source_port_and_ours_as_destination(name: str) -> None:
    impl = compiled if name == "fastpath" else reference
    other = namespaces.another()
    namespaces.link("g0", ["10.1.0.1/24"], other, "g1", ["10.1.0.2/24"])
    with namespaces.inside(other):
        gateway = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        gateway.bind(("10.1.0.2", 6081))
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.bind(("10.1.0.2", 60123))
    gateway.settimeout(5)
    batch = PacketBatch(8)
    with impl.GeneveSocket("10.1.0.1") as ours:
        assert (ours.port, ours.address) == (6081, 0x0A010001)
        sender.sendto(b"geneve packet", ("10.1.0.1", 6081))
        wait(ours)
        assert ours.recv(batch) == 1
        assert (batch.peer_address[0], batch.peer_port[0]) == (0x0A010002, 60123)
        assert ours.send(batch) == 1
        assert gateway.recvfrom(99) == (b"geneve packet", ("10.1.0.1", 60123))
        batch.length[0] = 1600      # longer than the interface carries
        assert ours.send(batch) == 0
        assert batch.reason[0] == DropReason.DROP_IO_SEND


def test_geneve_socket_needs_an_address_of_its_own(impl: ModuleType) -> None:
    for wrong in ("0.0.0.0", "fd00::1", "gateway.example"):
        with pytest.raises(ValueError, match="address"):
            impl.GeneveSocket(wrong)


def device_pair(impl: ModuleType, kind: str) -> Any:
    """The doorway's device with a network behind it, and the packetio end."""
    doorway = Doorway(DeviceSettings(device=kind, internal=IPv4Network("198.18.0.0/16")))
    doorway.open()
    doorway.route(ip_network("fd00:7::/64"))
    with IPRoute() as ip:
        ip.addr("add", index=doorway.index, address="fd00:8::1", prefixlen=64, flags=namespaces.IFA_F_NODAD)
        mac = bytes.fromhex(ip.get_links(doorway.index)[0].get_attr("IFLA_ADDRESS", "").replace(":", ""))
    if doorway.kind == "tun":
        return impl.Device.tun(doorway.device)
    return impl.Device.veth(doorway.device, **({} if impl is compiled else {"peer_mac": mac}))


@pytest.mark.parametrize("kind", ["veth", "auto"])
@pytest.mark.parametrize("name", ["fastpath", "model"])
@isolated
def test_device_brings_finished_packets_and_takes_ours(name: str, kind: str) -> None:
    device = device_pair(compiled if name == "fastpath" else reference, kind)
    batch = PacketBatch(8)
    four, six = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    for sock in (four, six):
        sock.settimeout(5)
    for sock, address, kind_of in ((four, "198.18.0.9", IP), (six, "fd00:7::9", IPv6)):
        send_until_seen(device, sock, b"ask", address)
        assert device.recv(batch) == 1
        assert (batch.inner_start[0], batch.inner_length[0]) == (batch.start[0], batch.length[0])
        asked = kind_of(batch.frame(0))
        del asked[UDP].chksum
        assert bytes(asked) == batch.frame(0), "the kernel left the checksum undone"
        answer = kind_of(src=asked.dst, dst=asked.src) / UDP(sport=7, dport=asked.sport) / Raw(b"told")
        batch.load([bytes(answer)])
        batch.inner_start[0], batch.inner_length[0] = batch.start[0], batch.length[0]
        assert device.send(batch) == 1
        assert sock.recvfrom(9)[:1] == (b"told",)
        assert device.recv(batch) == 0, "what we sent came back to us"


@pytest.mark.parametrize("kind", ["veth", "auto"])
@isolated
def test_device_drops_a_packet_longer_than_a_row(kind: str) -> None:
    device = device_pair(compiled, kind)
    batch = PacketBatch(8, 512)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        send_until_seen(device, sock, bytes(700), "198.18.0.9")
        sock.sendto(bytes(10), ("198.18.0.9", 7))
    assert device.recv(batch) == 2
    assert batch.reason[:2].tolist() == [DropReason.DROP_IO_TRUNCATED, 0]


@isolated
def test_first_tcp_packet_of_the_kernel_is_whole_on_a_veth() -> None:
    device = device_pair(compiled, "veth")
    batch = PacketBatch(8)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.connect(("198.18.0.9", 80))
        wait(device)
        assert device.recv(batch) == 1
    again = IP(batch.frame(0))
    del again.chksum
    del again[TCP].chksum
    assert bytes(again) == batch.frame(0)


@isolated
def test_device_names_what_is_wrong() -> None:
    with pytest.raises(OSError, match="no interface"):
        compiled.Device.veth("nosuch0")
    with pytest.raises(ValueError, match="no other end"):
        compiled.Device.veth("lo")
    other = namespaces.another()
    namespaces.link("v0", [], other, "v1", [])
    with pytest.raises(ValueError, match="peer_mac"):
        compiled.Device.veth("v0")
    compiled.Device.veth("v0", peer_mac=bytes(6)).close()


def test_closing_again_is_no_error_and_a_closed_port_is_none(impl: ModuleType) -> None:
    ours, _ = bound(impl)
    batch = PacketBatch(4, 512)
    batch.load([b"a"])
    ours.close()
    ours.close()
    assert ours.fd == -1
    for call in (lambda: ours.recv(batch), lambda: ours.send(batch), lambda: ours.send_bytes(b"a")):
        with pytest.raises(ValueError, match="closed"):
            call()
    assert (batch.count, batch.reason[0]) == (1, 0)


def pair_of(impl: ModuleType) -> tuple[Any, socket.socket]:
    """A connected UdpSocket and what it is connected to."""
    peer, mine = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for sock in (peer, mine):
        sock.bind(("127.0.0.1", 0))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    mine.connect(peer.getsockname())
    peer.connect(mine.getsockname())
    peer.settimeout(5)
    with mine:
        return impl.UdpSocket(mine.fileno()), peer


@pytest.mark.parametrize("sizes", [[1300] * 200, [1300] * 70 + [1, 1300, 7], [5, 6, 6, 4, 4, 4], [1400] * 64, [1] * 300])
def test_runs_of_one_length_arrive_as_the_datagrams_they_are(impl: ModuleType, sizes: list[int]) -> None:
    ours, peer = pair_of(impl)
    batch = PacketBatch(300, 2048)
    frames = [bytes([number % 251]) * size for number, size in enumerate(sizes)]
    batch.load(frames)
    with ours, peer:
        assert ours.send(batch) == len(sizes)
        assert [peer.recv(4096) for _ in sizes] == frames


def test_segments_of_a_dead_row_and_of_two_peers_stay_apart() -> None:
    ours, port = bound(compiled)
    one, two = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    batch = PacketBatch(8, 512)
    batch.load([b"a1", b"a2", b"b1", b"xx", b"b2", b"a3"])
    batch.reason[3] = DropReason.DROP_POLICY
    with ours, one, two:
        for sock in (one, two):
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(5)
        ports = [sock.getsockname()[1] for sock in (one, two)]
        batch.peer_address[:6] = LOOPBACK
        batch.peer_port[:6] = [ports[0], ports[0], ports[1], ports[1], ports[1], ports[0]]
        assert ours.send(batch) == 5
        assert [one.recv(9) for _ in range(3)] == [b"a1", b"a2", b"a3"]
        assert [two.recv(9) for _ in range(2)] == [b"b1", b"b2"]
    assert port


@isolated
def test_rows_that_the_kernel_will_not_cut_go_one_by_one() -> None:
    other = namespaces.another()
    namespaces.link("v0", ["10.1.0.1/24"], other, "v1", ["10.1.0.2/24"])
    with namespaces.inside(other):
        peer = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        peer.bind(("10.1.0.2", 7))
        peer.settimeout(5)
    with peer, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
        mine.connect(("10.1.0.2", 7))
        batch = PacketBatch(8, 4096)
        batch.load([bytes([number]) * 3000 for number in range(4)])      # each larger than the MTU: fragments, no segments
        with compiled.UdpSocket(mine.fileno()) as ours:
            assert ours.send(batch) == 4
            assert [peer.recv(4096) for _ in range(4)] == [bytes([number]) * 3000 for number in range(4)]


@pytest.mark.parametrize("capacity", [256, 10])
def test_what_the_kernel_merged_comes_apart_in_order(capacity: int) -> None:
    ours, peer = pair_of(compiled)
    batch = PacketBatch(capacity, 2048)
    sent = [bytes([number]) * 1200 for number in range(40)] + [b"short", b"", b"x" * 1200]
    with ours, peer:
        message = b"".join(sent[:41])
        peer.sendmsg([message], [(socket.IPPROTO_UDP, 103, struct.pack("=H", 1200))])      # UDP_SEGMENT
        peer.send(sent[41])
        peer.send(sent[42])
        got: list[bytes] = []
        while len(got) < 43:
            wait(ours) if not got else None
            assert ours.recv(batch), f"{len(got)} of 43 came"
            got += [batch.frame(row) for row in range(batch.count)]
        assert got == sent
        assert ours.recv(batch) == batch.count == 0


def test_merged_datagram_longer_than_a_row_is_dropped_and_the_next_is_whole() -> None:
    ours, peer = pair_of(compiled)
    batch = PacketBatch(8, 512)
    with ours, peer:
        peer.sendmsg([b"a" * 800 + b"b" * 100], [(socket.IPPROTO_UDP, 103, struct.pack("=H", 800))])
        wait(ours)
        assert ours.recv(batch) == 2
        assert batch.reason[:2].tolist() == [DropReason.DROP_IO_TRUNCATED, 0]
        assert batch.frame(1) == b"b" * 100
