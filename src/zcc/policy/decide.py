"""decide: the first rule that matches a flow, and why those above it do not.

Journey: the reference of compile and fastpath.classify, and the engine of `zcc explain`. Slow and obvious on purpose: it
reads the rules as they are written, one after the other, one criterion after the other, and asks groups what they hold. It
compiles nothing and knows no numbers.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address

from zcc.policy.criteria import TCP, UDP, AddressRange, Service
from zcc.policy.model import Policy, Rule, is_set
from zcc.policy.names import application_map, patterns_of
from zcc.policy.objects.endpoint import Endpoint
from zcc.policy.objects.location import Location
from zcc.policy.objects.segment import Application
from zcc.policy.places import sublocation_of
from zcc.policy.world import World

__all__ = ["NOWHERE", "Decider", "Decision", "Flow", "Mismatch", "decide", "shown"]

NOWHERE = IPv4Address(0)  # RFC 1122 §3.2.1.3: the destination of no packet, and here of one whose address is not known
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
    naming: str | None = None  # one of zcc.policy.objects.unnamed.NAMINGS; None = nothing has been heard of it

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


class Subject:
    """A flow, and what is known of it, each looked up once."""

    def __init__(self, decider: Decider, flow: Flow) -> None:
        self.flow = flow
        self._decider = decider

    @cached_property
    def patterns(self) -> frozenset[str]:
        """Return every pattern that the flow's name matches."""
        return frozenset(patterns_of(self.flow.name)) if self.flow.name else frozenset()

    @cached_property
    def country(self) -> str | None:
        """Return the country of the destination."""
        return self._decider.world.countries.of(self.flow.destination)

    @cached_property
    def categories(self) -> frozenset[str]:
        """Return the categories of the name."""
        return self._decider.world.categories_of(self.flow.name)

    @cached_property
    def location(self) -> Location | None:
        """Return the location that the flow came in by."""
        return self._decider.policy.location_by_name.get(self.flow.location or "")

    @cached_property
    def part(self) -> str | None:
        """Return its sublocation, as LOCATION/SUBLOCATION."""
        location = self.location
        return sublocation_of(location, self.flow.endpoint, self.flow.source) if location else None

    def goes_to(self, values: Iterable[AddressRange | str]) -> bool:
        """Tell whether the destination is one of some addresses and names."""
        return any(self.flow.destination in v if isinstance(v, AddressRange) else v in self.patterns for v in values)


Seen = Callable[[], str]  # what was seen instead, in words; made only when someone wants to read it


