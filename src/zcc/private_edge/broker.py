"""One agent's connection at the private edge: hello, then its control requests and its streams.

Journey: the daemon gives it every connection that the listener verified. One event loop. The role in the
certificate decides what an agent may do: connectors resolve and open, app connectors register. A message or
stream out of place ends the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

from zcc.errors import LedgerError
from zcc.mtunnel.control import ControlChannel
from zcc.mtunnel.errors import Code, Refused, StreamGone
from zcc.mtunnel.messages import (
    BadMessage,
    Claimed,
    Failure,
    Hello,
    InUse,
    Learned,
    Message,
    Noted,
    Pools,
    PoolsOf,
    Register,
    Registered,
    Resolve,
    Resolved,
    Status,
    Welcome,
    WhoIs,
)
from zcc.mtunnel.transport import MuxConnection
from zcc.pki.peer import Peer
from zcc.private_edge.journal import Journal
from zcc.private_edge.leasing import Leasing, NoPool, PoolFull
from zcc.private_edge.metrics import EdgeMetrics
from zcc.private_edge.opening import Agent, Opening
from zcc.private_edge.registry import AppConnector, Registry
from zcc.private_edge.sharing import Sharing
from zcc.private_edge.usage import Usage
from zcc.synthetic.lease import Tombstone

__all__ = ["Broker"]

HELLO_TIMEOUT_S = 10.0
# Requests of one agent that are worked on at once; more wait in its own stream.
REQUESTS_AT_ONCE = 128

log = logging.getLogger(__name__)


class Broker:
    """Serves agents."""

    def __init__(
        self,
        welcome: Welcome,
        leasing: Leasing,
        registry: Registry,
        opening: Opening,
        journal: Journal,
        metrics: EdgeMetrics,
        usage: Usage,
        members: dict[str, tuple[str, ...]] | None = None,
    ) -> None:
        """Take the parts.

        Args:
            members: app connectors that may register, by group; a group that is not in it takes any.
        """
        self.connections: set[MuxConnection] = set()
        self._welcome = welcome
        self._leasing = leasing
        self._registry = registry
        self._opening = opening
        self._journal = journal
        self._metrics = metrics
        self._usage = usage
        self._members = members or {}
        self._sharing = Sharing()
        self._controls: dict[ControlChannel, Agent] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._passages: set[asyncio.Task[None]] = set()

    @property
    def passages(self) -> int:
        """Data streams under way."""
        return len(self._passages)

    def adopt(self, welcome: Welcome, members: dict[str, tuple[str, ...]]) -> None:
        """Go on with other pools and members, and tell the connectors that are here."""
        self._welcome, self._members = welcome, members
        said = Pools(**{field: getattr(welcome, field) for field in PoolsOf.model_fields})
        for control, agent in self._controls.items():
            if agent.pools:
                task = asyncio.get_running_loop().create_task(_tell(control, said))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    def take(self, connection: MuxConnection) -> None:
        """Serve a verified connection until it ends."""
        task = asyncio.get_running_loop().create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self, limit_s: float) -> int:
        """Take nothing new, let streams finish until the limit, end; return how many were cut."""
        self._opening.draining = True
        for connection in self.connections:
            connection.go_away()
        if self._passages:
            await asyncio.wait(set(self._passages), timeout=limit_s)
        cut = len(self._passages)
        for task in set(self._passages):
            task.cancel()
        for connection in set(self.connections):
            connection.close("the edge ends")
        ending = self._passages | self._tasks
        if ending:
            await asyncio.wait(ending)
        return cut

    async def _serve(self, connection: MuxConnection) -> None:
        try:
            async with asyncio.timeout(HELLO_TIMEOUT_S):
                agent, control = await self._greet(connection)
        except (Refused, BadMessage, StreamGone, TimeoutError) as error:
            self._refuse(connection, str(error) or "no hello in time")
            return
        self.connections.add(connection)
        self._metrics.agents.labels(agent.role).inc()
        self._journal.tunnel_up(connection)
        log.info("%s connected from %s", connection.peer, connection.remote)
        streams = asyncio.create_task(self._take_streams(connection, agent))
        try:
            await self._take_requests(connection, control, agent)
        finally:
            streams.cancel()
            self.connections.discard(connection)
            self._metrics.agents.labels(agent.role).dec()
            reason = connection.closed.result() if connection.closed.done() else "ended"
            self._journal.tunnel_down(connection, reason)
            log.info("%s disconnected: %s", connection.peer, reason)

    async def _greet(self, connection: MuxConnection) -> tuple[Agent, ControlChannel]:
        peer = connection.peer
        stream = await connection.accept()
        if stream is None or not isinstance(peer, Peer):
            raise StreamGone("it ended before hello")
        control = ControlChannel(stream)
        hello = await control.receive()
        if not isinstance(hello, Hello):
            raise BadMessage("the first message is not hello")
        if hello.name != peer.name:
            text = f"hello names {hello.name!r}, the certificate {peer.name!r}"
            await control.send(Failure(code=Code.FORBIDDEN, text=text))
            raise Refused(Code.FORBIDDEN, text)
        await control.send(self._welcome)
        return Agent(peer.role, peer.name, hello.group, hello.claims, hello.pools), control

    def _refuse(self, connection: MuxConnection, reason: str) -> None:
        self._metrics.refused.inc()
        self._journal.refused(connection.remote, f"{connection.peer}: {reason}")
        log.warning("%s at %s refused: %s", connection.peer, connection.remote, reason)
        connection.close(reason)

    async def _take_streams(self, connection: MuxConnection, agent: Agent) -> None:
        while (stream := await connection.accept()) is not None:
            if agent.role != "connector":
                self._refuse(connection, f"only connectors open streams, not role {agent.role}")
                return
            task = asyncio.create_task(self._opening.serve(stream, agent))
            self._passages.add(task)
            task.add_done_callback(self._passage_ended)

    def _passage_ended(self, task: asyncio.Task[None]) -> None:
        self._passages.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a stream failed inside the edge", exc_info=error)

    async def _take_requests(
        self, connection: MuxConnection, control: ControlChannel, agent: Agent
    ) -> None:
        places = asyncio.Semaphore(REQUESTS_AT_ONCE)
        member = AppConnector(agent.name, agent.group, connection)
        self._controls[control] = agent
        if agent.role == "connector":
            self._sharing.join(agent, control)
        try:
            async with asyncio.TaskGroup() as group:
                while (message := await control.receive()) is not None:
                    if agent.role == "app-connector":
                        await self._on_member(control, member, message)
                    elif isinstance(message, Resolve | WhoIs | Learned | Claimed):
                        await places.acquire()
                        group.create_task(self._answer(control, agent, message, places))
                    elif isinstance(message, Noted):
                        self._sharing.noted(message)
                    elif isinstance(message, InUse):
                        self._usage.report(agent.name, message.addresses)
                    else:
                        raise BadMessage(f"{type(message).__name__} from a {agent.role}")
            connection.close("the agent ended its control stream")
        except* BadMessage as errors:
            self._refuse(connection, str(errors.exceptions[0]))
        except* StreamGone:
            connection.close("the control stream is gone")
        finally:
            del self._controls[control]
            self._registry.remove(member)
            self._sharing.leave(agent, control)

    async def _on_member(self, control: ControlChannel, member: AppConnector, message: Message) -> None:
        if isinstance(message, Status):
            member.reported, member.draining = message.streams, message.draining
        elif not isinstance(message, Register):
            raise BadMessage(f"{type(message).__name__} from an app-connector")
        elif message.group != member.group or member.name not in self._members.get(
            member.group, (member.name,)
        ):
            text = f"app connector {member.name} may not register for group {message.group}"
            self._metrics.requests.labels("register", Code.FORBIDDEN).inc()
            await control.send(Failure(code=Code.FORBIDDEN, text=text))
            raise BadMessage(text)
        else:
            self._registry.remove(member)
            self._registry.add(member)
            self._metrics.requests.labels("register", Code.OK).inc()
            await control.send(Registered(group=member.group))

    async def _answer(
        self, control: ControlChannel, agent: Agent, message: Resolve | WhoIs | Learned | Claimed, places: asyncio.Semaphore
    ) -> None:
        try:
            if isinstance(message, Learned):
                self._metrics.requests.labels(message.type, Code.OK).inc()
                await self._sharing.share(agent, control, message)
                return
            if isinstance(message, Claimed):
                self._metrics.requests.labels(message.type, Code.OK).inc()
                await self._sharing.pass_on(agent, control, message)
                return
            answer = await self._lease(message)
            outcome = answer.code if isinstance(answer, Failure) else "lease" if answer.lease else "none"
            self._metrics.requests.labels(message.type, outcome).inc()
            await control.send(answer)
        finally:
            places.release()

    async def _lease(self, message: Resolve | WhoIs) -> Resolved | Failure:
        try:
            if isinstance(message, WhoIs):
                found = await self._leasing.who_is(message.address)
                if isinstance(found, Tombstone):
                    return Resolved(id=message.id, former=found.name, released=found.released)
                return Resolved(id=message.id, lease=found)
            lease = await self._leasing.resolve(message.namespace, message.name, message.pool)
            return Resolved(id=message.id, lease=lease)
        except NoPool as error:
            return Failure(id=message.id, code=Code.NO_POOL, text=f"this edge has no pool {str(error)[:255]!r}")
        except PoolFull as error:
            name, pool = error.args
            log.warning("no synthetic address of pool %s left for %s; widen the pool or narrow wildcards", pool, name)
            return Failure(id=message.id, code=Code.POOL_FULL, text=f"no synthetic address of pool {pool} is left")
        except LedgerError as error:
            log.error("%s", error)
            return Failure(id=message.id, code=Code.INTERNAL, text="the ledger cannot be written")


async def _tell(control: ControlChannel, said: Pools) -> None:
    with contextlib.suppress(StreamGone):  # its successor is welcomed with the same words
        await control.send(said)
