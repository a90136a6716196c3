"""Served: what the policy gives an address or a criterion for, and then no flow can come to it."""

from __future__ import annotations

from collections.abc import Iterator

from zcc.policy.lint.finding import Finding
from zcc.policy.model import Method, Policy
from zcc.policy.places import Places
from zcc.policy.resolve import clauses_of_rule
from zcc.policy.watched import watched_ports

__all__ = ["unheard_rules", "unserved_applications"]


def unserved_applications(policy: Policy) -> Iterator[Finding]:
    """Find applications that no ZPA rule is about: their names get synthetic addresses that lead nowhere."""
    rules = [rule for rule in policy.rules if rule.enabled and rule.method is Method.ZPA]
    if any(rule.all_applications for rule in rules):
        return
    groups = policy.segment_group_by_name
    named = {name for rule in rules
             for name in (*rule.applications, *(held for group in rule.segment_groups for held in groups[group].applications))}
    for i, application in enumerate(policy.applications):
        if application.name not in named:
            yield Finding("unserved", ("applications", i), f"application {application.name!r} is in no ZPA rule: its names get "
                          "synthetic addresses, and flows to these are dropped; give it a rule, or remove it")  # fmt: skip


def unheard_rules(policy: Policy) -> Iterator[Finding]:
    """Find rules about why a name is not known whose services are none at which flows are heard."""
    places = Places(policy)
    for i, rule in enumerate(policy.rules):
        if rule.enabled and rule.unnamed and not watched_ports(clauses_of_rule(policy, places, i, rule)):
            yield Finding("never", ("rules", i, "unnamed"), f"rule {rule.name!r} never decides: flows of its services are not "
                          "heard, so that nobody knows why they have no name; give services of TCP or UDP")  # fmt: skip
