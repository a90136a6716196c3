"""Application, Rule, Policy: what an operator writes, checked whole and frozen.

Journey: configuration → Policy → decide (slow) or compile (fast). Rules are ordered and the first that
matches decides. All criteria that a rule sets must match; of the values of one criterion, one. A
criterion left empty matches anything, except that a ZPA rule without applications matches nothing.

    criterion          ZIA  ZPA  DIRECT  DROP  LOCAL
    locations           x    x     x      x     x
    connector_groups    x    x     x      x     x
    sources             x    x     x      x     x
    destinations        x    –     x      x     x       networks, ranges, names and *. patterns
    services            x    –     x      x     x
    applications        –    x     –      x     –       not together with destinations

After the operator's rules come two that are always there: the synthetic pool is dropped, everything else
is ZIA. It does not decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from enum import StrEnum
from ipaddress import IPv4Network
from typing import Annotated, Self

from pydantic import Field, model_validator

from zcc.fields import DnsPattern, PortRange, Settings
from zcc.policy.criteria import AddressRange, Destination, ServiceField, Source

__all__ = ["Application", "Method", "Policy", "Rule", "reference_problems"]

RULE_NAME_LIMIT = 31
DESCRIPTION_LIMIT = 10_240
RULES_LIMIT = 1_020
VALUES_LIMIT = 8_000  # addresses or names in one rule
LOCATIONS_LIMIT = 8
GROUPS_LIMIT = 32
APPLICATIONS_LIMIT = 50_000

STRAY_RULE = "ZPA Pool For Stray Traffic"
DEFAULT_RULE = "Default Forwarding Rule"

Name = Annotated[str, Field(min_length=1, max_length=RULE_NAME_LIMIT)]


class Method(StrEnum):
    """What becomes of a flow."""

    ZIA = "ZIA"
    ZPA = "ZPA"
    DIRECT = "DIRECT"
    DROP = "DROP"
    LOCAL = "LOCAL"


_NOT_ALLOWED = {
    Method.ZIA: ("applications", "all_applications"),
    Method.ZPA: ("destinations", "services"),
    Method.DIRECT: ("applications", "all_applications"),
    Method.DROP: (),
    Method.LOCAL: ("applications", "all_applications"),
}


class Application(Settings):
    """Names that belong together, and the ports on which they are served."""

    name: Annotated[str, Field(min_length=1, max_length=255)]
    domains: Annotated[tuple[DnsPattern, ...], Field(min_length=1)]
    tcp: tuple[PortRange, ...] = ()
    udp: tuple[PortRange, ...] = ()

    @model_validator(mode="after")
    def _has_ports(self) -> Self:
        if not self.tcp and not self.udp:
            raise ValueError(f"application {self.name!r} has no ports; give tcp or udp")
        return self


class Rule(Settings):
    """One line of the policy."""

    name: Name
    method: Method
    description: Annotated[str, Field(max_length=DESCRIPTION_LIMIT)] = ""
    enabled: bool = True  # a rule switched off keeps its place
    locations: Annotated[tuple[str, ...], Field(max_length=LOCATIONS_LIMIT)] = ()
    connector_groups: Annotated[tuple[str, ...], Field(max_length=GROUPS_LIMIT)] = ()
    sources: Annotated[tuple[Source, ...], Field(max_length=VALUES_LIMIT)] = ()
    destinations: Annotated[tuple[Destination, ...], Field(max_length=VALUES_LIMIT)] = ()
    services: tuple[ServiceField, ...] = ()
    applications: tuple[str, ...] = ()
    all_applications: bool = False

    @property
    def names_applications(self) -> bool:
        """Whether the application criterion counts: always with ZPA, where empty means none."""
        return self.method is Method.ZPA or self.all_applications or bool(self.applications)

    @model_validator(mode="after")
    def _fits_method(self) -> Self:
        for criterion in _NOT_ALLOWED[self.method]:
            if getattr(self, criterion):
                raise ValueError(f"rule {self.name!r}: {criterion} cannot be used with method {self.method}")
        if self.destinations and self.names_applications:
            raise ValueError(f"rule {self.name!r}: destinations and applications cannot be used together")
        if self.applications and self.all_applications:
            raise ValueError(f"rule {self.name!r}: applications and all_applications cannot be used together")
        return self


class Policy(Settings):
    """All applications and rules of a connector, and what they may refer to."""

    applications: Annotated[tuple[Application, ...], Field(max_length=APPLICATIONS_LIMIT)] = ()
    rules: Annotated[tuple[Rule, ...], Field(max_length=RULES_LIMIT)] = ()
    locations: tuple[str, ...] = ()
    pool: IPv4Network = IPv4Network("10.254.0.0/19")

    @model_validator(mode="after")
    def _refers_to_what_exists(self) -> Self:
        found = reference_problems(self.applications, self.rules, self.locations)
        problems = [message for _, message in found]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def ordered(self) -> tuple[Rule, ...]:
        """Return the operator's rules and the two predefined ones, in the order in which they are tried.

        A rule's index here is the index that the data plane and the logs use.
        """
        stray = Rule(name=STRAY_RULE, method=Method.DROP, destinations=(AddressRange.of(self.pool),))
        return (*self.rules, stray, Rule(name=DEFAULT_RULE, method=Method.ZIA))


Place = tuple[str | int, ...]


def reference_problems(
    applications: Sequence[Application], rules: Sequence[Rule], locations: Sequence[str]
) -> Iterator[tuple[Place, str]]:
    """Find names used twice and references to what does not exist.

    Yields:
        (place, message): the path in the configuration, such as ("rules", 2, "locations", 0).
    """
    yield from _repeated("applications", [application.name for application in applications])
    yield from _repeated("rules", [rule.name for rule in rules], STRAY_RULE, DEFAULT_RULE)
    owner: dict[str, str] = {}
    for i, application in enumerate(applications):
        for j, domain in enumerate(application.domains):
            if owner.setdefault(domain, application.name) != application.name:
                message = f"{domain} belongs to application {owner[domain]!r} already"
                yield ("applications", i, "domains", j), f"application {application.name!r}: {message}"
    known = {"applications": [application.name for application in applications], "locations": list(locations)}
    exists = {criterion: set(names) for criterion, names in known.items()}
    for i, rule in enumerate(rules):
        for criterion, names in known.items():
            for j, name in enumerate(getattr(rule, criterion)):
                if name not in exists[criterion]:
                    message = _unknown(criterion, name, names)
                    yield ("rules", i, criterion, j), f"rule {rule.name!r}: {message}"


def _repeated(field: str, names: Sequence[str], *reserved: str) -> Iterator[tuple[Place, str]]:
    seen = set(reserved)
    for i, name in enumerate(names):
        if name in seen:
            yield (field, i, "name"), f"{field.removesuffix('s')} name {name!r} is used twice"
        seen.add(name)


def _unknown(criterion: str, name: str, known: Sequence[str]) -> str:
    near = get_close_matches(name, known, n=1)
    listed = ", ".join(known[:10]) or "none, since none is configured"
    hint = f"did you mean {near[0]!r}?" if near else f"allowed: {listed}"
    return f"{criterion.removesuffix('s')} {name!r} does not exist; {hint}"
