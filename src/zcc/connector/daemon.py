"""The connector's composition root: every part made, joined and ended here, and nowhere else.

    identity, policy ▶ device ▶ data path ▶ edges ▶ DNS, relay, strays ▶ health ▶ ready … stop ▶ drain ▶ all closed

Journey: zcc.cli calls run(). SIGHUP reads the file again: rules and objects are exchanged while flows live; what else
has changed needs a restart and is named in the log. It decides nothing about packets.
"""

import asyncio
import functools
import logging
import signal
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack

from zcc import __version__, notify, privileges
from zcc.clock import Clock, SystemClock
from zcc.connector.aliases import Aliases
from zcc.connector.claims import Claims
from zcc.connector.datapath import METHODS, Datapath
from zcc.connector.dns import DnsService, Helpers
from zcc.connector.dns_asked import DnsAsked, is_bare
from zcc.connector.dns_asked_tcp import listen_over_tcp
from zcc.connector.dns_control import DnsControl
from zcc.connector.dns_gateways import Gateways
from zcc.connector.dns_journal import Journal
from zcc.connector.dns_tcp import DnsTcp
from zcc.connector.drain import Drain
from zcc.connector.edits import Edits, Parse
from zcc.connector.full_pools import FullPools
from zcc.connector.health import HealthServer, Observed, Way
from zcc.connector.in_use import InUse
from zcc.connector.labels import labels_of
from zcc.connector.local_socket import NAME as SOCKET_NAME
from zcc.connector.local_socket import Answerer, LocalSocket
from zcc.connector.metrics import ConnectorCollector
from zcc.connector.naming import naming_of
from zcc.connector.no_edge import NoEdge
from zcc.connector.opening import Opening
from zcc.connector.plan import listen_of, plan_of
from zcc.connector.pool_networks import PoolFollowers, PoolNetworks
from zcc.connector.ports import DNS_TCP_PORT, RELAY_TCP_PORT, RELAY_UDP_PORT, FlowRecord, Punt
from zcc.connector.relay import ZpaRelay
from zcc.connector.resolver import Resolver
from zcc.connector.routed import Routed
from zcc.connector.routes import routes_of
from zcc.connector.rulebook import Rulebook
from zcc.connector.sessions import session_fields
from zcc.connector.settings import ConnectorSettings
from zcc.connector.sharing import Sharing
from zcc.connector.status import Status
from zcc.connector.stray import Stray
from zcc.connector.teaching import Teacher
from zcc.connector.tunnels import Tunnels
from zcc.dns.intercept import Interceptor
from zcc.doorway import Doorway
from zcc.errors import ZccError
from zcc.feeds.watch import Watch
from zcc.itunnel.client import TunnelClient
from zcc.itunnel.dial import Dialler
from zcc.itunnel.metrics import InternetEdgeCollector
from zcc.mtunnel.client import EdgeClient, Hello
from zcc.mtunnel.messages import PoolsOf
from zcc.mtunnel.transport import ALPN
from zcc.pki.context import dtls_client, stream_client, tls_client
from zcc.pki.peer import PeerCheck
from zcc.policy.model import Method
from zcc.policy.objects.catalogue import Catalogue
from zcc.policy.stances import Failure, GatewayDown, Trouble
from zcc.synthetic.leases import LeaseCache
from zcc.telemetry.logs import Logs
from zcc.telemetry.metrics import MetricsServer

__all__ = ["run"]

LEASES_FILE = "leases.sqlite"
# What takes effect without a restart. Namespaces, locations and endpoints have numbers in the worker's tables.
EDITED = frozenset({*Catalogue.model_fields, "rules", "dns_rules"} - {"namespaces", "locations"})
log = logging.getLogger(__name__)


