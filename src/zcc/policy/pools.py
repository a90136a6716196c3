"""Pools: from which network of synthetic addresses the address of a name is taken.

    1. the pool that the DNS rule names
    2. the first pool of the file that has the client's location, itself or by a group
    3. the default one: zpa.pool

Journey: connector.dns_control asks once a rule has decided. Pure.
"""

from __future__ import annotations

from zcc.fields import DEFAULT_POOL
from zcc.policy.dns_rule import DnsRule
from zcc.policy.objects.catalogue import Catalogue

__all__ = ["PoolChoice"]


class PoolChoice:
    """The pools of one policy by location."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._of_location: dict[str, str] = {}
        groups = catalogue.location_group_by_name
        for pool in catalogue.pools:
            held = [*pool.locations, *(name for group in pool.location_groups for name in groups[group].locations)]
            for location in held:
                self._of_location.setdefault(location, pool.name)

    def of(self, rule: DnsRule | None, location: str | None) -> str:
        """Return the name of the pool for a query that a rule with the action ZPA decided, or that no rule was asked about.

        Args:
            location: of the client, a whole one.
        """
        named = None if rule is None else rule.pool
        return named or self._of_location.get(location or "", DEFAULT_POOL)
