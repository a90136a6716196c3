"""Midway: what becomes of a flow that has begun, once it has said its name.

    said ─▶ the rule that decides now ─▶ DROP             the flow is cut
                                      ─▶ the same way     it goes on under that rule
                                      ─▶ another way      it stays as it is: its addresses would change

Journey: `zcc explain` asks; replay and the data plane (fastpath.watch) do it. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import IPv4Address

from zcc.policy.decide import Decider, Decision, Flow
from zcc.policy.model import Method, Rule
from zcc.policy.objects.unnamed import NAMINGS
from zcc.policy.places import Places
from zcc.policy.resolve import clauses_of_rule
from zcc.policy.watched import is_watched

__all__ = ["HEARD", "SAID", "Midway", "Outcome", "midway", "takes_over"]

HEARD = frozenset({Method.ZIA, Method.DIRECT, Method.LOCAL})  # what is dropped never speaks, a synthetic address has its name
SAID = NAMINGS[1:]  # all but DNS


class Outcome(StrEnum):
    """What a name changes."""

    UNHEARD = "unheard"  # nobody listens to what such a flow says
    SAME = "same"
    CUT = "cut"
    TAKEN_OVER = "taken over"
    STAYS = "stays"


@dataclass(frozen=True, slots=True)
class Midway:
    """How a flow began, and what its name changes."""

    first: Decision
    outcome: Outcome

    def then(self, now: Decision) -> Rule:
        """Return the rule that the flow is under once it has said its name."""
        return now.rule if self.outcome in (Outcome.CUT, Outcome.TAKEN_OVER) else self.first.rule

    def words(self, flow: Flow, now: Decision) -> str:
        """Say it, after what decides once the name is known."""
        first = f"rule {self.first.index} {self.first.rule.name!r}"
        if self.outcome is Outcome.UNHEARD:
            why = ("it is dropped before it can say anything" if self.first.rule.method is Method.DROP
                   else "flows by ZPA are not heard" if self.first.rule.method is Method.ZPA
                   else f"no rule looks at names of flows to {flow.service}, so that they are not heard")
            return f"{why}: it stays with {first}"
        if self.outcome is Outcome.CUT:
            return "the flow is cut then, and its client is told"
        if self.outcome is Outcome.TAKEN_OVER:
            return "the flow goes on, under this rule"
        if self.outcome is Outcome.SAME:
            return "what it says changes nothing"
        taught = f"; new flows to its address go by rule {now.index} for ten minutes, unless naming says otherwise"
        sure = flow.name is not None and flow.naming in NAMINGS[: NAMINGS.index("ech")]
        return f"a flow that has begun can not take another way: it stays with {first}{taught if sure else ''}"


def takes_over(before: Rule, now: Rule) -> bool:
    """Tell whether a flow that one rule decided may go on under another."""
    return now.method is before.method and now.gateway == before.gateway


def midway(decider: Decider, flow: Flow, now: Decision) -> Midway | None:
    """Tell what it changes that a flow has said its name; None = it has not.

    Args:
        now: what decides the flow by what it has said. The name behind a synthetic address is known before.
    """
    if flow.naming not in SAID:
        return None
    pools = (decider.policy.pool, *(pool.network for pool in decider.policy.pools))
    leased = isinstance(flow.destination, IPv4Address) and any(flow.destination in pool for pool in pools)
    first = decider.decide(replace(flow, name=flow.name if leased else None, naming=None))
    if first.rule.method not in HEARD or flow.port is None or not _is_heard(decider, flow.protocol, flow.port):
        return Midway(first, Outcome.UNHEARD)
    if first.index == now.index:
        return Midway(first, Outcome.SAME)
    if now.rule.method is Method.DROP:
        return Midway(first, Outcome.CUT)
    return Midway(first, Outcome.TAKEN_OVER if takes_over(first.rule, now.rule) else Outcome.STAYS)


def _is_heard(decider: Decider, protocol: int, port: int) -> bool:
    policy = decider.policy
    places = Places(policy)
    clauses = (clause for index, rule in enumerate(policy.ordered()) for clause in clauses_of_rule(policy, places, index, rule))
    return is_watched(clauses, protocol, port)
