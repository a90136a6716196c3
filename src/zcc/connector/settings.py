"""Settings of the connector: its whole file, and what its parts must agree on.

Journey: `zcc.config` reads the file into ConnectorSettings; the daemon gives each part to its owner.
Problems between parts are reported at the field that is wrong, all at once. It reads no file itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from zcc.device import NAME, NAME_LIMIT, DeviceSettings, LinkSettings
from zcc.dns.settings import DnsSettings
from zcc.feeds.settings import FeedSettings
from zcc.fields import DEFAULT_POOL, GWLB_PAYLOAD, Duration, EndpointId, PortRange, Settings
from zcc.idle import IdleSettings
from zcc.itunnel.settings import TunnelSettings
from zcc.mtunnel.settings import ClientSettings
from zcc.pki.settings import IdentitySettings
from zcc.policy.criteria import AddressRange
from zcc.policy.dns_rule import DnsRule, dns_rule_problems
from zcc.policy.model import Method, Policy, Rule
from zcc.policy.objects.catalogue import Catalogue
from zcc.policy.objects.endpoint import Endpoint
from zcc.policy.objects.location import LocationField
from zcc.policy.objects.namespace import Namespace
from zcc.policy.references import Place, problems, repeated, unknown
from zcc.telemetry.settings import LogSettings, MetricSettings

__all__ = [
    "ConnectorSettings",
    "DirectSettings",
    "DrainSettings",
    "HealthSettings",
    "IdleSettings",
    "IngressSettings",
    "IoSettings",
    "NamingSettings",
    "PortIdleSettings",
]

Name = Annotated[str, Field(min_length=1, max_length=255)]
DNS_PORT = 53
POOL_PREFIX_LONGEST = 29  # as zpa.pool
InterfaceName = Annotated[str, Field(pattern=r"^[^/\s:]{1,15}$")]
WORKERS_MAX = 32  # as fastpath.shard
Port = Annotated[int, Field(ge=1, le=65_535)]


class PortIdleSettings(Settings):
    """How long established flows to some ports are kept without packets, instead of what `idle` says of their protocol."""

    protocol: Literal["tcp", "udp"]
    ports: PortRange
    idle: Duration

    @model_validator(mode="after")
    def _is_a_time(self) -> Self:
        if not timedelta(milliseconds=100) <= self.idle <= timedelta(seconds=1_000_000):
            raise ValueError("idle must be 100ms to 1000000s")
        return self


class RoutedSettings(LinkSettings):
    """A device that workloads' packets are routed to, without a load balancer."""

    name: str = Field(default="zccin0", pattern=NAME, max_length=NAME_LIMIT, description="of the interface")
    endpoint: EndpointId = Field(description="one of the endpoints: whose packets these are, by namespace and location")
    interfaces: tuple[InterfaceName, ...] = Field(
        default=(), max_length=16, description="all that arrives on these for other hosts is routed to the device"
    )

    def doorway(self) -> DeviceSettings:
        """What the device is made by."""
        return DeviceSettings(device=self.device, name=self.name, mtu=self.mtu)


class IngressSettings(Settings):
    """Where workloads' packets arrive, from GWLB or by route, and how many flows are kept."""

    address: IPv4Address | None = Field(default=None, description="service address, registered as GWLB's target")
    port: Port = 6081
    routed: tuple[RoutedSettings, ...] = Field(
        default=(), max_length=16, description="instead of address: devices that packets are routed to"
    )
    flows: int = Field(
        default=262_144, ge=64, le=1 << 24, description="most flows at a time; 192 bytes each, taken at the start"
    )
    idle: IdleSettings = IdleSettings()
    idle_ports: tuple[PortIdleSettings, ...] = Field(
        default=(), max_length=29, description="times of their own for some ports; a later line wins"
    )
    midstream: Literal["adopt", "reset", "drop"] = Field(
        default="adopt",
        description="TCP from the middle of a connection that is not known here, such as one that GWLB has moved",
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.address is None) != bool(self.routed):
            raise ValueError("give either address, where GWLB's packets come, or routed")
        return self

    def __str__(self) -> str:
        return f"{self.address} port {self.port}" if self.address else ", ".join(way.name for way in self.routed)


class IoSettings(Settings):
    """How packets come from and go to GWLB: see docs/io.md. `io: udp` is short for `io: {kind: udp}`."""

    kind: Literal["auto", "xdp", "packet", "udp"] = Field(
        default="auto", description="auto: the first of xdp, packet, udp that works here"
    )
    zero_copy: bool = Field(default=True, description="xdp: use it where the driver offers it")
    busy_poll: int = Field(
        default=0, ge=0, le=10_000, description="xdp: above 0 the worker polls the driver itself and never sleeps"
    )
    buffer: int = Field(
        default=1 << 21, ge=1 << 16, le=1 << 30, description="udp: bytes of kernel buffer to ask for"
    )
    core: Annotated[int, Field(ge=0, le=4095)] | tuple[Annotated[int, Field(ge=0, le=4095)], ...] | None = Field(
        default=None, description="CPU that the worker is bound to; of several workers a list, one CPU each"
    )
    kernel_flows: bool = Field(
        default=False, description="xdp: let the program in the kernel carry LOCAL and DROP flows that are decided"
    )

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: object) -> object:
        return {"kind": value} if isinstance(value, str) else value

    @property
    def cores(self) -> tuple[int, ...]:
        """CPUs that workers are bound to, in their order; none = they are not."""
        if self.core is None:
            return ()
        return (self.core,) if isinstance(self.core, int) else self.core


