"""Rule, Policy: what an operator writes, checked whole and frozen.

Journey: configuration → Policy → resolve → decide (slow) or compile (fast). Rules are ordered and the first that matches
decides. All criteria that a rule sets must match; of the values of one criterion, one. A criterion left empty matches
anything, except that a ZPA rule without applications matches nothing. Fields in one line are one criterion.

    criterion                                        ZIA  ZPA  DIRECT  DROP  LOCAL
    locations, location_groups                        x    x     x      x¹    x
    connector_groups                                  x    x     x      x     x
    namespaces                                        x    x     x      x     x
    sources, source_groups, exclude_source_groups     x    x     x      x     x     the last are taken away
    source_workload_groups                            x    x     x      x     x
    tags_older_than, tags_newer_than                  x    x     x      x     x     age of what is known of the workload
    destinations, destination_groups                  x    –     x      x     x²
    destination_workload_groups                       –    –     –      –     x
    countries                                         x    –     x      x     –
    categories                                        x    –     x      x     –
    unnamed                                           x    –     x      x     x     why the flow has no name
    services, service_groups                          x    –     x      x     x
    application_services                              x    –     x      x     x     not together with destinations
    applications, segment_groups, all_applications    –    x     –      x     –     not together with destinations
    gateway (chosen, not matched)                     x    –     –      –     –

    ¹ whole locations only   ² of groups without countries and categories

After the operator's rules come two that are always there: the synthetic pool is dropped, everything else is ZIA. It does
not decide.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Annotated, Self

from pydantic import Field, model_validator

from zcc.fields import Duration, Settings
from zcc.policy.criteria import AddressRange, Destination, Source
from zcc.policy.objects.catalogue import Catalogue
from zcc.policy.objects.country import Country
from zcc.policy.objects.endpoint import Endpoint
from zcc.policy.objects.name import Description
from zcc.policy.objects.segment import Application
from zcc.policy.objects.service import ServiceOrName
from zcc.policy.objects.stance import OnFailure, Stance
from zcc.policy.objects.unnamed import UnnamedField
from zcc.policy.references import problems

__all__ = ["CRITERIA", "DEFAULT_RULE", "STRAY_RULE", "Application", "Method", "Policy", "Rule", "is_set"]

RULE_NAME_LIMIT = 31

STRAY_RULE = "ZPA Pool For Stray Traffic"
DEFAULT_RULE = "Default Forwarding Rule"


class Method(StrEnum):
    """What becomes of a flow."""

    ZIA = "ZIA"
    ZPA = "ZPA"
    DIRECT = "DIRECT"
    DROP = "DROP"
    LOCAL = "LOCAL"


# Fields of one criterion, by the first of them.
CRITERIA: dict[str, tuple[str, ...]] = {
    "connector_groups": ("connector_groups",),
    "locations": ("locations", "location_groups"),
    "namespaces": ("namespaces",),
    "sources": ("sources", "source_groups", "exclude_source_groups"),
    "source_workload_groups": ("source_workload_groups",),
    "tags": ("tags_older_than", "tags_newer_than"),
    "destinations": ("destinations", "destination_groups"),
    "destination_workload_groups": ("destination_workload_groups",),
    "countries": ("countries",),
    "categories": ("categories",),
    "unnamed": ("unnamed",),
    "application_services": ("application_services",),
    "applications": ("applications", "segment_groups", "all_applications"),
    "services": ("services", "service_groups"),
}
_TAGS = ("source_workload_groups", "destination_workload_groups", "tags_older_than", "tags_newer_than")
_APPLICATIONS = CRITERIA["applications"]
_INTERNET = ("countries", "categories")
_NOT_ALLOWED: dict[Method, tuple[str, ...]] = {
    Method.ZIA: (*_APPLICATIONS, "destination_workload_groups"),
    Method.ZPA: (*CRITERIA["destinations"], "destination_workload_groups", *_INTERNET, "unnamed", "application_services",
                 *CRITERIA["services"], "gateway"),
    Method.DIRECT: (*_APPLICATIONS, "destination_workload_groups", "gateway"),
    Method.DROP: ("destination_workload_groups", "gateway"),
    Method.LOCAL: (*_APPLICATIONS, *_INTERNET, "gateway"),
}  # fmt: skip


class Rule(Settings):
    """One line of the policy."""

    name: Annotated[str, Field(min_length=1, max_length=RULE_NAME_LIMIT)]
    method: Method
    description: Description = ""
    reject: bool = False  # DROP only: the sender is told, by a TCP reset or an ICMP error
    enabled: bool = True  # a rule switched off keeps its place
    locations: tuple[str, ...] = ()  # LOCATION or LOCATION/SUBLOCATION
    location_groups: tuple[str, ...] = ()
    connector_groups: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    source_groups: tuple[str, ...] = ()
    exclude_source_groups: tuple[str, ...] = ()  # such as the app connectors', whose flows must not loop
    source_workload_groups: tuple[str, ...] = ()
    tags_older_than: Duration | None = None  # matches also workloads of which nothing is known
    tags_newer_than: Duration | None = None  # or as old
    destinations: tuple[Destination, ...] = ()
    destination_groups: tuple[str, ...] = ()
    destination_workload_groups: tuple[str, ...] = ()
    countries: tuple[Country, ...] = ()
    categories: tuple[str, ...] = ()
    unnamed: UnnamedField = ()
    services: tuple[ServiceOrName, ...] = ()
    service_groups: tuple[str, ...] = ()
    application_services: tuple[str, ...] = ()
    applications: tuple[str, ...] = ()
    segment_groups: tuple[str, ...] = ()
    all_applications: bool = False
    gateway: str | None = None
    on_failure: OnFailure = OnFailure()

    @property
    def names_applications(self) -> bool:
        """Whether the application criterion counts: always with ZPA, where empty means none."""
        return self.method is Method.ZPA or any(getattr(self, field) for field in _APPLICATIONS)

    @model_validator(mode="after")
    def _fits_method(self) -> Self:
        for criterion in _NOT_ALLOWED[self.method]:
            if getattr(self, criterion):
                raise ValueError(f"rule {self.name!r}: {criterion} cannot be used with method {self.method}")
        if self.reject and self.method is not Method.DROP:
            raise ValueError(f"rule {self.name!r}: reject is for the method DROP, not {self.method}")
        if self.names_applications:
            for criterion in ("destinations", "destination_groups", "application_services", "unnamed", *_INTERNET):
                if getattr(self, criterion):
                    raise ValueError(f"rule {self.name!r}: {criterion} and applications cannot be used together")
        if self.application_services and (self.destinations or self.destination_groups):
            raise ValueError(f"rule {self.name!r}: application_services and destinations cannot be used together")
        for message in self._wrong_stances():
            raise ValueError(f"rule {self.name!r}: on_failure.{message}")
        if self.all_applications and (self.applications or self.segment_groups):
            raise ValueError(f"rule {self.name!r}: applications and all_applications cannot be used together")
        return self


    def _wrong_stances(self) -> Iterator[str]:
        stances, looks_at_tags = self.on_failure, any(getattr(self, field) for field in _TAGS)
        if stances.edge_down is not None and self.method not in (Method.ZIA, Method.ZPA):
            yield "edge_down is for the methods ZIA and ZPA, whose flows need an edge"
        if stances.edge_down is Stance.OPEN and self.method is Method.ZPA:
            yield "edge_down: a synthetic address leads to the private edge only; allowed: closed, hold"
        if stances.tags_stale is not None and not looks_at_tags:
            yield f"tags_stale is for rules with {', '.join(_TAGS)}"
        if stances.tags_stale is Stance.HOLD:
            yield "tags_stale: allowed: open, closed"
        if stances.pool_full is not None and self.method is not Method.ZPA:
            yield "pool_full is for the method ZPA, whose names need synthetic addresses"


def is_set(rule: Rule, criterion: str) -> bool:
    """Tell whether a rule sets a criterion: a key of CRITERIA."""
    return any(getattr(rule, field) not in ((), None, False) for field in CRITERIA[criterion])


class Policy(Catalogue):
    """All objects and rules of a connector."""

    endpoints: tuple[Endpoint, ...] = ()
    rules: tuple[Rule, ...] = ()
    pool: IPv4Network = IPv4Network("10.254.0.0/19")
    edges: tuple[str, ...] = ()  # internet edges that gateways may name, in order of preference
    fail_open: bool = False  # of ZIA rules without a gateway: DIRECT while no edge is up

    @model_validator(mode="after")
    def _refers_to_what_exists(self) -> Self:
        found = [message for _, message in problems(self, self.rules, self.endpoints, self.edges)]
        if found:
            raise ValueError("; ".join(found))
        return self

    def ordered(self) -> tuple[Rule, ...]:
        """Return the operator's rules and the two predefined ones, in the order in which they are tried.

        A rule's index here is the index that the data plane and the logs use.
        """
        return (*self.rules, *self.predefined())

    def predefined(self) -> Iterator[Rule]:
        """Yield the rules that come after the operator's."""
        networks = (self.pool, *(pool.network for pool in self.pools))
        strays = tuple(AddressRange.of(network) for network in dict.fromkeys(networks))
        yield Rule(name=STRAY_RULE, method=Method.DROP, destinations=strays)
        yield Rule(name=DEFAULT_RULE, method=Method.ZIA)
