"""UdpRelay: UDP flows of workloads to private applications, one stream each.

Journey: the worker rewrites the flow to (alias, port) → one socket here; the sender's address leads back
to the flow. A datagram that finds its queue full is dropped and counted, as a router would. A flow whose
stream was refused is silent for some seconds, so that a workload that keeps sending does not keep asking
the edge. One thread, the event loop's.
"""

import asyncio
import contextlib
import logging
import socket
from collections import Counter
from ipaddress import IPv4Address
from typing import cast

from zcc.connector.opening import Opened, Opening
from zcc.connector.ports import UDP, FlowRecord, Flows
from zcc.connector.shares import Shares
from zcc.mtunnel.errors import StreamGone, TunnelError

FLOWS_LIMIT = 16_384
QUEUE_LIMIT = 256  # datagrams of one flow that wait for its stream
IDLE_S = 135.0  # the worker forgets UDP flows after 130 s; this is for flows it evicted unheard
REFUSED_S = 5.0
BUFFER_BYTES = 4 << 20

Key = tuple[IPv4Address, int]

log = logging.getLogger(__name__)


class UdpRelay(asyncio.DatagramProtocol):
    """The socket and the flows behind it."""

    def __init__(self, opening: Opening, flows: Flows, counts: Counter[str]) -> None:
        """Compose.

        Args:
            counts: of the relay as a whole; those of UDP begin with udp_.
        """
        self.counts = counts
        self.opening = opening
        self._flows = flows
        self._transport: asyncio.DatagramTransport | None = None
        self._sessions: dict[Key, UdpSession] = {}
        self._shares = Shares(FLOWS_LIMIT)

    @property
    def streams(self) -> int:
        """Flows that have or await a stream, or were refused just now."""
        return len(self._sessions)

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be bound.
        """
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_BYTES)
        try:
            made.bind((host, port))
            await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=made)
        except BaseException:
            made.close()
            raise

    @property
    def port(self) -> int:
        """Port listened on; valid after `start`."""
        if self._transport is None:
            raise ValueError("the relay has not been started")
        return int(self._transport.get_extra_info("sockname")[1])

    def close(self) -> None:
        """Stop listening and reset the streams."""
        for session in list(self._sessions.values()):
            session.end("the connector ends")
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    def closed(self, key: Key) -> bool:
        """Take the end of a flow; return whether the relay has recorded it, or will."""
        session = self._sessions.get(key)
        if session is None:
            return False
        session.end("")
        return True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take a datagram of a workload."""
        key = (IPv4Address(addr[0]), addr[1])
        session = self._sessions.get(key)
        if session is None:
            session = self._begin(key)
        if session is None or not session.put(data):
            self.counts["udp_dropped"] += 1

    def error_received(self, exc: Exception) -> None:
        """Count what the kernel could not deliver."""
        self.counts["udp_errors"] += 1

    def send(self, key: Key, data: bytes) -> None:
        """Send a datagram to a workload."""
        if self._transport is not None:
            self._transport.sendto(data, (str(key[0]), key[1]))

    def _begin(self, key: Key) -> "UdpSession | None":
        flow = self._flows.flow_of(UDP, *key)
        if flow is None or not self._shares.take(flow.namespace, flow.source):
            return None
        session = UdpSession(self, key, flow)
        self._sessions[key] = session
        session.start().add_done_callback(lambda task: self._over(key, flow, task))
        return session

    def _over(self, key: Key, flow: FlowRecord, task: asyncio.Task[None]) -> None:
        del self._sessions[key]
        self._shares.give_back(flow.namespace, flow.source)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a UDP flow ended by a mistake of ours", exc_info=error)


class UdpSession:
    """One flow and its stream."""

    def __init__(self, relay: UdpRelay, key: Key, flow: FlowRecord) -> None:
        self._relay = relay
        self._key = key
        self._flow = flow
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_LIMIT)
        self._heard = asyncio.Event()
        self._reason = ""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> asyncio.Task[None]:
        """Run in a task of its own."""
        self._task = asyncio.ensure_future(self._run())
        return self._task

    def put(self, data: bytes) -> bool:
        """Queue a datagram of the workload; False = no room."""
        try:
            self._queue.put_nowait(data)
        except asyncio.QueueFull:
            return False
        self._heard.set()
        return True

    def end(self, reason: str) -> None:
        """End the flow, soon; "" = it was over."""
        if self._task is not None and not self._task.done():
            self._reason = self._reason or reason
            self._task.cancel()

    async def _run(self) -> None:
        opening = self._relay.opening
        request = opening.request(self._flow)
        opened: Opened | None = None
        try:
            if request is None:
                self._reason = "the destination has no name"
            else:
                opened = await opening.open(self._flow, request)
                self._relay.counts["udp_opened"] += 1
                await self._copy(opened)
        except TunnelError as error:
            self._reason = str(error)
        except (StreamGone, OSError) as error:
            self._reason = str(error) or type(error).__name__
        except asyncio.CancelledError:
            log.debug("UDP flow of %s port %d ended: %s", *self._key, self._reason or "it was over")
        if opened is not None:
            opened.stream.reset()
            opening.record_end(opened, self._reason)
            return
        self._relay.counts["udp_refused"] += 1
        opening.record_refusal(self._flow, request, self._reason)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(REFUSED_S)

    async def _copy(self, opened: Opened) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                up = group.create_task(self._copy_up(opened))
                idle = group.create_task(self._watch())
                await self._copy_down(opened)
                up.cancel()
                idle.cancel()
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _copy_up(self, opened: Opened) -> None:
        while True:
            await opened.stream.write_datagram(await self._queue.get())

    async def _copy_down(self, opened: Opened) -> None:
        while (data := await opened.stream.read_datagram()) is not None:
            self._heard.set()
            self._relay.send(self._key, data)

    async def _watch(self) -> None:
        while True:
            self._heard.clear()
            try:
                async with asyncio.timeout(IDLE_S):
                    await self._heard.wait()
            except TimeoutError:
                raise StreamGone("idle") from None
            # Once in a while is enough to know that it is alive.
            await asyncio.sleep(1.0)
