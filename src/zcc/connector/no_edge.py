"""NoEdge: stands where a connector without a zpa section has no private edge, and has nothing to say."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address

from zcc.connector.opening import Stream
from zcc.mtunnel.errors import EdgeDown
from zcc.mtunnel.messages import Claimed, OpenRequest
from zcc.synthetic.lease import Lease, Tombstone

__all__ = ["NoEdge"]


class NoEdge:
    """Stands where a connector without a zpa section has no private edge."""

    edge: str | None = None

    async def resolve(self, namespace: str, name: str, pool: str) -> Lease | None:
        """Nobody can be asked."""
        raise EdgeDown("the configuration has no zpa section")

    async def who_is(self, address: IPv4Address) -> Lease | Tombstone | None:
        """Nobody can be asked."""
        raise EdgeDown("the configuration has no zpa section")

    async def share(
        self, namespace: str, name: str, addresses: Sequence[IPv4Address | IPv6Address], ttl: int
    ) -> None:
        """There is no group to be reached."""
        raise EdgeDown("the configuration has no zpa section")

    async def claim(self, claimed: Claimed) -> None:
        """There is no group to be reached."""
        raise EdgeDown("the configuration has no zpa section")

    async def open(self, request: OpenRequest) -> Stream:
        """Nothing can be opened."""
        raise EdgeDown("the configuration has no zpa section")
