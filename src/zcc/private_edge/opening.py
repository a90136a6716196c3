"""One data stream: read the request, authorise, choose an app connector, open, reply, splice, record.

Journey: broker calls serve() for every stream that a connector opens. One event loop. What the request claims
of itself is checked against the connection's certificate; the application is found from the name, never taken
from the request; the destination comes from this edge's configuration.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zcc.clock import Clock
from zcc.fields import parse_dns_name
from zcc.mtunnel.control import read_open_reply, read_open_request, send
from zcc.mtunnel.errors import Code, Refused, StreamGone
from zcc.mtunnel.messages import BadMessage, OpenReply, OpenRequest
from zcc.mtunnel.splice import splice
from zcc.mtunnel.stream import MuxStream
from zcc.private_edge.access import decide
from zcc.private_edge.catalogue import Catalogue
from zcc.private_edge.journal import Journal, Passage
from zcc.private_edge.metrics import EdgeMetrics
from zcc.private_edge.registry import AppConnector, Registry
from zcc.private_edge.settings import AccessRule, EdgeApplication

__all__ = ["Agent", "Opening"]

REQUEST_TIMEOUT_S = 10.0
# The app connector gives a server 10 s; the rest is the way there and back.
REPLY_TIMEOUT_S = 12.0
ATTEMPTS = 3
# Answers after which another server or app connector may do better.
WORTH_ANOTHER = frozenset({Code.REFUSED, Code.UNREACHABLE, Code.TIMEOUT, Code.NAME_NOT_FOUND, Code.DRAINING})


@dataclass(frozen=True, slots=True)
class Agent:
    """Who is at the other end: from the certificate, and the group from its hello."""

    role: str
    name: str
    group: str
    claims: bool = False  # whether it takes claimed
    pools: bool = False  # whether it takes pools


class Opening:
    """Everything that opening a stream needs."""

    def __init__(
        self,
        catalogue: Catalogue,
        access: Sequence[AccessRule],
        registry: Registry,
        journal: Journal,
        metrics: EdgeMetrics,
        clock: Clock,
    ) -> None:
        """Take the parts."""
        self.draining = False
        self._catalogue = catalogue
        self._access = access
        self._registry = registry
        self._journal = journal
        self._metrics = metrics
        self._clock = clock
        self._turn = itertools.count()

    def adopt(self, catalogue: Catalogue, access: Sequence[AccessRule]) -> None:
        """Decide by other applications and rules from now on; open streams go on."""
        self._catalogue, self._access = catalogue, access

    async def serve(self, stream: MuxStream, agent: Agent) -> None:
        """Carry one stream from its request to its end. Cancelling resets both sides."""
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                request = await read_open_request(stream)
        except (BadMessage, StreamGone, TimeoutError):
            self._metrics.opens.labels("none", Code.BAD_REQUEST).inc()
            stream.reset()
            return
        passage = Passage(agent.name, request, self._clock.monotonic_ns())
        try:
            await self._pass(stream, agent, passage)
        except (StreamGone, TimeoutError) as error:
            passage.count.reason = passage.count.reason or str(error)
            stream.reset()
        except BaseException:
            stream.reset()
            raise
        finally:
            self._record(passage)

    async def _pass(self, stream: MuxStream, agent: Agent, passage: Passage) -> None:
        try:
            application = self._authorise(agent, passage)
            onward = await self._open(application, passage)
        except Refused as refusal:
            passage.code = refusal.code
            self._count_open(passage)
            await send(stream, OpenReply(code=refusal.code, text=refusal.text))
            await stream.finish()
            # The connector resets once it has read the reply; its finish is as good.
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await stream.read()
            stream.reset()
            return
        self._count_open(passage)
        self._metrics.streams.inc()
        try:
            await send(stream, OpenReply(server=passage.server))
            await splice(stream, onward, passage.count)
        finally:
            self._metrics.streams.dec()
            onward.reset()

    def _authorise(self, agent: Agent, passage: Passage) -> EdgeApplication:
        request = passage.request
        source = request.source
        if self.draining:
            raise Refused(Code.DRAINING, "this edge is about to end")
        if source.connector != agent.name or source.group != agent.group:
            text = f"the request names {source.connector} of group {source.group!r}, not {agent.name}"
            raise Refused(Code.FORBIDDEN, text)
        try:
            name = parse_dns_name(request.host)
        except ValueError:
            raise Refused(Code.BAD_REQUEST, f"{request.host!r} is no name") from None
        application = self._catalogue.serving(source.namespace, name, request.protocol, request.port)
        if application is None:
            what = f"{request.protocol}/{request.port} of {name} for namespace {source.namespace}"
            raise Refused(Code.NO_APPLICATION, f"no application covers {what}")
        passage.application = application.name
        decision = decide(self._access, application.name, source.namespace, agent.group, source.location)
        passage.rule = decision.rule
        if not decision.allowed:
            raise Refused(Code.FORBIDDEN, f"refused by access rule {decision.rule}")
        return application

    async def _open(self, application: EdgeApplication, passage: Passage) -> MuxStream:
        """Open to the first server and app connector that answer; raises Refused with the last no."""
        group = application.app_connector_group
        refusal = Refused(Code.NO_APP_CONNECTOR, f"no app connector of group {group} is connected")
        gone: set[AppConnector] = set()
        for server in self._servers(application, passage.request):
            chosen = self._registry.choose(group, gone)
            if chosen is None:
                break
            passage.app_connector = chosen.name
            request = passage.request.model_copy(update={"application": application.name, "host": server})
            try:
                return await self._open_at(chosen, request, passage)
            except Refused as error:
                refusal = error
                if error.code not in WORTH_ANOTHER:
                    break
            except StreamGone:
                gone.add(chosen)
        raise refusal

    def _servers(self, application: EdgeApplication, request: OpenRequest) -> Iterator[str]:
        """The servers to try, each attempt one; starting points take turns."""
        servers = [str(server) for server in application.servers] or [request.host]
        start = next(self._turn)
        return (servers[(start + attempt) % len(servers)] for attempt in range(ATTEMPTS))

    async def _open_at(self, chosen: AppConnector, request: OpenRequest, passage: Passage) -> MuxStream:
        stream: MuxStream | None = None
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                stream = await chosen.connection.open()
                await send(stream, request)
                reply = await read_open_reply(stream)
        except BaseException as error:
            if stream is not None:
                stream.reset()
            if isinstance(error, TimeoutError):
                raise Refused(Code.TIMEOUT, f"app connector {chosen.name} does not answer") from None
            if isinstance(error, BadMessage):
                raise Refused(Code.INTERNAL, f"app connector {chosen.name}: {error}") from None
            raise
        if reply.code != Code.OK:
            stream.reset()
            raise Refused(reply.code, reply.text)
        passage.server = reply.server
        return stream

    def _count_open(self, passage: Passage) -> None:
        self._metrics.opens.labels(passage.request.protocol, passage.code or Code.OK).inc()
        self._metrics.open_seconds.observe((self._clock.monotonic_ns() - passage.started_ns) / 1e9)

    def _record(self, passage: Passage) -> None:
        self._metrics.octets.labels("to-server").inc(passage.count.octets[0])
        self._metrics.octets.labels("to-client").inc(passage.count.octets[1])
        self._journal.session(passage, self._clock.monotonic_ns())
