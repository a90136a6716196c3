"""DNS rules: those that never decide, and what they lead to that can not be meant.

A DNS rule is compared with those above it as forwarding rules are (zcc.policy.lint.above), by a region of its own:

    locations, namespaces, sources, categories    as of a forwarding rule
    source_groups                                 record types
    tag_age                                       tunnel score
    destinations                                  names
    destination_groups                            whether the query or its answer is looked at
    countries                                     of the answer

What is reported is so. A ZPA rule matches names of applications only, and covers others if all its names are such.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from zcc.policy.clauses import Targets
from zcc.policy.criteria import AddressRange
from zcc.policy.dns_decide import names_of
from zcc.policy.dns_rule import DnsAction, DnsRule
from zcc.policy.lint.above import Above, Weighed
from zcc.policy.lint.finding import Finding, Severity
from zcc.policy.lint.shadow import shadow_of
from zcc.policy.names import patterns_of
from zcc.policy.objects.catalogue import Catalogue
from zcc.policy.references import unknown
from zcc.policy.region import Ages, Labels, Line, Region, Where, whole
from zcc.policy.spans import ADDRESSES, SERVICES, Spans, of_addresses
from zcc.policy.world import World

__all__ = ["lint_dns"]

NOWHERE = Spans()


def lint_dns(
    rules: Sequence[DnsRule], catalogue: Catalogue, own: Mapping[str, AddressRange], world: World | None = None,
    feeds: frozenset[str] = frozenset(),
) -> list[Finding]:  # fmt: skip
    """Run every lint of DNS rules and DNS gateways.

    Args:
        own: addresses that are the connector's, or synthetic, by what they are.
        world: what the files say; None = they were not read.
        feeds: the files that the settings name.
    """
    return [*_shadows(rules, catalogue), *_loops(catalogue, own), *_synthetic(rules, own), *_files(rules, world, feeds)]


def _shadows(rules: Sequence[DnsRule], catalogue: Catalogue) -> Iterator[Finding]:
    seen, names = Above(), [rule.name for rule in rules]
    domains = frozenset(domain for application in catalogue.applications for domain in application.domains)
    for index, rule in enumerate(rules):
        if not rule.enabled:
            continue
        # Names with _service labels before an application's are its own too: this rule may see them, others are not sure to.
        region = _region(rule, catalogue, domains | {f"*.{domain}" for domain in domains if domain[:2] != "*."})
        empty = _empty(rule, region, domains)
        if empty is not None:
            yield Finding("never", ("dns_rules", index), f"DNS rule {rule.name!r} matches nothing: {empty}")
            continue
        found = shadow_of(seen, names, rule.connector_groups, [Weighed(region)])
        if found is not None:
            yield Finding(found[0], ("dns_rules", index), f"DNS rule {rule.name!r} {found[1]}")
        if rule.action is not DnsAction.ZPA or all(_owned(name, domains) for name in rule.names):
            seen.add(index, rule.connector_groups, [Weighed(_region(rule, catalogue, domains))])


def _region(rule: DnsRule, catalogue: Catalogue, domains: frozenset[str]) -> Region:
    names = names_of(rule, catalogue)
    if names is None and rule.action is DnsAction.ZPA:
        names = domains
    groups = (catalogue.source_group_by_name[name].addresses for name in rule.source_groups)
    sources = (*rule.sources, *(value for addresses in groups for value in addresses))
    any_source = not rule.sources and not rule.source_groups
    places = {*rule.locations, *(place for name in rule.location_groups
                                 for place in catalogue.location_group_by_name[name].locations)}  # fmt: skip
    return whole((
        Labels(frozenset(places) if rule.locations or rule.location_groups else None),
        Labels(frozenset(rule.namespaces) or None),
        Line(ADDRESSES if any_source else of_addresses(sources), ADDRESSES),
        Labels(frozenset(map(str, rule.types)) or None),
        Ages() if rule.tunnel_score is None else Ages(least=rule.tunnel_score),
        Where(ADDRESSES, None) if names is None else Where(NOWHERE, Targets(patterns=names)),
        Labels(frozenset({"answer" if rule.answer_countries else "query"})),
        Labels(frozenset(rule.answer_countries) or None),
        Labels(frozenset(rule.categories) or None),
        Line(SERVICES, SERVICES),
        Labels(None),
    ))  # fmt: skip


def _empty(rule: DnsRule, region: Region, domains: frozenset[str]) -> str | None:
    """Why a rule matches nothing by itself, or None."""
    places, _, sources, _, _, where, *_ = region.sets
    if isinstance(places, Labels) and places.labels == frozenset():
        return "its location groups are empty"
    if isinstance(sources, Line) and not sources.spans:
        return "its source groups are empty"
    if rule.destination_groups and isinstance(where, Where) and where.targets == Targets():
        return "its destination groups hold no name"
    if rule.action is not DnsAction.ZPA:
        return None
    if not domains:
        return "there is no application whose names ZPA could answer"
    if rule.names and not rule.destination_groups and not any(_may_be_owned(name, domains) for name in rule.names):
        return "no application owns one of its names"
    return None


def _owned(pattern: str, domains: frozenset[str]) -> bool:
    """Whether every name of a pattern belongs to an application."""
    if not pattern.startswith("*."):
        return not domains.isdisjoint(patterns_of(pattern))
    return pattern in domains or any(wide in domains for wide in islice(patterns_of(pattern[2:]), 1, None))


def _may_be_owned(pattern: str, domains: frozenset[str]) -> bool:
    """Whether some name of a pattern belongs to an application."""
    below = pattern.startswith("*.") and any(domain.endswith(pattern[1:]) for domain in domains)
    return below or _owned(pattern, domains)


def _loops(catalogue: Catalogue, own: Mapping[str, AddressRange]) -> Iterator[Finding]:
    """Find DNS gateways that are the connector itself, or synthetic: a query there comes back, or leads nowhere."""
    for i, gateway in enumerate(catalogue.dns_gateways):
        for field in ("primary", "secondary"):
            server = getattr(gateway, field)
            what = next((what for what, value in own.items() if server is not None and server in value), None)
            if what is not None:
                yield Finding("redirect-loop", ("dns_gateways", i, field), f"DNS gateway {gateway.name!r}: {server} is in "
                              f"{what}, so that a query that is redirected there comes back here or is lost; give a server "
                              "elsewhere", Severity.ERROR)  # fmt: skip


def _synthetic(rules: Sequence[DnsRule], own: Mapping[str, AddressRange]) -> Iterator[Finding]:
    """Find answers that lead to the connector's own addresses, or to synthetic ones."""
    for i, rule in enumerate(rules):
        for j, address in enumerate(rule.addresses):
            what = next((what for what, value in own.items() if address in value), None)
            if what is not None:
                yield Finding("overwrite-own", ("dns_rules", i, "addresses", j), f"DNS rule {rule.name!r}: {address} is in "
                              f"{what}; flows there do not go to an ordinary destination; choose another")  # fmt: skip


def _files(rules: Sequence[DnsRule], world: World | None, feeds: frozenset[str]) -> Iterator[Finding]:
    """Find criteria whose file is not given, and categories that no list is of."""
    for i, rule in enumerate(rules):
        for field, feed in (("categories", "categories"), ("answer_countries", "countries")):
            for j, name in enumerate(getattr(rule, field)):
                place = ("dns_rules", i, field, j)
                if feed not in feeds:
                    yield Finding("missing-feed", place, f"{name!r} matches nothing without a file; give feeds.{feed}")
                elif field == "categories" and world is not None and world.categories and name not in world.categories:
                    yield Finding("unknown-category", place, unknown("category", name, sorted(world.categories)),
                                  Severity.ERROR)  # fmt: skip
