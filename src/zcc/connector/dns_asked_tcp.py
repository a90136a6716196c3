"""DNS over TCP at the connector's own DNS address: for answers that UDP cut, and for clients that prefer it.

Journey: a client's connection to `dns.listen`; its messages are answered as `dns_asked` answers those over UDP, none cut.
Spec: RFC 7766 §5 (a server over UDP is one over TCP too). Bounds are `dns_stream`'s. One thread, the event loop's.
"""

from collections.abc import Awaitable, Callable, Hashable
from ipaddress import IPv4Address

from zcc.connector.dns import NO_SERVER
from zcc.connector.dns_asked import DnsAsked
from zcc.connector.dns_journal import Origin
from zcc.connector.dns_stream import Stream, StreamListener
from zcc.connector.ports import DnsListen, Place
from zcc.dns.pending import Asker
from zcc.errors import ZccError

__all__ = ["AskedOverTcp", "listen_over_tcp"]

Close = Callable[[], Awaitable[None]]


class AskedOverTcp:
    """What is said with a client over one connection."""

    def __init__(self, asked: DnsAsked, place: Place, host: str, port: int) -> None:
        """Compose.

        Args:
            place: that all clients of the listener belong to.
            host, port: of the client.
        """
        client = IPv4Address(host)
        self.whose: tuple[Hashable, ...] = (client,)
        self._asked = asked
        self._origin = Origin(Asker(place.namespace, client, port, NO_SERVER), place.location, "TCP")

    async def run(self, stream: Stream) -> None:
        """Answer until the client ends, or is idle for too long."""

        async def answer(wire: bytes) -> None:
            message = await self._asked.answer(self._origin, wire)
            if message is not None:
                await stream.send(message)

        await stream.each(answer)


async def listen_over_tcp(asked: DnsAsked, listen: DnsListen | None) -> Close:
    """Listen, if the file says where; return what ends it.

    Raises:
        ZccError: the address can not be bound.
    """
    if listen is None:
        return _nothing
    address, port, *of = listen
    listener = StreamListener(asked.counts, lambda host, port: AskedOverTcp(asked, Place(*of), host, port))
    try:
        await listener.start(address, port)
    except OSError as error:
        raise ZccError(f"dns.listen {address}:{port}: {error.strerror}; does another server have its TCP port?") from error
    return listener.close


async def _nothing() -> None:
    """End what never began."""
