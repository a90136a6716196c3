"""The connector's end of the private path: one edge at a time, leases asked, streams opened.

Journey: the connector's DNS service resolves, its relay opens, its stray handling asks who-is. One event
loop. It stays with the first edge of its list that answers and moves on when that one is lost or drains;
streams alive on a draining edge run to their end. It keeps no lease: that is zcc.synthetic.leases.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import ssl
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address

from zcc.clock import Clock
from zcc.errors import ZccError
from zcc.fields import HostPort
from zcc.mtunnel.backoff import Backoff
from zcc.mtunnel.control import read_open_reply, send
from zcc.mtunnel.dial import Dialled, Dialler
from zcc.mtunnel.errors import Code, EdgeDown, Refused, StreamGone
from zcc.mtunnel.messages import (
    ADDRESSES_LIMIT,
    IN_USE_LIMIT,
    BadMessage,
    Claimed,
    Failure,
    Hello,
    InUse,
    Learned,
    Lease,
    Message,
    Noted,
    OpenRequest,
    Pools,
    PoolsOf,
    Resolve,
    Resolved,
    SourceIdentity,
    Welcome,
    WhoIs,
)
from zcc.mtunnel.settings import ClientSettings
from zcc.mtunnel.stream import MuxStream
from zcc.synthetic.lease import Tombstone
from zcc.synthetic.pool import DEFAULT_POOL

__all__ = ["ClientSettings", "EdgeClient", "Hello", "Lease", "OpenRequest", "SourceIdentity"]

# Requests in flight: a flood of names asked waits here, not in the edge.
REQUEST_LIMIT = 1024

log = logging.getLogger(__name__)


class EdgeClient:
    """A connection to the private side, renewed as long as run() runs."""

    def __init__(
        self,
        settings: ClientSettings,
        tls: ssl.SSLContext,
        verify: Callable[[bytes], object],
        hello: Hello,
        clock: Clock,
    ) -> None:
        """Prepare; nothing is dialled before run().

        Args:
            tls: a client context with the ALPN of zcc.mtunnel.transport.
            verify: given the edge's certificate in DER, returns who it is or raises PeerRefused.
            hello: what we say first; name and group as in our certificate and settings.
        """
        self.changed = asyncio.Event()  # set at every connect and loss; whoever waits on it clears it
        self.last_error = ""  # of the newest failed attempt; "" = none since the last success
        self._settings = settings
        self._dialler = Dialler(
            tls, verify, hello, clock, settings.keepalive, settings.connect_timeout.total_seconds()
        )
        self._current: Dialled | None = None
        self._edge: HostPort | None = None
        self._welcome: Welcome | None = None  # with what the edge has said of its pools since
        self.on_pools: Callable[[PoolsOf], None] = lambda pools: None  # at every connect, and when they are others
        self.on_learned: Callable[[Learned], None] = lambda learned: None  # what another of the group learned
        self.on_claimed: Callable[[Claimed], None] = lambda claimed: None  # what a flow said at another of the group
        self._requests: dict[int, asyncio.Future[Lease | Tombstone | None]] = {}
        self._noting: set[asyncio.Task[None]] = set()
        self._ids = itertools.count(1)
        self._draining: set[asyncio.Task[None]] = set()

    @property
    def connected(self) -> bool:
        """Whether an edge has welcomed us and is alive."""
        return self._current is not None and self._current.connection.alive

    @property
    def edge(self) -> str | None:
        """Address of the connected edge; None = not connected."""
        return str(self._edge) if self.connected else None

    @property
    def round_trip_ns(self) -> int:
        """Round trip of the last ping to the edge; 0 = unknown."""
        return self._current.connection.round_trip_ns if self._current is not None else 0

    async def run(self) -> None:
        """Stay connected until cancelled."""
        backoff = Backoff(
            self._settings.backoff_floor.total_seconds(),
            self._settings.backoff_ceiling.total_seconds(),
            random.random,
        )
        try:
            while True:
                if await self._connect_any():
                    backoff.reset()
                    await self._serve()
                await asyncio.sleep(backoff.next_s())
        finally:
            self._drop("the connector ends")
            for task in self._draining:
                task.cancel()

    @property
    def welcome(self) -> Welcome | None:
        """What the connected edge said of itself; None = not connected."""
        return self._welcome if self.connected else None

    async def resolve(self, namespace: str, name: str, pool: str = DEFAULT_POOL) -> Lease | None:
        """Return the lease of a name in a pool; None = no application of the namespace covers it.

        Raises:
            EdgeDown: nobody could be asked.
            Refused: an application covers it and the answer is still no (access rules, pool full, no such pool).
        """
        found = await self._ask(Resolve(id=next(self._ids), namespace=namespace, name=name, pool=pool))
        return found if isinstance(found, Lease) else None

    async def who_is(self, address: IPv4Address) -> Lease | Tombstone | None:
        """Return the lease that an address of a pool belongs to, else who had it last; None = nobody ever had.

        Raises:
            EdgeDown: nobody could be asked.
        """
        return await self._ask(WhoIs(id=next(self._ids), address=address))

    async def report(self, addresses: Sequence[IPv4Address]) -> None:
        """Tell the edge to which synthetic addresses live flows go; nothing comes back.

        Raises:
            EdgeDown: nobody could be told.
        """
        current = self._usable()
        try:
            for first in range(0, len(addresses), IN_USE_LIMIT):
                await current.control.send(InUse(addresses=tuple(addresses[first : first + IN_USE_LIMIT])))
        except StreamGone as error:
            raise EdgeDown(f"private edge {self._edge}: {error}") from None

    async def share(
        self, namespace: str, name: str, addresses: Sequence[IPv4Address | IPv6Address], ttl: int
    ) -> None:
        """Tell the group's other connectors a name's addresses; return when they are in force there, as far as known.

        Raises:
            EdgeDown: nobody could be told.
        """
        await self._ask(Learned(id=next(self._ids), namespace=namespace, name=name,
                                addresses=tuple(addresses[:ADDRESSES_LIMIT]), ttl=ttl))

    async def claim(self, claimed: Claimed) -> None:
        """Tell the group's other connectors what a flow has said of its destination; nothing comes back.

        Raises:
            EdgeDown: nobody could be told, or the edge is one that knows no claims.
        """
        current = self._usable()
        if not current.welcome.claims:
            raise EdgeDown(f"private edge {self._edge} knows no claims")
        try:
            await current.control.send(claimed)
        except StreamGone as error:
            raise EdgeDown(f"private edge {self._edge}: {error}") from None

    async def open(self, request: OpenRequest) -> MuxStream:
        """Open a stream to an application, end to end.

        Raises:
            Refused: the edge, the app connector or the server said no.
            EdgeDown: there is no edge, or it went away.
        """
        current = self._usable()
        stream: MuxStream | None = None
        try:
            async with asyncio.timeout(self._settings.open_timeout.total_seconds()):
                stream = await current.connection.open()
                await send(stream, request)
                reply = await read_open_reply(stream)
        except BaseException as error:
            if stream is not None:
                stream.reset()
            if isinstance(error, TimeoutError):
                raise Refused(Code.TIMEOUT, "no answer from the private edge") from None
            if isinstance(error, StreamGone | BadMessage):
                raise EdgeDown(f"private edge {self._edge}: {error}") from error
            raise
        if reply.code != Code.OK:
            stream.reset()
            raise Refused(reply.code, reply.text)
        return stream

    def _usable(self) -> Dialled:
        if self._current is None or not self._current.connection.alive:
            raise EdgeDown(f"no private edge is connected; last: {self.last_error or 'not yet tried'}")
        return self._current

    async def _ask(self, request: Resolve | WhoIs | Learned) -> Lease | Tombstone | None:
        current = self._usable()
        if len(self._requests) >= REQUEST_LIMIT:
            raise EdgeDown(f"private edge {self._edge}: {REQUEST_LIMIT} requests wait for an answer")
        waiter: asyncio.Future[Lease | Tombstone | None] = asyncio.get_running_loop().create_future()
        self._requests[request.id] = waiter
        try:
            async with asyncio.timeout(self._settings.request_timeout.total_seconds()):
                await current.control.send(request)
                return await waiter
        except (StreamGone, TimeoutError) as error:
            raise EdgeDown(f"private edge {self._edge}: {str(error) or 'no answer in time'}") from None
        finally:
            del self._requests[request.id]

    async def _connect_any(self) -> bool:
        for edge in self._settings.edges:
            try:
                dialled = await self._dialler.dial(edge)
            except ZccError as error:
                self.last_error = str(error)
                log.warning("%s", error)
                continue
            self._current, self._edge, self.last_error = dialled, edge, ""
            self._welcome = dialled.welcome
            self.on_pools(dialled.welcome)
            self.changed.set()
            log.info("connected to private edge %s (%s)", dialled.welcome.edge, edge)
            return True
        return False

    async def _serve(self) -> None:
        """Take answers until the edge is lost or drains."""
        current = self._usable()
        reader = asyncio.create_task(self._take_answers(current))
        draining = asyncio.create_task(current.connection.going_away.wait())
        try:
            await asyncio.wait({reader, draining}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            draining.cancel()
        if current.connection.alive and current.connection.going_away.is_set():
            # Streams on it may end in their own time; the next edge is dialled meanwhile.
            self._draining.add(reader)
            reader.add_done_callback(self._draining.discard)
            log.info("private edge %s drains", self._edge)
            self._forget(current)
        else:
            reader.cancel()
            self._drop("connection lost")

    async def _take_answers(self, dialled: Dialled) -> None:
        try:
            while (message := await dialled.control.receive()) is not None:
                self._on_message(message)
        except (StreamGone, BadMessage) as error:
            log.info("private edge %s: %s", dialled.welcome.edge, error)
        finally:
            if dialled.connection.alive and not dialled.connection.going_away.is_set():
                dialled.connection.close("the control stream ended")

    def _on_message(self, message: Message) -> None:
        match message:
            case Resolved(id=request, lease=lease, former=former, released=released):
                self._settle(request, Tombstone(former, released) if lease is None and former else lease)
            case Noted(id=request):
                self._settle(request, None)
            case Failure(id=int(request), code=code, text=text):
                self._settle(request, Refused(code, text))
            case Pools():
                if self._welcome is not None:
                    self._welcome = self._welcome.model_copy(update=message.model_dump(exclude={"type"}))
                self.on_pools(message)
            case Learned():
                self._note(message)
            case Claimed():
                self.on_claimed(message)
            case Failure(code=code, text=text):
                log.warning("private edge %s says %s: %s", self._edge, code, text)
            case _:
                log.debug("message out of place: %s", type(message).__name__)

    def _settle(self, request: int, answer: Lease | Tombstone | Refused | None) -> None:
        """Give an answer to who waits for it, if anybody still does."""
        waiter = self._requests.get(request)
        if waiter is None or waiter.done():
            return
        if isinstance(answer, Refused):
            waiter.set_exception(answer)
        else:
            waiter.set_result(answer)

    def _note(self, learned: Learned) -> None:
        """Put a name in force here, then say so; an edge that is gone meanwhile needs no word."""
        self.on_learned(learned)
        current = self._current
        if current is not None:
            task = asyncio.create_task(self._say_noted(current, learned.id))
            self._noting.add(task)
            task.add_done_callback(self._noting.discard)

    async def _say_noted(self, current: Dialled, request: int) -> None:
        with contextlib.suppress(StreamGone):
            await current.control.send(Noted(id=request))

    def _drop(self, reason: str) -> None:
        current = self._current
        if current is not None:
            current.connection.close(reason)
            self._forget(current)

    def _forget(self, current: Dialled) -> None:
        if self._current is current:
            self._current = None
            self.changed.set()
        for waiter in self._requests.values():
            if not waiter.done():
                waiter.set_exception(StreamGone("the edge was lost before it answered"))
