"""Overheard: what the DNS messages of a capture teach, as the running connector would learn it.

Journey: `replay` shows every UDP message to or from port 53 → here → names for the rules. The same parts decide as in the
daemon: Interceptor, Pending, learning, Teacher. One thing differs, because no private edge is asked: an answer that the
capture holds for an application's name stands for the lease. In the pool it is one. Outside the pool it is what the client
was told where no connector answered (plain packets), and stands for the synthetic address it would have been told.
One thread. It knows no packets.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import cast

from zcc.connector.ports import Datapath
from zcc.connector.rulebook import Rulebook
from zcc.connector.settings import ConnectorSettings
from zcc.connector.teaching import Teacher
from zcc.dns.intercept import Forward, Interceptor
from zcc.dns.learning import Address, Learned, learn
from zcc.dns.pending import Asker, Pending
from zcc.dns.question import Question, parse_question

__all__ = ["Overheard"]

LEASE_S = float(10 * 365 * 86_400)  # a lease is never taken back

# namespace (None = every one), address, number of the name, seconds
Learn = Callable[[int | None, Address, int, float], None]


class Overheard:
    """The DNS of one capture."""

    def __init__(self, settings: ConnectorSettings, rulebook: Rulebook, learn: Learn) -> None:
        """Compose.

        Args:
            learn: makes an address belong to a name.
        """
        self.answered_here = 0
        self._names, self._learn, self._pool = rulebook.names, learn, settings.pool
        self._floor = int(settings.dns.learn_floor.total_seconds())
        self._ceiling = int(settings.dns.learn_ceiling.total_seconds())
        self._interceptor = Interceptor(
            rulebook.names.application_of, settings.pool, int(settings.dns.ttl.total_seconds())
        )
        unlearnable = [settings.pool, *([settings.kernel.internal] if settings.kernel.internal else [])]
        # A Teacher calls nothing of its data plane but learn.
        self._teacher = Teacher(cast(Datapath, _Learner(learn)), rulebook.names, rulebook.speaks_of, unlearnable)
        self._pending = Pending()

    def query(self, asker: Asker, wire: bytes, now_s: float) -> bool:
        """Hear a query; return whether the connector answers it itself instead of forwarding it."""
        verdict = self._interceptor.decide(wire, lambda name: None)
        question = parse_question(wire)
        if isinstance(question, Question):
            self._pending.note(asker, question, now_s)
        here = not isinstance(verdict, Forward)
        self.answered_here += here
        return here

    def answer(self, asker: Asker, wire: bytes, now_s: float, stand_in: bool) -> None:
        """Hear an answer; it teaches if it was asked for.

        Args:
            stand_in: whether an address outside the pool may stand for a synthetic one.
        """
        learned = learn(wire, self._floor, self._ceiling)
        if learned is None or self._pending.take(asker, learned.id, learned.asked, now_s) is None:
            return
        if self._names.application_of(learned.asked[0]) is None:
            self._teacher.teach(asker.namespace, learned)
        else:
            self._lease(asker.namespace, learned, stand_in)

    def _lease(self, namespace: int, learned: Learned, stand_in: bool) -> None:
        for address in learned.addresses:
            if not isinstance(address, IPv4Address):  # leases have IPv4 addresses only
                continue
            pooled = address in self._pool
            if pooled or stand_in:
                number = self._names.id_of(learned.asked[0])
                self._learn(None if pooled else namespace, address, number, LEASE_S)


class _Learner:
    """The one part of a data plane that a Teacher uses."""

    def __init__(self, learn: Learn) -> None:
        self.learn = learn