class Decider:
    """Decides flows one by one, by the rules as they are written.

    Args:
        world: what is known beside the policy; None = nothing.
    """

    def __init__(self, policy: Policy, world: World | None = None) -> None:
        self.policy, self.world = policy, world or World()
        self._rules = policy.ordered()
        self._set = [_criteria_of(rule) for rule in self._rules]
        self._applications = application_map(policy.applications)

    def decide(self, flow: Flow) -> Decision:
        """Find the first rule that matches, and why those above it do not; there is always one, the last."""
        index, missed = self._first(flow)
        above = tuple(Mismatch(n, self._rules[n].name, criterion, seen()) for n, (criterion, seen) in enumerate(missed))
        return Decision(index, self._rules[index], above)

    def rule_of(self, flow: Flow) -> Rule:
        """Find the first rule that matches; quicker than decide, which also says why not the others."""
        return self._rules[self._first(flow)[0]]

    def _first(self, flow: Flow) -> tuple[int, list[tuple[str, Seen]]]:
        subject = Subject(self, flow)
        missed: list[tuple[str, Seen]] = []
        for index, rule in enumerate(self._rules):
            found = self._missed(rule, subject, self._set[index])
            if found is None:
                return index, missed
            missed.append(found)
        raise AssertionError("the default rule has no criteria")

    def _missed(self, rule: Rule, subject: Subject, criteria: Criteria) -> tuple[str, Seen] | None:
        if not rule.enabled:
            return "enabled", lambda: "the rule is switched off"
        for criterion, match in criteria:
            seen = match(self, rule, subject)
            if seen is not None:
                return criterion, seen
        return None

    def first_mismatch(self, rule: Rule, flow: Flow, only: Iterable[str] | None = None) -> Missed | None:
        """Return the first criterion that does not match and what was seen, or None when the rule matches.

        Args:
            only: the criteria that are looked at; None = all.
        """
        criteria = tuple(item for item in _criteria_of(rule) if only is None or item[0] in only)
        found = self._missed(rule, Subject(self, flow), criteria)
        return None if found is None else (found[0], found[1]())

    def matches_name(self, rule: Rule, criterion: str, name: str) -> bool:
        """Tell whether a name alone, whatever its address and ports, can satisfy a criterion."""
        flow = Flow(NOWHERE, NOWHERE, TCP, name=name)
        if criterion == "applications":
            return isinstance(self._owner(rule, flow), Application)
        return self.first_mismatch(rule, flow, (criterion,)) is None

    # ---- one criterion each, for rules that set it: None when it matches, else what was seen ----

    def _connector_group(self, rule: Rule, subject: Subject) -> Seen | None:
        group = subject.flow.group
        return None if group in rule.connector_groups else lambda: group or "no group"

    def _namespace(self, rule: Rule, subject: Subject) -> Seen | None:
        namespace = subject.flow.namespace
        return None if namespace in rule.namespaces else lambda: namespace or "no namespace"

    def _location(self, rule: Rule, subject: Subject) -> Seen | None:
        location, part = subject.location, subject.part
        if location is None:
            return lambda: "no location"
        groups = (self.policy.location_group_by_name[name] for name in rule.location_groups)
        if {location.name, part} & set(rule.locations) or any(location.name in group.locations for group in groups):
            return None
        return lambda: part or location.name

    def _source(self, rule: Rule, subject: Subject) -> Seen | None:
        groups, source = self.policy.source_group_by_name, subject.flow.source
        for name in rule.exclude_source_groups:
            if _is_in(source, groups[name].addresses):
                return functools.partial("{}, which {} excludes".format, source, name)
        if not rule.sources and not rule.source_groups:
            return None
        listed = (rule.sources, *(groups[name].addresses for name in rule.source_groups))
        return None if any(_is_in(source, values) for values in listed) else lambda: shown(source)

    def _source_workload(self, rule: Rule, subject: Subject) -> Seen | None:
        return self._workload(rule.source_workload_groups, subject.flow.namespace, subject.flow.source)

    def _destination_workload(self, rule: Rule, subject: Subject) -> Seen | None:
        return self._workload(rule.destination_workload_groups, subject.flow.namespace, subject.flow.destination)

    def _workload(self, groups: Iterable[str], namespace: str | None, address: Address) -> Seen | None:
        workload = self.world.workloads.find(namespace, address)
        if workload is None:
            return lambda: f"no workload is known for {shown(address)} in namespace {namespace or 'none'}"
        known = self.policy.workload_group_by_name
        if any(known[name].holds(workload) for name in groups):
            return None
        return lambda: (f"{shown(address)} ({workload.id or 'workload'}) is in "
                        f"{_listed(name for name, group in known.items() if group.holds(workload))}")  # fmt: skip

    def _tags(self, rule: Rule, subject: Subject) -> Seen | None:
        flow = subject.flow
        workload = self.world.workloads.find(flow.namespace, flow.source)
        if workload is None:
            return None if rule.tags_newer_than is None else lambda: f"nothing is known of {flow.source}"
        age = flow.at_s - workload.confirmed_s
        old = rule.tags_older_than is None or age >= rule.tags_older_than.total_seconds()
        new = rule.tags_newer_than is None or age < rule.tags_newer_than.total_seconds()
        return None if old and new else lambda: f"tags of {flow.source} are {age:.0f}s old"

    def _destination(self, rule: Rule, subject: Subject) -> Seen | None:
        groups = (self.policy.destination_group_by_name[name] for name in rule.destination_groups)
        if subject.goes_to(rule.destinations) or any(
            subject.goes_to(group.destinations)
            or (group.countries and subject.country in group.countries)
            or (group.categories and subject.categories & set(group.categories))
            for group in groups
        ):
            return None
        return lambda: _where(subject.flow)

    def _country(self, rule: Rule, subject: Subject) -> Seen | None:
        if subject.country in rule.countries:
            return None
        return lambda: f"{shown(subject.flow.destination)} is in {subject.country or 'no country that is known'}"

    def _category(self, rule: Rule, subject: Subject) -> Seen | None:
        if subject.categories & set(rule.categories):
            return None
        name, destination = subject.flow.name, subject.flow.destination
        return lambda: f"{name} is in {_listed(sorted(subject.categories))}" if name else f"no name is known for {destination}"

    def _unnamed(self, rule: Rule, subject: Subject) -> Seen | None:
        naming, name = subject.flow.naming, subject.flow.name
        if naming in rule.unnamed:
            return None
        return lambda: f"{name}, known by {naming or 'its address'}" if name else naming or "it has not said anything yet"

    def _application_service(self, rule: Rule, subject: Subject) -> Seen | None:
        services = (self.policy.application_service_by_name[name] for name in rule.application_services)
        return None if any(subject.goes_to(service.destinations) for service in services) else lambda: _where(subject.flow)

    def _application(self, rule: Rule, subject: Subject) -> Seen | None:
        flow = subject.flow
        owner = self._owner(rule, flow)
        if not isinstance(owner, Application):
            return owner
        return None if _serves(owner, flow) else lambda: f"{flow.service} is no port of application {owner.name}"

    def _owner(self, rule: Rule, flow: Flow) -> Application | Seen:
        """The application of a flow's name if the rule names it, else what was seen."""
        groups = (self.policy.segment_group_by_name[name] for name in rule.segment_groups)
        named = {*rule.applications, *(name for group in groups for name in group.applications)}
        if not named and not rule.all_applications:
            return lambda: "the rule names no application, so nothing matches it"
        if not flow.name:
            return lambda: f"no name is known for {flow.destination}"
        application = self._applications.get(flow.name)
        if application is None:
            return lambda: f"{flow.name} belongs to no application"
        if not rule.all_applications and application.name not in named:
            return lambda: f"{flow.name} belongs to application {application.name}"
        return application

    def _service(self, rule: Rule, subject: Subject) -> Seen | None:
        flow = subject.flow
        groups = (self.policy.service_group_by_name[name] for name in rule.service_groups)
        names = [*(value for value in rule.services if isinstance(value, str)), *(n for g in groups for n in g.services)]
        listed = [value for value in rule.services if isinstance(value, Service)]
        for name in names:
            listed += self.policy.service_by_name[name].services
        return None if any(value.matches(flow.protocol, flow.port) for value in listed) else lambda: flow.service


def _where(flow: Flow) -> str:
    return f"{shown(flow.destination)} ({flow.name or 'no name known'})"


def shown(address: Address) -> str:
    """Write an address, or that none is given."""
    return "no address" if address == NOWHERE else str(address)


def _is_in(address: Address, ranges: Iterable[AddressRange]) -> bool:
    return any(address in values for values in ranges)


def _serves(application: Application, flow: Flow) -> bool:
    ports = {TCP: application.tcp, UDP: application.udp}.get(flow.protocol, ())
    return flow.port is not None and any(flow.port in ports_range for ports_range in ports)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"


Criteria = tuple[tuple[str, Callable[[Decider, Rule, Subject], Seen | None]], ...]
_CRITERIA: Criteria = (
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
    ("unnamed", Decider._unnamed),
    ("application_services", Decider._application_service),
    ("applications", Decider._application),
    ("services", Decider._service),
)


def _criteria_of(rule: Rule) -> Criteria:
    """The criteria that a rule sets; applications count with ZPA even if none is named."""
    return tuple((criterion, match) for criterion, match in _CRITERIA
                 if (rule.names_applications if criterion == "applications" else is_set(rule, criterion)))  # fmt: skip
