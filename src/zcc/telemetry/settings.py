"""Where logs go and where metrics are served."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal

from pydantic import Field

from zcc.fields import Settings

__all__ = ["LogSettings", "MetricSettings"]


class LogSettings(Settings):
    """The four record streams, and how much the operational log on standard error says."""

    directory: Path | None = Field(
        default=None,
        description="folder of session, dns, tunnel and event.jsonl; none = standard output",
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least severe operational message on standard error"
    )


class MetricSettings(Settings):
    """Where GET /metrics is answered."""

    address: IPv4Address | IPv6Address = Field(description="address to listen on, not reached by workloads")
    port: int = Field(ge=1, le=65_535, description="TCP port to listen on")
