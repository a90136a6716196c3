"""World: rules that look into files that are not there, or for what is not in them."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from zcc.policy.lint.finding import Finding, Severity
from zcc.policy.references import Place, unknown

if TYPE_CHECKING:
    from zcc.policy.model import Policy
    from zcc.policy.world import World

__all__ = ["missing_feeds", "pools_on_workloads", "unknown_categories", "workload_groups_of_nobody"]

TAGS = ("source_workload_groups", "destination_workload_groups", "tags_older_than", "tags_newer_than")


def unknown_categories(policy: Policy, world: World) -> Iterator[Finding]:
    """Find categories that no list is of."""
    for place, name in _named(policy, "categories"):
        if world.categories and name not in world.categories:
            yield Finding("unknown-category", place, unknown("category", name, sorted(world.categories)), Severity.ERROR)


def missing_feeds(policy: Policy, feeds: frozenset[str]) -> Iterator[Finding]:
    """Find criteria whose file is not given: nothing matches them.

    Args:
        feeds: countries, categories, workloads: those that the settings name.
    """
    for field in ("countries", "categories"):
        if field not in feeds:
            for place, name in _named(policy, field):
                yield Finding("missing-feed", place, f"{name!r} matches nothing without a file; give feeds.{field}")
    if "workloads" not in feeds:
        for i, rule in enumerate(policy.rules):
            for field in TAGS:
                if getattr(rule, field) not in ((), None):
                    yield Finding("missing-feed", ("rules", i, field), f"rule {rule.name!r}: nothing is known of workloads "
                                  "without a file; give feeds.workloads")  # fmt: skip


def workload_groups_of_nobody(policy: Policy, world: World) -> Iterator[Finding]:
    """Find groups that no known workload belongs to."""
    for i, group in enumerate(policy.workload_groups):
        if len(world.workloads) and not any(group.holds(workload) for workload in world.workloads):
            yield Finding("empty-group", ("workload_groups", i, "expression"), f"workload group {group.name!r}: none of the "
                          f"{len(world.workloads)} known workloads belongs to it; is a key or value misspelt?")  # fmt: skip


def pools_on_workloads(policy: Policy, world: World) -> Iterator[Finding]:
    """Find workloads whose address is in a pool of synthetic ones."""
    pools: list[tuple[Place, IPv4Network]] = [(("zpa", "pool"), policy.pool)]
    pools += [(("pools", i, "network"), pool.network) for i, pool in enumerate(policy.pools)]
    for place, network in pools:
        held = [workload for workload in world.workloads if workload.address in network]
        if held:
            yield Finding("pool-overlaps-workloads", place, f"{network} holds {len(held)} workloads, {held[0].address} for "
                          "one; choose a network that no workload has", Severity.ERROR)  # fmt: skip


def _named(policy: Policy, field: str) -> Iterator[tuple[Place, str]]:
    for kind in ("rules", "destination_groups"):
        for i, item in enumerate(getattr(policy, kind)):
            for j, name in enumerate(getattr(item, field)):
                yield (kind, i, field, j), name
