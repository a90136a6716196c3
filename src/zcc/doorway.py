"""The doorway: the device between the fast path and this host's kernel, with its addresses, routes and
switches.

    kernel's IP ◀─▶ zcc0 ◀─ TUN queue ──────────────────────▶ fastpath.packetio.Device
                    zcc0 ◀─ veth ─▶ zcc0-fp ◀─ AF_PACKET ─▶   the same, where /dev/net/tun may not be opened

Journey: a role's daemon opens a Doorway before its data plane and closes it after. Everything is asked from
the kernel by pyroute2 and /proc/sys; the device is gone when the doorway is closed, and one left by a crash
is made anew. It moves no packet.

On the veth kind the kernel would hand over checksums undone and TCP super-packets, so its end has offloads
off; the kernel's IP must not take the packets for its own on the other end either, so both ends do without
ARP: what the kernel sends carries its own end's MAC address, which is a stranger's at the other end.
Source: ethtool(8), packet(7), arp(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import logging
import socket
import struct
import threading
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, TypeVar

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from zcc.device import INNER_SUFFIX, DeviceSettings
from zcc.errors import DeviceError

__all__ = ["Doorway"]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Result = TypeVar("Result")

log = logging.getLogger(__name__)

SYSCTL = Path("/proc/sys/net")
TUN = Path("/dev/net/tun")
IFF_NOARP = 0x80              # linux/if.h
NTF_PROXY = 0x08              # linux/neighbour.h
RULE_PRIORITY = 20_000        # behind the kernel's own addresses (0), before the main table (32,766)
TABLES = 0x5A000000           # the routing table of a device is this and its index
SIOCETHTOOL = 0x8946
# ethtool commands that take one on-or-off value: tx checksum, scatter-gather, TSO, GSO, GRO
# (linux/ethtool.h).
OFFLOADS = (0x17, 0x19, 0x1F, 0x24, 0x2C)


class Doorway:
    """One device, made by open() and removed by close(). All methods block for milliseconds; any thread, one
    at a time.
    """

    def __init__(self, settings: DeviceSettings) -> None:
        self._settings = settings
        self._proxies: list[tuple[Address, int]] = []
        self._taken_from: list[str] = []
        self.kind: Literal["tun", "veth"] = "tun"
        self.index = 0

    @property
    def name(self) -> str:
        """The kernel's interface: what routes name."""
        return self._settings.name

    @property
    def device(self) -> str:
        """What fastpath.packetio.Device.tun or .veth (see kind) is to open."""
        return self.name if self.kind == "tun" else self.name + INNER_SUFFIX

    def open(self) -> str:
        """Make the device, give it its address, bring it up. Return the name to open with
        fastpath.packetio.Device.

        Raises:
            DeviceError: the kernel refuses, with what to do.
        """
        self.kind = self._choose()
        try:
            self._with_netlink(self._make)
        except BaseException:
            self.close()
            raise
        log.info("device %s made (%s, MTU %d)", self.name, self.kind, self._settings.mtu)
        return self.device

    def route(self, prefix: Network) -> None:
        """Route a prefix to the device."""
        family = _family(prefix)
        self._with_netlink(lambda ip: ip.route("replace", dst=str(prefix), oif=self.index, family=family))

    def own(self, address: Address) -> str | None:
        """Make the device the home of an address that is not the kernel's: route it there and answer for it
        on the wire.

        Args:
            address: an egress address, on the network of one of this host's interfaces or routed to this
                host.
        Returns:
            The interface on which ARP or neighbour discovery is answered; None = a router sends it here,
            nothing to answer.
        """
        return self._with_netlink(lambda ip: self._own(ip, address))

    def take_from(self, interface: str) -> None:
        """Route to the device all that arrives on an interface for other hosts, of both families.

        What comes out of the device is routed by this host's other tables, so it does not come back.

        Raises:
            DeviceError: there is no such interface, or the kernel refuses.
        """
        self._with_netlink(lambda ip: self._take_from(ip, interface))

    def host_addresses(self) -> set[Address]:
        """Return every address that is this host's kernel's own."""
        return self._with_netlink(_host_addresses)

    def close(self) -> None:
        """Remove the device, its routes and what was answered for; again is no error."""
        if self.index:
            self._with_netlink(self._remove)
            self.index = 0

    def __enter__(self) -> Doorway:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _choose(self) -> Literal["tun", "veth"]:
        if self._settings.device != "auto":
            return self._settings.device
        try:
            with TUN.open("r+b", buffering=0):
                return "tun"
        except OSError as error:
            log.info("device %s will be a veth pair: %s: %s", self.name, TUN, error.strerror)
            return "veth"

    def _make(self, ip: Any) -> None:
        self._remove(ip)
        if self.kind == "tun":
            ip.link("add", ifname=self.name, kind="tuntap", mode="tun", ifr={"no_pi": 1, "multi_queue": 1})
        else:
            ip.link("add", ifname=self.name, kind="veth", peer={"ifname": self.device})
        self.index = _index(ip, self.name)
        self._set_interface_switches()
        ends = {_index(ip, name) for name in (self.name, self.device)}
        for index in ends:
            ip.link("set", index=index, mtu=self._settings.mtu, flags=IFF_NOARP, change=IFF_NOARP)
        if self.kind == "veth":
            for name in (self.name, self.device):
                turn_offloads_off(name)
        for index in ends:
            ip.link("set", index=index, state="up")
        if self._settings.internal is not None:
            internal = self._settings.internal
            ip.addr("add", index=self.index, address=str(internal[1]), prefixlen=internal.prefixlen)

    def _set_interface_switches(self) -> None:
        # The device's packets come from addresses that this host has no other route to; no reason to doubt
        # them.
        _set(f"ipv4/conf/{self.name}/rp_filter", 0)
        _set(f"ipv4/conf/{self.name}/accept_local", 1)
        # No link-local address, no router solicitations: the fast path is no neighbour.
        _set(f"ipv6/conf/{self.name}/addr_gen_mode", 1)
        _set(f"ipv6/conf/{self.name}/accept_ra", 0)
        if self.kind == "veth":
            _set(f"ipv6/conf/{self.device}/disable_ipv6", 1)

    def _own(self, ip: Any, address: Address) -> str | None:
        try:
            found = ip.route("get", dst=str(address), family=_family(address))[0]
        except NetlinkError as error:
            if error.code not in (errno.ENETUNREACH, errno.EHOSTUNREACH):
                raise
            found = None
        towards = 0 if found is None else int(found.get_attr("RTA_OIF"))
        neighbour = found is not None and found.get_attr("RTA_GATEWAY") is None and towards != self.index
        if found is not None and found["type"] == 2:       # RTN_LOCAL
            raise DeviceError(f"{address} is this host's own address; give another, or take it off")
        ip.route("replace", dst=f"{address}/{address.max_prefixlen}", oif=self.index, family=_family(address))
        _set("ipv4/ip_forward" if address.version == 4 else "ipv6/conf/all/forwarding", 1)
        if not neighbour:
            log.info("%s is routed to %s; no network here holds it, so nobody is told", address, self.name)
            return None
        wire: str = ip.get_links(towards)[0].get_attr("IFLA_IFNAME")
        if address.version == 6:
            _set(f"ipv6/conf/{wire}/proxy_ndp", 1)
        ip.neigh("replace", dst=str(address), ifindex=towards, flags=NTF_PROXY, family=_family(address))
        self._proxies.append((address, towards))
        log.info("%s is routed to %s and answered for on %s", address, self.name, wire)
        return wire

    def _take_from(self, ip: Any, interface: str) -> None:
        if not ip.link_lookup(ifname=interface):
            raise DeviceError(f"there is no interface {interface}, whose packets {self.name} is to get")
        self._taken_from.append(interface)
        for family, default, switch in ((socket.AF_INET, "0.0.0.0/0", "ipv4/ip_forward"),
                                        (socket.AF_INET6, "::/0", "ipv6/conf/all/forwarding")):
            self._forget_rule(ip, family, interface)
            ip.route("replace", dst=default, oif=self.index, table=TABLES + self.index, family=family)
            ip.rule("add", iifname=interface, priority=RULE_PRIORITY, table=TABLES + self.index, family=family)
            _set(switch, 1)
        log.info("what arrives on %s for others is routed to %s", interface, self.name)

    def _forget_rule(self, ip: Any, family: int, interface: str) -> None:
        """Delete the rule of an interface, also one that a crash has left; that there is none is no error."""
        with contextlib.suppress(NetlinkError):
            ip.rule("del", iifname=interface, priority=RULE_PRIORITY, family=family)

    def _remove(self, ip: Any) -> None:
        for interface in self._taken_from:
            for family in (socket.AF_INET, socket.AF_INET6):
                self._forget_rule(ip, family, interface)
        self._taken_from.clear()
        for address, towards in self._proxies:
            try:
                ip.neigh("del", dst=str(address), ifindex=towards, flags=NTF_PROXY, family=_family(address))
            except NetlinkError as error:
                log.debug("proxy entry of %s is gone already: %s", address, error)
        self._proxies.clear()
        for index in ip.link_lookup(ifname=self.name):
            kind = ip.get_links(index)[0].get_nested("IFLA_LINKINFO", "IFLA_INFO_KIND")
            if kind not in ("tun", "veth"):
                raise DeviceError(f"{self.name} is a {kind or 'real'} interface; choose another kernel.name")
            ip.link("del", index=index)

    def _with_netlink(self, work: Callable[[Any], Result]) -> Result:
        """Run work(IPRoute) and wait; in a thread, since pyroute2 refuses where an event loop runs."""
        result: list[Result] = []
        failure: list[BaseException] = []

        def run() -> None:
            try:
                with IPRoute() as ip:
                    result.append(work(ip))
            except BaseException as error:
                failure.append(error)

        thread = threading.Thread(target=run, name="doorway")
        thread.start()
        thread.join()
        if not failure:
            return result[0]
        if isinstance(failure[0], NetlinkError | OSError):
            raise DeviceError(self._explain(failure[0])) from failure[0]
        raise failure[0]

    def _explain(self, error: BaseException) -> str:
        number = error.code if isinstance(error, NetlinkError) else getattr(error, "errno", None)
        if number in (errno.EPERM, errno.EACCES):
            return (f"the kernel refuses device {self.name} ({error}); run as root, with CAP_NET_ADMIN and "
                    "CAP_NET_RAW, or in a user namespace of its own")
        return f"the kernel refuses device {self.name}: {error}"


