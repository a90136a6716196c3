"""All lints, in the order of the file."""

from __future__ import annotations

from zcc.policy.lint.finding import Finding, Severity
from zcc.policy.lint.loops import loops
from zcc.policy.lint.objects import (
    empty_groups,
    overlapping_pools,
    overlapping_segments,
    rules_before_zpa,
)
from zcc.policy.lint.served import unheard_rules, unserved_applications
from zcc.policy.lint.shadow import shadow
from zcc.policy.lint.world import (
    missing_feeds,
    pools_on_workloads,
    unknown_categories,
    workload_groups_of_nobody,
)
from zcc.policy.model import Policy
from zcc.policy.world import World

__all__ = ["Finding", "Severity", "lint"]


def lint(policy: Policy, world: World | None = None, feeds: frozenset[str] = frozenset()) -> list[Finding]:
    """Run every lint.

    Args:
        world: what the files say; None = they were not read, and nothing is said of them but that they are missing.
        feeds: the files that the settings name.
    """
    found = [*shadow(policy), *empty_groups(policy), *overlapping_segments(policy), *overlapping_pools(policy),
             *rules_before_zpa(policy), *unserved_applications(policy), *unheard_rules(policy), *loops(policy),
             *missing_feeds(policy, feeds)]  # fmt: skip
    if world is not None:
        found += unknown_categories(policy, world)
        found += workload_groups_of_nobody(policy, world)
        found += pools_on_workloads(policy, world)
    return found
