"""May this source use this application: ordered rules, first match, default refuse. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zcc.private_edge.settings import AccessRule

__all__ = ["DEFAULT_RULE", "Decision", "decide"]

DEFAULT_RULE = "default refuse"


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided and by which rule."""

    allowed: bool
    rule: str


def decide(
    rules: Sequence[AccessRule], application: str, namespace: str, connector_group: str, location: str
) -> Decision:
    """Decide by the first rule whose every criterion is empty or contains the value."""
    for rule in rules:
        criteria = (
            (rule.applications, application),
            (rule.namespaces, namespace),
            (rule.connector_groups, connector_group),
            (rule.locations, location),
        )
        if all(not allowed or value in allowed for allowed, value in criteria):
            return Decision(rule.action == "allow", rule.name)
    return Decision(False, DEFAULT_RULE)
