"""Application, SegmentGroup, ServerGroup: what is reached by ZPA.

Journey: rules name applications (application segments) and groups of them; a connector gives their names synthetic addresses.
A server group says behind which app connectors the servers of an application are. A name belongs to one application.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Self

from pydantic import Field, model_validator

from zcc.fields import DnsName, DnsPattern, PortRange, Settings
from zcc.policy.objects.name import Description, ObjectName

__all__ = ["Application", "SegmentGroup", "ServerGroup"]


class Application(Settings):
    """Names that belong together, and the ports on which they are served."""

    name: ObjectName
    description: Description = ""
    domains: Annotated[tuple[DnsPattern, ...], Field(min_length=1)]
    tcp: tuple[PortRange, ...] = ()
    udp: tuple[PortRange, ...] = ()
    server_groups: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _has_ports(self) -> Self:
        if not self.tcp and not self.udp:
            raise ValueError(f"application {self.name!r} has no ports; give tcp or udp")
        return self


class SegmentGroup(Settings):
    """Applications that rules mean together."""

    name: ObjectName
    description: Description = ""
    applications: tuple[str, ...] = ()


class ServerGroup(Settings):
    """Servers of applications, and the group of app connectors that reaches them."""

    name: ObjectName
    description: Description = ""
    app_connector_group: ObjectName
    servers: tuple[IPv4Address | IPv6Address | DnsName, ...] = ()  # empty: the name that was asked for
    sources: tuple[IPv4Address | IPv6Address, ...] = ()  # of the app connectors: flows that they begin
