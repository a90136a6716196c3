"""References: names used twice, names of what does not exist, and more of something than there may be.

Journey: zcc.policy.model and a role's settings ask for every problem at once, each with its place in the file. What does not
exist is told with the nearest name that does. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from zcc.fields import format_endpoint_id
from zcc.policy.criteria import Service
from zcc.policy.objects.catalogue import Catalogue
from zcc.policy.objects.endpoint import Endpoint
from zcc.policy.objects.tag_expression import terms_of

if TYPE_CHECKING:
    from zcc.policy.model import Rule

__all__ = ["Place", "problems", "repeated", "unknown"]

Place = tuple[str | int, ...]
Found = Iterator[tuple[Place, str]]

RESERVED_RULES = ("ZPA Pool For Stray Traffic", "Default Forwarding Rule")
# Kinds of objects with a name; connector groups are names themselves.
KINDS = ("namespaces", "locations", "location_groups", "source_groups", "destination_groups", "services",
         "service_groups", "application_services", "workload_groups", "applications", "segment_groups", "server_groups",
         "gateways", "dns_gateways", "pools")  # fmt: skip
IN_RULE = {
    "locations": "locations_in_rule", "location_groups": "location_groups_in_rule",
    "connector_groups": "connector_groups_in_rule", "source_workload_groups": "workload_groups_in_rule",
    "destination_workload_groups": "workload_groups_in_rule", "sources": "values", "destinations": "values",
    "services": "values",
}  # fmt: skip


def problems(catalogue: Catalogue, rules: Sequence[Rule], endpoints: Sequence[Endpoint], edges: Sequence[str]) -> Found:
    """Find every problem between the objects and rules of a file.

    Args:
        endpoints: whose namespaces and locations must be there.
        edges: internet edges that gateways may name.
    Yields:
        (place, message): the path in the configuration, such as ("rules", 2, "locations", 0).
    """
    for kind in KINDS:
        yield from repeated(kind, "name", [item.name for item in getattr(catalogue, kind)])
    yield from repeated("endpoints", "id", [endpoint.id for endpoint in endpoints], show=format_endpoint_id)
    yield from repeated("rules", "name", [rule.name for rule in rules], *RESERVED_RULES)
    yield from _limits(catalogue, rules)
    yield from _owners(catalogue)
    known = _known(catalogue, edges)
    yield from _in_objects(catalogue, known)
    yield from _in_endpoints(endpoints, known)
    for i, rule in enumerate(rules):
        yield from _in_rule(("rules", i), rule, known)
        yield from _parts_of_drop(("rules", i), rule)
        yield from _far_groups_of_local(("rules", i), rule, catalogue)


class _Names:
    """Names of one kind that exist."""

    def __init__(self, kind: str, names: Sequence[str], any_if_empty: bool = False) -> None:
        self.kind, self.names = kind, names
        self._exists = set(names)
        self._any = any_if_empty and not names

    def missing(self, name: str) -> str | None:
        """Say that a name does not exist, or None."""
        return None if self._any or name in self._exists else unknown(self.kind, name, self.names)


def _known(catalogue: Catalogue, edges: Sequence[str]) -> dict[str, _Names]:
    listed: dict[str, tuple[str, Sequence[str], bool]] = {
        "locations": ("location", [*catalogue.location_names,
                                   *(part for location in catalogue.locations for part in location.parts())], False),
        "whole_locations": ("location", catalogue.location_names, False),
        "location_groups": ("location group", [*catalogue.location_group_by_name], False),
        "connector_groups": ("connector group", catalogue.connector_groups, True),
        "source_groups": ("source group", [*catalogue.source_group_by_name], False),
        "destination_groups": ("destination group", [*catalogue.destination_group_by_name], False),
        "services": ("service", [*catalogue.service_by_name], False),
        "service_groups": ("service group", [*catalogue.service_group_by_name], False),
        "application_services": ("application service", [*catalogue.application_service_by_name], False),
        "workload_groups": ("workload group", [*catalogue.workload_group_by_name], False),
        "applications": ("application", [application.name for application in catalogue.applications], False),
        "segment_groups": ("segment group", [*catalogue.segment_group_by_name], False),
        "server_groups": ("server group", [group.name for group in catalogue.server_groups], False),
        "gateways": ("gateway", [*catalogue.gateway_by_name], False),
        "namespaces": ("namespace", [namespace.name for namespace in catalogue.namespaces], False),
        "edges": ("internet edge", edges, False),
    }  # fmt: skip
    return {field: _Names(*names) for field, names in listed.items()}


def _in_rule(place: Place, rule: Rule, known: dict[str, _Names]) -> Found:
    for field, kind in (
        ("locations", "locations"), ("location_groups", "location_groups"), ("connector_groups", "connector_groups"),
        ("namespaces", "namespaces"),
        ("source_groups", "source_groups"), ("exclude_source_groups", "source_groups"),
        ("source_workload_groups", "workload_groups"), ("destination_groups", "destination_groups"),
        ("destination_workload_groups", "workload_groups"), ("services", "services"),
        ("service_groups", "service_groups"), ("application_services", "application_services"),
        ("applications", "applications"), ("segment_groups", "segment_groups"),
    ):  # fmt: skip
        for j, name in enumerate(getattr(rule, field)):
            message = None if isinstance(name, Service) else known[kind].missing(name)
            if message is not None:
                yield (*place, field, j), f"rule {rule.name!r}: {message}"
    if rule.gateway is not None and (message := known["gateways"].missing(rule.gateway)) is not None:
        yield (*place, "gateway"), f"rule {rule.name!r}: {message}"


def _parts_of_drop(place: Place, rule: Rule) -> Found:
    if rule.method == "DROP":
        for j, name in enumerate(rule.locations):
            if "/" in name:
                yield ((*place, "locations", j),
                       f"rule {rule.name!r}: {name!r} is a sublocation; allowed with method DROP: whole locations")  # fmt: skip


def _far_groups_of_local(place: Place, rule: Rule, catalogue: Catalogue) -> Found:
    for j, name in enumerate(rule.destination_groups if rule.method == "LOCAL" else ()):
        group = catalogue.destination_group_by_name.get(name)
        if group is not None and (group.countries or group.categories):
            yield ((*place, "destination_groups", j),
                   f"rule {rule.name!r}: {name!r} holds countries or categories, which lie on the internet; "
                   "allowed with method LOCAL: groups of addresses and names")  # fmt: skip


# Object kind → field of it → kind of what it names.
_REFERENCES: dict[str, dict[str, str]] = {
    "location_groups": {"locations": "whole_locations"},
    "service_groups": {"services": "services"},
    "segment_groups": {"applications": "applications"},
    "applications": {"server_groups": "server_groups"},
    "gateways": {"edges": "edges"},
    "pools": {"locations": "whole_locations", "location_groups": "location_groups"},
}


def _in_objects(catalogue: Catalogue, known: dict[str, _Names]) -> Found:
    for kind, fields in _REFERENCES.items():
        for i, item in enumerate(getattr(catalogue, kind)):
            for field, target in fields.items():
                for j, name in enumerate(getattr(item, field)):
                    message = known[target].missing(name)
                    if message is not None:
                        yield (kind, i, *_field(item, field, j, name)), f"{_singular(kind)} {item.name!r}: {message}"
    for i, location in enumerate(catalogue.locations):
        for j, part in enumerate(location.sublocations):
            for k, name in enumerate(part.namespaces):
                message = known["namespaces"].missing(name)
                if message is not None:
                    yield (("locations", i, "sublocations", j, "namespaces", k),
                           f"sublocation {location.name}/{part.name}: {message}")  # fmt: skip


def _in_endpoints(endpoints: Sequence[Endpoint], known: dict[str, _Names]) -> Found:
    for i, endpoint in enumerate(endpoints):
        for field, kind in (("namespace", "namespaces"), ("location", "whole_locations")):
            message = known[kind].missing(getattr(endpoint, field))
            if message is not None:
                yield ("endpoints", i, field), message


def _field(item: Any, field: str, index: int, name: str) -> Place:
    if field != "edges":
        return (field, index)
    return (next(f for f in ("primary", "secondary", "tertiary") if getattr(item, f) == name),)


def _owners(catalogue: Catalogue) -> Found:
    owner: dict[str, str] = {}
    for i, application in enumerate(catalogue.applications):
        for j, domain in enumerate(application.domains):
            if owner.setdefault(domain, application.name) != application.name:
                message = f"{domain} belongs to application {owner[domain]!r} already"
                yield ("applications", i, "domains", j), f"application {application.name!r}: {message}"


def _limits(catalogue: Catalogue, rules: Sequence[Rule]) -> Found:
    limits = catalogue.limits
    for kind in (*KINDS[1:], "connector_groups"):
        yield from _too_many((kind,), len(getattr(catalogue, kind)), kind, getattr(limits, kind))
    yield from _too_many(("rules",), len(rules), "rules", limits.rules)
    names = 0
    for i, rule in enumerate(rules):
        for field, limit in IN_RULE.items():
            yield from _too_many(("rules", i, field), len(getattr(rule, field)), limit, getattr(limits, limit))
        names += sum(isinstance(value, str) for value in rule.destinations)
    for kind, field in (("source_groups", "addresses"), ("destination_groups", "destinations")):
        for i, group in enumerate(getattr(catalogue, kind)):
            values = getattr(group, field)
            yield from _too_many((kind, i, field), len(values), "values", limits.values)
            names += sum(isinstance(value, str) for value in values)
    yield from _too_many(("rules",), names, "names", limits.names)
    for i, found in enumerate(catalogue.workload_groups):
        tags = sum(1 for _ in terms_of(found.expression))
        yield from _too_many(("workload_groups", i, "expression"), tags, "tags_in_group", limits.tags_in_group)


def _too_many(place: Place, number: int, limit: str, most: int) -> Found:
    if number > most:
        yield place, f"{number} are more than limits.{limit} allows; allowed: at most {most}, or a higher limit"


def repeated(kind: str, field: str, values: Sequence[Any], *reserved: Any, show: Callable[[Any], str] = repr) -> Found:
    """Find values that stand twice in one field of a list of objects."""
    seen = set(reserved)
    for i, value in enumerate(values):
        if value in seen:
            yield (kind, i, field), f"{_singular(kind)} {field} {show(value)} is used twice"
        seen.add(value)


def _singular(kind: str) -> str:
    return kind.removesuffix("s").replace("_", " ")


def unknown(kind: str, name: str, known: Sequence[str]) -> str:
    """Say that a name does not exist, with the nearest that does."""
    near = get_close_matches(name, known, n=1)
    listed = ", ".join(known[:10]) + (", …" if len(known) > 10 else "")
    hint = f"did you mean {near[0]!r}?" if near else f"allowed: {listed or 'none, since none is configured'}"
    return f"{kind} {name!r} does not exist; {hint}"
