"""DnsControl: what the DNS policy makes of a query that crosses, in the words that DnsService carries out.

    intercept's verdict ─▶ rules ─▶ ALLOW      Forward
                                 ─▶ BLOCK      Answer, or Silent
                                 ─▶ ZPA        intercept's verdict
                                 ─▶ REDIRECT   Redirect
                                 ─▶ OVERWRITE  Answer
    an answer ─▶ rules with answer_countries, what the query's rule hides ─▶ Reviewed, or as it is

Journey: between `zcc.dns.intercept`, which knows DNS and no rules, and `zcc.policy.dns_decide`, which knows rules and no
messages. Names of the pool's addresses and messages that can not be read are not asked about. One thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

import dns.rcode
import dns.rdataclass

from zcc.clock import Clock
from zcc.connector.settings import ConnectorSettings
from zcc.dns import answers
from zcc.dns.amending import KEYS, read_answer, stripped
from zcc.dns.intercept import Answer, Forward, NeedLease, NeedName, Verdict, below_service_labels
from zcc.dns.pending import NO_RULING, Asker, Ruling
from zcc.dns.question import Question
from zcc.dns.tunnelling import TunnelWatch
from zcc.fields import DEFAULT_POOL
from zcc.policy.dns_decide import DnsDecider, DnsDecision, DnsQuery
from zcc.policy.dns_rule import BlockAnswer, DnsAction, DnsRule
from zcc.policy.places import Places
from zcc.policy.pools import PoolChoice
from zcc.policy.world import World

__all__ = ["ACTIONS", "DnsControl", "Redirect", "Reviewed", "Ruled", "Silent"]

# As the DNS log names them; those of the reference product where it has them.
ACTIONS = {
    DnsAction.ALLOW: "REQ_ALLOW", DnsAction.BLOCK: "REQ_BLOCK", DnsAction.ZPA: "REDIR_ZPA",
    DnsAction.REDIRECT: "REDIR_REQ", DnsAction.OVERWRITE: "REQ_OVERWRITE",
}  # fmt: skip
RESPONSES = {DnsAction.BLOCK: "RES_BLOCK", DnsAction.OVERWRITE: "RES_OVERWRITE"}
UNREADABLE = "the server's answer can not be read to its end"
_RCODES = {
    BlockAnswer.NXDOMAIN: dns.rcode.NXDOMAIN, BlockAnswer.NODATA: dns.rcode.NOERROR,
    BlockAnswer.REFUSED: dns.rcode.REFUSED, BlockAnswer.SILENT: dns.rcode.REFUSED,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Redirect:
    """Ask the servers of this DNS gateway instead."""

    question: Question
    gateway: str


@dataclass(frozen=True, slots=True)
class Silent:
    """Say nothing over UDP; over TCP, where silence would stall other queries, say this."""

    question: Question
    over_tcp: bytes


@dataclass(frozen=True, slots=True)
class Ruled:
    """A verdict, and how the log tells it."""

    verdict: Verdict | Redirect | Silent
    action: str
    ruling: Ruling
    pool: str = DEFAULT_POOL  # that the answer's address is of; valid iff the verdict was NeedLease

    def ready(self, known: Callable[[NeedLease], IPv4Address | None], ttl: int) -> Ruled:
        """Answer at once, if the lease that is needed is known already.

        Args:
            ttl: seconds, of the answer.
        """
        need = self.verdict
        address = known(need) if isinstance(need, NeedLease) else None
        if address is None or not isinstance(need, NeedLease):
            return self
        return replace(self, verdict=Answer(answers.address(need.question, address, ttl), need.question), pool=need.pool)


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a client gets instead of an answer, and how the log tells it; "" = no rule decided: stripped, or unreadable."""

    message: bytes
    rule: str
    action: str


