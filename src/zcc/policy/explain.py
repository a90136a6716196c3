"""explain: a decision in words, for people and for machines.

Journey: `zcc explain` and the portal. The engine is decide, which reads the rules as they are written, so that an
explanation never depends on what was compiled. It prints nothing itself: rich renders an Explanation, JSON is made of
to_dict().
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zcc.fields import format_duration, parse_dns_name
from zcc.policy.criteria import Service
from zcc.policy.decide import NOWHERE, Decider, Decision, Flow, shown
from zcc.policy.midway import Midway, midway
from zcc.policy.model import CRITERIA, Method, Policy, Rule
from zcc.policy.names import application_map
from zcc.policy.notes import notes_of
from zcc.policy.objects.endpoint import Endpoint
from zcc.policy.objects.stance import Cause
from zcc.policy.objects.unnamed import NAMINGS
from zcc.policy.places import sublocation_of
from zcc.policy.stances import Trouble, fails_open, meanwhile
from zcc.policy.world import World

__all__ = ["Explanation", "explain", "parse_flow", "wanted"]

VALUES_SHOWN = 5
ICMP_OF_VERSION = {4: 1, 6: 58}


def parse_flow(source: str, destination: str, service: str | None = None, *, name: str | None = None,
               namespace: str | None = None, location: str | None = None, group: str | None = None,
               naming: str | None = None) -> Flow:
    """Make a Flow of what a person types.

    Args:
        source, destination: addresses.
        service: "tcp/443", "udp/53", "tcp", "icmp"; None = tcp with no port known.
        naming: how the name is known, or why it is not; None = by the address, or nothing has been heard of it.
    Raises:
        ValueError: an argument is not what it should be; says what is allowed.
    """
    protocol, port = _protocol_and_port(service or "tcp", ip_address(destination).version)
    if naming not in (None, *NAMINGS):
        raise ValueError(f"{naming!r} is no way to know a name; allowed: {', '.join(NAMINGS)}")
    return Flow(ip_address(source), ip_address(destination), protocol, port,
                parse_dns_name(name) if name else None, namespace, location, group, naming=naming)


def _protocol_and_port(text: str, version: int) -> tuple[int, int | None]:
    service = Service.parse(text)
    if service.protocols is None or (service.ports and service.ports.low != service.ports.high):
        raise ValueError(f"{text!r} is not the service of one flow; allowed: tcp/443, udp/53, tcp, udp, icmp")
    protocol = next(iter(service.protocols)) if len(service.protocols) == 1 else ICMP_OF_VERSION[version]
    return protocol, service.ports.low if service.ports else None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Which rule decides a flow, and for each rule above it the first criterion that did not match."""

    flow: Flow
    decision: Decision
    rules: tuple[Rule, ...]
    known: dict[str, Any]  # what the policy and its files know of the flow: application, country, workload …
    notes: tuple[str, ...]
    edges: tuple[str, ...] = ()  # valid iff the method is ZIA: the internet edges to try, in order
    opens: bool = False  # valid likewise: DIRECT at once when none of them is up
    failed: tuple[str, ...] = ()  # what is taken to have failed
    meanwhile: Method | None = None  # valid iff something has: what becomes of the flow
    midway: Midway | None = None  # valid iff the flow has said its name itself

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        flow, decision = self.flow, self.decision
        above = [
            {"index": missed.index, "rule": missed.rule, "criterion": missed.criterion, "seen": missed.seen,
             "wanted": wanted(self.rules[missed.index], missed.criterion)}
            for missed in decision.above
        ]  # fmt: skip
        return {
            "flow": {
                "namespace": flow.namespace, "location": flow.location, "group": flow.group,
                "source": None if flow.source == NOWHERE else str(flow.source),
                "destination": None if flow.destination == NOWHERE else str(flow.destination), "service": flow.service,
                "name": flow.name, "naming": flow.naming, **self.known,
            },
            "rule": {"index": decision.index, "name": decision.rule.name},
            "method": str(decision.rule.method),
            "gateway": decision.rule.gateway,
            "edges": list(self.edges),
            "opens": self.opens,
            "failed": list(self.failed),
            "meanwhile": None if self.meanwhile is None else str(self.meanwhile),
            "on_failure": stances(decision.rule),
            "matched": {criterion: wanted(decision.rule, criterion)
                        for criterion in CRITERIA if wanted(decision.rule, criterion)},
            "above": above,
            "midway": self.midway and {
                "rule": {"index": self.midway.first.index, "name": self.midway.first.rule.name},
                "method": str(self.midway.first.rule.method), "outcome": str(self.midway.outcome),
            },
            "notes": list(self.notes),
        }  # fmt: skip

    def __rich__(self) -> RenderableType:
        flow, decision = self.flow, self.decision
        title = Text(f"{'a workload' if flow.source == NOWHERE else flow.source} → {shown(flow.destination)} {flow.service}")
        if flow.name:
            owner = f" of application {self.known['application']}" if self.known.get("application") else ""
            title.append(f"  name {flow.name}{owner}")
        if flow.naming:
            title.append(f"  ({flow.naming})")
        parts: list[RenderableType] = [title]
        parts += [Text(f"  {key}: {_shown(value)}", style="dim") for key, value in self.known.items()
                  if value and key != "application"]  # fmt: skip
        if decision.above:
            parts.append(self._table())
        if self.midway is not None:
            first = self.midway.first
            parts.append(Text(f"its first packets: rule {first.index} {first.rule.name!r} decides: {first.rule.method}"))
        verdict = Text(f"rule {decision.index} ", style="bold")
        verdict.append(f"{decision.rule.name!r} decides: ")
        verdict.append(str(decision.rule.method), style="bold green")
        if decision.rule.reject and decision.rule.method is Method.DROP:
            verdict.append(", and the sender is told")
        if decision.rule.gateway:
            verdict.append(f" by gateway {decision.rule.gateway}")
        parts.append(verdict)
        if self.midway is not None:
            parts.append(Text(f"  {self.midway.words(flow, decision)}", style="bold"))
        if self.edges:
            parts.append(Text(f"  edges: {', then '.join(self.edges)}; none up: {'DIRECT' if self.opens else 'dropped'}"))
        parts += [Text(f"  if {cause.replace('_', ' ')}: {stance}") for cause, stance in stances(decision.rule).items()]
        if self.meanwhile is not None:
            parts.append(Text(f"while {' and '.join(self.failed)}: {self.meanwhile}", style="bold"))
        parts += [Text(f"note: {note}", style="yellow") for note in self.notes]
        return Group(*parts)

    def _table(self) -> Table:
        table = Table("rule", "name", "did not match", "seen", "wanted")
        for missed in self.decision.above:
            values = wanted(self.rules[missed.index], missed.criterion)
            more = f" and {len(values) - VALUES_SHOWN} more" if len(values) > VALUES_SHOWN else ""
            cells = (str(missed.index), missed.rule, missed.criterion, missed.seen)
            table.add_row(*(Text(cell, overflow="fold") for cell in cells),
                          Text(", ".join(values[:VALUES_SHOWN]) + more, overflow="fold"))
        return table


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def wanted(rule: Rule, criterion: str) -> list[str]:
    """Return the values of a rule's criterion as a person wrote them; empty when any value matches."""
    return [text for field in CRITERIA.get(criterion, ()) for text in _written(rule, field)]


