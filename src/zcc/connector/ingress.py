"""Ingress: the best way to GWLB's packets that works here, and why not a better one; or devices that packets are routed to.

    xdp  ─ past the kernel's stack ─▶ packet  ─ rings shared with the kernel ─▶ udp  ─ sockets, works everywhere
    routed  ─ a TUN device a place, no load balancer

Journey: the data path opens its port here once, when the connector starts. What each way needs is in docs/io.md.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Sequence

from fastpath.flowmarks import FlowMarks
from fastpath.packetio import Device, GenevePort, GeneveSocket
from fastpath.packetring import PacketRing
from fastpath.routed import RoutedPort
from fastpath.xsk import XskPort
from zcc.connector.plan import RoutedWay
from zcc.connector.settings import IoSettings

__all__ = ["check_free", "open_device", "open_ingress", "open_ports", "open_routed"]

log = logging.getLogger(__name__)

Ports = list[GenevePort]
Maker = Callable[[str, int, int, IoSettings, int], Ports]


def _xdp(address: str, port: int, flows: int, io: IoSettings, workers: int) -> Ports:
    in_kernel = flows if io.kernel_flows else 0
    made: list[XskPort] = []
    with contextlib.ExitStack() as undo:
        marks = FlowMarks(flows)
        for worker in range(workers):
            one = XskPort(address, port, zero_copy=io.zero_copy, busy_poll_us=io.busy_poll, kernel_flows=in_kernel, marks=marks,
                          worker=worker, workers=workers, first=made[0] if made else None)
            made.append(undo.enter_context(one))
        undo.pop_all()
    return list(made)


def _packet(address: str, port: int, flows: int, io: IoSettings, workers: int) -> Ports:
    made: list[PacketRing] = []
    try:
        marks = FlowMarks(flows)
    except OSError:         # no CAP_BPF, or too old a kernel: known flows and others lose alike when too much comes
        marks = None
    with contextlib.ExitStack() as undo:
        for worker in range(workers):
            made.append(undo.enter_context(PacketRing(
                address, port, fanout=made[0].fanout if made else 0, workers=workers, marks=marks, worker=worker)))
        undo.pop_all()
    return list(made)


def _udp(address: str, port: int, flows: int, io: IoSettings, workers: int) -> Ports:
    with contextlib.ExitStack() as undo:
        made: Ports = [
            undo.enter_context(GeneveSocket(address, port, buffer_bytes=io.buffer, workers=workers, polls=workers == 1))
            for _ in range(workers)
        ]
        undo.pop_all()
    return made


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
    errno.ERANGE: "the interface needs a queue a worker: ethtool -L, or fewer workers",
}


def open_ingress(io: IoSettings, address: str, port: int, flows: int = 65_536) -> GenevePort:
    """Open the port of a worker that is the only one; see open_ports."""
    (made,) = open_ports(io, address, port, flows, 1)
    return made


def check_free(address: str, port: int) -> None:
    """See that nobody has a UDP port: a group of sockets would let a second connector in beside the first, unnoticed.

    Raises:
        OSError: somebody has it, or the address is not this host's.
    """
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((address, port))


def open_ports(io: IoSettings, address: str, port: int, flows: int, workers: int) -> Ports:
    """Open a port for each worker by the way that the settings name; auto: by the best that works, and say so in the log.

    Args:
        flows: what the flow table holds; so many the kernel may carry, if the settings let it.
        workers: how many; the kernel gives each its own packets where it can.
    Raises:
        OSError: not by that way, or by none.
    """
    check_free(address, port)
    ways = list(WAYS) if io.kind == "auto" else [io.kind]
    refused: list[str] = []
    for way in ways:
        try:
            made = WAYS[way](address, port, flows, io, workers)
        except OSError as error:
            refused.append(f"{way}: {_reason(error)}")
            if way == ways[-1]:
                raise
            continue
        shared = f" to {workers} workers" if workers > 1 else ""
        log.info("packets of %s port %d come by %s%s%s", address, port, _described(way, made), shared, _why(refused))
        if io.kernel_flows and way != "xdp":
            log.warning("io.kernel_flows has no effect: only xdp has a program in the kernel")
        return made
    raise AssertionError("there is always a last way")


def open_device(name: str, kind: str, number: int) -> Device:
    """Open a device that a doorway has made, for a worker: a TUN queue each; of a veth end worker 0 takes what comes.

    Raises:
        OSError: it is gone, or may not be opened.
    """
    return Device.tun(name) if kind == "tun" else Device.veth(name, receives=number == 0)


def open_routed(ways: Sequence[RoutedWay], workers: int) -> Ports:
    """Open the devices that workloads' packets are routed to, for each worker.

    Raises:
        OSError: one is gone, or may not be opened.
    """
    made: list[GenevePort] = [
        RoutedPort([(open_device(way.device, way.kind, number), way.endpoint) for way in ways]) for number in range(workers)
    ]
    log.info("packets are routed to %s", ", ".join(f"{way.device} ({way.kind})" for way in ways))
    return made


def _described(way: str, made: Ports) -> str:
    first = made[0]
    if isinstance(first, XskPort):
        carried = "" if first.flows is None else ", decided flows in the kernel"
        queues = sum(len(one.queues) for one in made if isinstance(one, XskPort))
        return f"xdp ({first.mode}, {queues} queues{carried})"
    if isinstance(first, PacketRing):
        return f"packet (rings on {first.interface}{'' if first.marks is None else ', known flows first'})"
    if isinstance(first, GeneveSocket):
        polls = ", receive work is the worker's under load" if first.polls else ""
        return f"{way} (receive buffer {first.buffer_bytes} bytes{polls})"
    return way


def _why(refused: list[str]) -> str:
    return f"; not by {'; not by '.join(refused)}" if refused else ""


def _reason(error: OSError) -> str:
    meaning = MEANINGS.get(error.errno or 0)
    return f"{error.strerror or error}" + (f": {meaning}" if meaning else "")
