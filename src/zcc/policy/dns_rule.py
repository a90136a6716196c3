"""DnsRule: one line of the DNS policy.

Journey: configuration → DnsRule → zcc.policy.dns_decide. Rules are ordered and the first that matches decides. All criteria
that a rule sets must match; of the values of one criterion, one. Fields in one line are one criterion.

    locations, location_groups     whole locations
    connector_groups
    namespaces
    sources, source_groups         of the workload that asks
    names, destination_groups      a name, or *. and a name: every name below it; of groups, the names that they hold
    categories                     that list the name or a domain above it
    types                          A, AAAA, HTTPS … or ANY
    tunnel_score                   how much the client's queries below this domain look like a tunnel, at least
    answer_countries               of the addresses in the answer: such a rule is looked at once the answer has come

    action      what becomes of the query
    ALLOW       on to its server along the forwarding rules
    BLOCK       answered here as `block` says, with the reason as an extended error (RFC 8914)
    ZPA         answered with the synthetic address, of the rule's `pool` or the location's; only names that an application owns
                match such a rule
    REDIRECT    asked of a DNS gateway instead; the answer comes back under the server's address that was asked
    OVERWRITE   answered here with the rule's addresses

A rule with answer_countries decides on an answer that a rule without let through or fetched: the first that matches says that
it may pass (ALLOW) or what the client gets instead (BLOCK, OVERWRITE); if none does, it passes. Rules without never see it.

After the operator's rules come two that are always there: names of applications are ZPA, everything else is ALLOW. It does
not decide.
Source: the actions and criteria of the reference product (ALLOW, BLOCK, REDIR_ZPA, REDIR_REQ); the rest is ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Self

import dns.rdatatype
from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from zcc.fields import DEFAULT_POOL, DnsPattern, Settings
from zcc.policy.criteria import Source
from zcc.policy.objects.catalogue import Catalogue
from zcc.policy.objects.country import Country
from zcc.policy.objects.name import Description
from zcc.policy.references import Place, repeated, unknown

__all__ = ["APPLICATION_RULE", "DNS_DEFAULT_RULE", "BlockAnswer", "DnsAction", "DnsRule", "Hidden",
           "dns_rule_problems", "parse_type", "predefined_dns_rules"]  # fmt: skip

RULE_NAME_LIMIT = 31
APPLICATION_RULE = "Names Of Applications"
DNS_DEFAULT_RULE = "Default Connector DNS Rule"


class DnsAction(StrEnum):
    """What becomes of a query."""

    ALLOW = "ALLOW"
    BLOCK = "BLOCK"
    ZPA = "ZPA"
    REDIRECT = "REDIRECT"
    OVERWRITE = "OVERWRITE"


class Hidden(StrEnum):
    """What an answer of type HTTPS or SVCB is stripped of, so that clients fall back to what can be seen."""

    ECH = "ech"  # keys to encrypt the name in a ClientHello (RFC 9849)
    DOHPATH = "dohpath"  # where a resolver takes DNS over HTTPS (RFC 9461)


class BlockAnswer(StrEnum):
    """How a blocked query is answered."""

    NXDOMAIN = "nxdomain"
    NODATA = "nodata"
    REFUSED = "refused"
    SILENT = "silent"  # not at all; over TCP REFUSED, since silence would stall the connection's other queries


def parse_type(value: object) -> int:
    """Read a record type by name or as TYPE65280 (RFC 3597 §5).

    Raises:
        ValueError: no type has that name.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 0xFFFF:
        return value
    try:
        return int(dns.rdatatype.from_text(str(value).strip()))
    except (dns.rdatatype.UnknownRdatatype, ValueError):
        raise ValueError(f"{value!r} is no record type; allowed: A, AAAA, HTTPS, MX, TXT, ANY, TYPE65280 …") from None


def _type_text(value: int) -> str:
    return dns.rdatatype.to_text(dns.rdatatype.RdataType.make(value))


RecordType = Annotated[
    int,
    BeforeValidator(parse_type),
    PlainSerializer(_type_text, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "description": "a record type: A, AAAA, HTTPS, ANY, TYPE65280"}),
]


