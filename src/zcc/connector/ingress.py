"""Ingress: the best way to GWLB's packets that works here, and why not a better one.

    xdp  ─ past the kernel's stack ─▶ packet  ─ rings shared with the kernel ─▶ udp  ─ sockets, works everywhere

Journey: the data path opens its port here once, when the connector starts. What each way needs is in docs/io.md.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable

from fastpath.packetio import GenevePort, GeneveSocket
from fastpath.packetring import PacketRing
from fastpath.xsk import XskPort
from zcc.connector.settings import IoSettings

__all__ = ["open_ingress"]

log = logging.getLogger(__name__)

Maker = Callable[[str, int, int, IoSettings], GenevePort]


def _xdp(address: str, port: int, flows: int, io: IoSettings) -> GenevePort:
    in_kernel = flows if io.kernel_flows else 0
    return XskPort(address, port, zero_copy=io.zero_copy, busy_poll_us=io.busy_poll, kernel_flows=in_kernel)


def _packet(address: str, port: int, flows: int, io: IoSettings) -> GenevePort:
    return PacketRing(address, port)


def _udp(address: str, port: int, flows: int, io: IoSettings) -> GenevePort:
    return GeneveSocket(address, port, buffer_bytes=io.buffer)


WAYS: dict[str, Maker] = {"xdp": _xdp, "packet": _packet, "udp": _udp}      # the best first
# What an error of opening one most often means, in an operator's words.
MEANINGS = {
    errno.EPERM: "a capability is missing (xdp: CAP_NET_RAW, CAP_BPF and CAP_NET_ADMIN; packet, udp: CAP_NET_RAW)",
    errno.EBUSY: "another XDP program or AF_XDP socket has the interface",
    errno.ENODEV: "no Ethernet interface has the address",
    errno.EADDRNOTAVAIL: "no interface has the address itself",
    errno.ENOBUFS: "more memory than may be locked; raise LimitMEMLOCK",
    errno.EOPNOTSUPP: "the kernel or the driver does not offer it",
    errno.EAFNOSUPPORT: "this kernel is built without it",
    errno.EINVAL: "this kernel or driver is too old for it",
}


def open_ingress(io: IoSettings, address: str, port: int, flows: int = 65_536) -> GenevePort:
    """Open the port by the way that the settings name; auto: by the best that works, and say so in the log.

    Args:
        flows: what the flow table holds; so many the kernel may carry, if the settings let it.
    Raises:
        OSError: not by that way, or by none.
    """
    ways = list(WAYS) if io.kind == "auto" else [io.kind]
    refused: list[str] = []
    for way in ways:
        try:
            made = WAYS[way](address, port, flows, io)
        except OSError as error:
            refused.append(f"{way}: {_reason(error)}")
            if way == ways[-1]:
                raise
            continue
        log.info("packets of %s port %d come by %s%s", address, port, _described(way, made), _why(refused))
        if io.kernel_flows and way != "xdp":
            log.warning("io.kernel_flows has no effect: only xdp has a program in the kernel")
        return made
    raise AssertionError("there is always a last way")


def _described(way: str, made: GenevePort) -> str:
    if isinstance(made, XskPort):
        carried = "" if made.flows is None else ", decided flows in the kernel"
        return f"xdp ({made.mode}, {len(made.queues)} queues{carried})"
    if isinstance(made, PacketRing):
        return f"packet (rings on {made.interface})"
    if isinstance(made, GeneveSocket):
        return f"{way} (receive buffer {made.buffer_bytes} bytes)"
    return way


def _why(refused: list[str]) -> str:
    return f"; not by {'; not by '.join(refused)}" if refused else ""


def _reason(error: OSError) -> str:
    meaning = MEANINGS.get(error.errno or 0)
    return f"{error.strerror or error}" + (f": {meaning}" if meaning else "")
