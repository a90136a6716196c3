"""The doorway in a network namespace of its own: what the kernel has when it is open, and after it is closed."""

import asyncio
import ctypes
import os
import select
import socket
import struct
from ipaddress import IPv4Network, ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from pyroute2 import IPRoute

import namespaces
from isolation import isolated
from zcc.device import DeviceSettings
from zcc.doorway import Doorway
from zcc.errors import DeviceError

INTERNAL = IPv4Network("198.18.0.0/16")
NTF_PROXY = 8


def settings(**fields: Any) -> DeviceSettings:
    """A veth with an internal range unless told otherwise."""
    return DeviceSettings(**{"device": "veth", "internal": INTERNAL, **fields})


def names() -> set[str]:
    """Interfaces of this namespace but loopback."""
    with IPRoute() as ip:
        return {link.get_attr("IFLA_IFNAME") for link in ip.get_links()} - {"lo"}


def proxies() -> set[str]:
    """Addresses that the kernel answers for: RTM_GETNEIGH with NTF_PROXY, which pyroute2 does not ask (rtnetlink(7))."""
    found = set()
    for family, size in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as route:
            route.send(struct.pack("=IHHII BBHiHBB", 28, 30, 0x301, 1, 0, family, 0, 0, 0, 0, NTF_PROXY, 0))
            answer = route.recv(1 << 16)
        at = 0
        while struct.unpack_from("=H", answer, at + 4)[0] == 28:      # RTM_NEWNEIGH; its first attribute is NDA_DST
            found.add(socket.inet_ntop(family, answer[at + 32:at + 32 + size]))
            at += struct.unpack_from("=I", answer, at)[0]
            answer = answer if at + 16 <= len(answer) else answer + bytes(16)
    return found


def way(address: str) -> str:
    """The interface that packets to an address leave by."""
    with IPRoute() as ip:
        index = ip.route("get", dst=address)[0].get_attr("RTA_OIF")
        return str(ip.get_links(index)[0].get_attr("IFLA_IFNAME"))


def resolved(other: int, *addresses: str) -> bool:
    """Whether a neighbour learns a hardware address for each within 5 s."""
    with namespaces.inside(other), IPRoute() as ip:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            for _ in range(50):
                with socket.socket(family, socket.SOCK_DGRAM) as ask:
                    ask.sendto(b"?", (address, 9))
                    select.select([], [], [ask], 0.1)
                known = [entry for entry in ip.get_neighbours(family=family) if entry.get_attr("NDA_LLADDR")]
                if address in {entry.get_attr("NDA_DST") for entry in known}:
                    break
            else:
                return False
    return True


def wired() -> int:
    """A service interface with both families, and the namespace at its other end."""
    other = namespaces.another()
    namespaces.link("eth0", ["10.9.0.1/24", "fd00:9::1/64"], other, "eth0", ["10.9.0.2/24", "fd00:9::2/64"])
    return other


@isolated
def test_open_makes_the_device_with_address_mtu_and_routes() -> None:
    with Doorway(settings(mtu=8500)) as doorway:
        assert (doorway.kind, doorway.device) == ("veth", "zcc0-fp")
        assert names() == {"zcc0", "zcc0-fp"}
        assert way("198.18.77.1") == "zcc0"
        doorway.route(ip_network("10.254.0.0/19"))
        doorway.route(ip_network("fd00:254::/48"))
        assert (way("10.254.1.1"), way("fd00:254::1")) == ("zcc0", "zcc0")
        assert ip_address("198.18.0.1") in doorway.host_addresses()
        with IPRoute() as ip:
            mtus = {link.get_attr("IFLA_MTU") for link in ip.get_links() if link.get_attr("IFLA_IFNAME") != "lo"}
        assert mtus == {8500}
        assert Path("/proc/sys/net/ipv4/conf/zcc0/rp_filter").read_text() == "0\n"
    assert names() == set()


@isolated
def test_auto_takes_a_tun_exactly_where_it_may_be_opened() -> None:
    with Doorway(settings(device="auto")) as doorway:
        may = os.access("/dev/net/tun", os.R_OK | os.W_OK)
        assert doorway.kind == ("tun" if may else "veth")
        assert doorway.device in names()


