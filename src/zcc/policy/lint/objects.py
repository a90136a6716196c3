"""Objects: groups that hold nothing, segments that overlap, pools on top of workloads."""

from __future__ import annotations

from collections.abc import Iterator

from zcc.fields import PortRange
from zcc.policy.criteria import AddressRange
from zcc.policy.lint.finding import Finding, Severity
from zcc.policy.model import Method, Policy
from zcc.policy.names import patterns_of
from zcc.policy.objects.segment import Application
from zcc.policy.references import Place

__all__ = ["empty_groups", "overlapping_pools", "overlapping_segments", "rules_before_zpa"]

# Kind of a group → what it may hold.
HELD = {
    "location_groups": ("locations",),
    "source_groups": ("addresses",),
    "destination_groups": ("destinations", "countries", "categories"),
    "service_groups": ("services",),
    "segment_groups": ("applications",),
}


def empty_groups(policy: Policy) -> Iterator[Finding]:
    """Find groups that hold nothing: a criterion of them alone matches nothing."""
    for kind, fields in HELD.items():
        for i, group in enumerate(getattr(policy, kind)):
            if not any(getattr(group, field) for field in fields):
                what = kind.removesuffix("s").replace("_", " ")
                yield Finding("empty-group", (kind, i), f"{what} {group.name!r} is empty, so that nothing matches it; "
                              f"give {' or '.join(fields)}, or remove it")  # fmt: skip


def overlapping_segments(policy: Policy) -> Iterator[Finding]:
    """Find domains that lie under another application's wildcard: there that application's ports do not count."""
    owners: dict[str, Application] = {}
    for application in policy.applications:
        owners.update((domain, application) for domain in application.domains)
    for i, application in enumerate(policy.applications):
        for j, domain in enumerate(application.domains):
            for wide in list(patterns_of(domain.removeprefix("*.")))[1:]:
                other = owners.get(wide)
                if other is None or other is application:
                    continue
                lost = [*_lost("tcp", other.tcp, application.tcp), *_lost("udp", other.udp, application.udp)]
                if lost:
                    yield Finding("overlapping-segments", ("applications", i, "domains", j),
                                  f"{domain} of application {application.name!r} is also under {wide} of {other.name!r}; the "
                                  f"more specific counts, so {', '.join(lost)} is not served there; give "
                                  f"{application.name!r} these ports too, or remove one")  # fmt: skip
                break


def _lost(word: str, wide: tuple[PortRange, ...], narrow: tuple[PortRange, ...]) -> list[str]:
    return [f"{word}/{ports}" for ports in wide
            if not any(own.low <= ports.low and ports.high <= own.high for own in narrow)]  # fmt: skip


def overlapping_pools(policy: Policy) -> Iterator[Finding]:
    """Find pools that hold addresses of workloads, or each other's: what goes there is taken for synthetic."""
    pools: list[tuple[Place, str, AddressRange]] = [(("zpa", "pool"), "the pool", AddressRange.of(policy.pool))]
    pools += [(("pools", i, "network"), f"pool {pool.name!r}", AddressRange.of(pool.network))
              for i, pool in enumerate(policy.pools)]  # fmt: skip
    for number, (place, name, network) in enumerate(pools):
        for _, other, further in pools[:number]:
            if network.overlaps(further) and str(network) != str(further):
                yield Finding("overlapping-pools", place, f"{name} {network} overlaps {other} {further}; "
                              "allowed: networks apart, or the same", Severity.ERROR)  # fmt: skip
        for what, value in _networks(policy):
            if network.overlaps(value) and not _around(value, network):
                yield Finding("pool-overlaps-workloads", place, f"{name} {network} overlaps {value} of {what}; flows to "
                              "those addresses are taken for synthetic ones; choose a network that no workload has",
                              Severity.ERROR)  # fmt: skip


def _around(value: AddressRange, network: AddressRange) -> bool:
    """Whether a range is a wider one, such as 10.0.0.0/8, which says little of where workloads are."""
    inside = int(value.low) <= int(network.low) and int(network.high) <= int(value.high)
    return inside and (value.low, value.high) != (network.low, network.high)


def _networks(policy: Policy) -> Iterator[tuple[str, AddressRange]]:
    """Where the policy itself says that workloads are."""
    for location in policy.locations:
        for part in location.sublocations:
            yield from ((f"sublocation {location.name}/{part.name}", value) for value in part.addresses)
    for group in policy.source_groups:
        yield from ((f"source group {group.name!r}", value) for value in group.addresses)
    for rule in policy.rules:
        yield from ((f"the sources of rule {rule.name!r}", value) for value in rule.sources)
        for value in rule.destinations if rule.method is Method.LOCAL else ():
            if isinstance(value, AddressRange):
                yield f"the destinations of rule {rule.name!r}", value


def rules_before_zpa(policy: Policy) -> Iterator[Finding]:
    """Find rules by address that take synthetic addresses before a ZPA rule can see them."""
    last = max((i for i, rule in enumerate(policy.rules) if rule.enabled and rule.method is Method.ZPA), default=-1)
    pools = [AddressRange.of(network) for network in (policy.pool, *(pool.network for pool in policy.pools))]
    for i, rule in enumerate(policy.rules[: max(last, 0)]):
        groups = [policy.destination_group_by_name[name].destinations for name in rule.destination_groups]
        for value in (value for values in (rule.destinations, *groups) for value in values):
            if rule.enabled and isinstance(value, AddressRange) and any(value.overlaps(pool) for pool in pools):
                yield Finding("before-zpa", ("rules", i), f"rule {rule.name!r} is above {policy.rules[last].name!r} and its "
                              f"destination {value} holds synthetic addresses, so that it takes flows to applications; "
                              "move it below the ZPA rules")  # fmt: skip
                break
