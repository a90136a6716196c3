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
from zcc.synthetic.pool import DEFAULT_POOL, PREFIX_LONGEST, Pool
from zcc.telemetry.settings import LogSettings, MetricSettings

__all__ = ["AccessRule", "DrainSettings", "EdgeApplication", "LedgerSettings", "PoolSettings", "PrivateEdgeSettings"]

Name = Annotated[str, Field(min_length=1, max_length=255)]
QUARANTINE_LEAST = timedelta(seconds=1)


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
    """How long names keep their addresses; of every pool that does not say otherwise."""

    reserved_share: float = Field(default=0.25, ge=0, le=1, description="of the pool, for names spelled out")
    quarantine: Duration = Field(default=timedelta(hours=24), description="a released address rests so long")
    idle: Duration = Field(default=timedelta(days=7), description="a wildcard's name, unasked and unused, is released")
    renew: Duration = Field(default=timedelta(hours=1), description="connectors ask again after this")

    @model_validator(mode="after")
    def _times_fit(self) -> Self:
        if self.quarantine < QUARANTINE_LEAST:
            raise ValueError("quarantine must be 1s or more: connectors must have time to say what is in use")
        if self.idle < 2 * self.renew:
            raise ValueError(f"idle must be twice renew ({self.renew}) or more, or names in use are released")
        return self


class PoolSettings(Settings):
    """One more network of synthetic addresses; what it does not say is as `ledger` says."""

    name: Annotated[str, Field(min_length=1, max_length=255, description="by which connectors' DNS rules ask for it")]
    network: IPv4Network
    reserved_share: float | None = Field(default=None, ge=0, le=1)
    quarantine: Annotated[Duration, Field(ge=QUARANTINE_LEAST)] | None = None
    idle: Duration | None = None
    renew: Duration | None = None


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
    pool: IPv4Network = Field(default=IPv4Network("10.254.0.0/19"), description="the pool of the name default")
    pools: tuple[PoolSettings, ...] = Field(default=(), max_length=255)
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
        yield from self._pool_problems()
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


    def _pool_problems(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        if self.pool.prefixlen > PREFIX_LONGEST:
            yield ("pool",), f"{self.pool} is too small; allowed: a network of /{PREFIX_LONGEST} or larger"
        taken = {DEFAULT_POOL: self.pool}
        for index, pool in enumerate(self.pools):
            if pool.name in taken:
                yield ("pools", index, "name"), f"pool {pool.name!r} is there twice; {DEFAULT_POOL!r} is `pool` itself"
                continue
            for name, network in taken.items():
                if network.overlaps(pool.network):
                    yield ("pools", index, "network"), f"{pool.network} overlaps {network} of pool {name!r}; choose another"
            taken[pool.name] = pool.network
            if pool.network.prefixlen > PREFIX_LONGEST:
                yield ("pools", index, "network"), f"{pool.network} is too small; allowed: /{PREFIX_LONGEST} or larger"
            elif (made := self._pool(pool)).idle_s < 2 * made.renew_s:
                yield ("pools", index), f"pool {pool.name!r}: idle must be twice renew or more, or names in use are released"

    def _pool(self, pool: PoolSettings) -> Pool:
        kept = self.ledger
        return Pool(
            network=pool.network,
            reserved_share=kept.reserved_share if pool.reserved_share is None else pool.reserved_share,
            name=pool.name,
            quarantine_s=(kept.quarantine if pool.quarantine is None else pool.quarantine).total_seconds(),
            idle_s=(kept.idle if pool.idle is None else pool.idle).total_seconds(),
            renew_s=(kept.renew if pool.renew is None else pool.renew).total_seconds(),
        )

    def ledger_pools(self) -> tuple[Pool, ...]:
        """Return every pool with its times."""
        return tuple(self._pool(one) for one in (PoolSettings(name=DEFAULT_POOL, network=self.pool), *self.pools))


def _problem(place: tuple[str | int, ...], text: str) -> InitErrorDetails:
    kind = PydanticCustomError("disagreement", "{problem}", {"problem": text})
    return InitErrorDetails(type=kind, loc=place, input=None)
