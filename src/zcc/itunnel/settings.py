"""The `zia:` section of a connector: its internet edges, in order, and when one of them counts as dead."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from pydantic import Field, model_validator

from zcc.fields import GWLB_PAYLOAD, Duration, HostPort, Settings

__all__ = ["EdgeSettings", "FallbackSettings", "RenewSettings", "TunnelSettings"]

SLOTS = 8                            # sessions a worker holds
MOVE_LIMIT = timedelta(seconds=5)    # a dead edge's flows have moved by then


class EdgeSettings(Settings):
    """One internet edge."""

    name: str = Field(min_length=1, max_length=63, description="of the edge, for logs")
    address: HostPort = Field(description="its DTLS address")


class RenewSettings(Settings):
    """When a session is replaced by a new one, which proves the certificates again and has keys of its own.

    Records: RFC 9001 appendix B.1.1 has AES-GCM protect 2^28 records of up to 2^11 bytes under one key, or fewer longer ones in
    proportion (RFC 8446 §5.5: 2^24.5 of 2^14 bytes), for an attacker's advantage of 2^-57.
    """

    age: Duration = Field(default=timedelta(hours=8), description="oldest that a session becomes")
    records: int = Field(
        default=1 << 25, ge=1 << 10, le=1 << 28, description="most records of a session, sent or received"
    )

    @model_validator(mode="after")
    def _is_bearable(self) -> RenewSettings:
        if not timedelta(seconds=10) <= self.age <= timedelta(days=7):
            raise ValueError("age must be 10s to 168h")
        return self


class FallbackSettings(Settings):
    """TLS over TCP to the same address, for as long as UDP gets through to no edge."""

    tls: bool = Field(default=True, description="whether TLS is used when DTLS to every edge of a gateway fails")
    after: Duration = Field(default=timedelta(seconds=3), description="how long DTLS may stay without answer before")
    retry: Duration = Field(default=timedelta(seconds=5), description="between two attempts to come back to DTLS")

    @model_validator(mode="after")
    def _is_bearable(self) -> FallbackSettings:
        if not timedelta(milliseconds=100) <= self.after <= timedelta(seconds=10):
            raise ValueError("after must be 100ms to 10s: a handshake is given up then")
        if not timedelta(milliseconds=100) <= self.retry <= timedelta(hours=1):
            raise ValueError("retry must be 100ms to 1h")
        return self


class TunnelSettings(Settings):
    """Internet edges in order of preference, and the probes that watch them."""

    edges: tuple[EdgeSettings, ...] = Field(
        min_length=1, max_length=SLOTS, description="in order of preference"
    )
    fail: Literal["closed", "open"] = Field(
        default="closed", description="when no edge is up: closed drops, open forwards as DIRECT"
    )
    probe_interval: Duration = Field(default=timedelta(milliseconds=500), description="between two probes")
    probe_lost: int = Field(
        default=4, ge=2, le=20, description="unanswered probes after which an edge is down"
    )
    hold_down: Duration = Field(
        default=timedelta(seconds=5), description="how long an edge must be up before flows return to it"
    )
    inner_mtu: int = Field(
        default=GWLB_PAYLOAD, ge=1280, le=GWLB_PAYLOAD,
        description="largest packet that the tunnel carries; what its path carries is found by probing and is less, mostly"
    )
    renew: RenewSettings = RenewSettings()
    fallback: FallbackSettings = FallbackSettings()

    @model_validator(mode="after")
    def _moves_in_time(self) -> TunnelSettings:
        if not timedelta(milliseconds=20) <= self.probe_interval:
            raise ValueError("probe_interval must be at least 20ms")
        if self.probe_interval * (self.probe_lost + 1) > MOVE_LIMIT:
            raise ValueError("probe_interval times (probe_lost + 1) must be at most 5s: flows move by then")
        names = [edge.name for edge in self.edges]
        if len(set(names)) != len(names):
            raise ValueError("edges: every edge needs a name of its own")
        return self