def turn_offloads_off(name: str) -> None:
    """Make interface `name` hand over finished packets: checksums done, TCP segments apart.

    Raises:
        OSError: no such interface, or CAP_NET_ADMIN is missing.
    Source: linux/ethtool.h, ETHTOOL_STXCSUM, _SSG, _STSO, _SGSO, _SGRO.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        for command in OFFLOADS:
            value = ctypes.create_string_buffer(struct.pack("=II", command, 0), 8)
            request = struct.pack("16sP", name.encode(), ctypes.addressof(value)).ljust(40, b"\0")
            try:
                fcntl.ioctl(control, SIOCETHTOOL, request)
            except OSError as error:
                if error.errno != errno.EOPNOTSUPP:      # a driver that never had it has nothing to turn off
                    raise


def _host_addresses(ip: Any) -> set[Address]:
    texts = (found.get_attr("IFA_LOCAL") or found.get_attr("IFA_ADDRESS") for found in ip.get_addr())
    return {ip_address(text) for text in texts if text}


def _index(ip: Any, name: str) -> int:
    found: list[int] = ip.link_lookup(ifname=name)
    if not found:
        raise DeviceError(f"interface {name} was made and is gone; is another program removing it?")
    return found[0]


def _family(address: Address | Network) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _set(name: str, value: int) -> None:
    """Write a switch under /proc/sys/net unless it has that value already (it may be readable only)."""
    path = SYSCTL / name
    if not path.exists() and name.startswith("ipv6/"):
        log.debug("%s is not there: this kernel runs without IPv6", path)
        return
    if path.read_text().strip() != str(value):
        path.write_text(f"{value}\n")
