"""InUse: the private edge is told from time to time to which synthetic addresses live flows go, so that they keep their names.

Journey: the worker's flow table ▶ here, as often as the edge asked for when it welcomed us ▶ edge. Only addresses are told: no
workload, port or count. A connector that can not tell for a while loses nothing: an address that nobody is known to use rests
several times as long before another name gets it. One thread, the event loop's; the table is read in another.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address
from typing import Protocol

from zcc.mtunnel.errors import TunnelError
from zcc.mtunnel.messages import Welcome

__all__ = ["InUse"]

LOOK_S = 1.0  # between two looks for an edge
LEAST_S = 0.1

log = logging.getLogger(__name__)


class Edge(Protocol):
    """Who keeps the ledger: `zcc.mtunnel.client.EdgeClient`."""

    @property
    def welcome(self) -> Welcome | None:
        """What the connected edge said of itself."""

    async def report(self, addresses: Sequence[IPv4Address]) -> None:
        """Tell it which addresses are in use."""


class InUse:
    """Reports of one connector."""

    def __init__(self, edge: Edge, destinations: Callable[[], Sequence[IPv4Address]]) -> None:
        """Compose.

        Args:
            destinations: reads the synthetic addresses that live flows go to; called in a thread of its own.
        """
        self.counts: Counter[str] = Counter()
        self._edge, self._destinations = edge, destinations

    async def run(self) -> None:
        """Report for ever."""
        while True:
            await asyncio.sleep(await self.once())

    async def once(self) -> float:
        """Report now, if there is whom to; return after how many seconds again."""
        welcome = self._edge.welcome
        if welcome is None or not welcome.report_s:
            return LOOK_S
        addresses = await asyncio.to_thread(self._destinations)
        try:
            await self._edge.report(addresses)
        except TunnelError as error:
            self.counts["unsent"] += 1
            log.debug("the edge was not told which addresses are in use: %s", error)
            return LOOK_S
        self.counts["reports"] += 1
        self.counts["addresses"] += len(addresses)
        return max(LEAST_S, welcome.report_s)
