"""Rulebook: the policy in force, as names, as numbers and as the data plane's rule set.

Journey: settings → policy → compiled bitmaps → RuleSet; after an edit of the file again, with the next generation. Names keep
their numbers from edit to edit, so that what the data plane has learned stays true. Control plane's thread.
"""

from zcc.connector.ruleset import NameBinder, RuleSet, build_ruleset
from zcc.connector.settings import ConnectorSettings
from zcc.policy.compile import CompiledPolicy, compile_policy
from zcc.policy.model import Method
from zcc.policy.names import NameBook
from zcc.policy.places import Places

__all__ = ["Rulebook"]


class Rulebook:
    """One connector's policy."""

    def __init__(self, settings: ConnectorSettings) -> None:
        """Compile the policy of the settings.

        Raises:
            ZccError: it is too large to compile.
        """
        self.names = NameBook(settings.applications)
        self.generation = 0
        self._places = Places(settings.policy())
        self.compiled, self.rules = self._compile(settings)
        self._binder = NameBinder(self.compiled, self.rules)
        self.names.announce = self._binder

    def edit(self, settings: ConnectorSettings) -> RuleSet:
        """Put the policy of new settings in force and return its rule set; on an error the old one stays.

        Raises:
            ZccError: it is too large to compile.
        """
        compiled, rules = self._compile(settings)
        self.compiled, self.rules = compiled, rules
        self.names.adopt(settings.applications)
        self._binder.adopt(compiled, rules)
        return rules

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
        return self.compiled.name_row(name) != 0

    def uses(self, method: Method) -> bool:
        """Say whether an enabled rule, the default included, forwards by this method."""
        return any(rule.method == method and rule.enabled for rule in self.compiled.rules)

    def _compile(self, settings: ConnectorSettings) -> tuple[CompiledPolicy, RuleSet]:
        compiled = compile_policy(settings.policy(), settings.group, self.names)
        self.generation += 1
        return compiled, build_ruleset(compiled, self.generation)