class DnsControl:
    """The DNS rules of one connector."""

    def __init__(self, settings: ConnectorSettings, clock: Clock, world: Callable[[], World] = World) -> None:
        """Compose.

        Args:
            world: returns the categories as they are known now.
        """
        self._clock = clock
        self._world = world
        self._watch = TunnelWatch()
        self.adopt(settings)

    def adopt(self, settings: ConnectorSettings) -> None:
        """Go on with the rules of other settings."""
        policy = settings.policy()
        self._pools = PoolChoice(settings)
        places = Places(policy)
        self.decider = DnsDecider(settings.dns_rules, policy, self._world)
        self._group = settings.group
        self._ttl = int(settings.dns.ttl.total_seconds())
        self._location_of = {
            place: location.name for location in policy.locations for place in places.of_location(location.name)
        }

    def rule(self, verdict: Verdict, asker: Asker, namespace: str, place: str) -> Ruled:
        """Put a verdict of the interceptor under the rules.

        Args:
            namespace, place: of the asker, as the log names them.
        """
        question = verdict.question
        if question is None or not _is_ruled(verdict, question):
            return Ruled(self.pooled(verdict, None, place), _unruled(verdict), NO_RULING)
        score = self._watch.score((asker.namespace, asker.client), question.text, self._clock.monotonic_ns() / 1e9)
        found = self.decide(verdict, question, self.query(question, asker, namespace, place, score))
        assert found is not None, "it is ruled"
        said = self.carry_out(found.rule, question, self.pooled(verdict, found.rule, place))
        return Ruled(said, ACTIONS[found.rule.action], Ruling(found.rule.name, score))

    def decide(self, verdict: Verdict, question: Question, query: DnsQuery) -> DnsDecision | None:
        """Find the rule of a query; None = the rules are not asked about such a verdict."""
        return self.decider.decide(query) if _is_ruled(verdict, question) else None

    def query(self, question: Question, asker: Asker, namespace: str, place: str, score: int) -> DnsQuery:
        """Put a question into the words of the rules."""
        owned = below_service_labels(question.name).canonicalize().to_text(omit_final_dot=True)
        return DnsQuery(
            name=question.text, type=question.type, source=asker.client, owned=owned, namespace=namespace,
            location=self._location_of.get(place), group=self._group, tunnel_score=score,
        )  # fmt: skip

    def review(self, wire: bytes, asker: Asker, namespace: str, place: str, score: int) -> Reviewed | None:
        """Put an answer that was let through or fetched under the rules.

        Args:
            score: of its query; 0 = not known.

        Returns:
            What the client gets instead; None = the answer as it is.
        """
        if not self.decider.reviews and not self.decider.hides:
            return None
        answered = read_answer(wire)
        if answered is None or answered.question.klass != dns.rdataclass.IN:
            return None
        question = answered.question
        query = self.query(question, asker, namespace, place, score)
        if answered.broken and self.decider.may_review(query):
            return Reviewed(answers.failure(question, UNREADABLE), "", "")
        found = self.decider.review(replace(query, answers=answered.addresses))
        if found is not None and found.rule.action is not DnsAction.ALLOW:
            return Reviewed(self._instead(found.rule, question), found.rule.name, RESPONSES[found.rule.action])
        hidden = self.decider.decide(query).rule.hide
        if hidden and answered.broken:
            return Reviewed(answers.failure(question, UNREADABLE), "", "")
        without = stripped(answered, (KEYS[key] for key in hidden)) if hidden else None
        return None if without is None else Reviewed(without, "", "")

    def location(self, place: str) -> str | None:
        """Return the whole location of a place."""
        return self._location_of.get(place)

    def pooled(self, verdict: Verdict, rule: DnsRule | None, place: str) -> Verdict:
        """Say of which pool the address is that a verdict needs."""
        if not isinstance(verdict, NeedLease):
            return verdict
        return replace(verdict, pool=self._pools.of(rule, self.location(place)))

    def always_owned(self, name: str) -> bool:
        """Tell whether every query for a name of an application from a location gets one address: no rule can say otherwise."""
        return not self.decider.speaks_of(name)

    def carry_out(self, rule: DnsRule, question: Question, verdict: Verdict) -> Verdict | Redirect | Silent:
        """Turn a rule into what becomes of the query that it decides."""
        if rule.action is DnsAction.ALLOW:
            return Forward(question)
        if rule.action is DnsAction.REDIRECT and rule.gateway is not None:
            return Redirect(question, rule.gateway)
        if rule.action in (DnsAction.OVERWRITE, DnsAction.BLOCK):
            message = self._instead(rule, question)
            return Silent(question, message) if rule.block is BlockAnswer.SILENT else Answer(message, question)
        return verdict

    def _instead(self, rule: DnsRule, question: Question) -> bytes:
        """The answer of a rule that blocks or overwrites."""
        if rule.action is DnsAction.OVERWRITE:
            return answers.overwritten(question, rule.addresses, self._ttl, rule.name)
        return answers.blocked(question, _RCODES[rule.block], self._ttl, rule.name)


def _is_ruled(verdict: Verdict, question: Question) -> bool:
    # What says something of the pool's own addresses is not the policy's to hide.
    return not question.broken and not isinstance(verdict, NeedName) and question.klass == dns.rdataclass.IN


def _unruled(verdict: Verdict) -> str:
    return ACTIONS[DnsAction.ALLOW if isinstance(verdict, Forward) else DnsAction.ZPA]
