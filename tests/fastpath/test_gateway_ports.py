"""The three ways to GWLB's packets, held to the same behaviour: UDP and raw sockets, AF_PACKET rings, AF_XDP.

Each test stands in a namespace of its own with a gateway in another; "udp", "packet" and "xdp" are the parameter, and
"xdp polling", with busy_poll, "udp polling", where the interface puts interrupts off.
AF_XDP's program needs CAP_BPF outside any user namespace: without root it must be refused as such, and that is tested instead.
"""

import functools
import itertools
import os
import random
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench.gwlb_rig.rig import ETHTOOL_SGRO, offload, write_sysfs
from pyroute2 import IPRoute

import namespaces
from fastpath.action import DropReason
from fastpath.batch import HEADROOM_BYTES, PacketBatch
from fastpath.packetio import GenevePort, GeneveSocket
from fastpath.packetring import PacketRing
from fastpath.xsk import XskPort
from gateway_site import GATEWAY, OURS, SOURCE_PORT, Site, bound
from isolation import isolated


def polling_socket() -> GeneveSocket:
    """A socket whose receive work is done in recv, where it is allowed: the kernel takes the setting from root only."""
    if os.geteuid() == 0:
        put_off("g0")
    return GeneveSocket(OURS, polls=True)


def put_off(name: str) -> None:
    """Have an end of a veth pair put interrupts off, as operators do."""
    offload(name, ETHTOOL_SGRO, 1)
    here = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    write_sysfs(here, name, {"napi_defer_hard_irqs": 2, "gro_flush_timeout": 50_000})
    os.close(here)


KINDS: dict[str, Callable[[], GenevePort]] = {
    "udp": lambda: GeneveSocket(OURS), "udp polling": polling_socket, "packet": lambda: PacketRing(OURS),
    "xdp": lambda: XskPort(OURS), "xdp polling": lambda: XskPort(OURS, busy_poll_us=50)}


