"""DnsService: queries and answers that cross the connector over UDP; DNS over TCP shares its decisions.

    query  ──▶ intercept ──▶ Answer                     reply
                        ──▶ NeedLease ──▶ resolver      data plane learns, then reply
                        ──▶ NeedName  ──▶ resolver      reply
                        ──▶ Forward                     noted as pending, resume
    answer ──▶ pending? ──▶ learning ──▶ data plane learns, then resume

Journey: the worker holds the packet until it is answered or resumed; commands are carried out in order,
so what is learned before an answer leaves is in force when the workload's next packet comes. One thread,
the event loop's.
Spec: RFC 1035; RFC 8914 for the reason of a failure. It opens no socket: `dns_tcp` does.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass

from zcc.clock import Clock
from zcc.connector import packets
from zcc.connector.ports import Datapath, Punt
from zcc.connector.resolver import Resolver
from zcc.connector.sessions import Exchange, Labels, Records, dns_fields
from zcc.connector.sharing import Sharing
from zcc.connector.teaching import Teacher
from zcc.dns import answers
from zcc.dns.intercept import Answer, Forward, Interceptor, NeedLease, NeedName, reverse_zone
from zcc.dns.learning import Learned, learn
from zcc.dns.pending import Asker, Pending
from zcc.dns.question import Question
from zcc.dns.settings import DnsSettings
from zcc.errors import ZccError
from zcc.mtunnel.errors import Code, Refused

LOOKUPS_LIMIT = 2048  # queries that wait for a lease, each a task and a packet
LOOKUPS_OF_NAMESPACE_LIMIT = 512
NO_APPLICATION = "no application of this namespace has this name"
OVERLOADED = "too many queries wait for an address"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a query came from."""

    asker: Asker
    location: int
    protocol: str  # UDP, TCP


@dataclass(frozen=True, slots=True)
class Journal:
    """Where exchanges are recorded, and the clock that times them."""

    records: Records
    labels: Labels
    clock: Clock

    def write(
        self, origin: Origin, said: Learned, action: str, sizes: tuple[int, int], seconds: float
    ) -> None:
        """Record an exchange.

        Args:
            said: the answer, read back.
            action: REQ_ALLOW or REDIR_ZPA.
            sizes: bytes of query and answer; 0 = not known.
            seconds: how long the client waited.
        """
        asker = origin.asker
        exchange = Exchange(
            namespace=asker.namespace, location=origin.location, client=asker.client, port=asker.port,
            server=asker.server, protocol=origin.protocol, asked=said.asked, action=action,
            rcode=said.rcode, addresses=said.addresses, sizes=sizes, seconds=seconds,
        )  # fmt: skip
        self.records.dns(**dns_fields(exchange, self.labels))


