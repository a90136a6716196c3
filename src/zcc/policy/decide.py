"""decide: the first rule that matches a flow, and why those above it do not.

Journey: the reference of compile and fastpath.classify, and the engine of `zcc explain`. Slow and obvious on purpose: it
reads the rules as they are written, one after the other, one criterion after the other, and asks groups what they hold. It
compiles nothing and knows no numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from zcc.policy.criteria import TCP, UDP, AddressRange, Service
from zcc.policy.model import Policy, Rule
from zcc.policy.names import application_map, patterns_of
from zcc.policy.objects.endpoint import Endpoint
from zcc.policy.objects.segment import Application
from zcc.policy.places import sublocation_of
from zcc.policy.world import World

__all__ = ["Decider", "Decision", "Flow", "Mismatch", "decide"]

NOWHERE = IPv4Address(0)  # RFC 1122 §3.2.1.3: the destination of no packet
PROTOCOL_WORDS = {TCP: "tcp", UDP: "udp", 1: "icmp", 58: "icmp"}
Missed = tuple[str, str]  # criterion, what was seen
Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Flow:
    """What a decision looks at, from the side that began the flow."""

    source: Address
    destination: Address
    protocol: int  # IANA number
    port: int | None = None  # destination port; None = not known or none, as in ICMP and in later fragments
    name: str | None = None  # learned for the destination; lower case, no final dot
    namespace: str | None = None
    location: str | None = None  # a whole one
    group: str | None = None  # of the connector
    endpoint: Endpoint | None = None  # tells sublocations apart; None = in the scope of none
    at_s: float = 0.0  # seconds since 1970, for the age of tags

    @property
    def service(self) -> str:
        """The protocol and port as a person writes them."""
        word = PROTOCOL_WORDS.get(self.protocol, f"protocol {self.protocol}")
        return word if self.port is None else f"{word}/{self.port}"


@dataclass(frozen=True, slots=True)
class Mismatch:
    """A rule above the one that decided, and the first of its criteria that did not match."""

    index: int
    rule: str
    criterion: str  # a key of zcc.policy.model.CRITERIA, or "enabled"
    seen: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The rule that decides; index counts from 0 through Policy.ordered()."""

    index: int
    rule: Rule
    above: tuple[Mismatch, ...]


def decide(policy: Policy, flow: Flow, world: World | None = None) -> Decision:
    """Find the first rule that matches a flow; see Decider."""
    return Decider(policy, world).decide(flow)


