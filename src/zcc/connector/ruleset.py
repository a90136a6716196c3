"""ruleset: a compiled policy as the RuleSet that the worker decides by.

Journey: zcc.policy.compile → here → Datapath(rules) or exchange_rules. Part of the doorway to fastpath,
so that policy knows nothing of it. One thread, that of the control plane. It decides nothing and
compiles nothing.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Any

import numpy as np

from fastpath.action import Action
from fastpath.classify import RuleSet
from fastpath.criteria import Names, Networks, Services
from fastpath.lpm import Lpm4, Lpm6
from zcc.policy.compile import CompiledPolicy, NetworkRows
from zcc.policy.model import Method

__all__ = ["NameBinder", "RuleSet", "build_ruleset", "ruleset_arguments"]

ACTIONS = {
    Method.ZIA: Action.ACTION_ZIA,
    Method.ZPA: Action.ACTION_ZPA,
    Method.DIRECT: Action.ACTION_DIRECT,
    Method.DROP: Action.ACTION_DROP,
    Method.LOCAL: Action.ACTION_LOCAL,
}


def build_ruleset(compiled: CompiledPolicy, generation: int) -> RuleSet:
    """Make the native rule set of a compiled policy.

    Args:
        generation: number of the edit; another one than that of the rule set it follows.
    Raises:
        ValueError: generation is not 0 … 2**32 - 1.
    """
    return RuleSet(generation, **ruleset_arguments(compiled))


def ruleset_arguments(compiled: CompiledPolicy) -> dict[str, Any]:
    """Return what RuleSet, or its reference in tests/model, takes besides the generation."""
    services = compiled.services
    return {
        "actions": np.array([ACTIONS[rule.method] for rule in compiled.rules], np.uint8),
        "rule_of": compiled.rule_of,
        "location": compiled.location_rows,
        "source": _networks(compiled.sources),
        "destination": _networks(compiled.destinations),
        "service": Services(services.tcp, services.udp, services.protocols, services.rows),
        "name": Names(compiled.name_row_of, compiled.name_rows),
        "spare_rows": 0,  # every name there can be has its row already
    }


def _networks(criterion: NetworkRows) -> Networks:
    v4, v6 = Lpm4(criterion.default), Lpm6(criterion.default)
    v4.replace([(prefix, row) for prefix, row in criterion.prefixes if isinstance(prefix, IPv4Network)])
    v6.replace([(prefix, row) for prefix, row in criterion.prefixes if isinstance(prefix, IPv6Network)])
    return Networks(v4, v6, criterion.rows)


class NameBinder:
    """Tells the rule set in force about names that get their number after it was made; NameBook's announce.

    Args:
        compiled, rules: the policy in force, both forms.
    """

    def __init__(self, compiled: CompiledPolicy, rules: RuleSet) -> None:
        self.adopt(compiled, rules)

    def adopt(self, compiled: CompiledPolicy, rules: RuleSet) -> None:
        """Go on with another policy, compiled with the same NameBook, so that it knows all names so far."""
        self._compiled, self._rules = compiled, rules

    def __call__(self, number: int, name: str) -> None:
        """Bind a name's number to its row; it counts from the next decision on."""
        row = self._compiled.name_row(name)
        if row:
            self._rules.bind_name(number, row)
