"""Settings of the private edge: its whole file.

Read by zcc.config only. What parts say of each other is checked here, each problem at its field.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from zcc.fields import DnsName, DnsPattern, Duration, HostPort, PortRange, Settings
from zcc.mtunnel.settings import KeepaliveSettings
from zcc.pki.settings import IdentitySettings
from zcc.telemetry.settings import LogSettings, MetricSettings

__all__ = ["AccessRule", "DrainSettings", "EdgeApplication", "LedgerSettings", "PrivateEdgeSettings"]

Name = Annotated[str, Field(min_length=1, max_length=255)]


class EdgeApplication(Settings):
    """Names, ports, who may ask for them, and which app connectors reach the servers."""

    name: Name
    domains: Annotated[tuple[DnsPattern, ...], Field(min_length=1)]
    tcp: tuple[PortRange, ...] = ()
    udp: tuple[PortRange, ...] = ()
    namespaces: tuple[Name, ...] = Field(default=(), description="empty = any")
    app_connector_group: Name
    servers: tuple[IPv4Address | IPv6Address | DnsName, ...] = Field(
        default=(), description="as the app connector reaches them; empty = the asked name, resolved there"
    )

    @model_validator(mode="after")
    def _has_ports(self) -> Self:
        if not self.tcp and not self.udp:
            raise ValueError("no tcp and no udp ports; give at least one")
        return self


class AccessRule(Settings):
    """First match decides; an empty criterion is any; what nothing matches is refused."""

    name: Name
    action: Literal["allow", "refuse"]
    applications: tuple[Name, ...] = ()
    namespaces: tuple[Name, ...] = ()
    connector_groups: tuple[Name, ...] = ()
    locations: tuple[Name, ...] = ()


class LedgerSettings(Settings):
    """How long names keep their addresses."""

    reserved_share: float = Field(default=0.25, ge=0, le=1, description="of the pool, for names spelled out")
    quarantine: Duration = Field(default=timedelta(hours=24), description="a released address rests so long")
    idle: Duration = Field(default=timedelta(days=7), description="a wildcard's name, unasked, is released")
    renew: Duration = Field(default=timedelta(hours=1), description="connectors ask again after this")

    @model_validator(mode="after")
    def _idle_outlasts_renewal(self) -> Self:
        if self.idle < 2 * self.renew:
            raise ValueError(f"idle must be twice renew ({self.renew}) or more, or names in use are released")
        return self


class DrainSettings(Settings):
    """How the edge ends."""

    limit: Duration = Field(default=timedelta(seconds=30), description="streams may finish until then")


class PrivateEdgeSettings(Settings):
    """The private edge's file."""

    role: Literal["private-edge"] = "private-edge"
    name: Name
    state: Path = Field(description="directory of the ledger")
    identity: IdentitySettings
    logs: LogSettings = LogSettings()
    metrics: MetricSettings | None = None
    listen: HostPort
    pool: IPv4Network = IPv4Network("10.254.0.0/19")
    applications: tuple[EdgeApplication, ...] = ()
    access: tuple[AccessRule, ...] = ()
    app_connector_groups: dict[Name, tuple[Name, ...]] = Field(
        default={}, description="names of the app connectors that may register; a group not listed takes any"
    )
    ledger: LedgerSettings = LedgerSettings()
    keepalive: KeepaliveSettings = KeepaliveSettings()
    drain: DrainSettings = DrainSettings()

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        problems = [_problem(place, text) for place, text in self._problems()]
        if problems:
            raise ValidationError.from_exception_data(type(self).__name__, problems)
        return self

    def _problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if self.pool.prefixlen > 29:
            yield ("pool",), f"{self.pool} is too small; allowed: a network of /29 or larger"
        names = [application.name for application in self.applications]
        for index, name in enumerate(names):
            if name in names[:index]:
                yield ("applications", index, "name"), f"application {name!r} is there twice"
        for index, rule in enumerate(self.access):
            for place, name in enumerate(rule.applications):
                if name not in names:
                    known = ", ".join(names[:10]) or "none is defined"
                    yield (
                        ("access", index, "applications", place),
                        f"application {name!r} does not exist; allowed: {known}",
                    )


def _problem(place: tuple[str | int, ...], text: str) -> InitErrorDetails:
    kind = PydanticCustomError("disagreement", "{problem}", {"problem": text})
    return InitErrorDetails(type=kind, loc=place, input=None)
