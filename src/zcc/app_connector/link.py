"""One private edge, kept connected: dial, register, report, take streams; again after every loss.

Journey: the daemon runs one link an edge. One event loop. When an edge drains, its streams run to their end
on the old connection while the link already dials again.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Unpack

from zcc.errors import ZccError
from zcc.fields import HostPort
from zcc.mtunnel.backoff import Backoff
from zcc.mtunnel.dial import Dialled, Dialler
from zcc.mtunnel.errors import StreamGone
from zcc.mtunnel.messages import BadMessage, Failure, Register, Registered, Status
from zcc.mtunnel.stream import MuxStream
from zcc.telemetry.logs import Logs
from zcc.telemetry.records import TunnelFields

__all__ = ["EdgeLink"]

REPORT_ROUND_S = 5.0

log = logging.getLogger(__name__)


class EdgeLink:
    """The way to one edge."""

    def __init__(
        self,
        edge: HostPort,
        dialler: Dialler,
        backoff_s: tuple[float, float],
        take: Callable[[MuxStream], None],
        load: Callable[[], int],
        logs: Logs,
    ) -> None:
        """Prepare.

        Args:
            dialler: says hello with our group.
            backoff_s: floor and ceiling of the pauses.
            take: called with every stream that the edge opens.
            load: returns how many streams we carry in all.
        """
        self.edge = edge
        self.registered = False
        self.draining = False
        self._dialler = dialler
        self._backoff = Backoff(*backoff_s, random.random)
        self._take = take
        self._load = load
        self._logs = logs
        self._connections: set[Dialled] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Stay connected until cancelled; connections are then left to close()."""
        while True:
            try:
                dialled = await self._dialler.dial(self.edge)
            except ZccError as error:
                log.warning("%s", error)
            else:
                serving = asyncio.create_task(self._serve(dialled))
                self._tasks.add(serving)
                serving.add_done_callback(self._tasks.discard)
                leaving = asyncio.ensure_future(dialled.connection.going_away.wait())
                try:
                    # Set also when the connection ends.
                    await leaving
                finally:
                    leaving.cancel()
            await asyncio.sleep(self._backoff.next_s())

    async def drain(self) -> None:
        """Ask the edge to choose others; streams go on."""
        self.draining = True
        for dialled in set(self._connections):
            try:
                await dialled.control.send(Status(streams=self._load(), draining=True))
            except StreamGone:
                continue
            dialled.connection.go_away()

    async def close(self, reason: str) -> None:
        """End all connections to the edge."""
        for dialled in set(self._connections):
            dialled.connection.close(reason)
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def _serve(self, dialled: Dialled) -> None:
        connection = dialled.connection
        self._connections.add(dialled)
        parts = [asyncio.create_task(part(dialled)) for part in (self._listen, self._accept, self._report)]
        self._record(dialled, event="UP")
        try:
            await connection.closed
        finally:
            for part in parts:
                part.cancel()
            await asyncio.gather(*parts, return_exceptions=True)
            self._connections.discard(dialled)
            self.registered = any(one.connection.alive for one in self._connections)
            reason = connection.closed.result() if connection.closed.done() else "ended"
            log.info("private edge %s lost: %s", self.edge, reason)
            self._record(
                dialled, event="DOWN", eventreason=reason,
                txbytes=connection.bytes_out, rxbytes=connection.bytes_in,
            )

    def _record(self, dialled: Dialled, **fields: Unpack[TunnelFields]) -> None:
        fields["tunneltype"], fields["peer"] = "MTUNNEL", str(dialled.connection.peer)
        fields["destvip"], fields["destport"] = self.edge.address, self.edge.port
        self._logs.tunnel(**fields)

    async def _listen(self, dialled: Dialled) -> None:
        reason = "the control stream ended"
        try:
            await dialled.control.send(Register(group=self._dialler.hello.group))
            while (message := await dialled.control.receive()) is not None:
                if isinstance(message, Registered):
                    self.registered = True
                    self._backoff.reset()
                    log.info("registered at private edge %s (%s)", dialled.welcome.edge, self.edge)
                elif isinstance(message, Failure):
                    reason = f"{message.code}: {message.text}"
                    log.error("private edge %s refuses: %s", self.edge, reason)
        except (StreamGone, BadMessage) as error:
            reason = str(error)
        dialled.connection.close(reason)

    async def _accept(self, dialled: Dialled) -> None:
        while (stream := await dialled.connection.accept()) is not None:
            self._take(stream)

    async def _report(self, dialled: Dialled) -> None:
        while True:
            await asyncio.sleep(REPORT_ROUND_S)
            await dialled.control.send(Status(streams=self._load(), draining=self.draining))
