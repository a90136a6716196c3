"""Sharing: names that rules speak of, learned by one connector, in force at all of its group before the answer leaves.

Journey: `dns` and `dns_tcp` teach, then wait here, then let the answer go; what others learned comes in from the edge's
control stream. Bounded: after PATIENCE_S the answer leaves whatever the others say, and without an edge at once.
One thread, the event loop's.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from zcc.connector.teaching import Teacher
from zcc.dns.learning import Learned
from zcc.mtunnel import messages
from zcc.mtunnel.errors import TunnelError

PATIENCE_S = 0.5

log = logging.getLogger(__name__)


class Edge(Protocol):
    """Who reaches the group: `zcc.mtunnel.client.EdgeClient`."""

    async def share(
        self, namespace: str, name: str, addresses: Sequence[IPv4Address | IPv6Address], ttl: int
    ) -> None:
        """Tell the group's other connectors."""


class Sharing:
    """This connector's word to its group, and the group's to it."""

    def __init__(
        self, edge: Edge, teacher: Teacher, namespaces: Mapping[int, str], *, ceiling_s: int = 86_400
    ) -> None:
        """Compose.

        Args:
            namespaces: names by number; the same names on all connectors.
            ceiling_s: longer than this nothing heard is in force, whatever its sender's own ceiling is.
        """
        self.counts: Counter[str] = Counter()
        self._edge = edge
        self._teacher = teacher
        self._namespaces = namespaces
        self._ceiling_s = ceiling_s
        self._numbers = {name: number for number, name in namespaces.items()}

    def concerns(self, learned: Learned) -> str | None:
        """Return the name that the group must hear of; None = no rule speaks of the answer's names."""
        return self._teacher.spoken_of(learned) if learned.addresses else None

    async def tell(self, namespace: int, name: str, learned: Learned) -> None:
        """Tell the group and wait until it knows, at most PATIENCE_S."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._edge.share(
                    self._namespaces.get(namespace, ""), name, learned.addresses, learned.ttl
                )
            self.counts["told"] += 1
        except (TunnelError, TimeoutError) as error:
            self.counts["untold"] += 1
            log.debug("the group was not told of %s: %s", name, error)

    def hear(self, message: messages.Learned) -> None:
        """Put in force what another connector learned."""
        namespace = self._numbers.get(message.namespace)
        if namespace is None:
            self.counts["namespace_unknown"] += 1
            return
        self.counts["heard"] += 1
        self._teacher.teach(
            namespace,
            Learned(
                id=0,
                asked=(message.name, 1, 1),
                rcode=0,
                names=(message.name,),
                addresses=message.addresses,
                ttl=min(message.ttl, self._ceiling_s),
            ),
        )