class Decider:
    """Decides flows one by one, by the rules as they are written.

    Args:
        world: what is known beside the policy; None = nothing.
    """

    def __init__(self, policy: Policy, world: World | None = None) -> None:
        self.policy, self.world = policy, world or World()
        self._rules = policy.ordered()
        self._applications = application_map(policy.applications)

    def decide(self, flow: Flow) -> Decision:
        """Find the first rule that matches; there is always one, because the last matches everything."""
        above: list[Mismatch] = []
        for index, rule in enumerate(self._rules):
            missed = self.first_mismatch(rule, flow)
            if missed is None:
                return Decision(index, rule, tuple(above))
            above.append(Mismatch(index, rule.name, *missed))
        raise AssertionError("the default rule has no criteria")

    def first_mismatch(self, rule: Rule, flow: Flow, only: Iterable[str] | None = None) -> Missed | None:
        """Return the first criterion that does not match and what was seen, or None when the rule matches.

        Args:
            only: the criteria that are looked at; None = all.
        """
        if not rule.enabled:
            return "enabled", "the rule is switched off"
        for criterion, match in _CRITERIA:
            seen = match(self, rule, flow) if only is None or criterion in only else None
            if seen is not None:
                return criterion, seen
        return None

    def matches_name(self, rule: Rule, criterion: str, name: str) -> bool:
        """Tell whether a name alone, whatever its address and ports, can satisfy a criterion."""
        flow = Flow(NOWHERE, NOWHERE, TCP, name=name)
        if criterion == "applications":
            return not isinstance(self._owner(rule, flow), str)
        return self.first_mismatch(rule, flow, (criterion,)) is None

    # ---- one criterion each: None when it matches, else what was seen ----

    def _connector_group(self, rule: Rule, flow: Flow) -> str | None:
        matches = not rule.connector_groups or flow.group in rule.connector_groups
        return None if matches else flow.group or "no group"

    def _namespace(self, rule: Rule, flow: Flow) -> str | None:
        matches = not rule.namespaces or flow.namespace in rule.namespaces
        return None if matches else flow.namespace or "no namespace"

    def _location(self, rule: Rule, flow: Flow) -> str | None:
        if not rule.locations and not rule.location_groups:
            return None
        location = self.policy.location_by_name.get(flow.location or "")
        if location is None:
            return "no location"
        part = sublocation_of(location, flow.endpoint, flow.source)
        groups = (self.policy.location_group_by_name[name] for name in rule.location_groups)
        if {location.name, part} & set(rule.locations) or any(location.name in group.locations for group in groups):
            return None
        return part or location.name

    def _source(self, rule: Rule, flow: Flow) -> str | None:
        groups = self.policy.source_group_by_name
        for name in rule.exclude_source_groups:
            if _is_in(flow.source, groups[name].addresses):
                return f"{flow.source}, which {name} excludes"
        if not rule.sources and not rule.source_groups:
            return None
        listed = (rule.sources, *(groups[name].addresses for name in rule.source_groups))
        return None if any(_is_in(flow.source, values) for values in listed) else str(flow.source)

    def _source_workload(self, rule: Rule, flow: Flow) -> str | None:
        return self._workload(rule.source_workload_groups, flow.namespace, flow.source)

    def _destination_workload(self, rule: Rule, flow: Flow) -> str | None:
        return self._workload(rule.destination_workload_groups, flow.namespace, flow.destination)

    def _workload(self, groups: Iterable[str], namespace: str | None, address: Address) -> str | None:
        if not groups:
            return None
        workload = self.world.workloads.find(namespace, address)
        if workload is None:
            return f"no workload is known for {address} in namespace {namespace or 'none'}"
        held = [name for name, group in self.policy.workload_group_by_name.items() if group.holds(workload)]
        return None if set(groups) & set(held) else f"{address} ({workload.id or 'workload'}) is in {_listed(held)}"

    def _tags(self, rule: Rule, flow: Flow) -> str | None:
        if rule.tags_older_than is None and rule.tags_newer_than is None:
            return None
        workload = self.world.workloads.find(flow.namespace, flow.source)
        if workload is None:
            return None if rule.tags_newer_than is None else f"nothing is known of {flow.source}"
        age = flow.at_s - workload.confirmed_s
        old = rule.tags_older_than is None or age >= rule.tags_older_than.total_seconds()
        new = rule.tags_newer_than is None or age < rule.tags_newer_than.total_seconds()
        return None if old and new else f"tags of {flow.source} are {age:.0f}s old"

    def _destination(self, rule: Rule, flow: Flow) -> str | None:
        if not rule.destinations and not rule.destination_groups:
            return None
        groups = [self.policy.destination_group_by_name[name] for name in rule.destination_groups]
        country, categories = self.world.countries.of(flow.destination), self.world.categories_of(flow.name)
        if _goes_to(flow, rule.destinations) or any(
            _goes_to(flow, group.destinations) or country in group.countries or categories & set(group.categories)
            for group in groups
        ):
            return None
        return f"{flow.destination} ({flow.name or 'no name known'})"

    def _country(self, rule: Rule, flow: Flow) -> str | None:
        if not rule.countries:
            return None
        country = self.world.countries.of(flow.destination)
        return None if country in rule.countries else f"{flow.destination} is in {country or 'no country that is known'}"

    def _category(self, rule: Rule, flow: Flow) -> str | None:
        if not rule.categories:
            return None
        categories = self.world.categories_of(flow.name)
        if categories & set(rule.categories):
            return None
        return f"{flow.name} is in {_listed(sorted(categories))}" if flow.name else f"no name is known for {flow.destination}"

    def _application_service(self, rule: Rule, flow: Flow) -> str | None:
        if not rule.application_services:
            return None
        services = (self.policy.application_service_by_name[name] for name in rule.application_services)
        matches = any(_goes_to(flow, service.destinations) for service in services)
        return None if matches else f"{flow.destination} ({flow.name or 'no name known'})"

    def _application(self, rule: Rule, flow: Flow) -> str | None:
        if not rule.names_applications:
            return None
        owner = self._owner(rule, flow)
        if isinstance(owner, str):
            return owner
        return None if _serves(owner, flow) else f"{flow.service} is no port of application {owner.name}"

    def _owner(self, rule: Rule, flow: Flow) -> Application | str:
        """The application of a flow's name if the rule names it, else what was seen."""
        groups = (self.policy.segment_group_by_name[name] for name in rule.segment_groups)
        named = {*rule.applications, *(name for group in groups for name in group.applications)}
        if not named and not rule.all_applications:
            return "the rule names no application, so nothing matches it"
        if not flow.name:
            return f"no name is known for {flow.destination}"
        application = self._applications.get(flow.name)
        if application is None:
            return f"{flow.name} belongs to no application"
        if not rule.all_applications and application.name not in named:
            return f"{flow.name} belongs to application {application.name}"
        return application

    def _service(self, rule: Rule, flow: Flow) -> str | None:
        if not rule.services and not rule.service_groups:
            return None
        groups = (self.policy.service_group_by_name[name] for name in rule.service_groups)
        names = [*(value for value in rule.services if isinstance(value, str)), *(n for g in groups for n in g.services)]
        listed = [value for value in rule.services if isinstance(value, Service)]
        for name in names:
            listed += self.policy.service_by_name[name].services
        return None if any(value.matches(flow.protocol, flow.port) for value in listed) else flow.service


def _is_in(address: Address, ranges: Iterable[AddressRange]) -> bool:
    return any(address in values for values in ranges)


def _goes_to(flow: Flow, values: Iterable[AddressRange | str]) -> bool:
    patterns = set(patterns_of(flow.name)) if flow.name else set()
    return any(flow.destination in v if isinstance(v, AddressRange) else v in patterns for v in values)


def _serves(application: Application, flow: Flow) -> bool:
    ports = {TCP: application.tcp, UDP: application.udp}.get(flow.protocol, ())
    return flow.port is not None and any(flow.port in ports_range for ports_range in ports)


def _listed(names: Iterable[str] | Iterator[str]) -> str:
    return ", ".join(names) or "none"


_CRITERIA: tuple[tuple[str, Callable[[Decider, Rule, Flow], str | None]], ...] = (
    ("connector_groups", Decider._connector_group),
    ("namespaces", Decider._namespace),
    ("locations", Decider._location),
    ("sources", Decider._source),
    ("source_workload_groups", Decider._source_workload),
    ("tags", Decider._tags),
    ("destinations", Decider._destination),
    ("destination_workload_groups", Decider._destination_workload),
    ("countries", Decider._country),
    ("categories", Decider._category),
    ("application_services", Decider._application_service),
    ("applications", Decider._application),
    ("services", Decider._service),
)
