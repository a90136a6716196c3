"""DnsTcp: DNS over TCP of workloads, whatever server they sent it to.

Journey: the worker rewrites a workload's TCP flow to port 53 to (alias, listener); the accepted peer
leads back to the flow. Owned names are answered here by DnsService; other queries go, under their own
ids, to the server that was asked, over one connection in the workload's name; its answers teach names
before they are passed on.
Spec: RFC 1035 §4.2.2 (two octets of length), RFC 7766 (pipelining, answers in any order, idle connections).
Bounded: connections as a whole and of a namespace, queries of a connection, idle time. One thread, the
event loop's.
"""

import asyncio
import contextlib
import logging
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable
from ipaddress import IPv4Address

from zcc.connector.dns import DnsService
from zcc.connector.dns_journal import Origin
from zcc.connector.ports import TCP, FlowRecord, Flows
from zcc.dns import answers
from zcc.dns.pending import Asker
from zcc.dns.question import Question, parse_question

IDLE_S = 20.0  # RFC 7766 §6.2.3: some seconds; stubs hold connections for a burst of queries
CONNECT_S = 5.0
CONNECTIONS_LIMIT = 1024
CONNECTIONS_OF_NAMESPACE_LIMIT = 256
PIPELINE_LIMIT = 32  # queries of one connection that wait for an answer here
PORTS = (20_000, 60_999)
UNREACHABLE = "the server that was asked can not be reached over TCP"

Connect = Callable[[IPv4Address, int], socket.socket]  # alias, source port → socket that speaks as it

log = logging.getLogger(__name__)


class DnsTcp:
    """The listener that the worker sends TCP flows to port 53 to."""

    def __init__(self, service: DnsService, flows: Flows, connect: Connect) -> None:
        """Compose.

        Args:
            connect: makes an unconnected socket for the workload's alias:
            `zcc.connector.aliases.Aliases.socket`.
        """
        self.counts = service.counts  # those of TCP begin with tcp_
        self._service = service
        self._flows = flows
        self._connect = connect
        self._server: asyncio.Server | None = None
        self._open: Counter[int] = Counter()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be bound.
        """
        self._server = await asyncio.start_server(self._serve, host, port)

    @property
    def port(self) -> int:
        """Port listened on; valid after `start`."""
        if self._server is None:
            raise ValueError("the listener has not been started")
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Stop listening and cut what is open."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        alias, port = writer.get_extra_info("peername")[:2]
        flow = self._flows.flow_of(TCP, IPv4Address(alias), port)
        if flow is None or not self._has_room(flow.namespace):
            self.counts["tcp_refused"] += 1
            reset(writer)
            return
        self.counts["tcp_connections"] += 1
        self._open[flow.namespace] += 1
        self._writers.add(writer)
        try:
            async with asyncio.TaskGroup() as group:
                await Conversation(self, flow, IPv4Address(alias), writer, group).run(reader)
        except* (OSError, TimeoutError, asyncio.IncompleteReadError) as errors:
            log.debug("DNS over TCP of %s: %s", flow.source, errors.exceptions[0])
        finally:
            self._open[flow.namespace] -= 1
            self._writers.discard(writer)
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _has_room(self, namespace: int) -> bool:
        return (
            self._open.total() < CONNECTIONS_LIMIT
            and self._open[namespace] < CONNECTIONS_OF_NAMESPACE_LIMIT
        )

    @property
    def service(self) -> DnsService:
        """Who decides."""
        return self._service

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

    def __init__(
        self,
        listener: DnsTcp,
        flow: FlowRecord,
        alias: IPv4Address,
        writer: asyncio.StreamWriter,
        group: asyncio.TaskGroup,
    ) -> None:
        self._listener = listener
        self._flow = flow
        self._alias = alias
        self._writer = writer
        self._group = group
        asker = Asker(flow.namespace, flow.source, flow.source_port, flow.destination)
        self._origin = Origin(asker, flow.location, "TCP")
        self._slots = asyncio.Semaphore(PIPELINE_LIMIT)
        self._upstream: asyncio.StreamWriter | None = None
        self._dialling = asyncio.Lock()
        self._waiting: dict[tuple[int, str], Question] = {}  # forwarded, not yet answered
        self._settled = asyncio.Event()  # set while none waits
        self._settled.set()

    async def run(self, reader: asyncio.StreamReader) -> None:
        """Serve until the workload ends, or is idle for too long with nothing under way."""
        try:
            while True:
                wire = await self._next(reader)
                if wire is None:
                    break
                # Taken here: who only asks and never reads is not read any further either.
                await self._slots.acquire()
                self._group.create_task(self._query(wire))
            for _ in range(PIPELINE_LIMIT):
                await self._slots.acquire()
            await self._last_answers()
        finally:
            if self._upstream is not None:
                self._upstream.close()

    async def _next(self, reader: asyncio.StreamReader) -> bytes | None:
        try:
            async with asyncio.timeout(IDLE_S):
                return await read_message(reader)
        except TimeoutError:
            return None

    async def _last_answers(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CONNECT_S):
                await self._settled.wait()

    async def _query(self, wire: bytes) -> None:
        try:
            answer = await self._listener.service.resolve(self._origin, wire)
            if answer is None:
                await self._forward(wire)
            else:
                await self._send(answer)
        finally:
            self._slots.release()

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
            await self._upstream.drain()
        except (OSError, TimeoutError) as error:
            self._listener.counts["tcp_upstream_failed"] += 1
            log.debug("DNS over TCP to %s: %s", self._flow.destination, error)
            if isinstance(question, Question):
                self._settle(wire)
                await self._send(answers.failure(question, UNREACHABLE))

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
        self._group.create_task(self._pass_answers(reader, writer))
        return writer

    async def _pass_answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (wire := await read_message(reader)) is not None:
                heard = self._listener.service.hear(self._origin, wire)
                if heard.learned is not None:
                    await self._listener.service.tell_group(self._flow.namespace, heard.learned)
                self._settle(wire)
                await self._send(heard.message)
        except (OSError, asyncio.IncompleteReadError) as error:
            log.debug("DNS over TCP to %s ended: %s", self._flow.destination, error)
        finally:
            writer.close()
            if self._upstream is writer:
                self._upstream = None
        unanswered, self._waiting = list(self._waiting.values()), {}
        for question in unanswered:
            await self._send(answers.failure(question, UNREACHABLE))
        self._settled.set()

    def _settle(self, wire: bytes) -> None:
        message_id = int.from_bytes(wire[:2])
        for key in [key for key in self._waiting if key[0] == message_id][:1]:
            del self._waiting[key]
        if not self._waiting:
            self._settled.set()

    async def _send(self, wire: bytes) -> None:
        if self._writer.is_closing():
            return
        self._writer.write(frame(wire))
        await self._writer.drain()


def frame(wire: bytes) -> bytes:
    """Put the two octets of length before a message."""
    return len(wire).to_bytes(2) + wire


async def read_message(reader: asyncio.StreamReader) -> bytes | None:
    """Read one message behind its length; None = the stream ended before it.

    Raises:
        IncompleteReadError: it ended inside.
        OSError: it was reset.
    """
    head = await reader.read(1)
    if not head:
        return None
    head += await reader.readexactly(1)
    return await reader.readexactly(int.from_bytes(head))


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection by RST."""
    made = writer.get_extra_info("socket")
    if made is not None:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