class DnsRule(Settings):
    """What becomes of some queries."""

    name: Annotated[str, Field(min_length=1, max_length=RULE_NAME_LIMIT)]
    action: DnsAction
    description: Description = ""
    enabled: bool = True  # a rule switched off keeps its place
    locations: tuple[str, ...] = ()
    location_groups: tuple[str, ...] = ()
    connector_groups: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    sources: tuple[Source, ...] = ()
    source_groups: tuple[str, ...] = ()
    names: tuple[DnsPattern, ...] = ()
    destination_groups: tuple[str, ...] = Field(default=(), description="the names in them count, addresses do not")
    categories: tuple[str, ...] = ()
    types: tuple[RecordType, ...] = ()
    tunnel_score: int | None = Field(default=None, ge=1, le=100, description="see docs/dns.md")
    answer_countries: tuple[Country, ...] = Field(default=(), description="an address of the answer is in one of these")
    gateway: str | None = Field(default=None, description="REDIRECT: one of dns_gateways")
    pool: str | None = Field(default=None, description="ZPA: one of pools, or default; else as the location says")
    addresses: tuple[IPv4Address | IPv6Address, ...] = Field(default=(), description="OVERWRITE: the answer")
    block: BlockAnswer = Field(default=BlockAnswer.NXDOMAIN, description="BLOCK: the answer")
    hide: tuple[Hidden, ...] = Field(default=(), description="ALLOW, REDIRECT: taken out of HTTPS and SVCB records")

    @model_validator(mode="after")
    def _fits_action(self) -> Self:
        for action, field in ((DnsAction.REDIRECT, "gateway"), (DnsAction.OVERWRITE, "addresses")):
            given = bool(getattr(self, field))
            if self.action is action and not given:
                raise ValueError(f"DNS rule {self.name!r}: action {action} needs {field}")
            if given and self.action is not action:
                raise ValueError(f"DNS rule {self.name!r}: {field} cannot be used without action {action}")
        if self.pool is not None and self.action is not DnsAction.ZPA:
            raise ValueError(f"DNS rule {self.name!r}: pool cannot be used without action ZPA")
        if "block" in self.model_fields_set and self.action is not DnsAction.BLOCK:
            raise ValueError(f"DNS rule {self.name!r}: block cannot be used without action BLOCK")
        return self

    @model_validator(mode="after")
    def _fits_answer(self) -> Self:
        if self.hide and (self.answer_countries or self.action not in (DnsAction.ALLOW, DnsAction.REDIRECT)):
            raise ValueError(f"DNS rule {self.name!r}: hide is for the actions ALLOW and REDIRECT, without answer_countries")
        if self.answer_countries and self.action in (DnsAction.ZPA, DnsAction.REDIRECT):
            raise ValueError(f"DNS rule {self.name!r}: action {self.action} comes too late for an answer; "
                             "allowed with answer_countries: ALLOW, BLOCK, OVERWRITE")
        if self.answer_countries and self.block is BlockAnswer.SILENT:
            raise ValueError(f"DNS rule {self.name!r}: block: silent cannot be used with answer_countries; "
                             "allowed: nxdomain, nodata, refused")
        return self


def predefined_dns_rules() -> tuple[DnsRule, DnsRule]:
    """Return the rules that come after the operator's; only names of applications match the first."""
    return (
        DnsRule(name=APPLICATION_RULE, action=DnsAction.ZPA),
        DnsRule(name=DNS_DEFAULT_RULE, action=DnsAction.ALLOW),
    )


def dns_rule_problems(rules: Sequence[DnsRule], catalogue: Catalogue) -> Iterator[tuple[Place, str]]:
    """Find rule names used twice, and names of objects that do not exist.

    Yields:
        (place, message): the path in the configuration, such as ("dns_rules", 2, "gateway").
    """
    yield from repeated("dns_rules", "name", [rule.name for rule in rules], APPLICATION_RULE, DNS_DEFAULT_RULE)
    known: dict[str, tuple[str, Sequence[str]]] = {
        "locations": ("location", catalogue.location_names),
        "location_groups": ("location group", [*catalogue.location_group_by_name]),
        "namespaces": ("namespace", [namespace.name for namespace in catalogue.namespaces]),
        "source_groups": ("source group", [*catalogue.source_group_by_name]),
        "destination_groups": ("destination group", [*catalogue.destination_group_by_name]),
    }
    if catalogue.connector_groups:
        known["connector_groups"] = ("connector group", catalogue.connector_groups)
    gateways = [gateway.name for gateway in catalogue.dns_gateways]
    pools = [DEFAULT_POOL, *(pool.name for pool in catalogue.pools)]
    for i, rule in enumerate(rules):
        for field, (kind, names) in known.items():
            for j, name in enumerate(getattr(rule, field)):
                if name not in names:
                    yield ("dns_rules", i, field, j), f"DNS rule {rule.name!r}: {unknown(kind, name, names)}"
        if rule.gateway is not None and rule.gateway not in gateways:
            yield ("dns_rules", i, "gateway"), f"DNS rule {rule.name!r}: {unknown('DNS gateway', rule.gateway, gateways)}"
        if rule.pool is not None and rule.pool not in pools:
            yield ("dns_rules", i, "pool"), f"DNS rule {rule.name!r}: {unknown('pool', rule.pool, pools)}"
