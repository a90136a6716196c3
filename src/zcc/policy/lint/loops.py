"""Loops: ZPA rules that catch flows of app connectors.

An app connector beside workloads sends its last hop through the same load balancer. Were that flow taken by ZPA again, it
would come back to the app connector, for ever. `exclude_source_groups` takes its addresses away from a rule.
"""

from __future__ import annotations

from collections.abc import Iterator

from zcc.policy.lint.finding import Finding
from zcc.policy.model import Method, Policy
from zcc.policy.places import Places
from zcc.policy.resolve import clauses_of_rule

__all__ = ["loops"]


def loops(policy: Policy) -> Iterator[Finding]:
    """Find the enabled ZPA rules that match the source of an app connector that a server group names."""
    sources = {address: group.name for group in policy.server_groups for address in group.sources}
    if not sources:
        return
    places = Places(policy)
    for index, rule in enumerate(policy.rules):
        if not rule.enabled or rule.method is not Method.ZPA:
            continue
        clauses = list(clauses_of_rule(policy, places, index, rule))
        caught = [address for address in sources if any(
            (clause.sources is None or any(address in value for value in clause.sources))
            and not any(address in value for value in clause.not_sources) for clause in clauses)]  # fmt: skip
        if caught:
            yield Finding("loop", ("rules", index), f"rule {rule.name!r} takes flows of the app connector {caught[0]} of "
                          f"server group {sources[caught[0]]!r}, which would loop; put its addresses into a source group and "
                          "name that in exclude_source_groups")  # fmt: skip
