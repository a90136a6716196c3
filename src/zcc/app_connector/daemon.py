"""The app connector's composition root: one opener, one link an edge.

Journey: zcc.cli calls run(). It is ready once it has started dialling: an edge that is down must not keep the
service manager waiting. On stop it drains.
"""

from __future__ import annotations

import asyncio
import logging

from prometheus_client import Gauge

from zcc import __version__, notify
from zcc.app_connector.link import EdgeLink
from zcc.app_connector.opener import Opener, OpenerLimits
from zcc.app_connector.settings import AppConnectorSettings
from zcc.clock import Clock, SystemClock
from zcc.fields import HostPort
from zcc.mtunnel.dial import Dialler
from zcc.mtunnel.messages import Hello
from zcc.mtunnel.stream import MuxStream
from zcc.mtunnel.transport import ALPN
from zcc.pki.context import tls_client
from zcc.pki.peer import PeerCheck
from zcc.telemetry.logs import Logs
from zcc.telemetry.metrics import MetricsServer

__all__ = ["AppConnector", "run"]

log = logging.getLogger(__name__)


class AppConnector:
    """One running app connector."""

    def __init__(self, settings: AppConnectorSettings, clock: Clock | None = None) -> None:
        """Read the identity.

        Raises:
            ZccError: it cannot be used.
        """
        self.settings = settings
        self._clock = clock or SystemClock()
        self._check = PeerCheck(settings.identity, self._clock)
        self._logs = Logs(
            settings.logs, settings.name, group=settings.group, role=settings.role, clock=self._clock
        )
        self._metrics = MetricsServer(settings.metrics)
        limits = OpenerLimits(
            settings.networks, settings.connect_timeout.total_seconds(), settings.udp_idle.total_seconds()
        )
        self._opener = Opener(limits, self._logs, self._metrics.registry, self._clock)
        self._streams: set[asyncio.Task[None]] = set()
        self._rounds: list[asyncio.Task[None]] = []
        dialler = Dialler(
            tls_client(settings.identity, ALPN),
            lambda der: self._check.verify(der, "private-edge"),
            Hello(name=settings.name, group=settings.group, software=f"zcc/{__version__}"),
            self._clock,
            settings.keepalive,
            settings.dial_timeout.total_seconds(),
        )
        self.links = [self._link(edge, dialler) for edge in settings.edges]
        Gauge(
            "zcc_app_connector_edges", "Edges registered at", registry=self._metrics.registry
        ).set_function(lambda: sum(link.registered for link in self.links))

    async def start(self) -> None:
        """Begin to dial.

        Raises:
            ListenError: the metrics address cannot be bound.
        """
        await self._metrics.start()
        self._rounds = [asyncio.create_task(link.run()) for link in self.links]

    async def stop(self) -> None:
        """Drain: no new streams, those open may finish up to the limit; then close everything."""
        for task in self._rounds:
            task.cancel()
        for link in self.links:
            await link.drain()
        if self._streams:
            limit_s = self.settings.drain.limit.total_seconds()
            await asyncio.wait(set(self._streams), timeout=limit_s)
        for stream in set(self._streams):
            stream.cancel()
        if self._streams:
            await asyncio.wait(set(self._streams))
        for link in self.links:
            await link.close("the app connector ends")
        await self._metrics.close()
        self._logs.close()

    def _link(self, edge: HostPort, dialler: Dialler) -> EdgeLink:
        backoff_s = (
            self.settings.backoff_floor.total_seconds(),
            self.settings.backoff_ceiling.total_seconds(),
        )
        return EdgeLink(edge, dialler, backoff_s, self._take, lambda: len(self._streams), self._logs)

    def _take(self, stream: MuxStream) -> None:
        task = asyncio.get_running_loop().create_task(self._opener.serve(stream))
        self._streams.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._streams.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a stream failed inside the app connector", exc_info=error)


async def run(settings: AppConnectorSettings, *, stop: asyncio.Event) -> None:
    """Serve until stop is set, then drain.

    Raises:
        ZccError: it cannot start.
    """
    connector = AppConnector(settings)
    try:
        await connector.start()
        log.info("app connector %s dials %s", settings.name, ", ".join(map(str, settings.edges)))
        notify.ready()
        await stop.wait()
        notify.stopping()
    finally:
        await connector.stop()
