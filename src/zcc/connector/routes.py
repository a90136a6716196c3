"""Routes: the gateways that rules name, as numbers of the data plane and slots of internet edges.

Journey: a policy that is prepared gets the numbers; once it is put in force the tunnel client steers by the routes. Pure.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from zcc.connector.settings import ConnectorSettings
from zcc.errors import ZccError
from zcc.itunnel.gateways import Route

__all__ = ["GATEWAYS", "numbered", "routes_of"]

GATEWAYS = 2048  # of fastpath.tunnels


def numbered(names: Iterable[str], before: Mapping[str, int]) -> dict[str, int]:
    """Give each gateway a number from 1; those of before keep theirs, and no other gets one of theirs.

    So the rules in force and those that follow them never mean different gateways by one number.

    Raises:
        ZccError: there are more than the data plane has numbers for.
    """
    taken = set(before.values())
    free = (number for number in itertools.count(1) if number not in taken)
    numbers = {name: before[name] if name in before else next(free) for name in dict.fromkeys(names)}
    if max(numbers.values(), default=0) >= GATEWAYS:
        raise ZccError(f"rules name {len(numbers)} gateways; name at most {GATEWAYS // 2 - 1}")
    return numbers


def routes_of(settings: ConnectorSettings, numbers: Mapping[str, int]) -> dict[str, Route]:
    """Return the route of each numbered gateway of a file."""
    slots = {edge: slot for slot, edge in enumerate(settings.edges)}
    return {
        name: Route(number, tuple(slots[edge] for edge in settings.gateway_by_name[name].order(settings.edges)))
        for name, number in numbers.items()
    }
