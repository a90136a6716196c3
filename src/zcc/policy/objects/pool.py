"""IpPool: a network that synthetic addresses are taken from.

Journey: DNS rules name the pool of their answers; queries from a pool's locations are answered from it where no rule says
otherwise; rules that drop strays look at all of them. The private edge has the same pools by the same names.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from pydantic import Field

from zcc.fields import Settings
from zcc.policy.objects.name import Description, ObjectName

__all__ = ["IpPool"]


class IpPool(Settings):
    """Synthetic addresses for some locations, or for DNS rules that name the pool."""

    name: ObjectName
    description: Description = ""
    network: IPv4Network = Field(description="as at the private edge")
    locations: tuple[str, ...] = Field(default=(), description="whole ones, whose queries are answered from it")
    location_groups: tuple[str, ...] = ()
