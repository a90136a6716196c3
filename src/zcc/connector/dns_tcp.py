"""DnsTcp: DNS over TCP of workloads, whatever server they sent it to.

Journey: the worker rewrites a workload's TCP flow to port 53 to (alias, listener); the accepted peer
leads back to the flow. Owned names are answered here by DnsService; other queries go, under their own
ids, to the server that was asked, over one connection in the workload's name; its answers teach names
before they are passed on.
Spec: RFC 7766. Bounds are `dns_stream`'s. One thread, the event loop's.
"""

import asyncio
import contextlib
import logging
import random
import socket
from collections.abc import Callable
from ipaddress import IPv4Address

from zcc.connector.dns import DnsService
from zcc.connector.dns_journal import Origin
from zcc.connector.dns_stream import PIPELINE_LIMIT, Stream, StreamListener, frame, read_message
from zcc.connector.ports import TCP, FlowRecord, Flows
from zcc.dns import answers
from zcc.dns.pending import Asker
from zcc.dns.question import Question, parse_question

CONNECT_S = 5.0
PORTS = (20_000, 60_999)
UNREACHABLE = "the server that was asked can not be reached over TCP"

Connect = Callable[[IPv4Address, int], socket.socket]  # alias, source port → socket that speaks as it

log = logging.getLogger(__name__)


class DnsTcp:
    """What is said on the listener that the worker sends TCP flows to port 53 to."""

    def __init__(self, service: DnsService, flows: Flows, connect: Connect) -> None:
        """Compose.

        Args:
            connect: makes an unconnected socket for the workload's alias:
            `zcc.connector.aliases.Aliases.socket`.
        """
        self.service = service  # who decides
        self.counts = service.counts  # those of TCP begin with tcp_
        self._flows = flows
        self._connect = connect
        self.listener = StreamListener(self.counts, self._talk)

    def _talk(self, alias: str, port: int) -> "Conversation | None":
        flow = self._flows.flow_of(TCP, IPv4Address(alias), port)
        return None if flow is None else Conversation(self, flow, IPv4Address(alias))

    def dial(self, alias: IPv4Address, avoid: int) -> socket.socket:
        """Make a socket in the workload's name.

        Args:
            avoid: port that the workload itself uses towards that server; the worker would take one flow
            for the other.
        Raises:
            OSError: no port is free.
        """
        for _ in range(8):
            port = random.randint(*PORTS)
            if port != avoid:
                with contextlib.suppress(OSError):
                    return self._connect(alias, port)
        return self._connect(alias, 0)


class Conversation:
    """One workload's connection."""

    def __init__(self, listener: DnsTcp, flow: FlowRecord, alias: IPv4Address) -> None:
        self.whose = flow.namespace, flow.source
        self._listener = listener
        self._flow = flow
        self._alias = alias
        asker = Asker(flow.namespace, flow.source, flow.source_port, flow.destination)
        self._origin = Origin(asker, flow.location, "TCP")
        self._upstream: asyncio.StreamWriter | None = None
        self._dialling = asyncio.Lock()
        self._waiting: dict[tuple[int, str], Question] = {}  # forwarded, not yet answered
        self._settled = asyncio.Event()  # set while none waits
        self._settled.set()

    async def run(self, stream: Stream) -> None:
        """Serve until the workload ends, or is idle for too long with nothing under way."""
        self._stream = stream
        try:
            await stream.each(self._query)
            await self._last_answers()
        finally:
            if self._upstream is not None:
                self._upstream.close()

    async def _last_answers(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_S):
                await self._settled.wait()

    async def _query(self, wire: bytes) -> None:
        answer = await self._listener.service.resolve(self._origin, wire)
        if answer is None:
            await self._forward(wire)
        else:
            await self._stream.send(answer)

    async def _forward(self, wire: bytes) -> None:
        self._listener.counts["tcp_forwarded"] += 1
        question = parse_question(wire)
        try:
            async with self._dialling:
                if self._upstream is None:
                    self._upstream = await self._dial()
            if isinstance(question, Question):
                if len(self._waiting) >= PIPELINE_LIMIT:
                    self._waiting.pop(next(iter(self._waiting)))
                self._waiting[question.id, question.text] = question
                self._settled.clear()
            self._upstream.write(frame(wire))
            async with asyncio.timeout(CONNECT_S):
                await self._upstream.drain()
        except (OSError, TimeoutError) as error:
            self._listener.counts["tcp_upstream_failed"] += 1
            log.debug("DNS over TCP to %s: %s", self._flow.destination, error)
            if isinstance(question, Question):
                self._settle(wire)
                await self._stream.send(answers.failure(question, UNREACHABLE))

    async def _dial(self) -> asyncio.StreamWriter:
        loop = asyncio.get_running_loop()
        made = self._listener.dial(self._alias, self._flow.source_port)
        try:
            async with asyncio.timeout(CONNECT_S):
                await loop.sock_connect(made, (str(self._flow.destination), self._flow.destination_port))
                reader, writer = await asyncio.open_connection(sock=made)
        except BaseException:
            made.close()
            raise
        self._stream.spawn(self._pass_answers(reader, writer))
        return writer

    async def _pass_answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (wire := await read_message(reader)) is not None:
                heard = self._listener.service.hear(self._origin, wire)
                if heard.learned is not None:
                    await self._listener.service.tell_group(self._flow.namespace, heard.learned)
                self._settle(wire)
                await self._stream.send(heard.message)
        except (OSError, asyncio.IncompleteReadError) as error:
            log.debug("DNS over TCP to %s ended: %s", self._flow.destination, error)
        finally:
            writer.close()
            if self._upstream is writer:
                self._upstream = None
        unanswered, self._waiting = list(self._waiting.values()), {}
        for question in unanswered:
            await self._stream.send(answers.failure(question, UNREACHABLE))
        self._settled.set()

    def _settle(self, wire: bytes) -> None:
        message_id = int.from_bytes(wire[:2])
        for key in [key for key in self._waiting if key[0] == message_id][:1]:
            del self._waiting[key]
        if not self._waiting:
            self._settled.set()
