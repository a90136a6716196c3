"""decide: the first rule that matches a flow, and why those above it do not.

Journey: the reference of compile and fastpath.classify, and the engine of `zcc explain`. Slow and
obvious on purpose: it reads the rules as they are written, one after the other, one criterion after the
other. It compiles nothing and knows no numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from zcc.policy.criteria import TCP, UDP, AddressRange
from zcc.policy.model import Application, Policy, Rule
from zcc.policy.names import PatternMap, application_map, patterns_of

__all__ = ["Decision", "Flow", "Mismatch", "decide"]

PROTOCOL_WORDS = {TCP: "tcp", UDP: "udp", 1: "icmp", 58: "icmp"}


@dataclass(frozen=True, slots=True)
class Flow:
    """What a decision looks at, from the side that began the flow."""

    source: IPv4Address | IPv6Address
    destination: IPv4Address | IPv6Address
    protocol: int  # IANA number
    port: int | None = None  # destination port; None = not known or none, as in ICMP and in later fragments
    name: str | None = None  # learned for the destination; lower case, no final dot
    namespace: str | None = None  # no criterion; shown
    location: str | None = None
    group: str | None = None  # of the connector

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
    criterion: str
    seen: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The rule that decides; index counts from 0 through Policy.ordered()."""

    index: int
    rule: Rule
    above: tuple[Mismatch, ...]


Applications = PatternMap[Application]


def decide(policy: Policy, flow: Flow) -> Decision:
    """Find the first rule that matches a flow.

    Returns:
        A Decision; there is always one, because the last rule matches everything.
    """
    applications = application_map(policy.applications)
    above: list[Mismatch] = []
    rules = policy.ordered()
    for index, rule in enumerate(rules):
        missed = _first_mismatch(rule, flow, applications)
        if missed is None:
            return Decision(index, rule, tuple(above))
        above.append(Mismatch(index, rule.name, *missed))
    raise AssertionError("the default rule has no criteria")


def _first_mismatch(rule: Rule, flow: Flow, applications: Applications) -> tuple[str, str] | None:
    """The first criterion that does not match and what was seen, or None when the rule matches."""
    if not rule.enabled:
        return "enabled", "the rule is switched off"
    for criterion, match in _CRITERIA:
        seen = match(rule, flow, applications)
        if seen is not None:
            return criterion, seen
    return None


def _group(rule: Rule, flow: Flow, applications: Applications) -> str | None:
    matches = not rule.connector_groups or flow.group in rule.connector_groups
    return None if matches else flow.group or "no group"


def _location(rule: Rule, flow: Flow, applications: Applications) -> str | None:
    matches = not rule.locations or flow.location in rule.locations
    return None if matches else flow.location or "no location"


def _source(rule: Rule, flow: Flow, applications: Applications) -> str | None:
    matches = not rule.sources or any(flow.source in value for value in rule.sources)
    return None if matches else str(flow.source)


def _destination(rule: Rule, flow: Flow, applications: Applications) -> str | None:
    patterns = set(patterns_of(flow.name)) if flow.name else set()
    for value in rule.destinations:
        if flow.destination in value if isinstance(value, AddressRange) else value in patterns:
            return None
    if not rule.destinations:
        return None
    return f"{flow.destination} ({flow.name or 'no name known'})"


def _service(rule: Rule, flow: Flow, applications: Applications) -> str | None:
    matches = not rule.services or any(value.matches(flow.protocol, flow.port) for value in rule.services)
    return None if matches else flow.service


def _application(rule: Rule, flow: Flow, applications: Applications) -> str | None:
    if not rule.names_applications:
        return None
    if not rule.applications and not rule.all_applications:
        return "the rule names no application, so nothing matches it"
    if not flow.name:
        return f"no name is known for {flow.destination}"
    application = applications.get(flow.name)
    if application is None:
        return f"{flow.name} belongs to no application"
    if not rule.all_applications and application.name not in rule.applications:
        return f"{flow.name} belongs to application {application.name}"
    ports = {TCP: application.tcp, UDP: application.udp}.get(flow.protocol, ())
    if flow.port is None or not any(flow.port in ports_range for ports_range in ports):
        return f"{flow.service} is no port of application {application.name}"
    return None


_CRITERIA: tuple[tuple[str, Callable[[Rule, Flow, Applications], str | None]], ...] = (
    ("connector_groups", _group),
    ("locations", _location),
    ("sources", _source),
    ("destinations", _destination),
    ("applications", _application),
    ("services", _service),
)
