"""ZpaRelay: flows of workloads to private applications, from the kernel's sockets to microtunnels and back.

Journey: worker ─▶ device ─▶ kernel's TCP or UDP ─▶ listener here ─▶ flow behind the peer ─▶ stream at the
edge.

    workload            relay                          stream
    FIN            ──▶  the rest, then finish     ──▶  half-closed; the other way goes on
    half-closed    ◀──  the rest, then FIN        ◀──  the far end finished
    RST            ◀──▶ reset                     ◀──▶ reset, refused, edge lost, flow decided anew

TCP is accepted before the application is asked, since the kernel accepts by itself; a refusal is an RST
at once. One thread, the event loop's.
"""

import asyncio
import logging
from collections import Counter, OrderedDict
from ipaddress import IPv4Address

from zcc.connector.opening import Opened, Opening, Stream
from zcc.connector.ports import TCP, FlowRecord, Flows
from zcc.connector.relay_udp import UdpRelay
from zcc.connector.shares import Shares
from zcc.connector.workload import Workload
from zcc.errors import ListenError
from zcc.mtunnel.errors import StreamGone, TunnelError

STREAMS_LIMIT = 16_384
BACKLOG = 1024
DNS_PORT = 53
ENDED_LIMIT = 65_536
SPREAD_S = 1.0  # resets at the end of a drain, so that not all workloads come back in one instant

log = logging.getLogger(__name__)


class ZpaRelay:
    """TCP streams, and the UDP relay beside them."""

    def __init__(self, opening: Opening, flows: Flows) -> None:
        self.counts: Counter[str] = Counter()
        self.udp = UdpRelay(opening, flows, self.counts)
        self._opening = opening
        self._flows = flows
        self._server: asyncio.Server | None = None
        self._sessions: dict[tuple[IPv4Address, int], TcpSession] = {}
        self._shares = Shares(STREAMS_LIMIT)
        self._ended: OrderedDict[tuple[IPv4Address, int], None] = OrderedDict()
        self._refusing = False
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def streams(self) -> int:
        """TCP and UDP flows that have or await a stream."""
        return len(self._sessions) + self.udp.streams

    async def start(self, host: str, tcp_port: int, udp_port: int) -> None:
        """Listen.

        Raises:
            ListenError: an address cannot be bound.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Workload(self._accept), host, tcp_port, backlog=BACKLOG
            )
            await self.udp.start(host, udp_port)
        except OSError as error:
            raise ListenError(f"relay: {host}: {error.strerror}; is another connector running?") from None

    @property
    def tcp_port(self) -> int:
        """Port listened on; valid after `start`."""
        if self._server is None:
            raise ValueError("the relay has not been started")
        return int(self._server.sockets[0].getsockname()[1])

    def closed(self, flow: FlowRecord) -> bool:
        """Take the end of a flow: its stream is reset if it still lives.

        Returns:
            Whether the relay has recorded the session, or will.
        """
        if flow.alias is None:
            return False
        if flow.rule < 0 and flow.destination_port == DNS_PORT:
            # DNS over TCP ends in this host by no rule; each of its exchanges has a record of its own.
            return True
        key = (flow.alias, flow.nat_port)
        if flow.protocol != TCP:
            return self.udp.closed(key)
        session = self._sessions.get(key)
        if session is not None:
            session.end("the flow ended, or the policy decided anew")
            return True
        return self._ended.pop(key, self) is None

    async def drain(self, limit_s: float) -> int:
        """Refuse new streams, wait for those alive, reset the rest. Return how many were reset."""
        self._refusing = True
        spread_s = min(SPREAD_S, limit_s / 4)
        try:
            async with asyncio.timeout(limit_s - spread_s):
                await self._idle.wait()
        except TimeoutError:
            pass
        rest = list(self._sessions.values())
        for session in rest:
            session.end("the connector ends")
            await asyncio.sleep(spread_s / len(rest))
        return len(rest)

    async def close(self) -> None:
        """Stop listening and reset what is left."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for session in list(self._sessions.values()):
            session.end("the connector ends")
        self.udp.close()

    def _accept(self, workload: Workload) -> None:
        key = (IPv4Address(workload.peer[0]), workload.peer[1])
        flow = self._flows.flow_of(TCP, *key)
        if flow is None or self._refusing or key in self._sessions or not self._shares.take(flow.namespace, flow.source):
            self.counts["turned_away"] += 1
            log.debug("no stream for %s port %d", *key)
            workload.reset()
            return
        session = TcpSession(self, workload, flow)
        self._sessions[key] = session
        self._idle.clear()
        session.start(self._opening).add_done_callback(lambda task: self._over(key, flow, task))

    def _over(self, key: tuple[IPv4Address, int], flow: FlowRecord, task: asyncio.Task[None]) -> None:
        del self._sessions[key]
        self._shares.give_back(flow.namespace, flow.source)
        self._ended[key] = None
        if len(self._ended) > ENDED_LIMIT:
            self._ended.popitem(last=False)
        if not self._sessions:
            self._idle.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a stream ended by a mistake of ours", exc_info=error)


class TcpSession:
    """One connection and its stream."""

    def __init__(self, relay: ZpaRelay, workload: Workload, flow: FlowRecord) -> None:
        self._relay = relay
        self._workload = workload
        self._flow = flow
        self._reason = ""
        self._task: asyncio.Task[None] | None = None

    def start(self, opening: Opening) -> asyncio.Task[None]:
        """Run in a task of its own."""
        self._task = asyncio.ensure_future(self._run(opening))
        self._workload.gone = lambda: self.end("the workload reset the connection")
        return self._task

    def end(self, reason: str) -> None:
        """Reset both sides, soon."""
        if self._task is not None and not self._task.done() and not self._reason:
            self._reason = reason
            self._task.cancel()

    async def _run(self, opening: Opening) -> None:
        request = opening.request(self._flow)
        opened: Opened | None = None
        try:
            if request is None:
                self._reason = "the destination has no name"
            else:
                opened = await opening.open(self._flow, request)
                self._relay.counts["opened"] += 1
                await self._copy(opened.stream)
        except TunnelError as error:
            self._reason = str(error)
        except (StreamGone, OSError) as error:
            self._reason = str(error) or type(error).__name__
        except asyncio.CancelledError:
            # Only `end` cancels, and it has said why; the loop's own end needs no reason.
            self._reason = self._reason or "the connector ends"
        except Exception:
            self._reason = "a mistake of the connector's"
            raise
        finally:
            self._settle(opened)
        if opened is None:
            self._relay.counts["refused"] += 1
            opening.record_refusal(self._flow, request, self._reason)
        else:
            opening.record_end(opened, self._reason)

    async def _copy(self, stream: Stream) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._copy_up(stream))
                group.create_task(self._copy_down(stream))
        except BaseExceptionGroup as errors:
            # The first to fail says why; the other direction was only cancelled for it.
            raise errors.exceptions[0] from None

    async def _copy_up(self, stream: Stream) -> None:
        while data := await self._workload.read():
            await stream.write(data)
        await stream.finish()

    async def _copy_down(self, stream: Stream) -> None:
        while data := await stream.read():
            await self._workload.write(data)
        self._workload.finish()

    def _settle(self, opened: Opened | None) -> None:
        if self._reason:
            self._relay.counts["reset"] += 1
            self._workload.reset()
            if opened is not None:
                opened.stream.reset()
        else:
            self._workload.close()
