"""Stances: the methods of rules while something that they need has failed.

Journey: the connector sees what has failed → effective → compiled and exchanged like an edit. Criteria stay as they are, so
that the same rule decides a flow as before; only what becomes of the flow changes. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from zcc.policy.model import Method, Rule
from zcc.policy.objects.stance import Cause, Stance

__all__ = ["Failure", "effective", "states_edges"]

WORKLOADS = ("source_workload_groups", "destination_workload_groups", "tags_older_than", "tags_newer_than")


class Failure(StrEnum):
    """What has failed."""

    ZIA_DOWN = "no internet edge is up"
    ZPA_DOWN = "no private edge is up"
    TAGS_STALE = "the workloads have not been confirmed for too long"


_EDGE = {Method.ZIA: Failure.ZIA_DOWN, Method.ZPA: Failure.ZPA_DOWN}
_INSTEAD = {Stance.OPEN: Method.DIRECT, Stance.CLOSED: Method.DROP}


def effective(rules: Sequence[Rule], failures: frozenset[Failure], fail_open: bool = False) -> tuple[Rule, ...]:
    """Return the rules with the methods that their stances give them; in their order.

    Args:
        fail_open: what zia.fail says for ZIA rules that say nothing.
    """
    # While no rule says anything, the worker knows by itself what zia.fail says.
    otherwise = Stance.OPEN if fail_open and states_edges(rules) else None
    methods = [_method(rule, failures, otherwise) for rule in rules]
    return tuple(rule if rule.method is method else rule.model_copy(update={"method": method})
                 for rule, method in zip(rules, methods, strict=True))  # fmt: skip


def _method(rule: Rule, failures: frozenset[Failure], otherwise: Stance | None) -> Method:
    looks_at_tags = any(getattr(rule, field) for field in WORKLOADS)
    if looks_at_tags and Failure.TAGS_STALE in failures and rule.on_failure.of(Cause.TAGS_STALE) is Stance.CLOSED:
        return Method.DROP
    stance = rule.on_failure.of(Cause.EDGE_DOWN) or (otherwise if rule.method is Method.ZIA else None)
    if stance is None or _EDGE.get(rule.method) not in failures:
        return rule.method
    return _INSTEAD.get(stance, rule.method)


def states_edges(rules: Sequence[Rule]) -> bool:
    """Tell whether a ZIA rule says what happens when no edge is up, so that zia.fail is not for all of them."""
    return any(rule.method is Method.ZIA and rule.on_failure.edge_down is not None for rule in rules if rule.enabled)
