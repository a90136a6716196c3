"""IpPool: a network that synthetic addresses are taken from.

Journey: DNS rules name the pool of their answers; rules that drop strays look at all of them.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from zcc.fields import Settings
from zcc.policy.objects.name import Description, ObjectName

__all__ = ["IpPool"]


class IpPool(Settings):
    """Synthetic addresses for some locations; without locations, for all."""

    name: ObjectName
    description: Description = ""
    network: IPv4Network
    locations: tuple[str, ...] = ()
    location_groups: tuple[str, ...] = ()
