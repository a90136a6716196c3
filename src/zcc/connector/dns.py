"""DnsService: queries and answers that cross the connector over UDP; DNS over TCP shares its decisions.

    query  ──▶ intercept ▶ rules ──▶ Answer             reply; the data plane answers the next one by itself
                                ──▶ Silent              nothing
                                ──▶ NeedLease ──▶ resolver   data plane learns, then reply; a pool is full: the rule's stance
                                ──▶ NeedName  ──▶ resolver   reply
                                ──▶ Redirect  ──▶ gateways   data plane learns, then reply
                                ──▶ Forward             noted as pending, resume
    answer ──▶ rules ──▶ pending? ──▶ learning ──▶ data plane learns, then resume, or reply with another

Journey: the worker holds the packet until it is answered or resumed; commands are carried out in order,
so what is learned before an answer leaves is in force when the workload's next packet comes. One thread,
the event loop's.
Spec: RFC 1035; RFC 8914 for the reason of a failure. It opens no socket: `dns_tcp` and `dns_upstream` do.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network

from zcc.connector import packets
from zcc.connector.dns_control import ACTIONS, DnsControl, Redirect, Reviewed, Ruled, Silent
from zcc.connector.dns_gateways import Gateways
from zcc.connector.dns_journal import NO_GATEWAY, NO_REVIEW, Journal, Origin, Outcome
from zcc.connector.full_pools import Client, FullPools, Taken
from zcc.connector.ports import Datapath, Place, Punt
from zcc.connector.resolver import Resolver
from zcc.connector.shares import Shares
from zcc.connector.sharing import Sharing
from zcc.connector.teaching import Teacher
from zcc.dns import answers
from zcc.dns.amending import read_answer
from zcc.dns.intercept import Answer, Forward, Interceptor, NeedLease, NeedName, named
from zcc.dns.learning import Learned, learn
from zcc.dns.pending import NO_RULING, Asker, Pending, Ruling
from zcc.dns.question import Question
from zcc.dns.settings import DnsSettings
from zcc.errors import ZccError
from zcc.mtunnel.errors import Code, Refused
from zcc.policy.dns_rule import APPLICATION_RULE, DnsAction
from zcc.policy.objects.gateway import DnsFailure
from zcc.policy.objects.stance import Stance
from zcc.synthetic.lease import Lease

LOOKUPS_LIMIT = 2048  # queries that wait for a lease, each a task and a packet
NO_APPLICATION = "no application of this namespace has this name"
OVERLOADED = "too many queries wait for an address, most of them this client's"
ABSENT_S = 5  # what is nobody's now may be somebody's soon
NO_SERVER = IPv4Address(0)  # the connector itself was asked

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Completed:
    """The answer that a verdict asked for; None = the query goes on to its server after all."""

    message: bytes | None
    gateway: tuple[int, str] = NO_GATEWAY
    review: tuple[str, str] = NO_REVIEW
    taken: Taken | None = None  # the stance of a rule, if one was taken

    @property
    def held(self) -> bool:
        """Whether nothing is to be said over UDP."""
        return self.taken is not None and self.taken.stance is Stance.HOLD


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer as the client may have it, and what it taught."""

    message: bytes
    learned: Learned | None = None


@dataclass(frozen=True, slots=True)
class Helpers:
    """Whom the service asks, and whom it tells what it learned."""

    resolver: Resolver
    interceptor: Interceptor
    control: DnsControl
    gateways: Gateways
    teacher: Teacher
    full: FullPools
    sharing: Sharing | None = None