@isolated
def test_a_device_left_by_a_crash_is_made_anew() -> None:
    Doorway(settings()).open()
    with Doorway(settings(mtu=8000)) as doorway:
        assert names() == {"zcc0", "zcc0-fp"}
        assert way("198.18.1.1") == doorway.name
    assert names() == set()


@isolated
def test_egress_addresses_are_routed_to_the_device_and_answered_on_the_wire() -> None:
    other = wired()
    doorway = Doorway(settings())
    doorway.open()
    for address in ("10.9.0.11", "fd00:9::11"):
        assert doorway.own(ip_address(address)) == "eth0"
        assert doorway.own(ip_address(address)) in ("eth0", None)      # again is no error
        assert way(address) == "zcc0"
    assert proxies() == {"10.9.0.11", "fd00:9::11"}
    assert resolved(other, "10.9.0.11", "fd00:9::11")
    assert Path("/proc/sys/net/ipv4/ip_forward").read_text() == "1\n"
    assert Path("/proc/sys/net/ipv6/conf/all/forwarding").read_text() == "1\n"
    doorway.close()
    doorway.close()
    assert proxies() == set()
    assert names() == {"eth0"}


@isolated
def test_an_address_that_a_router_sends_here_needs_no_answer() -> None:
    wired()
    with Doorway(settings()) as doorway:
        assert doorway.own(ip_address("192.0.2.7")) is None
        namespaces.default_route("10.9.0.2")
        assert doorway.own(ip_address("192.0.2.8")) is None
        assert way("192.0.2.8") == "zcc0"
    assert proxies() == set()


@isolated
def test_the_hosts_own_address_is_refused() -> None:
    wired()
    with Doorway(settings()) as doorway, pytest.raises(DeviceError, match="own address"):
        doorway.own(ip_address("10.9.0.1"))


@isolated
def test_an_interface_of_another_kind_is_not_removed() -> None:
    with IPRoute() as ip:
        ip.link("add", ifname="zcc0", kind="bridge")
    with pytest.raises(DeviceError, match="choose another"):
        Doorway(settings()).open()
    assert names() == {"zcc0"}


@isolated
def test_it_works_where_an_event_loop_runs() -> None:
    async def main() -> None:
        with Doorway(settings()) as doorway:
            assert doorway.index > 0

    asyncio.run(main())


@isolated
def test_without_the_right_the_message_says_what_is_needed() -> None:
    # capset(2), version 3: no capability left, whoever we are.
    header, none = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    assert ctypes.CDLL(None).capset(header, none) == 0
    with pytest.raises(DeviceError, match="CAP_NET_ADMIN"):
        Doorway(settings()).open()


@pytest.mark.parametrize(("fields", "said"), [
    ({"device": "tap"}, "device"), ({"name": "Zcc 0"}, "name"), ({"name": "z" * 13}, "name"),
    ({"mtu": 500}, "mtu"), ({"internal": "198.18.0.1/16"}, "internal"), ({"colour": "red"}, "colour"),
])
def test_wrong_settings_are_named(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DeviceSettings(**fields)


@isolated
def test_what_arrives_on_an_interface_for_others_is_routed_to_the_device() -> None:
    other = namespaces.another()
    namespaces.link("lan", ["10.8.6.1/24", "fd00:8::1/64"], other, "eth0", ["10.8.6.4/24", "fd00:8::4/64"])
    with namespaces.inside(other):
        for gateway in ("10.8.6.1", "fd00:8::1"):
            namespaces.default_route(gateway)
        clients = [socket.socket(family, socket.SOCK_DGRAM) for family in (socket.AF_INET, socket.AF_INET6)]
    doorway = Doorway(settings(internal=None, name="in0"))
    doorway.open()
    doorway.take_from("lan")
    doorway.take_from("lan")      # as after a crash: the rule is there already
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as seen:
        seen.bind((doorway.device, 3))
        seen.settimeout(5)
        for client, address in zip(clients, ("203.0.113.9", "2001:db8::9"), strict=True):
            client.sendto(b"for others", (address, 9))
            while b"for others" not in seen.recv(2000):
                pass
    with pytest.raises(DeviceError, match="no interface nosuch0"):
        doorway.take_from("nosuch0")
    doorway.close()
    with IPRoute() as ip:
        assert not [rule for family in (2, 10) for rule in ip.get_rules(family=family) if rule.get_attr("FRA_IIFNAME")]
