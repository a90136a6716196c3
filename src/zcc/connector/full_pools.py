"""FullPools: what becomes of a query for a private name that no synthetic address is left for.

    open     on to the server that was asked, whose answer the workload gets
    closed   SERVFAIL with the reason
    hold     no answer, so that the client asks again; SERVFAIL over TCP and at the listener, where silence stalls other queries

Journey: DnsService, when the edge says that a pool is full. The stance is that of the rule which would decide the workload's
flow to the first port of the name's application, as `zcc explain` tells it; without a stance it is closed. One thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from zcc.clock import Clock
from zcc.connector.settings import ConnectorSettings
from zcc.policy.criteria import TCP, UDP
from zcc.policy.decide import Decider, Flow
from zcc.policy.model import Method, Policy
from zcc.policy.names import application_map
from zcc.policy.objects.stance import Stance
from zcc.policy.world import World

__all__ = ["NO_RULE", "Client", "FullPools", "Taken"]

NO_RULE = "none"  # in place of its name, where no rule has a stance
REMEMBERED = 4096
REMEMBERED_NS = 5_000_000_000  # what is known beside the policy may change meanwhile


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks, by the policy's names."""

    namespace: str
    location: str | None
    address: IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Taken:
    """A stance that was taken."""

    rule: str
    stance: Stance

    @property
    def reason(self) -> str:
        """The words for logs and answers."""
        return f"no synthetic address is left: {self.stance} by rule {self.rule}"


class FullPools:
    """The stances of one policy."""

    def __init__(self, settings: ConnectorSettings, clock: Clock, world: Callable[[], World] = World) -> None:
        """Compose.

        Args:
            world: returns what is known beside the policy, as it is now.
        """
        self._clock, self._world = clock, world
        self.adopt(settings)

    def adopt(self, settings: ConnectorSettings) -> None:
        """Go on with the rules of other settings."""
        self._policy: Policy = settings.policy()
        self._group = settings.group
        self._applications = application_map(self._policy.applications)
        self._said = any(rule.on_failure.pool_full is not None for rule in self._policy.rules)
        self._taken: dict[tuple[Client, str], Taken] = {}
        self._until_ns = 0

    def stance(self, client: Client, name: str) -> Taken:
        """Return what a client's query for a name of an application meets."""
        application = self._applications.get(name)
        if application is None or not self._said:
            return Taken(NO_RULE, Stance.CLOSED)
        now_ns = self._clock.monotonic_ns()
        if now_ns >= self._until_ns or len(self._taken) >= REMEMBERED:
            self._taken.clear()
            self._until_ns = now_ns + REMEMBERED_NS
        key = client, application.name
        if key not in self._taken:
            protocol, ports = (TCP, application.tcp) if application.tcp else (UDP, application.udp)
            self._taken[key] = self._decide(client, name, protocol, ports[0].low)
        return self._taken[key]

    def _decide(self, client: Client, name: str, protocol: int, port: int) -> Taken:
        flow = Flow(client.address, self._policy.pool[1], protocol, port, name, client.namespace, client.location, self._group,
                    at_s=self._clock.time())  # fmt: skip
        rule = Decider(self._policy, self._world()).rule_of(flow)
        stance = rule.on_failure.pool_full if rule.method is Method.ZPA else None
        return Taken(rule.name, stance or Stance.CLOSED)