def each_kind(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a namespace once a kind; AF_XDP's refusal is the test where it is not allowed."""

    @pytest.mark.parametrize("kind", KINDS)
    @functools.wraps(test)
    def run(kind: str) -> None:
        if kind.startswith("xdp") and os.geteuid() != 0:
            isolated(refused)()
        else:
            isolated(test)(kind)

    return run


def refused() -> None:
    Site()
    with pytest.raises(PermissionError):
        XskPort(OURS)


def received(port: GenevePort, batch: PacketBatch, n: int = 1) -> Iterator[int]:
    """Receive batches until n packets have come; yield each batch's count. More than n is an error."""
    got, deadline = 0, time.monotonic() + 5
    while got < n:
        count = port.recv(batch)
        if count:
            got += count
            yield count
        assert time.monotonic() < deadline, f"{got} of {n} came within 5 s"
    time.sleep(0.02)
    assert got == n
    assert port.recv(batch) == 0, "more came than was sent"


def take(port: GenevePort, batch: PacketBatch, n: int) -> list[bytes]:
    """The payloads of the n packets that come."""
    return [batch.frame(row) for count in received(port, batch, n) for row in range(count)]


@each_kind
def test_reply_goes_back_with_the_ports_as_they_were(kind: str) -> None:
    site, batch = Site(), PacketBatch(64)
    with KINDS[kind]() as port:
        assert (port.port, port.address) == (6081, 0x0A010001)
        for payload in (b"a", b"b" * 100, b"c" * 1472):
            site.send(payload)
            for count in received(port, batch):
                assert (batch.start[0], batch.frame(0)) == (HEADROOM_BYTES, payload)
                assert (batch.peer_address[0], batch.peer_port[0]) == (0x0A010002, SOURCE_PORT)
                assert port.send(batch) == count == 1
            assert site.heard(1) == [(payload, (OURS, SOURCE_PORT))]


@each_kind
def test_every_packet_comes_once_and_the_port_counts_as_taken(kind: str) -> None:
    site, batch = Site(), PacketBatch(256)
    payloads = [str(number).encode() for number in range(1000)]
    with KINDS[kind]() as port:
        site.sender.connect((OURS, 6081))        # so that an ICMP error would be told
        for payload in payloads:
            site.sender.send(payload)
        assert take(port, batch, 1000) == payloads
        site.sender.send(b"still no error")
        assert take(port, batch, 1) == [b"still no error"]


@each_kind
def test_answers_larger_than_a_batch_all_leave_in_order(kind: str) -> None:
    site, batch = Site(), PacketBatch(600)
    site.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    with KINDS[kind]() as port:
        site.send(b"hello")
        assert take(port, batch, 1) == [b"hello"]
        batch.load([str(number).encode() for number in range(600)])
        batch.peer_address[:], batch.peer_port[:] = 0x0A010002, SOURCE_PORT
        batch.reason[7] = DropReason.DROP_POLICY
        assert port.send(batch) == 599
        assert [int(payload) for payload, _ in site.heard(599)] == [number for number in range(600) if number != 7]


@each_kind
def test_other_traffic_is_the_kernels(kind: str) -> None:
    site, batch = Site(), PacketBatch(8)
    with KINDS[kind]() as port, socket.create_server((OURS, 8080)) as server:
        other = bound(OURS, 6082)
        site.sender.sendto(b"other port", (OURS, 6082))
        assert other.recv(99) == b"other port"
        with namespaces.inside(site.namespace):
            client = socket.create_connection((OURS, 8080), timeout=5)
        client.close()
        server.accept()[0].close()
        assert port.recv(batch) == 0


@each_kind
def test_fragments_come_as_the_packet_that_they_were(kind: str) -> None:
    site, batch = Site(), PacketBatch(8)
    site.sender.setsockopt(socket.IPPROTO_IP, 10, 0)      # IP_MTU_DISCOVER: never DF
    payload = bytes(range(256)) * 16
    with KINDS[kind]() as port:
        site.send(payload)
        assert take(port, batch, 1) == [payload]


@each_kind
def test_jumbo_packets_cross_whole(kind: str) -> None:
    site, batch = Site(mtu=9001), PacketBatch(8)
    payloads = [bytes([size % 251]) * size for size in (3400, 3500, 4054, 4055, 8150, 8568)]
    with KINDS[kind]() as port:
        for payload in payloads:
            site.send(payload)
            for _ in received(port, batch):
                assert batch.frame(0) == payload
                assert port.send(batch) == 1
            assert site.heard(1)[0][0] == payload


@each_kind
def test_packet_longer_than_a_row_is_dropped_as_truncated(kind: str) -> None:
    site, batch = Site(), PacketBatch(8, 512)
    with KINDS[kind]() as port:
        site.send(bytes(385), bytes(384))
        reasons = [reason for count in received(port, batch, 2) for reason in batch.reason[:count].tolist()]
        assert reasons == [DropReason.DROP_IO_TRUNCATED, 0]


@each_kind
def test_packet_longer_than_the_interface_carries_is_dropped(kind: str) -> None:
    site, batch = Site(), PacketBatch(8)
    with KINDS[kind]() as port:
        site.send(b"x", b"y")
        assert take(port, batch, 2) == [b"x", b"y"]
        batch.load([b"x", b"y"])
        batch.peer_address[:2], batch.peer_port[:2] = 0x0A010002, SOURCE_PORT
        batch.length[0] = 1473
        assert port.send(batch) == 1
        assert batch.reason[:2].tolist() == [DropReason.DROP_IO_SEND, 0]
        assert site.heard(1)[0][0] == b"y"


@each_kind
def test_peer_that_never_spoke_is_reached_too(kind: str) -> None:
    site, batch = Site(), PacketBatch(8)
    with namespaces.inside(site.namespace):
        silent = bound("10.1.0.3", 6081)
    with KINDS[kind]() as port:
        batch.load([b"first"])
        batch.peer_address[0], batch.peer_port[0] = 0x0A010003, 7
        assert port.send(batch) == 1
        assert silent.recvfrom(99) == (b"first", (OURS, 7))


@each_kind
def test_own_host_reaches_the_port_by_loopback(kind: str) -> None:
    Site()
    batch = PacketBatch(8)
    with KINDS[kind]() as port:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as local:
            local.sendto(b"from here", (OURS, 6081))
        assert take(port, batch, 1) == [b"from here"]


@each_kind
def test_close_gives_everything_back_and_a_new_port_takes_over(kind: str) -> None:
    site, batch = Site(), PacketBatch(8)
    KINDS[kind]().close()
    before = open_things()
    for _ in range(5):
        port = KINDS[kind]()
        port.close()
        port.close()
        batch.load([b"x"])
        for call in (port.recv, port.send):
            with pytest.raises(ValueError, match="closed"):
                call(batch)
        assert (batch.count, batch.reason[0]) == (1, 0)
    assert open_things() == before
    assert xdp_attached() == 0
    with KINDS[kind]() as port:
        assert xdp_attached() == kind.startswith("xdp")
        site.send(b"again")
        assert take(port, batch, 1) == [b"again"]
    assert xdp_attached() == 0


def open_things() -> tuple[list[str], int]:
    """What this process holds: its descriptors' kinds, and how many pieces of memory are shared with sockets."""
    kinds = sorted(os.readlink(f"/proc/self/fd/{fd}").partition(":")[0] for fd in os.listdir("/proc/self/fd")
                   if Path(f"/proc/self/fd/{fd}").is_symlink())
    return kinds, Path("/proc/self/maps").read_text().count("socket:")


def xdp_attached() -> int:
    """How many interfaces have an XDP program."""
    with IPRoute() as ip:
        return sum(link.get_nested("IFLA_XDP", "IFLA_XDP_ATTACHED") not in (None, 0) for link in ip.get_links())


@each_kind
def test_burst_beyond_the_room_is_counted_not_waited_for(kind: str) -> None:
    site, batch = Site(), PacketBatch(256)
    with KINDS[kind]() if not kind.startswith("udp") else GeneveSocket(OURS, buffer_bytes=1 << 19) as port:
        for number in range(5000):
            site.sender.sendto(number.to_bytes(4, "big"), (OURS, 6081))
        time.sleep(0.1)
        got = 0
        while count := port.recv(batch):
            got += count
        assert 0 < got < 5000
        assert got + port.lost() == 5000
        site.send(b"alive")
        assert take(port, batch, 1) == [b"alive"]


@isolated
def test_receive_work_is_the_sockets_only_while_much_comes() -> None:
    site, batch = Site(), PacketBatch(256)
    with polling_socket() as port:
        assert port.polls == (os.geteuid() == 0 and kernel_suspends())
        for _ in range(3):
            for number in range(1000):
                site.send(number.to_bytes(4, "big"))
            time.sleep(0.01)
            got, held = 0, []
            while count := port.recv(batch):
                got += count
                held.append(port.held)
                assert port.held == (port.polls and count >= 16)
            assert got == 1000
            assert any(held) == port.polls
            assert not port.held
            site.send(b"alone")      # interrupts are back: it is shown by the descriptor, without a recv
            assert select.select([port.fileno()], [], [], 5)[0]
            assert take(port, batch, 1) == [b"alone"]


@isolated
def test_interrupts_come_back_though_nobody_receives() -> None:
    site, batch = Site(), PacketBatch(256)
    with polling_socket() as port:
        for number in range(256):
            site.send(number.to_bytes(4, "big"))
        time.sleep(0.01)
        assert port.recv(batch) == 256
        assert port.held == port.polls
        site.send(b"later")
        assert select.select([port.fileno()], [], [], 5)[0]


def kernel_suspends() -> bool:
    """Whether it is Linux 6.13 or later."""
    major, minor = os.uname().release.split(".")[:2]
    return (int(major), int("".join(itertools.takewhile(str.isdigit, minor)))) >= (6, 13)


@isolated
def test_receive_work_stays_the_kernels_where_interrupts_are_prompt() -> None:
    Site()
    for address in (OURS, "127.0.0.1"):
        with GeneveSocket(address, polls=True) as port:
            assert not port.polls
            assert not port.held


@each_kind
def test_any_frame_is_a_row_or_nothing(kind: str) -> None:
    site, batch = Site(), PacketBatch(256)
    chance = random.Random(4)
    with IPRoute() as ip:
        mac = bytes.fromhex(ip.get_links(ip.link_lookup(ifname="g0")[0])[0].get_attr("IFLA_ADDRESS").replace(":", ""))
    with namespaces.inside(site.namespace):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        wire.bind(("g1", 0))
    with KINDS[kind]() as port:
        for _ in range(2000):
            wire.send(mutated(chance, mac))
            for row in range(port.recv(batch)):
                assert batch.start[row] == HEADROOM_BYTES
                assert batch.length[row] <= batch.room - HEADROOM_BYTES
            port.send(batch)
        time.sleep(0.02)
        while port.recv(batch):
            pass
        site.send(b"alive")
        assert take(port, batch, 1) == [b"alive"]


def mutated(chance: random.Random, mac: bytes) -> bytes:
    """A frame to our port with a few bytes of its headers changed, or cut short."""
    size = chance.randrange(0, 100)
    frame = bytearray(mac + bytes(6) + b"\x08\x00" + struct.pack(
        "!BBHHHBBH4s4sHHHH", 0x45, 0, 28 + size, 0, 0, 64, 17, 0, socket.inet_aton(GATEWAY), socket.inet_aton(OURS),
        SOURCE_PORT, 6081, 8 + size, 0) + bytes(size))
    total = sum(struct.unpack("!10H", frame[14:34]))
    frame[24:26] = struct.pack("!H", ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
    for _ in range(chance.randrange(3)):
        frame[chance.choice([12, 13, 14, 16, 17, 20, 21, 38, 39])] = chance.randrange(256)
    return bytes(frame[: chance.randrange(14, len(frame) + 1)] if chance.random() < 0.2 else frame)


def test_wrong_addresses_are_named() -> None:
    for make in (GeneveSocket, PacketRing, XskPort):
        with pytest.raises(ValueError, match="address"):
            make("fd00::1")
        with pytest.raises(OSError, match=r"(?i)address"):
            make("192.0.2.1")
    with pytest.raises(ValueError, match="fanout"):
        PacketRing("127.0.0.1", fanout=70000)


@isolated
def test_rings_of_a_fanout_group_share_the_packets() -> None:
    site, batch = Site(), PacketBatch(256)
    with PacketRing(OURS, fanout=7) as one, PacketRing(OURS, fanout=7) as two:
        with namespaces.inside(site.namespace):
            senders = [bound(GATEWAY, 20000 + number) for number in range(64)]
        for sender in senders:
            sender.sendto(b"x", (OURS, 6081))
        time.sleep(0.05)
        counts = [port.recv(batch) for port in (one, two)]
        assert sum(counts) == 64
        assert min(counts) > 0
        for port in (one, two):
            while port.recv(batch):
                raise AssertionError("a packet came to both")


