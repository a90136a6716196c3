"""What a load balancer is told: endpoints, targets, health checks, stickiness, timeouts. Names and defaults
are AWS's.
"""

from datetime import timedelta
from ipaddress import IPv4Address
from typing import Annotated, Literal

from pydantic import Field, model_validator

from zcc.fields import Duration, EndpointId, HostPort, Settings

__all__ = ["EndpointSettings", "GwlbSettings", "HealthSettings", "IdleSettings", "TargetSettings"]

Mac = Annotated[str, Field(pattern=r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")]


class EndpointSettings(Settings):
    """A gateway load balancer endpoint: the interface through which one VPC's packets come and go."""

    id: EndpointId = Field(description="vpce- and 17 hexadecimal digits, unique in this load balancer")
    interface: str = Field(description="this host's end of a veth pair; the other end is the VPC's router")
    peer_mac: Mac | None = Field(
        default=None, description="of the other end, when it is in another network namespace"
    )


class TargetSettings(Settings):
    """An appliance that takes the packets."""

    address: IPv4Address = Field(description="where Geneve and health checks go")
    port: Literal[6081] = Field(default=6081, description="of Geneve; AWS allows no other")


class HealthSettings(Settings):
    """When a target counts as healthy."""

    protocol: Literal["http", "tcp"] = Field(
        default="http", description="http: an answer of 200 to 399; tcp: accepted"
    )
    port: int = Field(default=50_000, ge=1, le=65_535, description="TCP port of the check")
    path: str = Field(default="/?cchealth", pattern="^/", description="what http asks for")
    interval: Duration = Field(default=timedelta(seconds=10), description="between two checks of one target")
    timeout: Duration = Field(default=timedelta(seconds=5), description="for one answer")
    healthy: int = Field(
        default=3, ge=1, le=10, description="good answers in a row that make a target healthy again"
    )
    unhealthy: int = Field(default=3, ge=1, le=10, description="bad answers in a row that make it unhealthy")


class IdleSettings(Settings):
    """After how long a silence a flow is forgotten."""

    tcp: Duration = Field(default=timedelta(seconds=350), description="TCP flows")
    other: Duration = Field(default=timedelta(seconds=120), description="all other flows")


class GwlbSettings(Settings):
    """Everything that `zcc gwlb` is told."""

    role: Literal["gwlb"] = "gwlb"
    name: str = Field(default="gwlb", description="shown in its status")
    listen: IPv4Address = Field(description="own address: source of Geneve and of the health checks")
    status: HostPort | None = Field(
        default=None, description="where GET /status, /flows and /metrics are answered"
    )
    endpoints: tuple[EndpointSettings, ...] = Field(min_length=1, description="where packets come from")
    targets: tuple[TargetSettings, ...] = Field(min_length=1, description="where packets go")
    health: HealthSettings = HealthSettings()
    stickiness: Literal[5, 3, 2] = Field(
        default=5,
        description="what makes a flow: 5 both addresses, ports, protocol; 3 without ports; 2 addresses only",
    )
    idle: IdleSettings = IdleSettings()
    rebalance: bool = Field(
        default=True,
        description="flows of an unhealthy or deregistered target move to another; false: they stay",
    )
    deregistration_delay: Duration = Field(
        default=timedelta(0),
        description="how long a deregistered target keeps its flows before they may move",
    )
    flows: int = Field(default=262_144, ge=1, le=16_777_216, description="most flows remembered at once")

    @model_validator(mode="after")
    def _each_once(self) -> "GwlbSettings":
        for what, values in (
            ("endpoint id", [endpoint.id for endpoint in self.endpoints]),
            ("interface", [endpoint.interface for endpoint in self.endpoints]),
            ("target address", [target.address for target in self.targets]),
        ):
            if len(set(values)) != len(values):
                raise ValueError(f"each {what} may occur once only")
        return self
