"""The private edge's composition root: ledger, listener, broker, and the rounds that keep them honest.

Journey: zcc.cli calls run(). It opens the ledger, listens, says ready, and on stop drains: nothing new is
accepted, agents are told to go, streams may finish up to the limit.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
from collections.abc import Iterable
from pathlib import Path

from zcc import notify
from zcc.clock import Clock, SystemClock
from zcc.errors import LedgerError
from zcc.fields import HostPort
from zcc.mtunnel.listener import MuxListener
from zcc.mtunnel.messages import Welcome
from zcc.mtunnel.transport import ALPN, MuxConnection
from zcc.pki.context import tls_server
from zcc.pki.peer import Peer, PeerCheck
from zcc.private_edge.broker import Broker
from zcc.private_edge.catalogue import Catalogue
from zcc.private_edge.journal import Journal
from zcc.private_edge.leasing import Leasing
from zcc.private_edge.metrics import EdgeMetrics
from zcc.private_edge.opening import Opening
from zcc.private_edge.registry import Registry
from zcc.private_edge.settings import PrivateEdgeSettings
from zcc.private_edge.usage import Usage
from zcc.synthetic.ledger import Ledger
from zcc.synthetic.pool import Pool
from zcc.synthetic.store import LedgerStore
from zcc.telemetry.logs import Logs
from zcc.telemetry.metrics import MetricsServer

__all__ = ["PrivateEdge", "open_ledger", "run"]

LEDGER_FILE = "ledger.sqlite"
ROLES = ("connector", "app-connector")
# A revoked certificate is refused within a minute; a round costs one stat().
REVOCATION_ROUND_S = 10.0
LEDGER_ROUND_S = 60.0
REPORT_S, REPORT_FLOOR_S = 30.0, 0.25
REPORTS_MISSED = 3  # that may be lost in a row

log = logging.getLogger(__name__)


class PrivateEdge:
    """One running private edge."""

    def __init__(self, settings: PrivateEdgeSettings, clock: Clock | None = None) -> None:
        """Read the identity and the ledger.

        Raises:
            ZccError: one of them cannot be used.
        """
        self.settings = settings
        self._clock = clock or SystemClock()
        self._check = PeerCheck(settings.identity, self._clock)
        self._tls = tls_server(settings.identity, ALPN)
        self._ledger, self._store = open_ledger(settings.state / LEDGER_FILE, settings)
        self._logs = Logs(settings.logs, settings.name, role=settings.role, clock=self._clock)
        self._metrics_server = MetricsServer(settings.metrics)
        catalogue = Catalogue(settings.applications)
        self._metrics = EdgeMetrics(self._metrics_server.registry)
        for pool in self._ledger.pools:
            self._metrics.watch_pool(pool.name, functools.partial(self._free, pool.name))
        self._journal = Journal(self._logs)
        report_s = report_interval_s(self._ledger.pools)
        self._round_s = min(LEDGER_ROUND_S, 2 * report_s)
        self._leasing = Leasing(self._ledger, self._store, catalogue, self._clock, REPORTS_MISSED * report_s)
        registry = Registry(random.random)
        opening = Opening(catalogue, settings.access, registry, self._journal, self._metrics, self._clock)
        welcome = Welcome(edge=settings.name, pool=settings.pool, report_s=report_s, claims=True)
        self.registry = registry
        addresses = sum(pool.capacity for pool in self._ledger.pools)
        usage = Usage(
            self._leasing.in_use, self._metrics, addresses, report_s, lambda: self._clock.monotonic_ns() / 1e9
        )
        self.broker = Broker(
            welcome, self._leasing, registry, opening, self._journal, self._metrics, usage,
            settings.app_connector_groups,
        )
        self._listener = MuxListener(self._tls, self._connection, self.broker.take, self._on_refused)

    async def start(self) -> HostPort:
        """Listen; return where.

        Raises:
            ListenError: an address cannot be bound.
        """
        await self._metrics_server.start()
        return await self._listener.start(self.settings.listen)

    async def stop(self) -> None:
        """Drain and close everything."""
        await self._listener.close()
        cut = await self.broker.drain(self.settings.drain.limit.total_seconds())
        if cut:
            log.warning("%d streams were cut at the end of the drain", cut)
        try:
            await self._leasing.close()
        except LedgerError as error:
            log.error("%s", error)
        self._store.close()
        await self._metrics_server.close()
        self._logs.close()

    async def keep_ledger(self) -> None:
        """Release idle names, round after round."""
        while True:
            await asyncio.sleep(self._round_s)
            try:
                released = await self._leasing.sweep()
            except LedgerError as error:
                log.error("%s", error)
            else:
                if released:
                    log.info("%d idle names released", released)

    async def keep_revocation(self) -> None:
        """End connections whose certificate was revoked, round after round."""
        while True:
            await asyncio.sleep(REVOCATION_ROUND_S)
            self.drop_revoked()

    def drop_revoked(self) -> None:
        """Read the revocation list if it changed and end the connections it names."""
        self._check.changed_since(self._check.generation)
        for connection in set(self.broker.connections):
            if isinstance(connection.peer, Peer) and self._check.revoked(connection.peer):
                self._on_refused(connection.remote, f"{connection.peer}: certificate revoked")
                connection.close("certificate revoked")

    def _free(self, pool: str) -> tuple[int, int]:
        return self._ledger.free(self._clock.time(), pool)

    def _connection(self) -> MuxConnection:
        return MuxConnection(
            initiator=False,
            verify=lambda der: self._check.verify(der, *ROLES),
            clock=self._clock,
            keepalive=self.settings.keepalive,
        )

    def _on_refused(self, remote: str, reason: str) -> None:
        self._metrics.refused.inc()
        self._journal.refused(remote, reason)
        log.warning("connection from %s refused: %s", remote, reason)


def open_ledger(path: Path, settings: PrivateEdgeSettings) -> tuple[Ledger, LedgerStore]:
    """Open the store and fold its records.

    Raises:
        LedgerError: it cannot be read, or its records contradict each other.
    """
    store = LedgerStore(path)
    try:
        ledger = Ledger(settings.ledger_pools(), store.records(), single_until=store.single_until)
        ledger.recall(store.used())
    except ValueError as error:
        store.close()
        raise LedgerError(f"{path}: {error}; restore the file from a backup") from error
    except LedgerError:
        store.close()
        raise
    return ledger, store


def report_interval_s(pools: Iterable[Pool]) -> float:
    """How often connectors say which addresses are in use: several times before one could become another name's."""
    shortest = min(min(pool.quarantine_s, pool.idle_s) for pool in pools)
    return max(REPORT_FLOOR_S, min(REPORT_S, shortest / (REPORTS_MISSED + 1)))


async def run(settings: PrivateEdgeSettings, *, stop: asyncio.Event) -> None:
    """Serve until stop is set, then drain.

    Raises:
        ZccError: it cannot start.
    """
    edge = PrivateEdge(settings)
    rounds: list[asyncio.Task[None]] = []
    try:
        address = await edge.start()
        rounds = [asyncio.create_task(edge.keep_ledger()), asyncio.create_task(edge.keep_revocation())]
        log.info("private edge %s listens on %s", settings.name, address)
        notify.ready()
        await stop.wait()
        notify.stopping()
    finally:
        for task in rounds:
            task.cancel()
        await edge.stop()
