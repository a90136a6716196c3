"""Rulebook: the policy in force, as names, as numbers and as the data plane's rule set.

Journey: settings → policy → columns → RuleSet; after an edit of the file again, with the next generation. `prepare` may run
in a thread of its own, since it changes nothing; all else is for the control plane's thread. Names keep their numbers from
edit to edit, so that what the data plane has learned stays true.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import Lock

from zcc.connector.routes import numbered
from zcc.connector.ruleset import NameBinder, RuleSet, build_ruleset, tables_of
from zcc.connector.settings import ConnectorSettings
from zcc.policy.compile import CompiledPolicy, compile_policy
from zcc.policy.model import Method, Rule
from zcc.policy.name_categories import NameCategories
from zcc.policy.names import NameBook
from zcc.policy.places import Places
from zcc.policy.stances import Trouble, effective
from zcc.policy.world import World

__all__ = ["Prepared", "Rulebook"]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A policy ready to be put in force."""

    settings: ConnectorSettings
    world: World
    written: tuple[Rule, ...]  # with the methods that the file gives them
    compiled: CompiledPolicy
    rules: RuleSet
    gateways: dict[str, int]  # those that rules name, with the data plane's numbers


class Rulebook:
    """One connector's policy."""

    def __init__(self, settings: ConnectorSettings, world: World | None = None) -> None:
        """Compile the policy of the settings.

        Raises:
            ZccError: it is too large to compile.
        """
        self.names = NameBook(settings.applications)
        self._categories, self._one = NameCategories(), Lock()
        self.generation = 0
        self.gateways: dict[str, int] = {}
        self._places = Places(settings.policy())
        first = self.prepare(settings, world)
        self.compiled, self.rules, self._written, self.gateways = first.compiled, first.rules, first.written, first.gateways
        self._binder = NameBinder(self.names, first.compiled, first.rules, first.world)
        self.names.announce = self._binder
        self.generation = first.rules.generation

    def prepare(self, settings: ConnectorSettings, world: World | None = None,
                failures: frozenset[Trouble] = frozenset()) -> Prepared:
        """Compile another policy, for `adopt`; in any thread, and nothing is changed.

        Args:
            world: what is known beside the policy; None = nothing.
            failures: what has failed, for the stances of rules.
        Raises:
            ZccError: it is too large to compile, or a file of the world is damaged.
        """
        world = world or World()
        with self._one:
            compiled = compile_policy(settings.policy(), settings.group, self.names, world, self._categories)
        written, compiled = compiled.rules, replace(compiled, rules=effective(compiled.rules, failures))
        gateways = numbered((rule.gateway for rule in written if rule.gateway is not None), self.gateways)
        rules = build_ruleset(compiled, self.generation + 1, tables_of(compiled, world), gateways)
        return Prepared(settings, world, written, compiled, rules, gateways)

    def adopt(self, prepared: Prepared) -> RuleSet:
        """Put a prepared policy in force and return its rule set.

        Raises:
            ValueError: another one has been put in force since it was prepared.
        """
        if prepared.rules.generation != self.generation + 1:
            raise ValueError(f"prepared must be of generation {self.generation + 1}, not {prepared.rules.generation}: "
                             "prepare it again")
        self.generation += 1
        self.compiled, self.rules, self._written = prepared.compiled, prepared.rules, prepared.written
        self.gateways = prepared.gateways
        self.names.adopt(prepared.settings.applications)
        self._binder.adopt(prepared.compiled, prepared.rules, prepared.world)
        return self.rules

    def edit(self, settings: ConnectorSettings, world: World | None = None) -> RuleSet:
        """Put the policy of new settings in force and return its rule set; on an error the old one stays.

        Raises:
            ZccError: it is too large to compile.
        """
        return self.adopt(self.prepare(settings, world))

    @property
    def rule_names(self) -> list[str]:
        """Names of the rules by index."""
        return [rule.name for rule in self.compiled.rules]

    @property
    def location_ids(self) -> dict[str, int]:
        """Numbers of the locations."""
        return self.compiled.location_ids

    def location_of(self, endpoint: int) -> int:
        """Return the number of the place of one of the settings' endpoints; it depends on no rule."""
        return self.compiled.location_ids[self._places.of_endpoint(endpoint)]

    def speaks_of(self, name: str) -> bool:
        """Say whether a rule names this name, itself or by a pattern."""
        return self.rules.speaks_of(name)

    def likeness(self, name: str) -> tuple[int, frozenset[str]]:
        """Return what is the same for names that neither rules nor categories tell apart, until the next edit."""
        return self.rules.likeness(name), self._binder.categories_of(name)

    @property
    def approximate(self) -> bool:
        """Say whether names came whose categories can not be told yet, so that another compilation would tell more apart."""
        return self._binder.approximate

    def uses(self, method: Method) -> bool:
        """Say whether an enabled rule, the default included, forwards by this method as it is written."""
        return any(rule.method == method and rule.enabled for rule in self._written)