class Connector:
    """One running connector."""

    def __init__(self, settings: ConnectorSettings, clock: Clock | None = None) -> None:
        """Read the identity and compile the policy; nothing is opened yet.

        Raises:
            ZccError: one of them can not be used.
        """
        self.settings = settings
        self.clock = clock or SystemClock()
        self.check = PeerCheck(settings.identity, self.clock)
        self.watch = Watch(settings.feeds)
        self.rulebook = Rulebook(settings, self.watch.world)
        self.logs = Logs(
            settings.logs, settings.name, group=settings.group, role=settings.role, clock=self.clock
        )
        self.metrics = MetricsServer(settings.metrics)
        self.labels = labels_of(settings, self.rulebook, METHODS)
        self.doorway = Doorway(settings.kernel)
        self.routed = Routed(settings.ingress.routed)
        self._closers = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []
        self._edits: set[asyncio.Task[None]] = set()

    async def start(self, parse: Parse | None = None) -> None:
        """Open the device, the data path and every listener; begin to dial the edges.

        Args:
            parse: reads a file's bytes, for previews; None = none can be asked for.
        Raises:
            ZccError: an address or the device can not be used.
        """
        loop = asyncio.get_running_loop()
        self._open_datapath()
        self.edits = Edits(self.settings, self.rulebook, self.watch, self.clock, self.datapath, self.labels)
        self.datapath.start(loop)
        self._closers.callback(self.datapath.stop, loop)
        self._join_private()
        self._join_internet()
        internal = self.settings.kernel.internal
        if internal is None:
            raise ZccError("kernel.internal is missing; give a network such as 198.18.0.0/16")
        aliases = Aliases(self.doorway.name, internal)
        aliases.open()
        self._closers.callback(aliases.close)
        dns_tcp = DnsTcp(self.dns, self.datapath, aliases.socket).listener
        await dns_tcp.start(str(internal[1]), DNS_TCP_PORT)
        self._closers.push_async_callback(dns_tcp.close)
        self._closers.push_async_callback(await listen_over_tcp(self.asked, listen_of(self.settings, self.rulebook)))
        await self.relay.start(str(internal[1]), RELAY_TCP_PORT, RELAY_UDP_PORT)
        self._closers.push_async_callback(self.relay.close)
        self._subscribe()
        await self._show()
        await self._listen_here(parse)

    async def drain(self) -> None:
        """End as the settings say; the data path carries packets all the while."""
        await self._drain.run()

    async def close(self) -> None:
        """Close everything in the reverse order of opening."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._closers.aclose()
        self.doorway.close()
        self.routed.close()
        self.logs.close()

    def begin_edit(self, reload: Callable[[], ConnectorSettings]) -> None:
        """Read the file again and put its policy in force, in a task of its own."""
        task = asyncio.create_task(_edit(self, reload))
        self._edits.add(task)
        task.add_done_callback(self._edits.discard)

    async def edit(self, settings: ConnectorSettings) -> None:
        """Put another policy in force and return when it is; live flows are decided again at their next packet.

        Raises:
            ZccError: the policy is too large to compile; the old one stays.
        """
        in_force = self.pools.networks.overlaid(settings)
        await self.edits.put(in_force)
        self.pools.adopt(settings)
        self.control.adopt(in_force)
        self.full_pools.adopt(in_force)
        self.datapath.disown_all()        # what it answers by itself was right under the old rules
        self.gateways.adopt(settings.dns_gateways)
        ignored = [
            name
            for name in type(settings).model_fields
            if name not in EDITED and getattr(settings, name) != getattr(self.settings, name)
        ]
        if ignored:
            log.warning("%s changed in the file; a restart is needed for that", ", ".join(ignored))

    def _pools_said(self, said: PoolsOf) -> None:
        """Follow the edge's pools: their networks at once, rules that speak of all synthetic addresses by an edit."""
        if self.pools.networks.hear(said):
            self.pools.put()
            self.begin_edit(lambda: self.pools.networks.settings)

    def _failed(self) -> frozenset[Trouble]:
        """Which edges rules may be waiting for."""
        down = {Failure.ZIA_DOWN: self.tunnels is not None and not self.tunnels.up,
                Failure.ZPA_DOWN: self.edge is not None and not self.edge.connected}  # fmt: skip
        lost: set[Trouble] = set()
        if self.tunnels is not None:
            tunnels = self.tunnels
            lost = {GatewayDown(name) for name in tunnels.gateways() if name and tunnels.active(name) is None}
        return frozenset({failure for failure, failed in down.items() if failed} | lost)

    async def _listen_here(self, parse: Parse | None) -> None:
        """Follow the feeds and the edges, and answer on this machine."""
        self._tasks.append(asyncio.create_task(self.edits.follow_feeds(), name="feeds"))
        self._tasks.append(asyncio.create_task(self.edits.follow_failures(self._failed), name="failures"))
        if parse is not None:
            answerers: dict[str, Answerer] = {
                "preview": functools.partial(self.edits.preview, parse=parse),
                "status": Status(self.edits, self.datapath, self.tunnels, self.edge).tell,
            }
            local = LocalSocket(self.settings.state / SOCKET_NAME, answerers)
            await local.start()
            self._closers.push_async_callback(local.close)

    # ---- parts ----

    def _open_datapath(self) -> None:
        device = self.doorway.open()
        direct = self.settings.direct
        for address in () if direct is None else (direct.address, direct.address6):
            if address is not None:
                self.doorway.own(address)
        try:
            plan = plan_of(self.settings, self.rulebook, device, self.doorway.kind, self.routed.open())
            self.datapath = Datapath(plan, self.rulebook.rules)
            self.datapath.write_down(self.labels, self.logs)
        except OSError as error:
            raise ZccError(
                f"ingress {self.settings.ingress}: {error.strerror}; is the address this host's, is another connector running, "
                "and is CAP_NET_RAW there?"
            ) from error

    def _dial_private(self) -> None:
        settings = self.settings
        self.edge: EdgeClient | None = None
        if settings.zpa is not None:
            hello = Hello(name=settings.name, group=settings.group, software=f"zcc/{__version__}", claims=True, pools=True)
            self.edge = EdgeClient(
                settings.zpa,
                tls_client(settings.identity, ALPN),
                lambda der: self.check.verify(der, "private-edge"),
                hello,
                self.clock,
            )
            self.in_use = InUse(self.edge, self.datapath.live_destinations)
            self._tasks.append(asyncio.create_task(self.edge.run(), name="private edge"))
            self._tasks.append(asyncio.create_task(self.in_use.run(), name="addresses in use"))

    def _join_private(self) -> None:
        settings, names = self.settings, self.rulebook.names
        self._dial_private()
        edge = self.edge or NoEdge()
        settings.state.mkdir(parents=True, exist_ok=True)
        cache, networks = LeaseCache(settings.state / LEASES_FILE), PoolNetworks(settings)
        self._closers.callback(cache.close)
        self.resolver = Resolver(
            edge, cache, self.datapath, names, self.clock, self.labels.namespace, networks.holding
        )
        log.info("%d synthetic addresses restored", self.resolver.restore())
        interceptor = Interceptor(names.application_of, settings.pool_networks, int(settings.dns.ttl.total_seconds()))
        unlearnable = [*settings.pool_networks, *([settings.kernel.internal] if settings.kernel.internal else [])]
        self.teacher = Teacher(self.datapath, names, self.rulebook.speaks_of, unlearnable)
        share = self.edge is not None and settings.naming.teach_addresses and settings.naming.share_addresses
        self.claims = Claims(edge, self.labels.namespaces, share=share)
        self.naming = naming_of(settings, self.rulebook, self.teacher, self.datapath, self.clock, self.claims.tell)
        self.claims.heard = self.naming.hearsay.told
        for name, runs in (("naming", self.naming.run()), ("claims", self.claims.run())):
            self._tasks.append(asyncio.create_task(runs, name=name))
        journal = Journal(self.logs, self.labels, self.clock)
        ceiling_s = int(settings.dns.learn_ceiling.total_seconds())
        self.sharing = Sharing(edge, self.teacher, self.labels.namespaces, ceiling_s=ceiling_s)
        if self.edge is not None:
            self.edge.on_pools = self._pools_said
            self.edge.on_learned, self.edge.on_claimed = self.sharing.hear, self.claims.hear
        self.control = DnsControl(settings, self.clock, lambda: self.watch.world)
        self.gateways = Gateways(settings.dns_gateways, self.clock)
        self.full_pools = FullPools(settings, self.clock, lambda: self.watch.world)
        helpers = Helpers(
            self.resolver, interceptor, self.control, self.gateways, self.teacher, self.full_pools, self.sharing
        )
        self.dns = DnsService(settings.dns, self.datapath, helpers, journal)
        self.pools = PoolFollowers(networks, self.datapath.exchange_pools, self.dns, self.teacher)
        self.asked = DnsAsked(settings.dns, self.dns, self.gateways, self.datapath.dns_fd)
        self._closers.push_async_callback(self.asked.close)
        self.stray = Stray(self.datapath, self.resolver, self.logs, self.labels)
        opening = Opening(edge, names, self.labels, self.logs, self.clock, (settings.name, settings.group))
        self.relay = ZpaRelay(opening, self.datapath)
        self.datapath.bound.ended = self.relay.closed

    def _join_internet(self) -> None:
        settings = self.settings
        self.tunnels: Tunnels | None = None
        if settings.zia is not None:
            dialler = Dialler(dtls_client(settings.identity), lambda der: self.check.verify(der, "internet-edge"),
                              stream_client(settings.identity))
            self.tunnels = Tunnels([
                TunnelClient(settings.zia, dialler, worker, worker.session, report=self.logs.tunnel, clock=self.clock)
                for worker in self.datapath.by_worker()
            ])
            self.edits.steer = self.tunnels.steer
            self.tunnels.steer(routes_of(settings, self.rulebook.gateways))
            self._tasks.append(asyncio.create_task(self.tunnels.run(), name="internet edges"))

    def _subscribe(self) -> None:
        handlers: dict[str, Callable[[Punt], None]] = {
            "dns_query": lambda punt: (self.asked if is_bare(punt) else self.dns).query(punt),
            "dns_answer": self.dns.answer,
            "dns_answered": self.dns.answered,
            "unknown_synthetic": self.stray.unknown,
            "flow_closed": self._flow_closed,
            "words": self.naming.hear,
        }
        if self.tunnels is not None:
            tunnels = self.tunnels
            handlers["tunnel_control"] = lambda punt: tunnels.on_control(punt.worker, punt.slot, punt.packet)
            handlers["tunnel_closed"] = lambda punt: tunnels.on_closed(punt.worker, punt.slot)
        for reason, handler in handlers.items():
            self.datapath.subscribe(reason, handler)

    def _flow_closed(self, punt: Punt) -> None:
        flow: FlowRecord | None = punt.flow
        if flow is not None and not self.relay.closed(flow):
            self.logs.session(**session_fields(flow, self.labels))

    async def _show(self) -> None:
        """Health, metrics and the order in which it all ends."""
        self._drain = Drain(self.settings.drain, self.datapath, self.relay)
        health = HealthServer(
            str(self.settings.health.address), self.settings.health.port, self._observe, self.clock
        )
        await health.start()
        self._closers.push_async_callback(health.close)
        services: Mapping[str, Callable[[], Mapping[str, int]]] = {
            "dns": lambda: self.dns.counts,
            "resolver": lambda: self.resolver.counts,
            "stray": lambda: self.stray.counts,
            "relay": lambda: self.relay.counts,
            "teacher": lambda: self.teacher.counts,
            "sharing": lambda: self.sharing.counts,
            "naming": lambda: self.naming.counts,
            "claims": lambda: self.claims.counts,
        }
        gauges = {
            "zpa_streams": lambda: self.relay.streams,
            "zpa_up": lambda: int(self._zpa().up),
            "zia_up": lambda: int(self._zia().up),
        }
        self.metrics.registry.register(ConnectorCollector(self.datapath.counters, services, gauges))
        if self.tunnels is not None:
            self.metrics.registry.register(InternetEdgeCollector(self.tunnels.status))
        await self.metrics.start()
        self._closers.push_async_callback(self.metrics.close)

    def _observe(self) -> Observed:
        return Observed(
            self.datapath.counters().heartbeat_ns,
            self.doorway.index != 0,
            self._zia(),
            self._zpa(),
            self._drain.draining,
        )

    def _zia(self) -> Way:
        zia = self.settings.zia
        used = zia is not None and self.rulebook.uses(Method.ZIA)
        return Way(used, self.tunnels is not None and self.tunnels.up, zia is not None and zia.fail == "open")

    def _zpa(self) -> Way:
        return Way(self.rulebook.uses(Method.ZPA), self.edge is not None and self.edge.connected)


async def run(
    settings: ConnectorSettings, *, stop: asyncio.Event, reload: Callable[[], ConnectorSettings] | None = None,
    parse: Parse | None = None,
) -> None:
    """Serve until `stop` is set, then drain.

    Args:
        reload: reads the file again, at SIGHUP; None = SIGHUP is not taken.
        parse: reads a file's bytes, for previews; None = none can be asked for.
    Raises:
        ZccError: it can not start.
    """
    connector = Connector(settings)
    try:
        await connector.start(parse)
        privileges.drop(privileges.CAP_BPF, privileges.CAP_NET_RAW)      # every socket that needs them is open
        if reload is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, connector.begin_edit, reload)
        log.info("connector %s serves %s", settings.name, settings.ingress)
        notify.ready()
        await stop.wait()
        notify.stopping()
        await connector.drain()
    finally:
        await connector.close()


async def _edit(connector: Connector, reload: Callable[[], ConnectorSettings]) -> None:
    notify.reloading()
    try:
        await connector.edit(reload())
    except ZccError as error:
        log.error("the policy stays as it was: %s", error)
    finally:
        notify.ready()
