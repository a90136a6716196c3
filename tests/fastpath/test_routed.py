"""Devices that the kernel routes to, as a way to workloads: by fastpath and its model, and with a worker behind them."""

import select
import socket
from typing import Any

import pytest
from pyroute2 import IPRoute

from fastpath import gwlb, routed
from fastpath.action import Action, DropReason
from fastpath.batch import PacketBatch
from fastpath.packetio import Device
from inner_packets import read, udp
from isolation import isolated
from model import routed as reference
from worker_rig import WorkerRig, tunnelled
from zcc.device import DeviceSettings
from zcc.doorway import Doorway

IMPLS = {"fastpath": routed, "model": reference}
ENDPOINTS = (0xAAA, 0xBBB)
NETWORKS = ("10.20.0.1", "10.21.0.1")
SERVER = "192.0.2.1"


def device(number: int) -> Device:
    """A device that answers to no address; what is routed to it comes out."""
    doorway = Doorway(DeviceSettings(name=f"in{number}"))
    name = doorway.open()
    with IPRoute() as ip:
        ip.addr("add", index=doorway.index, address=NETWORKS[number], prefixlen=24)
    return Device.tun(name) if doorway.kind == "tun" else Device.veth(name)


def ask(port: Any, address: str) -> socket.socket:
    """Send a datagram by the kernel until the port has something."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(5)
    for _ in range(50):
        sock.sendto(b"ask", (address, 9))
        if select.select([each for each in port.devices], [], [], 0.1)[0]:
            return sock
    raise AssertionError("nothing came within 5 s")


@pytest.mark.parametrize("name", IMPLS)
@isolated
def test_a_packet_comes_as_its_endpoints_and_goes_back_there(name: str) -> None:
    port = IMPLS[name].RoutedPort([(device(k), endpoint) for k, endpoint in enumerate(ENDPOINTS)])
    batch = PacketBatch(8)
    for network, endpoint in zip(NETWORKS, ENDPOINTS, strict=True):
        sock = ask(port, network[:-1] + "9")
        assert port.recv(batch) >= 1
        frame = batch.frame(0)
        assert frame[:40] == gwlb.header(endpoint, 0, 0, 4)
        asked = read(frame[40:])
        assert (asked.dst, bytes(asked["UDP"].payload)) == (network[:-1] + "9", b"ask")
        answer = udp(asked.dst, asked.src, 9, asked.sport, b"told")
        batch.load([frame[:40] + answer, gwlb.header(0xCCC, 0, 0, 4) + answer, frame[:40], b"short"])
        assert port.send(batch) == 1
        assert batch.reason[:4].tolist() == [0] + [DropReason.DROP_IO_SEND] * 3
        assert sock.recv(9) == b"told"
    port.close()
    port.close()


@isolated
def test_what_a_full_queue_lost_is_counted() -> None:
    port = routed.RoutedPort([(device(0), 0xAAA)])
    sock = ask(port, "10.20.0.9")
    batch = PacketBatch(256)
    while port.recv(batch):
        pass
    assert port.lost() == 0
    for _ in range(1500):      # a TUN queue holds 500 packets unless told otherwise
        sock.sendto(b"x", ("10.20.0.9", 9))
    taken = 0
    while n := port.recv(batch):
        taken += n
    assert port.lost() == (1500 - taken if port.devices[0].kind == "tun" else 0)


@pytest.mark.parametrize("impl", IMPLS.values(), ids=IMPLS)
def test_wrong_ways_are_refused(impl: Any) -> None:
    for ways in ([], [(None, k) for k in range(17)], [(None, 1), (None, 1)]):
        with pytest.raises((TypeError, ValueError), match="ways"):
            impl.RoutedPort(ways)


@isolated
def test_routed_workloads_go_by_the_same_rules_and_hear_the_answers() -> None:
    rig = WorkerRig(port=routed.RoutedPort([(device(k), endpoint) for k, endpoint in enumerate(ENDPOINTS)]))
    rig.attach()
    with IPRoute() as ip:
        for destination in (SERVER, "203.0.113.66", "203.0.113.8"):
            ip.route("add", dst=f"{destination}/32", oif=ip.link_lookup(ifname="in1")[0])
    port = rig.worker.geneve
    sock = ask(port, SERVER)
    rig.step()
    packet = rig.to_edge()[0]
    assert int.from_bytes(packet[4:7]) == 2, "the namespace is that of the second device's endpoint"
    asked = read(packet[28:])
    rig.from_edge(tunnelled(udp(SERVER, asked.src, 9, asked.sport, b"told"), namespace=2))
    assert sock.recv(9) == b"told"
    assert rig.packets(Action.ACTION_ZIA)[1] == 1
    ask(port, "203.0.113.66")
    rig.step()
    assert rig.drops()["policy"] >= 1
    ask(port, "203.0.113.8")
    rig.step()
    (direct, *_) = rig.to_kernel()
    assert read(direct).src == "198.51.100.9"


@isolated
def test_local_is_back_to_the_kernel() -> None:
    rig = WorkerRig(port=routed.RoutedPort([(device(0), 0xAAA)]))
    with IPRoute() as ip:
        index = ip.link_lookup(ifname="in0")[0]
        ip.route("add", dst="10.8.0.0/16", oif=index)
        before = ip.get_links(index)[0].get_attr("IFLA_STATS64")["rx_packets"]
        ask(rig.worker.geneve, "10.8.7.4")
        rig.step()
        assert ip.get_links(index)[0].get_attr("IFLA_STATS64")["rx_packets"] > before
    assert rig.packets(Action.ACTION_LOCAL)[0] >= 1


