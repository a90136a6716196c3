"""Plan: what a worker is built for, as its numbers; final once it runs.

Journey: settings and rulebook → here → Datapath. It opens nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from typing import NamedTuple

from zcc.connector.ports import DNS_TCP_PORT, RELAY_TCP_PORT, RELAY_UDP_PORT, DnsListen
from zcc.connector.rulebook import Rulebook
from zcc.connector.settings import WORKERS_MAX, ConnectorSettings, IngressSettings, IoSettings
from zcc.dns.intercept import ONLY_ADDRESSES
from zcc.errors import ZccError

__all__ = ["Plan", "RoutedWay", "idle_times", "plan_of"]

ANY_WAY = IoSettings()
PROTOCOLS = {"tcp": 6, "udp": 17}


class RoutedWay(NamedTuple):
    """A device that packets are routed to, as its doorway made it."""

    device: str
    kind: str
    endpoint: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a worker is built for."""

    address: IPv4Address | None  # service address: GWLB's packets come here; None = they come by `routed`
    port: int
    endpoints: tuple[tuple[int, int, int], ...]  # (endpoint id, namespace id, location id)
    device: str  # name and kind of the device that the doorway made
    device_kind: str
    flows: int
    idle: dict[str, float]  # seconds, by timeout class: tcp, tcp_opening, tcp_closing, udp, icmp, other
    pools: tuple[IPv4Network, ...]  # of synthetic addresses
    internal: IPv4Network
    ports: tuple[int, int, int]  # listeners: ZPA TCP, ZPA UDP, DNS TCP
    egress: tuple[IPv4Address | IPv6Address, ...]
    zia_mtu: int
    direct_mtu: int
    port_idle: tuple[tuple[int, int, int, float], ...] = ()  # protocol, ports from and to, seconds; a later one wins
    workers: int = 1
    midstream: str = "adopt"  # what becomes of TCP from the middle of a connection that is not known here
    routed: tuple[RoutedWay, ...] = ()
    io: IoSettings = ANY_WAY
    dns_text: str = ""  # why a private name has no record but A
    dns_by_location: bool = False  # whether an owned name's address depends on the client's location
    dns_listen: DnsListen | None = None
    questions: int = 250  # of one source to the control plane, a second; 0 = without a bound


def idle_times(ingress: IngressSettings) -> tuple[dict[str, float], tuple[tuple[int, int, int, float], ...]]:
    """Return the idle time of each timeout class, and those of ports.

    The flow table keeps a class for the longest time that one of its ports has; all its other ports then have the class's own.
    """
    idle = {name: getattr(ingress.idle, name).total_seconds() for name in type(ingress.idle).model_fields}
    times, lines = [], [(line.protocol, line.ports, line.idle.total_seconds()) for line in ingress.idle_ports]
    for protocol, number in PROTOCOLS.items():
        longest = max([seconds for name, _, seconds in lines if name == protocol], default=0.0)
        if longest > idle[protocol]:
            times.append((number, 0, 65_535, idle[protocol]))
            idle[protocol] = longest
    times += [(PROTOCOLS[name], ports.low, ports.high, seconds) for name, ports, seconds in lines]
    return idle, tuple(times)


def workers_of(settings: ConnectorSettings) -> int:
    """Return how many threads carry packets: as the file says; auto: one CPU is left for Python."""
    if settings.workers != "auto":
        return settings.workers
    return min(max(1, len(os.sched_getaffinity(0)) - 1), WORKERS_MAX)


def plan_of(
    settings: ConnectorSettings, rulebook: Rulebook, device: str, kind: str, routed: Sequence[RoutedWay] = ()
) -> Plan:
    """Make the plan of a connector's file.

    Args:
        device, kind: as the doorway made it.
        routed: devices that workloads' packets are routed to.
    Raises:
        ZccError: the file has no internal network.
    """
    namespaces = {namespace.name: namespace.id for namespace in settings.namespaces}
    direct, zia = settings.direct, settings.zia
    idle, times = idle_times(settings.ingress)
    if settings.kernel.internal is None:
        raise ZccError("kernel.internal is missing; give a network such as 198.18.0.0/16")
    egress = () if direct is None else tuple(a for a in (direct.address, direct.address6) if a is not None)
    return Plan(
        address=settings.ingress.address,
        port=settings.ingress.port,
        routed=tuple(routed),
        io=settings.io,
        workers=workers_of(settings),
        endpoints=tuple(
            (endpoint.id, namespaces[endpoint.namespace], rulebook.location_of(endpoint.id))
            for endpoint in settings.endpoints
        ),
        device=device,
        device_kind=kind,
        flows=settings.ingress.flows,
        idle=idle,
        port_idle=times,
        pools=settings.pool_networks,
        internal=settings.kernel.internal,
        ports=(RELAY_TCP_PORT, RELAY_UDP_PORT, DNS_TCP_PORT),
        egress=egress,
        zia_mtu=1400 if zia is None else zia.inner_mtu,
        direct_mtu=1500 if direct is None else direct.mtu,
        midstream=settings.ingress.midstream,
        dns_text=ONLY_ADDRESSES,
        dns_by_location=by_location(settings),
        dns_listen=listen_of(settings, rulebook),
        questions=settings.dns.questions_per_source,
    )


def by_location(settings: ConnectorSettings) -> bool:
    """Whether a name's address depends on where the client is."""
    return any(pool.locations or pool.location_groups for pool in settings.pools)


def listen_of(settings: ConnectorSettings, rulebook: Rulebook) -> DnsListen | None:
    """Return where clients may ask the connector itself, and to what they belong."""
    listen = settings.dns.listen
    if listen is None:
        return None
    namespaces = {namespace.name: namespace.id for namespace in settings.namespaces}
    namespace = namespaces[listen.namespace or settings.namespaces[0].name]
    location = rulebook.location_ids[listen.location or settings.location_names[0]]
    return str(listen.address.address), listen.address.port, namespace, location