_KINDS = {
    "location_groups": "location group ", "source_groups": "source group ", "exclude_source_groups": "not source group ",
    "destination_groups": "destination group ", "service_groups": "service group ", "segment_groups": "segment group ",
    "source_workload_groups": "workload group ", "destination_workload_groups": "workload group ",
}  # fmt: skip


def _written(rule: Rule, field: str) -> list[str]:
    value = getattr(rule, field)
    if field == "all_applications":
        return ["every application"] if value else []
    if field in ("tags_older_than", "tags_newer_than"):
        return [] if value is None else [f"{field.removeprefix('tags_').replace('_', ' ')} {format_duration(value)}"]
    return [f"{_KINDS.get(field, '')}{item}" for item in value]


def stances(rule: Rule) -> dict[str, str]:
    """Return what a rule says of failures, by cause."""
    return {str(cause): str(stance) for cause in Cause if (stance := rule.on_failure.of(cause)) is not None}


def explain(policy: Policy, flow: Flow, world: World | None = None,
            failures: frozenset[Trouble] = frozenset()) -> Explanation:  # fmt: skip
    """Explain how a policy treats a flow.

    Args:
        flow: from its beginner's side; name as the connector would have learned it.
        world: what is known beside the policy; None = nothing.
        failures: what is taken to have failed.
    """
    decider = Decider(policy, world)
    decision = decider.decide(flow)
    edges, opens = _way(policy, decision.rule)
    instead = meanwhile(decision.rule, policy, failures) if failures else None
    return Explanation(flow, decision, policy.ordered(), _known(decider, flow), tuple(notes_of(decider, flow, decision)),
                       edges, opens,
                       tuple(sorted(map(str, failures))), instead, midway(decider, flow, decision))  # fmt: skip


def _way(policy: Policy, rule: Rule) -> tuple[tuple[str, ...], bool]:
    if rule.method is not Method.ZIA:
        return (), False
    gateway = policy.gateway_by_name.get(rule.gateway or "")
    return policy.edges if gateway is None else gateway.order(policy.edges), fails_open(rule, policy)


def _known(decider: Decider, flow: Flow) -> dict[str, Any]:
    policy, world = decider.policy, decider.world
    application = application_map(policy.applications).get(flow.name) if flow.name else None
    location = policy.location_by_name.get(flow.location or "")
    source = world.workloads.find(flow.namespace, flow.source)
    destination = world.workloads.find(flow.namespace, flow.destination)
    return {
        "application": application.name if application else None,
        "sublocation": sublocation_of(location, flow.endpoint, flow.source) if location else None,
        "country": world.countries.of(flow.destination),
        "categories": sorted(world.categories_of(flow.name)),
        "source_workload": source.id or str(source.address) if source else None,
        "source_workload_groups": _groups_of(policy, source),
        "destination_workload_groups": _groups_of(policy, destination),
    }


def _groups_of(policy: Policy, workload: Any) -> list[str]:
    return [] if workload is None else [group.name for group in policy.workload_groups if group.holds(workload)]


def endpoint_of(policy: Policy, id: int) -> Endpoint | None:
    """Return one of the policy's endpoints, or None."""
    return next((endpoint for endpoint in policy.endpoints if endpoint.id == id), None)
