"""Stances: the methods of rules while something that they need has failed.

Journey: the connector sees what has failed → effective → compiled and exchanged like an edit. Criteria stay as they are, so
that the same rule decides a flow as before; only what becomes of the flow changes. What a ZIA rule without a stance does while
its gateway is down the data plane knows by itself (fails_open). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from zcc.policy.model import Method, Rule
from zcc.policy.objects.stance import Cause, Stance

if TYPE_CHECKING:
    from zcc.policy.model import Policy

__all__ = ["Failure", "GatewayDown", "Trouble", "effective", "fails_open", "meanwhile", "parse_trouble"]

WORKLOADS = ("source_workload_groups", "destination_workload_groups", "tags_older_than", "tags_newer_than")


class Failure(StrEnum):
    """What has failed."""

    ZIA_DOWN = "no internet edge is up"
    ZPA_DOWN = "no private edge is up"
    TAGS_STALE = "the workloads have not been confirmed for too long"


@dataclass(frozen=True, slots=True)
class GatewayDown:
    """A ZIA gateway, by its name, without an edge that is up."""

    gateway: str

    def __str__(self) -> str:
        return f"no edge of gateway {self.gateway} is up"


Trouble = Failure | GatewayDown
_EDGE = {Method.ZIA: Failure.ZIA_DOWN, Method.ZPA: Failure.ZPA_DOWN}
_INSTEAD = {Stance.OPEN: Method.DIRECT, Stance.CLOSED: Method.DROP}


def effective(rules: Sequence[Rule], failures: frozenset[Trouble]) -> tuple[Rule, ...]:
    """Return the rules with the methods that their stances give them; in their order."""
    methods = [_method(rule, failures) for rule in rules]
    return tuple(rule if rule.method is method else rule.model_copy(update={"method": method})
                 for rule, method in zip(rules, methods, strict=True))  # fmt: skip


def _method(rule: Rule, failures: frozenset[Trouble]) -> Method:
    looks_at_tags = any(getattr(rule, field) for field in WORKLOADS)
    if looks_at_tags and Failure.TAGS_STALE in failures and rule.on_failure.of(Cause.TAGS_STALE) is Stance.CLOSED:
        return Method.DROP
    stance = rule.on_failure.of(Cause.EDGE_DOWN)
    if stance is None or not failures.intersection(_needs(rule)):
        return rule.method
    return _INSTEAD.get(stance, rule.method)


def _needs(rule: Rule) -> tuple[Trouble, ...]:
    """The failures of edges that a rule suffers from."""
    found = _EDGE.get(rule.method)
    gateway = () if rule.gateway is None else (GatewayDown(rule.gateway),)
    return gateway if found is None else (found, *gateway)


def parse_trouble(text: str, policy: Policy) -> Trouble:
    """Read what has failed as a person writes it: zia, zpa, tags, or the name of a gateway.

    Raises:
        ValueError: it is none of them.
    """
    words = {"zia": Failure.ZIA_DOWN, "zpa": Failure.ZPA_DOWN, "tags": Failure.TAGS_STALE}
    if text in words:
        return words[text]
    if text not in policy.gateway_by_name:
        raise ValueError(f"{text!r} can not fail; allowed: {', '.join((*words, *policy.gateway_by_name))}")
    return GatewayDown(text)


def meanwhile(rule: Rule, policy: Policy, failures: frozenset[Trouble]) -> Method:
    """Return the method that a rule's flows have while something has failed: by its stances, or by what its gateway says."""
    method = effective((rule,), failures)[0].method
    lost = method is Method.ZIA and failures.intersection(_needs(rule)) and fails_open(rule, policy)
    return Method.DIRECT if lost else method


def fails_open(rule: Rule, policy: Policy) -> bool:
    """Tell whether a ZIA rule's flows go DIRECT at once when no edge of its gateway is up: its stances say nothing else."""
    if rule.method is not Method.ZIA or rule.on_failure.edge_down is not None:
        return False
    gateway = policy.gateway_by_name.get(rule.gateway or "")
    return policy.fail_open if gateway is None else gateway.fail == "open"
