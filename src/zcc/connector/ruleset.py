"""ruleset: a compiled policy as the RuleSet that the worker decides by.

Journey: zcc.policy.compile → here → Datapath(rules) or exchange_rules. Part of the doorway to fastpath, so that policy
knows nothing of it. It decides nothing and compiles nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import numpy as np

from fastpath.action import Action
from fastpath.classify import RuleSet
from fastpath.criteria import KINDS, Countries, Criteria
from fastpath.lpm import Lpm4, Lpm6
from fastpath.workloads import Workloads
from zcc.policy.compile import CompiledPolicy, country_number
from zcc.policy.model import Method, Rule
from zcc.policy.names import NameBook
from zcc.policy.world import World

__all__ = ["NameBinder", "RuleSet", "Tables", "build_ruleset", "ruleset_arguments", "tables_of"]

FEEDS_MAX = 256  # of fastpath.workloads
NO_GATEWAYS: Mapping[str, int] = {}
ACTIONS = {
    Method.ZIA: Action.ACTION_ZIA,
    Method.ZPA: Action.ACTION_ZPA,
    Method.DIRECT: Action.ACTION_DIRECT,
    Method.DROP: Action.ACTION_DROP,
    Method.LOCAL: Action.ACTION_LOCAL,
}


@dataclass(frozen=True, slots=True)
class Tables:
    """What the data plane knows besides the policy; one that no rule speaks of may be None."""

    countries: Countries | None = None
    workloads: Workloads | None = None


def build_ruleset(compiled: CompiledPolicy, generation: int, tables: Tables | None = None,
                  gateways: Mapping[str, int] = NO_GATEWAYS) -> RuleSet:
    """Make the native rule set of a compiled policy; in any thread, mostly without the interpreter's lock.

    Args:
        generation: number of the edit; another one than that of the rule set it follows.
        gateways: the data plane's numbers of gateways; a rule whose gateway has none goes by the one for all, 0.
    Raises:
        ValueError: generation is not 0 … 2**32 - 1, or a table that a rule needs is missing.
    """
    return RuleSet(generation, **ruleset_arguments(compiled, tables, gateways))


def action_of(rule: Rule) -> Action:
    """Return what the data plane does with a flow of this rule."""
    return Action.ACTION_REJECT if rule.reject and rule.method is Method.DROP else ACTIONS[rule.method]


def ruleset_arguments(compiled: CompiledPolicy, tables: Tables | None = None,
                      gateways: Mapping[str, int] = NO_GATEWAYS) -> dict[str, Any]:
    """Return what RuleSet, or its reference in tests/model, takes besides the generation."""
    tables = tables or Tables()
    return {
        "actions": np.array([action_of(rule) for rule in compiled.rules], np.uint8),
        "rule_of": compiled.rule_of,
        "criteria": Criteria(**{name: KINDS[name](**columns) for name, columns in compiled.criteria.items()}),
        "countries": tables.countries,
        "workloads": tables.workloads,
        "names": compiled.names,
        "name_categories": compiled.name_categories,
        "name_capacity": compiled.name_capacity,
        "watched": compiled.watched,
        "gateways": np.array([gateways.get(rule.gateway or "", 0) for rule in compiled.rules], np.uint16),
        "opens": compiled.opens,
    }


def tables_of(compiled: CompiledPolicy, world: World) -> Tables:
    """Make the tables that a compiled policy needs of the world it was compiled in."""
    countries = _countries(compiled.countries, world) if compiled.countries else None
    return Tables(countries, None if compiled.workloads is None else _workloads(compiled.workloads))


def _countries(codes: frozenset[str], world: World) -> Countries:
    tables = Countries(Lpm4(0), Lpm6(0))
    networks = list(world.countries.networks(codes))
    tables.v4.replace((network, country_number(code)) for network, code in networks if isinstance(network, IPv4Network))
    tables.v6.replace((network, country_number(code)) for network, code in networks if isinstance(network, IPv6Network))
    return tables


def _workloads(columns: Mapping[str, Any]) -> Workloads:
    """A feed for each time at which workloads were confirmed; with more times than feeds, the earlier of two counts."""
    confirmed, times = columns["confirmed_s"], np.unique(columns["confirmed_s"])
    feeds = times[np.unique(np.arange(FEEDS_MAX) * len(times) // FEEDS_MAX)] if len(times) else times
    # The worker's clock began with the machine; what was confirmed before that lies below 0.
    now_s, now_ns = time.time(), time.monotonic_ns()
    moments = (now_ns - (now_s - feeds) * 1e9).astype(np.int64)
    feed = (np.searchsorted(feeds, confirmed, side="right") - 1).astype(np.uint8)
    return Workloads(columns["namespaces"], columns["addresses"], columns["sets"], feed, moments)


class NameBinder:
    """Tells the rule set in force about names that get their number after it was made; NameBook's announce.

    Args:
        names: whose numbers these are.
        compiled, rules: the policy in force, both forms.
        world: that it was compiled in.
    """

    def __init__(self, names: NameBook, compiled: CompiledPolicy, rules: RuleSet, world: World | None = None) -> None:
        self._names = names
        self.adopt(compiled, rules, world)

    def adopt(self, compiled: CompiledPolicy, rules: RuleSet, world: World | None = None) -> None:
        """Go on with another policy, compiled with the same NameBook, and bind the names that came meanwhile."""
        self._compiled, self._rules, self._world = compiled, rules, world or World()
        self.approximate = False  # whether a name has categories that only a compilation can tell apart
        for number, name in enumerate(self._names.names_from(compiled.name_count + 1), compiled.name_count + 1):
            self(number, name)

    def categories_of(self, name: str) -> frozenset[str]:
        """Return the categories of a name, if rules speak of any."""
        return self._world.categories_of(name) if len(self._compiled.category_sets) else frozenset[str]()

    def __call__(self, number: int, name: str) -> None:
        """Bind a name's number; it counts from the next decision on."""
        compiled, held = self._compiled, self.categories_of(name)
        self.approximate |= not compiled.category_sets.tells(held)
        self._rules.bind_name(number, name, compiled.categories_of(held))
