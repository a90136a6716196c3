"""about: what a policy knows of a name or of a workload, and which rules look at it.

Journey: `zcc explain --name` and `zcc explain --workload`. Rules are asked through decide, so that what is told here is what
a flow would meet. Rendered as explain's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from zcc.policy.decide import Decider, Flow
from zcc.policy.explain import wanted
from zcc.policy.model import CRITERIA, Method, Policy, Rule
from zcc.policy.names import application_map, patterns_of
from zcc.policy.objects.tag_expression import TagType
from zcc.policy.workload import Workload
from zcc.policy.world import World

__all__ = ["About", "about_name", "about_workload"]

OF_NAME = ("destinations", "categories", "application_services", "applications")
OF_SOURCE = ("connector_groups", "namespaces", "locations", "sources", "source_workload_groups", "tags")


@dataclass(frozen=True, slots=True)
class About:
    """A subject, what is known of it, and the rules that look at it."""

    subject: str
    known: dict[str, Any]
    rules: tuple[dict[str, Any], ...]  # index, rule, method, and the criteria by which it may match
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON."""
        return {"subject": self.subject, "known": self.known, "rules": list(self.rules), "notes": list(self.notes)}

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [Text(self.subject, style="bold")]
        for key, value in self.known.items():
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            parts.append(Text(f"  {key.replace('_', ' ')}: {text or 'none'}"))
        table = Table("rule", "name", "method", "may match by", "and also wants")
        for rule in self.rules:
            cells = (str(rule["index"]), rule["rule"], rule["method"], "; ".join(rule["by"]), "; ".join(rule["also"]))
            table.add_row(*(Text(cell, overflow="fold") for cell in cells))
        parts.append(table)
        parts += [Text(f"note: {note}", style="yellow") for note in self.notes]
        return Group(*parts)


def about_name(policy: Policy, name: str, world: World | None = None) -> About:
    """Tell what a policy knows of a name: its application, lists and groups, and the rules that it may match.

    Args:
        name: lower case, no final dot.
    """
    world = world or World()
    application = application_map(policy.applications).get(name)
    known = {
        "application": application.name if application else None,
        "categories": sorted(world.categories_of(name)),
        "application_services": [service.name for service in policy.application_service_by_name.values()
                                 if _listed(service.destinations, name)],
        "destination_groups": [group.name for group in policy.destination_group_by_name.values()
                               if _listed(group.destinations, name)],
    }  # fmt: skip
    notes, rules = [], tuple(_rules_of_name(Decider(policy, world), name))
    if application:
        ports = ", ".join((*(f"tcp/{p}" for p in application.tcp), *(f"udp/{p}" for p in application.udp)))
        notes.append(f"DNS queries for {name} are answered with a synthetic address; the application is served on {ports}")
        if not any(row["method"] == Method.ZPA for row in rules):
            notes.append(f"no ZPA rule is about application {application.name}: flows to its address lead nowhere")
    else:
        notes.append(f"DNS queries for {name} are forwarded unless a DNS rule says otherwise, and their answers teach the name "
                     "of an address")
    return About(name, known, rules, tuple(notes))


def _listed(destinations: Any, name: str) -> bool:
    return not set(patterns_of(name)).isdisjoint(value for value in destinations if isinstance(value, str))


def _rules_of_name(decider: Decider, name: str) -> Iterator[dict[str, Any]]:
    """The rules that name it, and those that match whatever the name."""
    for index, rule in enumerate(decider.policy.ordered()):
        by = [criterion for criterion in OF_NAME if wanted(rule, criterion)]
        if rule.enabled and all(decider.matches_name(rule, criterion, name) for criterion in by):
            yield _row(index, rule, by or ["any destination"], by)


def about_workload(
    policy: Policy, address: IPv4Address | IPv6Address, world: World | None = None, *, namespace: str | None = None,
    location: str | None = None, group: str | None = None, at_s: float = 0.0,
) -> About:  # fmt: skip
    """Tell what is known of a workload: its tags, its groups, and the rules that its flows may match."""
    decider = Decider(policy, world)
    workload = decider.world.workloads.find(namespace, address)
    known = {"namespace": namespace, "location": location, **_of_workload(policy, workload, at_s)}
    flow = Flow(address, address, 0, namespace=namespace, location=location, group=group, at_s=at_s)
    rules = tuple(
        _row(index, rule, [criterion for criterion in OF_SOURCE if wanted(rule, criterion)] or ["any source"], OF_SOURCE)
        for index, rule in enumerate(policy.ordered())
        if rule.enabled and decider.first_mismatch(rule, flow, OF_SOURCE) is None
    )
    return About(str(address), known, rules, () if workload else (_unknown(decider.world, address, namespace),))


def _unknown(world: World, address: IPv4Address | IPv6Address, namespace: str | None) -> str:
    elsewhere = sorted({found.namespace for found in world.workloads if found.address == address})
    known = f"; it is one of namespace {' and of '.join(elsewhere)}" if elsewhere else ""
    return f"no workload is known for {address} in namespace {namespace or 'none'}{known}"


def _of_workload(policy: Policy, workload: Workload | None, at_s: float) -> dict[str, Any]:
    if workload is None:
        return {"workload_groups": []}
    tags = [f"{type.lower()} {key}={value}" for type in TagType if type in workload.own
            for key, value in workload.own[type].items()]  # fmt: skip
    return {
        "id": workload.id,
        "tags": tags,
        "attributes": [f"{key}={value}" for key, value in workload.attributes.items()],
        "confirmed_seconds_ago": round(at_s - workload.confirmed_s),
        "workload_groups": [group.name for group in policy.workload_groups if group.holds(workload)],
    }


def _row(index: int, rule: Rule, by: list[str], looked_at: Any) -> dict[str, Any]:
    also = [f"{criterion}: {', '.join(wanted(rule, criterion)[:5])}" for criterion in CRITERIA
            if criterion not in looked_at and wanted(rule, criterion)]  # fmt: skip
    values = [f"{name}: {', '.join(wanted(rule, name)[:5])}" if name in CRITERIA else name for name in by]
    return {"index": index, "rule": rule.name, "method": str(rule.method), "by": values, "also": also}
