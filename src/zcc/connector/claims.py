"""Claims: what flows say of addresses, told to the connectors of the group and heard from them.

Journey: `hearsay` → here → the private edge's control stream → the others' edge client → here → their `hearsay`. Nobody waits
for it, no packet and no connector. Bounded: QUEUE claims wait, they leave PAUSE_S apart; what is too much is counted and not
told. An edge or a connector that knows no claims is told none. One thread, the event loop's.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol

from zcc.connector.hearsay import Claim
from zcc.mtunnel import messages
from zcc.mtunnel.errors import TunnelError
from zcc.policy.objects.unnamed import NAMINGS

__all__ = ["Claims"]

QUEUE = 256
PAUSE_S = 0.02

log = logging.getLogger(__name__)


class Edge(Protocol):
    """Who reaches the group: `zcc.mtunnel.client.EdgeClient`."""

    async def claim(self, claimed: messages.Claimed) -> None:
        """Tell the group's other connectors."""


class Claims:
    """This connector's hearsay to its group, and the group's to it."""

    def __init__(self, edge: Edge, namespaces: Mapping[int, str], *, share: bool = True) -> None:
        """Compose.

        Args:
            namespaces: names by number; the same names on all connectors.
            share: whether claims are told and heard at all.
        """
        self.counts: Counter[str] = Counter()
        self.heard: Callable[[Claim], None] = lambda claim: None  # takes what other connectors were told
        self._edge, self._namespaces, self._share = edge, namespaces, share
        self._numbers = {name: number for number, name in namespaces.items()}
        self._waiting: asyncio.Queue[messages.Claimed] = asyncio.Queue(QUEUE)

    def tell(self, claim: Claim) -> None:
        """Have the group told, soon."""
        if not self._share:
            return
        how = NAMINGS[claim.naming]
        namespace = self._namespaces.get(claim.namespace, "")
        try:
            self._waiting.put_nowait(
                messages.Claimed(namespace=namespace, address=claim.address, name=claim.name, how=how)  # type: ignore[arg-type]
            )
        except asyncio.QueueFull:
            self.counts["untold"] += 1

    async def run(self) -> None:
        """Tell the group, for ever."""
        while True:
            claimed = await self._waiting.get()
            try:
                await self._edge.claim(claimed)
                self.counts["told"] += 1
            except TunnelError as error:
                self.counts["untold"] += 1
                log.debug("the group was not told of %s at %s: %s", claimed.name, claimed.address, error)
            await asyncio.sleep(PAUSE_S)

    def hear(self, claimed: messages.Claimed) -> None:
        """Take what another connector was told."""
        namespace = self._numbers.get(claimed.namespace)
        if namespace is None:
            self.counts["namespace_unknown"] += 1
        elif self._share:
            self.counts["heard"] += 1
            self.heard(Claim(namespace, claimed.address, claimed.name, NAMINGS.index(claimed.how)))
