"""interfaces: what the kernel says of its network interfaces, asked over rtnetlink.

Journey: while ports are opened, never afterwards. sysfs is not asked: it may show another network namespace.

Source: rtnetlink(7), linux/if_link.h, linux/if_addr.h.
"""

from __future__ import annotations

import errno
import socket
import struct
from dataclasses import dataclass

from fastpath.netlink import attributes, messages

__all__ = ["Interface", "holder_of", "interface", "lost_at", "veth_peer_mac"]

_RTM_NEWLINK, _RTM_GETLINK, _RTM_NEWADDR, _RTM_GETADDR = 16, 18, 20, 22
_NLM_F_REQUEST, _NLM_F_DUMP, _NLMSG_DONE = 1, 0x300, 3
_IFLA_ADDRESS, _IFLA_MTU, _IFLA_LINK, _IFLA_STATS64, _IFLA_NUM_RX_QUEUES, _IFLA_LINK_NETNSID = 1, 4, 5, 23, 32, 37
_TX_DROPPED = 7                          # word of struct rtnl_link_stats64
_IFA_LOCAL = 2
_LINK_BYTES, _ADDRESS_BYTES = 16, 8      # ifinfomsg, ifaddrmsg


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface; `mac` is empty where there are no MAC addresses."""

    index: int
    name: str
    mac: bytes
    mtu: int
    rx_queues: int


def interface(index: int) -> Interface:
    """Describe interface `index`.

    Raises:
        OSError: there is none.
    """
    found = _link(index)
    mac = found.get(_IFLA_ADDRESS, b"")
    return Interface(
        index,
        socket.if_indextoname(index),
        mac if any(mac) else b"",      # loopback's is all zeros
        struct.unpack("=I", found[_IFLA_MTU])[0],
        struct.unpack("=I", found.get(_IFLA_NUM_RX_QUEUES, b"\1\0\0\0"))[0],
    )


def holder_of(address: str) -> Interface:
    """Describe the interface that has an IPv4 address.

    Raises:
        ValueError: it is not an IPv4 address.
        OSError: none has it.
    """
    try:
        packed = socket.inet_pton(socket.AF_INET, address)
    except OSError:
        raise ValueError(f"address must be an IPv4 address, not {address!r}") from None
    with _asked(_RTM_GETADDR, struct.pack("=BxxxI", socket.AF_INET, 0), _NLM_F_DUMP) as route:
        done = False
        while not done:
            for kind, body in messages(route.recv(1 << 18)):
                done = done or kind != _RTM_NEWADDR
                if kind == _RTM_NEWADDR and attributes(body[_ADDRESS_BYTES:]).get(_IFA_LOCAL) == packed:
                    return interface(struct.unpack_from("=I", body, 4)[0])
    raise OSError(errno.EADDRNOTAVAIL, f"no interface has the address {address}")


def veth_peer_mac(name: str) -> bytes:
    """Return the MAC address of the other end of veth `name`.

    Raises:
        OSError: no such interface.
        ValueError: not a veth end, or its other end is in another network namespace.
    """
    found = _link(socket.if_nametoindex(name))
    if _IFLA_LINK not in found:
        raise ValueError(f"name must be one end of a veth pair: {name!r} has no other end")
    if _IFLA_LINK_NETNSID in found:
        raise ValueError(f"the other end of {name!r} is in another network namespace: pass peer_mac")
    return _link(struct.unpack("=i", found[_IFLA_LINK])[0])[_IFLA_ADDRESS]


def lost_at(name: str) -> int:
    """Return how many packets the kernel could not put out of interface `name`; 0 when it is gone.

    From a TUN device they were for whoever reads it, and its queue was full.
    """
    try:
        found = _link(socket.if_nametoindex(name))
    except OSError:
        return 0
    return int(struct.unpack_from("=Q", found[_IFLA_STATS64], 8 * _TX_DROPPED)[0])


def _link(index: int) -> dict[int, bytes]:
    with _asked(_RTM_GETLINK, struct.pack("=BxHiII", 0, 0, index, 0, 0)) as route:
        kind, body = next(messages(route.recv(1 << 16)))
    if kind != _RTM_NEWLINK:
        raise OSError(errno.ENODEV, f"interface {index} does not exist")
    return attributes(body[_LINK_BYTES:])


def _asked(kind: int, body: bytes, flags: int = 0) -> socket.socket:
    route = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)
    route.send(struct.pack("=IHHII", 16 + len(body), kind, _NLM_F_REQUEST | flags, 1, 0) + body)
    return route
