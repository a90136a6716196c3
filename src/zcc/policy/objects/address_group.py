"""SourceGroup, DestinationGroup: addresses and names that rules mean together.

Journey: rules name them; what they hold counts as if it stood in the rule. A group that is empty holds nothing.
"""

from __future__ import annotations

from zcc.fields import Settings
from zcc.policy.criteria import Destination, Source
from zcc.policy.objects.country import Country
from zcc.policy.objects.name import Description, ObjectName

__all__ = ["DestinationGroup", "SourceGroup"]


class SourceGroup(Settings):
    """Where flows begin: addresses, networks and ranges."""

    name: ObjectName
    description: Description = ""
    addresses: tuple[Source, ...] = ()


class DestinationGroup(Settings):
    """Where flows go; one that matches any of these is meant."""

    name: ObjectName
    description: Description = ""
    destinations: tuple[Destination, ...] = ()  # addresses, networks, ranges, names, *. patterns
    countries: tuple[Country, ...] = ()
    categories: tuple[str, ...] = ()