class DnsService:
    """DNS of all workloads."""

    def __init__(
        self,
        settings: DnsSettings,
        datapath: Datapath,
        resolver: Resolver,
        interceptor: Interceptor,
        teacher: Teacher,
        journal: Journal,
        sharing: Sharing | None = None,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._floor = int(settings.learn_floor.total_seconds())
        self._ceiling = int(settings.learn_ceiling.total_seconds())
        self._datapath = datapath
        self._resolver = resolver
        self._interceptor = interceptor
        self._teacher = teacher
        self._journal = journal
        self._sharing = sharing
        self._pending = Pending()
        self._lookups: Counter[int] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    # ---- over UDP ----

    def query(self, punt: Punt) -> None:
        """Take a UDP packet to port 53."""
        inner = packets.parse(punt.packet)
        if inner is None or inner.protocol != packets.UDP or inner.fragment:
            self.counts["not_dns"] += 1
            self._datapath.resume(punt)
            return
        asker = Asker(punt.namespace, inner.source, inner.source_port, inner.destination)
        origin = Origin(asker, punt.location, "UDP")
        wire = inner.payload
        verdict = self._decide(origin, wire)
        if isinstance(verdict, Forward):
            self.forwarded(origin, verdict.question)
            self._datapath.resume(punt)
        elif isinstance(verdict, Answer):
            self._datapath.reply(punt, packets.udp_reply(inner, verdict.message))
            self._record(origin, verdict.question, wire, verdict.message, self._now_s())
        else:
            self._begin(self._finish(punt, inner, origin, verdict))

    def answer(self, punt: Punt) -> None:
        """Take a UDP packet from port 53 towards a workload."""
        inner = packets.parse(punt.packet)
        if inner is not None and inner.protocol == packets.UDP and not inner.fragment:
            asker = Asker(punt.namespace, inner.destination, inner.destination_port, inner.source)
            learned = self.learn_from(Origin(asker, punt.location, "UDP"), inner.payload)
            if learned is not None and self._sharing is not None and self._sharing.concerns(learned):
                self._begin(self._tell_and_resume(punt, learned))
                return
        self._datapath.resume(punt)

    async def _tell_and_resume(self, punt: Punt, learned: Learned) -> None:
        await self.tell_group(punt.namespace, learned)
        self._datapath.resume(punt)

    async def _finish(
        self, punt: Punt, inner: packets.Inner, origin: Origin, verdict: NeedLease | NeedName
    ) -> None:
        since_s = self._now_s()
        message = await self.complete(origin, verdict)
        self._datapath.reply(punt, packets.udp_reply(inner, message))
        self._record(origin, verdict.question, inner.payload, message, since_s)

    # ---- shared with DNS over TCP ----

    async def resolve(self, origin: Origin, wire: bytes) -> bytes | None:
        """Answer a query that did not come in a punt.

        Returns:
            The answer; None = forward it, and it has been noted.
        """
        since_s = self._now_s()
        verdict = self._decide(origin, wire)
        if isinstance(verdict, Forward):
            self.forwarded(origin, verdict.question)
            return None
        if isinstance(verdict, Answer):
            message = verdict.message
        else:
            message = await self.complete(origin, verdict)
        self._record(origin, verdict.question, wire, message, since_s)
        return message

    def forwarded(self, origin: Origin, question: Question | None) -> None:
        """Note a query that goes on to its server."""
        self.counts["forwarded"] += 1
        if question is not None:
            self._pending.note(origin.asker, question, self._now_s())

    async def tell_group(self, namespace: int, learned: Learned) -> None:
        """Have the group's other connectors learn it too, if a rule speaks of the name; bounded in time."""
        name = None if self._sharing is None else self._sharing.concerns(learned)
        if name is not None and self._sharing is not None:
            await self._sharing.tell(namespace, name, learned)

    def learn_from(self, origin: Origin, wire: bytes) -> Learned | None:
        """Let an answer teach the data plane, if it was asked for; return what it taught."""
        learned = learn(wire, self._floor, self._ceiling)
        if learned is None:
            self.counts["answer_unreadable"] += 1
            return None
        waited = self._pending.take(origin.asker, learned.id, learned.asked, self._now_s())
        if waited is None:
            self.counts["answer_unasked"] += 1
            return None
        self._teacher.teach(origin.asker.namespace, learned)
        self._journal.write(origin, learned, "REQ_ALLOW", (0, len(wire)), waited)
        return learned

    async def complete(self, origin: Origin, verdict: NeedLease | NeedName) -> bytes:
        """Fetch what a verdict needs and make the answer; SERVFAIL with the reason when it can not be had."""
        namespace = origin.asker.namespace
        if (self._lookups.total() >= LOOKUPS_LIMIT
                or self._lookups[namespace] >= LOOKUPS_OF_NAMESPACE_LIMIT):  # fmt: skip
            self.counts["overloaded"] += 1
            return answers.failure(verdict.question, OVERLOADED)
        self._lookups[namespace] += 1
        try:
            if isinstance(verdict, NeedName):
                return await self._pointer(namespace, verdict)
            return await self._address(namespace, verdict)
        except ZccError as error:
            self.counts["failed"] += 1
            log.debug("no address for %s: %s", verdict.question.text, error)
            return answers.failure(verdict.question, "the private edge can not be asked")
        finally:
            self._lookups[namespace] -= 1

    async def _address(self, namespace: int, verdict: NeedLease) -> bytes:
        question, ttl = verdict.question, self._interceptor.ttl
        try:
            lease = await self._resolver.lease(namespace, verdict.name)
        except Refused as error:
            if error.code not in (Code.FORBIDDEN, Code.NO_APPLICATION):
                raise
            lease = None
        if lease is None:
            return answers.nodata(question, question.name, min(ttl, 5), NO_APPLICATION)
        return answers.address(question, lease.address, ttl)

    async def _pointer(self, namespace: int, verdict: NeedName) -> bytes:
        question, ttl = verdict.question, self._interceptor.ttl
        owner = await self._resolver.owner(verdict.address)
        # Who may not have the name may not learn it from its address either.
        lease = None if owner is None else await self._resolver.lease(namespace, owner.name)
        if lease is None:
            return answers.absent(question, reverse_zone(verdict.address), min(ttl, 5))
        return answers.pointer(question, lease.name, ttl)

    # ---- inside ----

    def _decide(self, origin: Origin, wire: bytes) -> Answer | Forward | NeedLease | NeedName:
        self.counts["queries"] += 1
        namespace = origin.asker.namespace
        return self._interceptor.decide(wire, lambda name: self._resolver.known(namespace, name))

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _record(
        self, origin: Origin, question: Question | None, wire: bytes, message: bytes, since_s: float
    ) -> None:
        self.counts["answered"] += 1
        said = learn(message, 0, 0)
        if question is not None and said is not None:
            waited_s = self._now_s() - since_s
            self._journal.write(origin, said, "REDIR_ZPA", (len(wire), len(message)), waited_s)

    def _now_s(self) -> float:
        return self._journal.clock.monotonic_ns() / 1e9
