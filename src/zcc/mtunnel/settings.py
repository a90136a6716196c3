"""How an agent reaches the private edge, and how either side notices that the other is dead."""

from __future__ import annotations

from datetime import timedelta
from ipaddress import IPv4Network
from typing import Self

from pydantic import Field, model_validator

from zcc.fields import Duration, HostPort, Settings

__all__ = ["ClientSettings", "KeepaliveSettings"]


class KeepaliveSettings(Settings):
    """Pings inside an established connection."""

    interval: Duration = Field(default=timedelta(seconds=5), description="a ping this often")
    timeout: Duration = Field(default=timedelta(seconds=10), description="no pong for so long = dead")


class ClientSettings(Settings):
    """The connector's side of the private path."""

    edges: tuple[HostPort, ...] = Field(min_length=1, description="private edges, first that answers")
    pool: IPv4Network = Field(default=IPv4Network("10.254.0.0/19"), description="as at the edge")
    keepalive: KeepaliveSettings = KeepaliveSettings()
    connect_timeout: Duration = Field(default=timedelta(seconds=5), description="TCP, TLS and hello together")
    request_timeout: Duration = Field(default=timedelta(seconds=5), description="resolve and who-is")
    open_timeout: Duration = Field(default=timedelta(seconds=25), description="a stream, end to end")
    backoff_floor: Duration = Field(default=timedelta(milliseconds=250), description="first pause")
    backoff_ceiling: Duration = Field(default=timedelta(seconds=15), description="longest pause")

    @model_validator(mode="after")
    def _pool_has_room(self) -> Self:
        if self.pool.prefixlen > 29:
            raise ValueError(f"pool: {self.pool} is too small; allowed: a network of /29 or larger")
        return self
