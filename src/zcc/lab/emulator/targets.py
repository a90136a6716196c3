"""Which targets may have new flows, and which of them a flow gets.

    initial ──first good check──▶ healthy ──`unhealthy` bad ones in a row──▶ unhealthy
    unhealthy ──`healthy` good ones in a row──▶ healthy
    any ──deregistered──▶ draining (no new flows, its own stay for the delay) ──▶ gone ──registered──▶ initial

Written by the daemon's loop through `Targets`, read by the forwarding thread as an immutable `Choice`. Pure:
results of checks and times come in. Source: AWS "Health checks for Gateway Load Balancer target groups".
"""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address
from random import Random

from zcc.lab.emulator.settings import HealthSettings

_MASK = (1 << 64) - 1


class State(StrEnum):
    """Where a target is in its life."""

    INITIAL = "initial"
    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class Choice:
    """The targets as the forwarding thread sees them: host-order addresses, and how often they have
    changed.
    """

    eligible: tuple[int, ...]  # may have new flows by their health
    registered: tuple[int, ...]  # may have them when nobody is healthy
    abandoned: frozenset[int]  # their flows must move now
    generation: int = 0

    def pick(self, flow_hash: int, random: Random) -> int | None:
        """Return the target of a new flow, or None when there is no target at all.

        Rendezvous hashing: when a target comes or goes, only its own share of flows changes hands. With all
        targets unhealthy any one is picked at random and kept until one is healthy: the load balancer fails
        open.
        """
        if self.eligible:
            return max(self.eligible, key=lambda address: _mix(flow_hash ^ _mix(address)))
        return random.choice(self.registered) if self.registered else None


@dataclass(slots=True)
class Target:
    """One target and what its checks have said."""

    address: IPv4Address
    state: State = State.INITIAL
    reason: str = "not checked yet"
    good: int = 0  # in a row
    bad: int = 0  # in a row
    drained_at: float = 0.0  # valid iff draining: when its flows may move


class Targets:
    """All targets of the load balancer.

    Args:
        addresses: of the targets registered at the start.
        health: thresholds.
        rebalance: whether flows of a target that fails or goes move on.
    """

    def __init__(
        self, addresses: tuple[IPv4Address, ...], health: HealthSettings, *, rebalance: bool
    ) -> None:
        self._health = health
        self._rebalance = rebalance
        self._generation = 0
        self.by_address = {address: Target(address) for address in addresses}

    def note(self, address: IPv4Address, problem: str | None) -> bool:
        """Take the result of a check: None = good, else what was wrong. Return whether the target's state
        changed.
        """
        target = self.by_address[address]
        if target.state in (State.DRAINING, State.GONE):
            return False
        target.good, target.bad = (target.good + 1, 0) if problem is None else (0, target.bad + 1)
        target.reason = problem or "healthy"
        needed = 1 if target.state is State.INITIAL else self._health.healthy
        before = target.state
        if target.good >= needed:
            target.state = State.HEALTHY
        elif target.bad >= self._health.unhealthy:
            target.state = State.UNHEALTHY
        return target.state is not before

    def register(self, address: IPv4Address) -> None:
        """Let a target have flows once its first check is good."""
        if address not in self.by_address or self.by_address[address].state in (State.DRAINING, State.GONE):
            self.by_address[address] = Target(address)

    def deregister(self, address: IPv4Address, until_s: float) -> None:
        """Give a target no new flows; from `until_s` on the flows that it has may move.

        Raises:
            KeyError: no such target.
        """
        target = self.by_address[address]
        target.state, target.reason, target.drained_at = State.DRAINING, "deregistered", until_s

    def finish_draining(self, now_s: float) -> bool:
        """Let go of the targets whose delay is over; return whether there was one."""
        over = [
            target
            for target in self.by_address.values()
            if target.state is State.DRAINING and now_s >= target.drained_at
        ]
        for target in over:
            target.state = State.GONE
        return bool(over)

    def choice(self) -> Choice:
        """Return the present state for the forwarding thread, newer than all before."""
        self._generation += 1
        states: dict[State, list[int]] = {state: [] for state in State}
        for address, target in self.by_address.items():
            states[target.state].append(int(address))
        moving = states[State.UNHEALTHY] + states[State.GONE] if self._rebalance else []
        registered = states[State.INITIAL] + states[State.HEALTHY] + states[State.UNHEALTHY]
        return Choice(tuple(states[State.HEALTHY]), tuple(registered), frozenset(moving), self._generation)


def _mix(value: int) -> int:
    """Spread 64 bits (the finaliser of SplitMix64, Steele, Lea and Flood 2014)."""
    value = (value + 0x9E3779B97F4A7C15) & _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)
