"""A socket that speaks as a workload, on a real kernel in a network namespace of its own."""

import select
import socket
from ipaddress import IPv4Address, IPv4Network

import pytest
from pyroute2 import IPRoute

from isolation import isolated
from zcc.connector import packets
from zcc.connector.aliases import PRIORITY, Aliases
from zcc.device import DeviceSettings
from zcc.doorway import Doorway
from zcc.errors import DeviceError

INTERNAL = IPv4Network("198.18.0.0/16")
ALIAS, SERVER = IPv4Address("198.18.0.77"), "192.0.2.53"
IPV4 = 0x0800


class Wire:
    """The fast path's end of the device, as raw IPv4 packets."""

    def __init__(self, doorway: Doorway) -> None:
        self._name = doorway.device
        with IPRoute() as ip:
            self._kernel = bytes.fromhex(ip.get_links(doorway.index)[0].get_attr("IFLA_ADDRESS").replace(":", ""))
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(IPV4))
        self._socket.bind((self._name, IPV4))
        self._socket.settimeout(3)

    def next(self) -> packets.Inner:
        while True:
            data, sender = self._socket.recvfrom(9000)
            inner = packets.parse(data)
            if sender[2] != socket.PACKET_OUTGOING and inner is not None:
                return inner

    def send(self, packet: bytes | None) -> None:
        assert packet is not None
        self._socket.sendto(packet, (self._name, IPV4, 0, 0, self._kernel))


def opened() -> Doorway:
    return Doorway(DeviceSettings(device="veth", internal=INTERNAL))


def rules() -> int:
    with IPRoute() as ip:
        return sum(rule.get_attr("FRA_PRIORITY") == PRIORITY for rule in ip.get_rules(family=socket.AF_INET))


@isolated
def test_socket_speaks_as_the_alias_and_hears_the_answer():
    with opened() as doorway:
        aliases = Aliases(doorway.name, INTERNAL)
        aliases.open()
        aliases.open()
        assert rules() == 1
        wire = Wire(doorway)
        with aliases.socket(ALIAS, 20_001) as made:
            assert made.connect_ex((SERVER, 53)) != 0
            syn = wire.next()
            assert (str(syn.source), syn.source_port) == (str(ALIAS), 20_001)
            assert (str(syn.destination), syn.destination_port) == (SERVER, 53)
            wire.send(packets.tcp_reset(syn))
            assert select.select([], [made], [], 3)[1] == [made]
            assert made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
        aliases.close()
        aliases.close()
        assert rules() == 0


@isolated
def test_listeners_still_reach_the_alias_through_the_device():
    with opened() as doorway:
        aliases = Aliases(doorway.name, INTERNAL)
        aliases.open()
        wire = Wire(doorway)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
            listener.bind((str(INTERNAL[1]), 5080))
            listener.settimeout(3)
            ends = packets.Inner(b"", INTERNAL[1], ALIAS, packets.UDP, 20, 0, True, 5080, 40_000)
            wire.send(packets.udp_reply(ends, b"question"))
            data, peer = listener.recvfrom(100)
            assert (data, peer) == (b"question", (str(ALIAS), 40_000))
            listener.sendto(b"answer", peer)
            answer = wire.next()
            assert (answer.payload, answer.destination, answer.destination_port) == (b"answer", ALIAS, 40_000)
        aliases.close()


@isolated
def test_device_that_is_not_there_is_told():
    with opened(), pytest.raises(DeviceError, match="zcc9"):
        Aliases("zcc9", INTERNAL).open()
