"""Pending: queries that were let through and whose answers may teach names.

Journey: a forwarded query is noted here; an answer that crosses teaches only when it matches one. The key is
the namespace, client, port, server, id and question: an id alone collides as soon as two clients ask at once,
and an answer that nobody asked for would let whoever guesses a port teach addresses.
One thread. Time comes in as an argument. Bounded: the oldest query is forgotten first.
"""

from collections import OrderedDict
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from zcc.dns.question import Question

LIMIT = 65_536  # queries in flight; a few dozen bytes each
PATIENCE_S = 15.0  # resolvers give up after 5 s and up to two retries under one id


@dataclass(frozen=True, slots=True)
class Asker:
    """Between whom a DNS exchange goes on."""

    namespace: int
    client: IPv4Address | IPv6Address
    port: int
    server: IPv4Address | IPv6Address

    @property
    def whose(self) -> tuple[int, IPv4Address | IPv6Address]:
        """Return whose share of what is bounded it takes: the namespace's, and the client's of it."""
        return self.namespace, self.client


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the DNS policy said of a query, for the log."""

    rule: str = ""  # "" = none was asked
    score: int = 0  # of the tunnel watch, 0 … 100
    reason: str = ""  # why it was not answered as the rule says; "" = it was


@dataclass(frozen=True, slots=True)
class Matched:
    """A query whose answer came."""

    waited_s: float
    ruling: Ruling


NO_RULING = Ruling()
Asked = tuple[str, int, int]  # name in lower case, type, class
_Key = tuple[Asker, int, Asked]


class Pending:
    """Queries in flight."""

    def __init__(self, limit: int = LIMIT, patience_s: float = PATIENCE_S) -> None:
        if limit < 1:
            raise ValueError(f"limit must be 1 or more, not {limit}")
        self._limit = limit
        self._patience_s = patience_s
        self._until: OrderedDict[_Key, tuple[float, float, Ruling]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def note(self, asker: Asker, question: Question, now_s: float, ruling: Ruling = NO_RULING) -> None:
        """Remember a query that goes on to its server; asked again under the same id it starts anew."""
        key = (asker, question.id, (question.text, question.type, question.klass))
        self._until.pop(key, None)
        self._until[key] = (now_s + self._patience_s, now_s, ruling)
        while len(self._until) > self._limit:
            self._until.popitem(last=False)

    def take(self, asker: Asker, message_id: int, asked: Asked, now_s: float) -> Matched | None:
        """Match an answer with the query it belongs to, once.

        Returns:
            The query; None when nobody asked that, or too long ago.
        """
        self._expire(now_s)
        found = self._until.pop((asker, message_id, asked), None)
        return None if found is None else Matched(now_s - found[1], found[2])

    def _expire(self, now_s: float) -> None:
        # Every query has the same patience, so the order of noting is the order of expiry.
        while self._until:
            key, (until, _, _) = next(iter(self._until.items()))
            if until > now_s:
                return
            del self._until[key]
