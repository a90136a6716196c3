"""explain: a decision in words, for people and for machines.

Journey: `zcc explain` and the portal. The engine is decide, which reads the rules as they are written,
so that an explanation never depends on what was compiled. It prints nothing itself: rich renders an
Explanation, JSON is made of to_dict().
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zcc.fields import parse_dns_name
from zcc.policy.criteria import TCP, UDP, Service
from zcc.policy.decide import Decision, Flow, decide
from zcc.policy.model import Policy, Rule
from zcc.policy.names import application_map

__all__ = ["Explanation", "explain", "parse_flow"]

CRITERIA = ("connector_groups", "locations", "sources", "destinations", "applications", "services")
VALUES_SHOWN = 5
ICMP_OF_VERSION = {4: 1, 6: 58}


def parse_flow(source: str, destination: str, service: str | None = None, *, name: str | None = None,
               namespace: str | None = None, location: str | None = None, group: str | None = None) -> Flow:
    """Make a Flow of what a person types.

    Args:
        source, destination: addresses.
        service: "tcp/443", "udp/53", "tcp", "icmp"; None = tcp with no port known.
    Raises:
        ValueError: an argument is not what it should be; says what is allowed.
    """
    protocol, port = _protocol_and_port(service or "tcp", ip_address(destination).version)
    return Flow(ip_address(source), ip_address(destination), protocol, port,
                parse_dns_name(name) if name else None, namespace, location, group)


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
    application: str | None  # owner of the flow's name
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        flow, decision = self.flow, self.decision
        above = [
            {"index": missed.index, "rule": missed.rule, "criterion": missed.criterion, "seen": missed.seen,
             "wanted": wanted(self.rules[missed.index], missed.criterion)}
            for missed in decision.above
        ]
        return {
            "flow": {
                "namespace": flow.namespace, "location": flow.location, "connector_group": flow.group,
                "source": str(flow.source), "destination": str(flow.destination), "service": flow.service,
                "name": flow.name, "application": self.application,
            },
            "rule": {"index": decision.index, "name": decision.rule.name},
            "method": str(decision.rule.method),
            "matched": {criterion: wanted(decision.rule, criterion)
                        for criterion in CRITERIA if wanted(decision.rule, criterion)},
            "above": above,
            "notes": list(self.notes),
        }

    def __rich__(self) -> RenderableType:
        flow, decision = self.flow, self.decision
        title = Text(f"{flow.source} → {flow.destination} {flow.service}")
        if flow.name:
            owner = f" of application {self.application}" if self.application else ""
            title.append(f"  name {flow.name}{owner}")
        parts: list[RenderableType] = [title]
        if decision.above:
            parts.append(self._table())
        verdict = Text(f"rule {decision.index} ", style="bold")
        verdict.append(f"{decision.rule.name!r} decides: ")
        verdict.append(str(decision.rule.method), style="bold green")
        parts.append(verdict)
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


def wanted(rule: Rule, criterion: str) -> list[str]:
    """Return the values of a rule's criterion as a person wrote them; empty when any value matches."""
    if criterion == "applications" and rule.all_applications:
        return ["every application"]
    return [str(value) for value in getattr(rule, criterion)] if criterion in CRITERIA else []


def explain(policy: Policy, flow: Flow) -> Explanation:
    """Explain how a policy treats a flow.

    Args:
        flow: from its beginner's side; name as the connector would have learned it.
    """
    owner = application_map(policy.applications).get(flow.name) if flow.name else None
    notes = []
    address = flow.destination
    if flow.name is None and isinstance(address, IPv4Address) and address in policy.pool:
        notes.append(f"{address} is a synthetic address: a connector would first ask the private edge "
                     "for its name; give the name to see what follows")
    if flow.protocol in (TCP, UDP) and flow.port is None:
        notes.append("no port is given, as in a later fragment: criteria with ports do not match")
    application = owner.name if owner else None
    return Explanation(flow, decide(policy, flow), policy.ordered(), application, tuple(notes))
