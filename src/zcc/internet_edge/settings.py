"""The file of an internet service edge."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from zcc.device import DeviceSettings
from zcc.fields import GWLB_PAYLOAD, HostPort, PortRange, Settings
from zcc.idle import IdleSettings
from zcc.pki.settings import IdentitySettings
from zcc.telemetry.settings import LogSettings, MetricSettings

__all__ = ["IdleSettings", "InternetEdgeSettings", "LimitSettings", "NatSettings"]



class NatSettings(Settings):
    """Addresses that the internet sees; not the kernel's own."""

    addresses: tuple[IPv4Address | IPv6Address, ...] = Field(
        min_length=1, max_length=16, description="egress addresses, one or more of each family"
    )
    ports: PortRange = Field(default=PortRange(1024, 65535), description="ports that flows leave from")

    @model_validator(mode="after")
    def _are_usable(self) -> Self:
        if len(set(self.addresses)) != len(self.addresses):
            raise ValueError("addresses: an address is there twice")
        for address in self.addresses:
            if address.is_multicast or address.is_unspecified or address.is_loopback:
                raise ValueError(f"addresses: {address} cannot be the source of packets to the internet")
        if self.ports.low == 0:
            raise ValueError("ports: port 0 cannot be used")
        return self


class LimitSettings(Settings):
    """What strangers and connectors may make this edge hold."""

    half_open: int = Field(default=256, ge=1, le=65_536, description="handshakes in progress")
    half_open_per_address: int = Field(default=16, ge=1, le=65_536, description="of them from one address")
    sessions: int = Field(default=4096, ge=1, le=65_536, description="established sessions")


class InternetEdgeSettings(Settings):
    """An internet edge's whole file."""

    role: Literal["internet-edge"] = "internet-edge"
    name: str = Field(min_length=1, max_length=255)
    state: Path | None = Field(default=None, description="directory of this agent; nothing is kept in it")
    identity: IdentitySettings
    logs: LogSettings = LogSettings()
    metrics: MetricSettings | None = None
    listen: HostPort = Field(description="IPv4 address and port: UDP for DTLS, TCP for TLS")
    kernel: DeviceSettings = DeviceSettings()
    nat: NatSettings
    flows: int = Field(default=262_144, ge=64, le=1 << 24, description="most flows at a time")
    idle: IdleSettings = IdleSettings()
    inner_mtu: int = Field(
        default=GWLB_PAYLOAD, ge=1280, le=GWLB_PAYLOAD,
        description="largest packet in the tunnel; what a tunnel's path carries is found by probing and is less, mostly"
    )
    limits: LimitSettings = LimitSettings()

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        if self.listen.address.version != 4:
            raise ValueError("listen: an IPv4 address is needed here")
        if self.listen.address in self.nat.addresses:
            raise ValueError("nat.addresses: the listener's address belongs to the kernel; give another")
        if self.kernel.internal is not None:
            raise ValueError("kernel.internal: an internet edge has no listeners inside; leave it out")
        return self
