"""Gateways: redirected queries, asked of the first server of their DNS gateway that answers.

    cache fresh? ─▶ primary ─▶ secondary ─▶ cache stale? ─▶ what a server said that could not tell, or the gateway's `fail`

An answer that has run out is given after STALE_AFTER_S, and at once while both servers are known not to answer: clients do not
wait for longer than their resolver's patience. The servers are asked all the same, for whoever comes next.

Journey: `dns` asks for queries that a rule redirects. A server that did not answer is passed over for a while if the other one
may do. Equal questions that come while one is under way wait for its answer. One thread, the event loop's.
Source: RFC 8767 (stale answers), domain facts of the reference product's DNS gateways.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address

import dns.rcode

from zcc.clock import Clock
from zcc.connector.dns_upstream import NoAnswer, ask
from zcc.dns.cache import AnswerCache
from zcc.dns.disguise import KEPT_FLAGS, bare_query, under_question_of
from zcc.dns.question import Question
from zcc.policy.objects.gateway import DnsFailure, DnsGateway

__all__ = ["Gateways", "Redirected"]

STALE_AFTER_S = 1.8  # RFC 8767 §5
UNABLE = (dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED)  # the other server may do
AVOIDED_S = 10.0  # a server that did not answer comes last for so long
CACHE, PRIMARY, SECONDARY = 0, 1, 2
_SLOT_FLAGS = {PRIMARY: "PRIMARY_SERVER_RESPONSE_PASS", SECONDARY: "SECONDARY_SERVER_RESPONSE_PASS"}

Ask = Callable[[IPv4Address, bytes], Awaitable[bytes]]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Redirected:
    """An answer, and who gave it, in the words of the DNS log."""

    message: bytes
    slot: int
    flags: str


class Gateways:
    """The DNS gateways of a policy."""

    def __init__(self, gateways: Iterable[DnsGateway], clock: Clock, ask: Ask = ask) -> None:
        """Begin with an empty cache; nothing is asked yet."""
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._ask = ask
        self._cache = AnswerCache()
        self._avoided: dict[IPv4Address, float] = {}
        self._asking: dict[object, asyncio.Task[Redirected | None]] = {}
        self.adopt(gateways)

    def adopt(self, gateways: Iterable[DnsGateway]) -> None:
        """Go on with the gateways of another policy; what is cached stays true."""
        self._gateways = {gateway.name: gateway for gateway in gateways}

    def failure(self, name: str) -> DnsFailure:
        """Return what becomes of a query when no server of a gateway answers."""
        gateway = self._gateways.get(name)
        return DnsFailure.ERROR if gateway is None else gateway.fail

    async def answer(self, name: str, wire: bytes, question: Question) -> Redirected | None:
        """Return the answer to a query, under its own id and spelling; None = no server answers.

        Args:
            wire: the client's query, readable to its end.
        """
        gateway = self._gateways.get(name)
        if gateway is None:  # edited away since the rule was looked up
            return None
        query = bare_query(wire, question)
        # Not the query's bytes in lower case: 65, the type HTTPS, is a letter too.
        key = (gateway.primary, gateway.secondary, question.text, question.type, question.klass,
               question.flags & KEPT_FLAGS, question.edns >= 0, question.dnssec_ok)  # fmt: skip
        kept = self._cache.fresh(key, self._now_s())
        if kept is not None:
            self.counts["gateway_cached"] += 1
            return Redirected(under_question_of(wire, kept), CACHE, "CACHE_RESPONSE_PASS")
        task = self._asking.get(key)
        if task is None:
            task = asyncio.ensure_future(self._fetch(gateway, key, query))
            self._asking[key] = task
            task.add_done_callback(lambda _: self._asking.pop(key, None))
        stale = self._cache.stale(key, self._now_s())
        try:
            async with asyncio.timeout(None if stale is None else 0.0 if self._all_avoided(gateway) else STALE_AFTER_S):
                found = await asyncio.shield(task)
        except TimeoutError:
            assert stale is not None, "without it nothing limits the waiting"
            self.counts["gateway_stale"] += 1
            found = Redirected(stale, CACHE, "STALE_RESPONSE_PASS")
        return found and Redirected(under_question_of(wire, found.message), found.slot, found.flags)

    async def _fetch(self, gateway: DnsGateway, key: object, query: bytes) -> Redirected | None:
        unable: Redirected | None = None
        for slot, server in self._order(gateway):
            try:
                message = await self._ask(server, query)
            except NoAnswer as error:
                self.counts["gateway_server_failed"] += 1
                self._avoided[server] = self._now_s() + AVOIDED_S
                log.warning("DNS gateway %s: %s: %s", gateway.name, server, error)
                continue
            self._avoided.pop(server, None)
            if message[3] & 0x0F in UNABLE:
                self.counts["gateway_server_unable"] += 1
                unable = unable or Redirected(message, slot, _SLOT_FLAGS[slot])
                continue
            self.counts["gateway_answered"] += 1
            self._cache.keep(key, message, self._now_s())
            return Redirected(message, slot, _SLOT_FLAGS[slot])
        stale = self._cache.stale(key, self._now_s())
        if stale is None:
            self.counts["gateway_failed"] += unable is None
            return unable
        self.counts["gateway_stale"] += 1
        return Redirected(stale, CACHE, "STALE_RESPONSE_PASS")

    def _order(self, gateway: DnsGateway) -> list[tuple[int, IPv4Address]]:
        both = ((PRIMARY, gateway.primary), (SECONDARY, gateway.secondary))
        servers = [(slot, server) for slot, server in both if server is not None]
        now = self._now_s()
        return sorted(servers, key=lambda pair: self._avoided.get(pair[1], 0.0) > now)

    def _all_avoided(self, gateway: DnsGateway) -> bool:
        now = self._now_s()
        return all(self._avoided.get(server, 0.0) > now for _, server in self._order(gateway))

    def _now_s(self) -> float:
        return self._clock.monotonic_ns() / 1e9