class DirectSettings(Settings):
    """How DIRECT flows leave."""

    address: IPv4Address | None = Field(default=None, description="IPv4 egress address, not the kernel's")
    address6: IPv6Address | None = Field(default=None, description="IPv6 egress address, likewise")
    mtu: int = Field(default=1500, ge=1280, le=GWLB_PAYLOAD, description="largest packet out of the service side, and back in")

    @model_validator(mode="after")
    def _has_an_address(self) -> Self:
        if self.address is None and self.address6 is None:
            raise ValueError("give address or address6")
        return self


class HealthSettings(Settings):
    """Where GWLB's health checks are answered."""

    address: IPv4Address | IPv6Address
    port: Port = 50_000


class NamingSettings(Settings):
    """What names that flows say of themselves are good for: see docs/policy.md."""

    teach_addresses: bool = Field(
        default=True, description="a name that rules speak of also names new flows to its address, for ten minutes"
    )
    share_addresses: bool = Field(
        default=True, description="such a name is told to the connectors of the group and taken from them; needs zpa"
    )


class DrainSettings(Settings):
    """How the connector ends: 503 at once, new flows refused after delay, streams may finish until limit."""

    delay: Duration = timedelta(seconds=5)
    limit: Duration = timedelta(seconds=30)


class ConnectorSettings(Catalogue):
    """The connector's file."""

    role: Literal["connector"] = "connector"
    name: Name
    group: str = ""
    state: Path = Field(description="directory for what must survive a restart")
    identity: IdentitySettings
    logs: LogSettings = LogSettings()
    metrics: MetricSettings | None = None
    namespaces: Annotated[tuple[Namespace, ...], Field(min_length=1)]
    locations: Annotated[tuple[LocationField, ...], Field(min_length=1)]
    endpoints: tuple[Endpoint, ...] = ()
    ingress: IngressSettings
    io: IoSettings = IoSettings()
    workers: Annotated[int, Field(ge=1, le=WORKERS_MAX)] | Literal["auto"] = Field(
        default=1, description="threads that carry packets; auto: one for each CPU but one, which is Python's"
    )
    kernel: DeviceSettings = DeviceSettings()
    zpa: ClientSettings | None = None
    zia: TunnelSettings | None = None
    direct: DirectSettings | None = None
    rules: tuple[Rule, ...] = ()
    dns_rules: tuple[DnsRule, ...] = ()
    feeds: FeedSettings = FeedSettings()
    dns: DnsSettings = DnsSettings()
    health: HealthSettings
    drain: DrainSettings = DrainSettings()
    naming: NamingSettings = NamingSettings()

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        problems = [_problem(place, message) for place, message in self._problems()]
        if problems:
            raise ValidationError.from_exception_data(type(self).__name__, problems)
        return self

    def _problems(self) -> Iterator[tuple[Place, str]]:
        yield from problems(self, self.rules, self.endpoints, self.edges)
        yield from dns_rule_problems(self.dns_rules, self)
        yield from repeated("namespaces", "id", [namespace.id for namespace in self.namespaces])
        yield from self._listen_problems()
        yield from self._routed_problems()
        yield from self._method_problems()
        yield from self._worker_problems()
        yield from self._network_problems()

    def _listen_problems(self) -> Iterator[tuple[Place, str]]:
        listen = self.dns.listen
        if listen is None:
            return
        for field, kind, known in (
            ("namespace", "namespace", [namespace.name for namespace in self.namespaces]),
            ("location", "location", list(self.location_names)),
            ("gateway", "DNS gateway", [gateway.name for gateway in self.dns_gateways]),
        ):
            name = getattr(listen, field)
            if name and name not in known:
                yield ("dns", "listen", field), unknown(kind, name, known)

    def _routed_problems(self) -> Iterator[tuple[Place, str]]:
        known = {endpoint.id for endpoint in self.endpoints}
        names, taken = [self.kernel.name], set[int]()
        for i, way in enumerate(self.ingress.routed):
            place: Place = ("ingress", "routed", i)
            if way.endpoint not in known:
                yield (*place, "endpoint"), "it is none of the endpoints; add it to endpoints:, with namespace and location"
            if way.name in names:
                yield (*place, "name"), f"{way.name!r} is another device's; choose another"
            if way.endpoint in taken:
                yield (*place, "endpoint"), "it is another device's; give each its own"
            names.append(way.name)
            taken.add(way.endpoint)

    def _method_problems(self) -> Iterator[tuple[Place, str]]:
        sections = {Method.ZPA: self.zpa, Method.DIRECT: self.direct, Method.ZIA: self.zia}
        for i, rule in enumerate(self.rules):
            if rule.enabled and sections.get(rule.method, True) is None:
                section = f"{rule.method.lower()}:"
                yield ("rules", i, "method"), f"method {rule.method} needs the section {section}"

        if self.direct is None:
            needs = "open forwards as DIRECT and needs the section direct:"
            if self.zia is not None and self.zia.fail == "open":
                yield ("zia", "fail"), needs
            for i, gateway in enumerate(self.gateways):
                if gateway.fail == "open":
                    yield ("gateways", i, "fail"), needs

    def _worker_problems(self) -> Iterator[tuple[Place, str]]:
        if self.workers != "auto" and len(self.io.cores) not in (0, self.workers):
            yield ("io", "core"), f"{len(self.io.cores)} CPUs for {self.workers} workers; give one each, or none"
        if self.workers != 1 and self.io.kernel_flows:
            yield ("io", "kernel_flows"), "the kernel carries flows of one worker only; set workers: 1, or kernel_flows: false"

    def _network_problems(self) -> Iterator[tuple[Place, str]]:
        internal = self.kernel.internal
        if internal is None:
            yield ("kernel", "internal"), "a connector needs it; allowed: a network such as 198.18.0.0/16"
            return
        if internal.prefixlen > 28:
            yield ("kernel", "internal"), f"{internal} is too small; allowed: a /28 or larger"
        yield from self._pool_problems(internal)
        held: list[tuple[Place, IPv4Address | IPv6Address]] = [(("health", "address"), self.health.address)]
        if self.ingress.address is not None:
            held.append((("ingress", "address"), self.ingress.address))
        if self.direct is not None and self.direct.address is not None:
            held.append((("direct", "address"), self.direct.address))
        for place, address in held:
            networks = [(network, "synthetic pool") for network in self.pool_networks]
            for network, name in (*networks, (internal, "internal network")):
                if address in network:
                    yield place, f"{address} lies in the {name} {network}; choose an address outside"

    def _pool_problems(self, internal: IPv4Network) -> Iterator[tuple[Place, str]]:
        taken = [("the pool", self.pool)]
        if internal.overlaps(self.pool):
            yield ("kernel", "internal"), f"{internal} overlaps the pool {self.pool}; choose another"
        for i, pool in enumerate(self.pools):
            if pool.name == DEFAULT_POOL:
                yield ("pools", i, "name"), f"{DEFAULT_POOL!r} is zpa.pool; choose another name"
            if pool.network.prefixlen > POOL_PREFIX_LONGEST:
                yield ("pools", i, "network"), f"{pool.network} is too small; allowed: /{POOL_PREFIX_LONGEST} or larger"
            for name, network in (("the internal network", internal), *taken):
                if pool.network.overlaps(network):
                    yield ("pools", i, "network"), f"{pool.network} overlaps {name} {network}; choose another"
            taken.append((f"pool {pool.name!r}", pool.network))

    @property
    def pool(self) -> IPv4Network:
        """Synthetic addresses; without a zpa section the default ones, so that strays are dropped anyway."""
        return Policy().pool if self.zpa is None else self.zpa.pool

    @property
    def pool_networks(self) -> tuple[IPv4Network, ...]:
        """All networks of synthetic addresses, that of `zpa.pool` first."""
        return (self.pool, *(pool.network for pool in self.pools))

    @property
    def pool_by_name(self) -> dict[str, IPv4Network]:
        """The networks of synthetic addresses by the names of their pools."""
        return {DEFAULT_POOL: self.pool, **{pool.name: pool.network for pool in self.pools}}

    @property
    def edges(self) -> tuple[str, ...]:
        """Names of the internet edges."""
        return () if self.zia is None else tuple(edge.name for edge in self.zia.edges)

    def own_ranges(self) -> dict[str, AddressRange]:
        """Return addresses that no server of anybody's has, by what they are."""
        found = {f"the synthetic addresses {network}": AddressRange.of(network) for network in self.pool_networks}
        if self.kernel.internal is not None:
            found["kernel.internal"] = AddressRange.of(self.kernel.internal)
        if self.direct is not None and self.direct.address is not None:
            found["direct.address"] = AddressRange.parse(self.direct.address)
        listen = self.dns.listen
        if listen is not None and listen.address.port == DNS_PORT:
            found["dns.listen"] = AddressRange.parse(listen.address.address)
        return found

    def policy(self) -> Policy:
        """Make the policy that the rules are compiled from."""
        shared = {field: getattr(self, field) for field in (*Catalogue.model_fields, "rules", "endpoints")}
        fail_open = self.zia is not None and self.zia.fail == "open"
        return Policy(**shared, pool=self.pool, edges=self.edges, fail_open=fail_open)


def _problem(place: Place, message: str) -> InitErrorDetails:
    kind = PydanticCustomError("disagreement", "{problem}", {"problem": message})
    return InitErrorDetails(type=kind, loc=place, input=None)
