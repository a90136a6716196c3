"""The private edge's composition root: ledger, listener, broker, and the rounds that keep them honest.

Journey: zcc.cli calls run(). It opens the ledger, listens, says ready, and on stop drains: nothing new is
accepted, agents are told to go, streams may finish up to the limit. SIGHUP reads the file again: pools, applications and access
are exchanged while streams live; what else has changed needs a restart and is named in the log.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import signal
from collections.abc import Callable, Iterable
from ipaddress import IPv4Network, collapse_addresses
from pathlib import Path

from zcc import notify
from zcc.clock import Clock, SystemClock
from zcc.errors import LedgerError, ZccError
from zcc.fields import HostPort
from zcc.mtunnel.listener import MuxListener
from zcc.mtunnel.messages import LEAVING_LIMIT, Welcome
from zcc.mtunnel.transport import ALPN, MuxConnection
from zcc.pki.context import tls_server
from zcc.pki.peer import Peer, PeerCheck
from zcc.private_edge.broker import Broker
from zcc.private_edge.catalogue import Catalogue
from zcc.private_edge.journal import Journal
from zcc.private_edge.leasing import Leasing, fold
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

EDITED = ("pool", "pools", "ledger", "applications", "access", "app_connector_groups")  # what takes effect without a restart

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
        ledger, self._store = open_ledger(settings.state / LEDGER_FILE, settings)
        self._logs = Logs(settings.logs, settings.name, role=settings.role, clock=self._clock)
        self._metrics_server = MetricsServer(settings.metrics)
        catalogue = Catalogue(settings.applications)
        self._metrics = EdgeMetrics(self._metrics_server.registry)
        self._journal = Journal(self._logs)
        settle_s = REPORTS_MISSED * report_interval_s(ledger.pools)
        self._leasing = Leasing(ledger, self._store, catalogue, self._clock, settle_s)
        self._metrics.leaving.set_function(lambda: len(self._leasing.ledger.leaving))
        self.registry = Registry(random.random)
        self._opening = Opening(catalogue, settings.access, self.registry, self._journal, self._metrics, self._clock)
        self._usage = Usage(self._leasing.in_use, self._metrics, 0, 0.0, lambda: self._clock.monotonic_ns() / 1e9)
        self.broker = Broker(
            self._welcome(settings), self._leasing, self.registry, self._opening, self._journal, self._metrics, self._usage,
            settings.app_connector_groups,
        )
        self._show(())
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
            await asyncio.sleep(min(LEDGER_ROUND_S, 2 * report_interval_s(self._leasing.ledger.pools)))
            before = len(self._leasing.ledger.leaving)
            try:
                released = await self._leasing.sweep()
            except LedgerError as error:
                log.error("%s", error)
                continue
            if released:
                log.info("%d idle names released", released)
            if len(self._leasing.ledger.leaving) != before:
                self._say_pools()

    async def edit(self, settings: PrivateEdgeSettings) -> None:
        """Put the pools, applications and access of other settings in force, and tell the connectors.

        Raises:
            ZccError: they can not be; everything stays as it was.
        """
        before = self._leasing.ledger
        await self._leasing.exchange(settings.ledger_pools(), Catalogue(settings.applications))
        self._opening.adopt(Catalogue(settings.applications), settings.access)
        ignored = [field for field in type(settings).model_fields
                   if field not in EDITED and getattr(settings, field) != getattr(self.settings, field)]  # fmt: skip
        if ignored:
            log.warning("%s changed in the file; a restart is needed for that", ", ".join(ignored))
        self.settings = self.settings.model_copy(update={field: getattr(settings, field) for field in EDITED})
        self._show(pool.name for pool in before.pools)
        self._say_pools()
        leaving = len(self._leasing.ledger.leaving)
        log.info("the file was read again: %d pools, %d applications; %d addresses of no pool are leaving",
                 len(self._leasing.ledger.pools), len(settings.applications), leaving)  # fmt: skip

    def _show(self, before: Iterable[str]) -> None:
        """Count in the pools that are there now, and bound what connectors say of their use."""
        pools = self._leasing.ledger.pools
        for name in before:
            self._metrics.forget_pool(name)
        for pool in pools:
            self._metrics.watch_pool(pool.name, functools.partial(self._free, pool.name))
        self._usage.adopt(sum(pool.capacity for pool in pools) + len(self._leasing.ledger.leaving), report_interval_s(pools))

    def _say_pools(self) -> None:
        self.broker.adopt(self._welcome(self.settings), self.settings.app_connector_groups)

    def _welcome(self, settings: PrivateEdgeSettings) -> Welcome:
        ledger = self._leasing.ledger
        leaving = list(collapse_addresses(IPv4Network(held.address) for held in ledger.leaving))
        if len(leaving) > LEAVING_LIMIT:
            log.warning("connectors are told of %d networks with leaving addresses, not of %d", LEAVING_LIMIT, len(leaving))
        return Welcome(
            edge=settings.name, pool=settings.pool, pools=tuple((pool.name, pool.network) for pool in settings.pools),
            leaving=tuple(leaving[:LEAVING_LIMIT]), report_s=report_interval_s(ledger.pools), claims=True,
        )

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
        return self._leasing.ledger.free(self._clock.time(), pool)

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
        return fold(store, settings.ledger_pools()), store
    except LedgerError:
        store.close()
        raise


def report_interval_s(pools: Iterable[Pool]) -> float:
    """How often connectors say which addresses are in use: several times before one could become another name's."""
    shortest = min(min(pool.quarantine_s, pool.idle_s) for pool in pools)
    return max(REPORT_FLOOR_S, min(REPORT_S, shortest / (REPORTS_MISSED + 1)))


async def run(
    settings: PrivateEdgeSettings, *, stop: asyncio.Event, reload: Callable[[], PrivateEdgeSettings] | None = None
) -> None:
    """Serve until stop is set, then drain.

    Args:
        reload: reads the file again, at SIGHUP; None = SIGHUP is not taken.
    Raises:
        ZccError: it cannot start.
    """
    edge = PrivateEdge(settings)
    rounds: list[asyncio.Task[None]] = []
    edits: set[asyncio.Task[None]] = set()

    def begin_edit(reload: Callable[[], PrivateEdgeSettings]) -> None:
        task = asyncio.create_task(_edit(edge, reload))
        edits.add(task)
        task.add_done_callback(edits.discard)

    try:
        address = await edge.start()
        rounds = [asyncio.create_task(edge.keep_ledger()), asyncio.create_task(edge.keep_revocation())]
        if reload is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, begin_edit, reload)
        log.info("private edge %s listens on %s", settings.name, address)
        notify.ready()
        await stop.wait()
        notify.stopping()
    finally:
        for task in rounds:
            task.cancel()
        await asyncio.gather(*edits, return_exceptions=True)
        await edge.stop()


async def _edit(edge: PrivateEdge, reload: Callable[[], PrivateEdgeSettings]) -> None:
    notify.reloading()
    try:
        await edge.edit(reload())
    except ZccError as error:
        log.error("everything stays as it was: %s", error)
    finally:
        notify.ready()
