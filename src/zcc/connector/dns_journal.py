"""Journal: what the DNS log says of an exchange: where it came from, what the policy said, who answered, how long it took.

Journey: DnsService and DNS over TCP write; zcc.connector.sessions makes the fields. One thread.
"""

from __future__ import annotations

from dataclasses import dataclass

from zcc.clock import Clock
from zcc.connector.sessions import Exchange, Labels, Records, dns_fields
from zcc.dns.learning import Learned
from zcc.dns.pending import NO_RULING, Asker, Ruling

__all__ = ["NO_GATEWAY", "NO_REVIEW", "Journal", "Origin", "Outcome"]

NO_GATEWAY = (-1, "")
NO_REVIEW = ("", "")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a query came from."""

    asker: Asker
    location: int
    protocol: str  # UDP, TCP


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the policy said of a query and who answered it."""

    action: str
    ruling: Ruling = NO_RULING
    gateway: tuple[int, str] = NO_GATEWAY
    review: tuple[str, str] = NO_REVIEW


@dataclass(frozen=True, slots=True)
class Journal:
    """Where exchanges are recorded, and the clock that times them."""

    records: Records
    labels: Labels
    clock: Clock

    def write(
        self, origin: Origin, said: Learned, outcome: Outcome, sizes: tuple[int, int], seconds: float
    ) -> None:
        """Record an exchange.

        Args:
            said: the answer, read back.
            sizes: bytes of query and answer; 0 = not known.
            seconds: how long the client waited.
        """
        asker = origin.asker
        exchange = Exchange(
            namespace=asker.namespace, location=origin.location, client=asker.client, port=asker.port,
            server=asker.server, protocol=origin.protocol, asked=said.asked, action=outcome.action,
            rcode=said.rcode, addresses=said.addresses, sizes=sizes, seconds=seconds,
            rule=outcome.ruling.rule, score=outcome.ruling.score, reason=outcome.ruling.reason, gateway=outcome.gateway,
            review=outcome.review,
        )  # fmt: skip
        self.records.dns(**dns_fields(exchange, self.labels))
