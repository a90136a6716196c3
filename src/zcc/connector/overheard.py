"""Overheard: what the DNS messages of a capture teach, as the running connector would learn it.

Journey: `replay` shows every UDP message to or from port 53 → here → names for the rules. The same parts decide as in the
daemon: Interceptor, DnsControl, Pending, learning, Teacher. One thing differs, because no private edge is asked: an answer that
the capture holds for an application's name stands for the lease. In a pool it is one. Outside the pools it is what the client
was told where no connector answered (plain packets), and stands for the synthetic address it would have been told.
One thread. It knows no packets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Any, cast

from zcc.clock import Clock
from zcc.connector.dns_control import DnsControl
from zcc.connector.ports import Datapath
from zcc.connector.rulebook import Rulebook
from zcc.connector.settings import ConnectorSettings
from zcc.connector.teaching import Teacher
from zcc.dns.intercept import Forward, Interceptor
from zcc.dns.learning import Address, Learned, learn
from zcc.dns.pending import Asker, Pending
from zcc.dns.question import Question, parse_question
from zcc.policy.world import World

__all__ = ["Overheard"]

NAMES_SHOWN = 3
LEASE_S = float(10 * 365 * 86_400)  # a lease is never taken back

# namespace (None = every one), address, number of the name, seconds
Learn = Callable[[int | None, Address, int, float], None]


@dataclass(slots=True)
class _Asked:
    """Queries that one rule decided."""

    number: int = 0
    names: dict[str, None] = field(default_factory=dict)


class Overheard:
    """The DNS of one capture."""

    def __init__(self, settings: ConnectorSettings, rulebook: Rulebook, learn: Learn, clock: Clock,
                 world: World | None = None) -> None:
        """Compose.

        Args:
            learn: makes an address belong to a name.
            clock: the capture's.
            world: what is known beside the policy; None = nothing.
        """
        self.answered_here = 0
        self.rule = ""  # that decided the last query
        self._tally: dict[tuple[str, str], _Asked] = {}
        known = world or World()
        self._clock, self._control = clock, DnsControl(settings, clock, lambda: known)
        self._namespaces = {namespace.id: namespace.name for namespace in settings.namespaces}
        self._places = {number: name for name, number in rulebook.location_ids.items()}
        self._names, self._learn, self._pools = rulebook.names, learn, settings.pool_networks
        self._floor = int(settings.dns.learn_floor.total_seconds())
        self._ceiling = int(settings.dns.learn_ceiling.total_seconds())
        self._interceptor = Interceptor(
            rulebook.names.application_of, settings.pool_networks, int(settings.dns.ttl.total_seconds())
        )
        unlearnable = [*settings.pool_networks, *([settings.kernel.internal] if settings.kernel.internal else [])]
        # A Teacher calls nothing of its data plane but learn.
        self.teacher = Teacher(cast(Datapath, _Learner(learn)), rulebook.names, rulebook.speaks_of, unlearnable)
        self._pending = Pending()

    def query(self, asker: Asker, wire: bytes, location: int) -> bool:
        """Hear a query; return whether the connector answers it itself, or asks for the client, instead of forwarding it.

        Args:
            location: the data plane's number of the client's.
        """
        verdict = self._interceptor.decide(wire)
        ruled = self._control.rule(verdict, asker, self._namespaces.get(asker.namespace, ""), self._places.get(location, ""))
        question = parse_question(wire)
        if isinstance(question, Question):
            self._pending.note(asker, question, self._clock.time(), ruled.ruling)
            self._count(ruled.action, ruled.ruling.rule, question.text)
        self.rule = ruled.ruling.rule
        here = not isinstance(ruled.verdict, Forward)
        self.answered_here += here
        return here

    def answer(self, asker: Asker, wire: bytes, location: int, stand_in: bool) -> None:
        """Hear an answer; it teaches if it was asked for, and what the rules leave of it.

        Args:
            location: as in query().
            stand_in: whether an address outside the pool may stand for a synthetic one.
        """
        learned = learn(wire, self._floor, self._ceiling)
        asked = None if learned is None else self._pending.take(asker, learned.id, learned.asked, self._clock.time())
        if learned is None or asked is None:
            return
        if self._names.application_of(learned.asked[0]) is not None:
            self._lease(asker.namespace, learned, stand_in)
            return
        place = self._places.get(location, "")
        reviewed = self._control.review(wire, asker, self._namespaces.get(asker.namespace, ""), place, asked.ruling.score)
        if reviewed is not None:
            self._count(reviewed.action or "RES_CHANGED", reviewed.rule, learned.asked[0])
            learned = learn(reviewed.message, self._floor, self._ceiling)
        if learned is not None:
            self.teacher.teach(asker.namespace, learned)

    def tally(self) -> list[dict[str, Any]]:
        """Return what became of queries and answers: how many by action and rule, with some of their names."""
        return [{"action": action, "rule": rule, "number": asked.number, "names": list(asked.names)}
                for (action, rule), asked in self._tally.items()]  # fmt: skip

    def _count(self, action: str, rule: str, name: str) -> None:
        asked = self._tally.setdefault((action, rule), _Asked())
        asked.number += 1
        if len(asked.names) < NAMES_SHOWN:
            asked.names[name] = None

    def _lease(self, namespace: int, learned: Learned, stand_in: bool) -> None:
        for address in learned.addresses:
            if not isinstance(address, IPv4Address):  # leases have IPv4 addresses only
                continue
            pooled = any(address in network for network in self._pools)
            if pooled or stand_in:
                number = self._names.id_of(learned.asked[0])
                self._learn(None if pooled else namespace, address, number, LEASE_S)


class _Learner:
    """The one part of a data plane that a Teacher uses."""

    def __init__(self, learn: Learn) -> None:
        self.learn = learn