class DnsService:
    """DNS of all workloads."""

    def __init__(self, settings: DnsSettings, datapath: Datapath, helpers: Helpers, journal: Journal) -> None:
        self.counts: Counter[str] = helpers.gateways.counts
        self._floor = int(settings.learn_floor.total_seconds())
        self._ceiling = int(settings.learn_ceiling.total_seconds())
        self._datapath = datapath
        self._resolver, self._interceptor = helpers.resolver, helpers.interceptor
        self._control, self._gateways = helpers.control, helpers.gateways
        self._teacher, self._sharing, self._full = helpers.teacher, helpers.sharing, helpers.full
        self._journal = journal
        self._pending = Pending()
        self._lookups = Shares(LOOKUPS_LIMIT)
        self._tasks: set[asyncio.Task[None]] = set()

    def adopt_pools(self, networks: tuple[IPv4Network, ...]) -> None:
        """Go on with other networks of synthetic addresses."""
        self._interceptor = replace(self._interceptor, pools=networks)

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
        ruled = self._decide(origin, wire)
        verdict = ruled.verdict
        if isinstance(verdict, Forward):
            self.forwarded(origin, verdict.question, ruled.ruling)
            self._datapath.resume(punt)
        elif isinstance(verdict, Silent):
            self._record(origin, ruled, wire, Completed(verdict.over_tcp), self._now_s())
        elif isinstance(verdict, Answer):
            self._teach_own(origin, ruled, verdict.message)
            question, message = verdict.question, verdict.message
            said = message if question is None else answers.fitted(question, message)
            self._datapath.reply(punt, packets.udp_reply(inner, said))
            self._record(origin, ruled, wire, Completed(verdict.message), self._now_s())
        else:
            self._begin(self._finish(punt, inner, origin, ruled))

    def answer(self, punt: Punt) -> None:
        """Take a UDP packet from port 53 towards a workload."""
        inner = packets.parse(punt.packet)
        if inner is None or inner.protocol != packets.UDP or inner.fragment:
            self._datapath.resume(punt)
            return
        asker = Asker(punt.namespace, inner.destination, inner.destination_port, inner.source)
        heard = self.hear(Origin(asker, punt.location, "UDP"), inner.payload)
        if self._sharing is not None and heard.learned is not None and self._sharing.concerns(heard.learned):
            self._begin(self._tell_and_pass(punt, inner, heard))
        else:
            self._pass(punt, inner, heard)

    async def _tell_and_pass(self, punt: Punt, inner: packets.Inner, heard: Heard) -> None:
        if heard.learned is not None:
            await self.tell_group(punt.namespace, heard.learned)
        self._pass(punt, inner, heard)

    def _pass(self, punt: Punt, inner: packets.Inner, heard: Heard) -> None:
        if heard.message == inner.payload:
            self._datapath.resume(punt)
        else:
            changed = read_answer(heard.message)
            message = heard.message if changed is None else answers.fitted(changed.question, heard.message)
            self._datapath.reply(punt, packets.udp_again(inner, message))

    async def _finish(self, punt: Punt, inner: packets.Inner, origin: Origin, ruled: Ruled) -> None:
        since_s = self._now_s()
        done = await self.complete(origin, ruled, inner.payload)
        question, ruled = ruled.verdict.question, _with_reason(ruled, done)
        if done.message is None or question is None:
            self.forwarded(origin, question, ruled.ruling)
            self._datapath.resume(punt)
            return
        if not done.held:
            self._datapath.reply(punt, packets.udp_reply(inner, answers.fitted(question, done.message)))
        self._record(origin, ruled, inner.payload, done, since_s)

    def answered(self, punt: Punt) -> None:
        """Take the answer that the data plane gave to a query for an owned name, for the log."""
        asker, message = whom(punt)
        said = learn(message, 0, 0)
        if asker is None or said is None:
            return
        outcome = Outcome(ACTIONS[DnsAction.ZPA], Ruling(APPLICATION_RULE))
        self._journal.write(Origin(asker, punt.location, "UDP"), said, outcome, (0, len(message)), 0.0)

    def _hand_over(self, origin: Origin, ruled: Ruled, said: Learned) -> None:
        """Have the data plane answer a name from now on, if no rule can say otherwise and while the lease is fresh."""
        question, namespace = ruled.verdict.question, origin.asker.namespace
        address = said.addresses[0] if len(said.addresses) == 1 else None
        if question is None or ruled.action != ACTIONS[DnsAction.ZPA] or not isinstance(address, IPv4Address):
            return
        until_s = self._resolver.fresh_s(namespace, question.text, ruled.pool)
        wire = question.name.canonicalize().to_wire()
        if until_s > 0 and wire is not None and self._control.always_owned(question.text):
            self._datapath.own(Place(namespace, origin.location), wire, address, self._interceptor.ttl, until_s)

    # ---- shared with DNS over TCP ----

    async def resolve(self, origin: Origin, wire: bytes) -> bytes | None:
        """Answer a query that did not come in a punt.

        Returns:
            The answer; None = forward it, and it has been noted.
        """
        since_s = self._now_s()
        ruled = self._decide(origin, wire)
        verdict = ruled.verdict
        if isinstance(verdict, Silent):
            done = Completed(verdict.over_tcp)
        elif isinstance(verdict, Answer):
            self._teach_own(origin, ruled, verdict.message)
            done = Completed(verdict.message)
        elif isinstance(verdict, Forward):
            done = Completed(None)
        else:
            done = await self.complete(origin, ruled, wire)
        ruled = _with_reason(ruled, done)
        if done.message is None:
            self.forwarded(origin, verdict.question, ruled.ruling)
        else:
            self._record(origin, ruled, wire, done, since_s)
        return done.message

    def forwarded(self, origin: Origin, question: Question | None, ruling: Ruling = NO_RULING) -> None:
        """Note a query that goes on to its server."""
        self.counts["forwarded"] += 1
        if question is not None:
            self._pending.note(origin.asker, question, self._now_s(), ruling)

    async def tell_group(self, namespace: int, learned: Learned) -> None:
        """Have the group's other connectors learn it too, if a rule speaks of the name; bounded in time."""
        name = None if self._sharing is None else self._sharing.concerns(learned)
        if name is not None and self._sharing is not None:
            await self._sharing.tell(namespace, name, learned)

    def hear(self, origin: Origin, wire: bytes) -> Heard:
        """Put an answer under the rules, and let it teach the data plane if it was asked for."""
        learned = learn(wire, self._floor, self._ceiling)
        if learned is None:
            self.counts["answer_unreadable"] += 1
        now_s = self._now_s()
        matched = None if learned is None else self._pending.take(origin.asker, learned.id, learned.asked, now_s)
        ruling = NO_RULING if matched is None else matched.ruling
        reviewed = self._review(origin, wire, ruling)
        if reviewed is not None:
            wire = reviewed.message
            learned = learn(wire, self._floor, self._ceiling)
        if learned is None or matched is None:
            self.counts["answer_unasked"] += learned is not None
            return Heard(wire)
        self._teacher.teach(origin.asker.namespace, learned)
        outcome = Outcome(ACTIONS[DnsAction.ALLOW], ruling, review=said_of(reviewed))
        self._journal.write(origin, learned, outcome, (0, len(wire)), matched.waited_s)
        return Heard(wire, learned)

    def _review(self, origin: Origin, wire: bytes, ruling: Ruling) -> Reviewed | None:
        asker, labels = origin.asker, self._journal.labels
        place = labels.location(origin.location)
        found = self._control.review(wire, asker, labels.namespace(asker.namespace), place, ruling.score)
        self.counts["answer_changed"] += found is not None
        return found

    async def complete(self, origin: Origin, ruled: Ruled, wire: bytes) -> Completed:
        """Fetch what a verdict needs and make the answer; SERVFAIL with the reason when it can not be had."""
        verdict = ruled.verdict
        assert isinstance(verdict, NeedLease | NeedName | Redirect), "the other verdicts need nothing"
        whose = origin.asker.whose
        if not self._lookups.take(*whose):
            self.counts["overloaded"] += 1
            return Completed(answers.failure(verdict.question, OVERLOADED))
        try:
            if isinstance(verdict, Redirect):
                return await self._redirected(origin, verdict, wire, ruled.ruling)
            if isinstance(verdict, NeedName):
                return Completed(await self._pointer(origin.asker, verdict))
            return await self._address(origin, verdict)
        except ZccError as error:
            self.counts["failed"] += 1
            log.debug("no address for %s: %s", verdict.question.text, error)
            return Completed(answers.failure(verdict.question, "the private edge can not be asked"))
        finally:
            self._lookups.give_back(*whose)

    async def _redirected(self, origin: Origin, verdict: Redirect, wire: bytes, ruling: Ruling) -> Completed:
        found = await self._gateways.answer(verdict.gateway, wire, verdict.question)
        if found is None:
            if self._gateways.failure(verdict.gateway) is DnsFailure.ORIGINAL:
                return Completed(None)
            why = f"no server of DNS gateway {verdict.gateway} answers"
            return Completed(answers.failure(verdict.question, why), (0, "FO_DEST_ERR"))
        reviewed = self._review(origin, found.message, ruling)
        message = found.message if reviewed is None else reviewed.message
        learned = learn(message, self._floor, self._ceiling)
        if learned is not None:
            self._teacher.teach(origin.asker.namespace, learned)
            await self.tell_group(origin.asker.namespace, learned)
        return Completed(message, (found.slot, found.flags), said_of(reviewed))

    async def _address(self, origin: Origin, verdict: NeedLease) -> Completed:
        question, ttl = verdict.question, self._interceptor.ttl
        try:
            lease = await self._resolver.lease(origin.asker.namespace, verdict.name, verdict.pool, origin.asker.client)
        except Refused as error:
            if error.code == Code.POOL_FULL:
                return self._full_pool(origin, verdict)
            if error.code not in (Code.FORBIDDEN, Code.NO_APPLICATION):
                raise
            lease = None
        if lease is None:
            return Completed(answers.nodata(question, question.name, min(ttl, ABSENT_S), NO_APPLICATION))
        return Completed(answers.address(question, lease.address, ttl))

    def _full_pool(self, origin: Origin, verdict: NeedLease) -> Completed:
        labels = self._journal.labels
        place = self._control.location(labels.location(origin.location))
        taken = self._full.stance(Client(labels.namespace(origin.asker.namespace), place, origin.asker.client), verdict.name)
        self.counts[f"pool_full_{taken.stance}"] += 1
        message = None if taken.stance is Stance.OPEN else answers.failure(verdict.question, taken.reason)
        return Completed(message, taken=taken)

    async def _pointer(self, asker: Asker, verdict: NeedName) -> bytes:
        ttl = self._interceptor.ttl
        owner, lease = await self._resolver.owner(verdict.address, asker.whose), None
        if isinstance(owner, Lease):  # who may not have the name may not learn it from its address either
            lease = await self._resolver.lease(asker.namespace, owner.name, owner.pool, asker.client)
        return named(verdict, None if lease is None else lease.name, ttl, min(ttl, ABSENT_S))

    # ---- inside ----

    def _decide(self, origin: Origin, wire: bytes) -> Ruled:
        self.counts["queries"] += 1
        asker, labels = origin.asker, self._journal.labels
        verdict = self._interceptor.decide(wire)
        place = labels.location(origin.location)
        ruled = self._control.rule(verdict, asker, labels.namespace(asker.namespace), place)
        return ruled.ready(lambda need: self._resolver.known(asker.namespace, need.name, need.pool), self._interceptor.ttl)

    def _teach_own(self, origin: Origin, ruled: Ruled, message: bytes) -> None:
        """Let an answer of a rule's own addresses teach, so that rules with names match what follows."""
        if ruled.action == ACTIONS[DnsAction.OVERWRITE]:
            learned = learn(message, self._floor, self._ceiling)
            if learned is not None:
                self._teacher.teach(origin.asker.namespace, learned)

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _record(self, origin: Origin, ruled: Ruled, wire: bytes, done: Completed, since_s: float) -> None:
        assert done.message is not None, "what goes on to its server is recorded when its answer comes"
        self.counts["answered"] += 1
        said = learn(done.message, 0, 0)
        if ruled.verdict.question is not None and said is not None:
            self._hand_over(origin, ruled, said)
            outcome = Outcome(ruled.action, ruled.ruling, done.gateway, done.review)
            self._journal.write(origin, said, outcome, (len(wire), len(done.message)), self._now_s() - since_s)

    def _now_s(self) -> float:
        return self._journal.clock.monotonic_ns() / 1e9


def said_of(reviewed: Reviewed | None) -> tuple[str, str]:
    """Return the rule and action that the log names of a review."""
    return NO_REVIEW if reviewed is None else (reviewed.rule, reviewed.action)


def _with_reason(ruled: Ruled, done: Completed) -> Ruled:
    return ruled if done.taken is None else replace(ruled, ruling=replace(ruled.ruling, reason=done.taken.reason))


def whom(punt: Punt) -> tuple[Asker | None, bytes]:
    """Return to whom an answer of the data plane went, and the message; None = it can not be read."""
    if punt.value:  # the listener's: a bare message, and its peer
        client = IPv4Address(punt.peer[0])
        return Asker(punt.namespace, client, punt.peer[1], NO_SERVER), punt.packet
    inner = packets.parse(punt.packet)
    if inner is None:
        return None, b""
    return Asker(punt.namespace, inner.destination, inner.destination_port, inner.source), inner.payload
