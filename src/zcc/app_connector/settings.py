"""Settings of the app connector: its whole file. Read by zcc.config only."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from zcc.fields import Duration, HostPort, Settings
from zcc.mtunnel.settings import KeepaliveSettings
from zcc.pki.settings import IdentitySettings
from zcc.telemetry.settings import LogSettings, MetricSettings

__all__ = ["AppConnectorSettings", "DrainSettings"]

Name = Annotated[str, Field(min_length=1, max_length=255)]


class DrainSettings(Settings):
    """How the app connector ends."""

    limit: Duration = Field(default=timedelta(seconds=30), description="streams may finish until then")


class AppConnectorSettings(Settings):
    """The app connector's file."""

    role: Literal["app-connector"] = "app-connector"
    name: Name
    group: Name
    state: Path | None = Field(default=None, description="directory; nothing is kept there yet")
    identity: IdentitySettings
    logs: LogSettings = LogSettings()
    metrics: MetricSettings | None = None
    edges: Annotated[tuple[HostPort, ...], Field(min_length=1, description="all of them are dialled")]
    networks: Annotated[
        tuple[IPv4Network | IPv6Network, ...],
        Field(min_length=1, description="the only destinations that are opened"),
    ]
    connect_timeout: Duration = Field(default=timedelta(seconds=10), description="until a server answers")
    udp_idle: Duration = Field(default=timedelta(seconds=60), description="a silent UDP stream ends")
    keepalive: KeepaliveSettings = KeepaliveSettings()
    dial_timeout: Duration = Field(default=timedelta(seconds=5), description="TCP, TLS and hello together")
    backoff_floor: Duration = Field(default=timedelta(milliseconds=250), description="first pause")
    backoff_ceiling: Duration = Field(default=timedelta(seconds=15), description="longest pause")
    drain: DrainSettings = DrainSettings()
