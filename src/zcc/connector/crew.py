"""Crew: a connector's workers, each with its own port, device queue, tables and rings; made, started and ended together.

    memory bounds ─÷ n─▶ flows, bindings, fragments, event rings
    ports, aliases ─÷ n─▶ disjoint, so that the kernel's answers tell whose they are
    names, owned names, rules ─▶ every worker has all of them

Journey: the datapath makes one from the plan and speaks to its workers by their numbers. Part of the doorway to fastpath. Which
worker a packet belongs to is fastpath.shard's matter. It carries no commands and hears no events.
"""

from __future__ import annotations

import logging
import os
import secrets
import threading
from ipaddress import IPv4Address, IPv4Network

from fastpath.admission import Admission
from fastpath.alias import AliasTable
from fastpath.askers import AskerTable
from fastpath.classify import RuleSet
from fastpath.dnslistener import DnsListener
from fastpath.endpoint import EndpointMap
from fastpath.flowtable import FlowTable, TimeoutClass
from fastpath.fragments import FragmentTable
from fastpath.nametable import NameTable
from fastpath.nat import NatTable
from fastpath.owned import OwnedNames
from fastpath.packetio import GenevePort, UdpSocket
from fastpath.portidle import PortIdle
from fastpath.ring import Ring
from fastpath.shard import Shard, shards
from fastpath.tunnels import Tunnels
from fastpath.worker import Worker
from fastpath.xsk import XskPort
from zcc.connector.ingress import check_free, open_device, open_ports, open_routed
from zcc.connector.plan import Plan

__all__ = ["Crew"]

ALIASES = 65_000
NAMES = 1 << 18
OWNED = 1 << 16
EVENT_RING_BYTES = 1 << 20  # some thousand questions: what waits longer is asked again meanwhile
RECORD_RING_BYTES = 1 << 24  # of flows that ended: no question waits behind them, and none loses its room to them
COMMAND_RING_BYTES = 1 << 23
WORDS_RING_BYTES = 1 << 21  # of copies of first packets; its own, so that they cost no other event its room
HANDED_BYTES = 1 << 22  # of what one worker hands to all others
DATAGRAMS, HELD_FRAGMENTS = 4096, 256
PORTS = (1024, 65_535)  # of flows that leave translated
CLASSES = {kind.name.removeprefix("TIMEOUT_").lower(): int(kind) for kind in TimeoutClass}

log = logging.getLogger(__name__)


class Crew:
    """The workers of one connector."""

    def __init__(self, plan: Plan, rules: RuleSet) -> None:
        """Open the sockets and make the tables.

        Raises:
            OSError: the service address or the device can not be opened.
        """
        n = plan.workers
        self.plan = plan
        self.base, aliases = plan.internal[2], min(ALIASES, plan.internal.num_addresses - 3)
        self.shards = shards(n, ring_bytes=_share(HANDED_BYTES, n), ports=PORTS, aliases=(self.base, aliases))
        self.tunnels = [Tunnels() for _ in range(n)]
        self.events = [Ring(_share(EVENT_RING_BYTES, n)) for _ in range(n)]
        self.records = [Ring(_share(RECORD_RING_BYTES, n)) for _ in range(n)]
        self.words = [Ring(_share(WORDS_RING_BYTES, n)) for _ in range(n)]
        self._secret = secrets.token_bytes(32)
        ports = open_routed(plan.routed, n) if plan.routed else open_ports(plan.io, str(plan.address), plan.port, plan.flows, n)
        if plan.dns_listen is not None:
            check_free(plan.dns_listen[0], plan.dns_listen[1])
        self.workers = [self._worker(shard, port, rules) for shard, port in zip(self.shards, ports, strict=True)]
        self._threads = [
            threading.Thread(target=self._work, args=(number,), name=f"worker {number}", daemon=True) for number in range(n)
        ]

    def start(self) -> None:
        """Start every worker's thread."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop the workers, wait for their threads and close their ports; what they had still to say is in their rings."""
        for worker in self.workers:
            worker.stop()
        for thread in self._threads:
            if thread.ident is not None:      # it was started
                thread.join(timeout=5)
        for worker in self.workers:
            worker.geneve.close()

    def aliases_of(self, number: int) -> IPv4Address:
        """Return the first alias of a worker's workloads."""
        return IPv4Address(self.shards[number].alias_range[0])

    def owner_of(self, alias: IPv4Address) -> int:
        """Return the worker that an alias is of; that of another address is 0."""
        of = (int(alias) - int(self.base)) // self.shards[0].alias_range[1]
        return of if 0 <= of < len(self.workers) else 0

    def _worker(self, shard: Shard, port: GenevePort, rules: RuleSet) -> Worker:
        plan, number, n = self.plan, shard.number, len(self.shards)
        admission, commands = self._admission(shard, rules), Ring(_share(COMMAND_RING_BYTES, n))
        worker = Worker(
            port, open_device(plan.device, plan.device_kind, number), EndpointMap(plan.endpoints), admission, commands,
            kernel_flows=port.flows if isinstance(port, XskPort) else None, words=self.words[number],
            shard=shard if n > 1 else None,
        )
        if plan.dns_listen is not None:
            address, dns_port, *of = plan.dns_listen
            worker.listen(DnsListener(UdpSocket.bind(address, dns_port, reuse_port=n > 1), admission, *of))
        return worker

    def exchange_pools(self, networks: tuple[IPv4Network, ...]) -> None:
        """Take addresses of other networks for synthetic, from the next first packet on."""
        for worker in self.workers:
            worker.admission.pools.replace(networks)

    def _admission(self, shard: Shard, rules: RuleSet) -> Admission:
        plan, n = self.plan, len(self.shards)
        flows = -(-plan.flows // n)
        return Admission(
            FlowTable(flows, {CLASSES[name]: s for name, s in plan.idle.items()}, ready=flows),
            NatTable(flows, shard.port_range, secrets.token_bytes(32)),
            NameTable(NAMES, secrets.token_bytes(32)),
            AliasTable(self.aliases_of(shard.number), shard.alias_range[1]),
            rules, self.tunnels[shard.number], self.events[shard.number],
            secret=self._secret,
            pools=plan.pools,
            internal=plan.internal,
            ports=plan.ports,
            egress=plan.egress,
            mtus=(plan.zia_mtu, plan.direct_mtu),
            midstream=plan.midstream,
            fragments=FragmentTable(DATAGRAMS // n, HELD_FRAGMENTS // n, seed=self._secret),
            port_idle=PortIdle(flows, plan.port_idle),
            askers=AskerTable(plan.questions, seed=secrets.token_bytes(32)),
            records=self.records[shard.number],
            owned=OwnedNames(OWNED, secrets.token_bytes(32), plan.dns_text, plan.dns_by_location),
        )

    def _work(self, number: int) -> None:
        cores = self.plan.io.cores
        core = cores[number] if number < len(cores) else None
        if core is not None:
            try:
                os.sched_setaffinity(0, {core})      # of this thread alone
            except OSError as error:
                log.warning("worker %d is not bound to CPU %d: %s", number, core, error.strerror)
        self.workers[number].run()


def _share(size: int, n: int) -> int:
    """A power of two that n of take `size` together at most, but for the least that a ring may have."""
    return max(1 << 12, 1 << (size // n).bit_length() - 1)
