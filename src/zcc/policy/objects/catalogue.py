"""Catalogue: every object that rules may refer to, and each by its name.

Journey: part of a connector's file; zcc.policy.model adds the rules. An object that a file defines takes the place of a
predefined one of the same name. It checks no references: zcc.policy.references does.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Protocol, TypeVar

from zcc.fields import Settings
from zcc.policy.objects.address_group import DestinationGroup, SourceGroup
from zcc.policy.objects.application_service import PREDEFINED_APPLICATION_SERVICES, ApplicationService
from zcc.policy.objects.encrypted_dns import PREDEFINED_DESTINATION_GROUPS
from zcc.policy.objects.gateway import DnsGateway, Gateway
from zcc.policy.objects.limits import Limits
from zcc.policy.objects.location import LocationField, LocationGroup
from zcc.policy.objects.name import ObjectName
from zcc.policy.objects.namespace import Namespace
from zcc.policy.objects.pool import IpPool
from zcc.policy.objects.predefined import PREDEFINED_SERVICE_GROUPS, PREDEFINED_SERVICES
from zcc.policy.objects.segment import Application, SegmentGroup, ServerGroup
from zcc.policy.objects.service import NetworkService, ServiceGroup
from zcc.policy.objects.workload_group import WorkloadGroup

__all__ = ["Catalogue"]


class Named(Protocol):
    """What every object has."""

    name: str


Kind = TypeVar("Kind", bound=Named)


class Catalogue(Settings):
    """Objects by their kind."""

    namespaces: tuple[Namespace, ...] = ()
    locations: tuple[LocationField, ...] = ()
    location_groups: tuple[LocationGroup, ...] = ()
    connector_groups: tuple[ObjectName, ...] = ()  # empty: rules may name any
    source_groups: tuple[SourceGroup, ...] = ()
    destination_groups: tuple[DestinationGroup, ...] = ()
    services: tuple[NetworkService, ...] = ()
    service_groups: tuple[ServiceGroup, ...] = ()
    application_services: tuple[ApplicationService, ...] = ()
    workload_groups: tuple[WorkloadGroup, ...] = ()
    applications: tuple[Application, ...] = ()
    segment_groups: tuple[SegmentGroup, ...] = ()
    server_groups: tuple[ServerGroup, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    dns_gateways: tuple[DnsGateway, ...] = ()
    pools: tuple[IpPool, ...] = ()
    limits: Limits = Limits()

    @cached_property
    def location_names(self) -> tuple[str, ...]:
        """Return the names of the locations, in the order of the file."""
        return tuple(location.name for location in self.locations)

    @cached_property
    def location_by_name(self) -> dict[str, LocationField]:
        """Return the locations by name."""
        return by_name(self.locations)

    @cached_property
    def location_group_by_name(self) -> dict[str, LocationGroup]:
        """Return the groups of locations by name."""
        return by_name(self.location_groups)

    @cached_property
    def source_group_by_name(self) -> dict[str, SourceGroup]:
        """Return the source groups by name."""
        return by_name(self.source_groups)

    @cached_property
    def destination_group_by_name(self) -> dict[str, DestinationGroup]:
        """Return the destination groups by name, predefined ones included."""
        return by_name((*PREDEFINED_DESTINATION_GROUPS, *self.destination_groups))

    @cached_property
    def service_by_name(self) -> dict[str, NetworkService]:
        """Return the network services by name, predefined ones included."""
        return by_name((*PREDEFINED_SERVICES, *self.services))

    @cached_property
    def service_group_by_name(self) -> dict[str, ServiceGroup]:
        """Return the service groups by name, predefined ones included."""
        return by_name((*PREDEFINED_SERVICE_GROUPS, *self.service_groups))

    @cached_property
    def application_service_by_name(self) -> dict[str, ApplicationService]:
        """Return the application services by name, predefined ones included."""
        return by_name((*PREDEFINED_APPLICATION_SERVICES, *self.application_services))

    @cached_property
    def workload_group_by_name(self) -> dict[str, WorkloadGroup]:
        """Return the workload groups by name."""
        return by_name(self.workload_groups)

    @cached_property
    def application_place(self) -> dict[str, int]:
        """Return the places of the applications in their order, by name."""
        return {application.name: place for place, application in enumerate(self.applications)}

    @cached_property
    def segment_group_by_name(self) -> dict[str, SegmentGroup]:
        """Return the segment groups by name."""
        return by_name(self.segment_groups)

    @cached_property
    def gateway_by_name(self) -> dict[str, Gateway]:
        """Return the gateways by name."""
        return by_name(self.gateways)


def by_name(objects: Iterable[Kind]) -> dict[str, Kind]:
    """Return objects by name; of two with one name, the last."""
    return {item.name: item for item in objects}
