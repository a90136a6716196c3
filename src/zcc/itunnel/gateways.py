"""Gateways: which internet edge takes new flows, for each gateway of the policy by itself. Pure; time is an argument.

    ""      0   ie-1 ie-2 ie-3   of rules that name no gateway: all edges in order of preference; always there
    near    1   ie-2 ie-1        primary, secondary …

A gateway whose active edge is lost moves to its next one at once, and back to a better one when that has been up for the hold
down; flows that have an edge stay with it while it is up. One thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from zcc.itunnel.choice import Choice

__all__ = ["EVERY_EDGE", "Gateways", "Move", "Route"]

EVERY_EDGE = ""


@dataclass(frozen=True, slots=True)
class Route:
    """The edges of one gateway."""

    number: int  # the data plane's
    edges: tuple[int, ...]  # slots, in the order in which they are tried


@dataclass(frozen=True, slots=True)
class Move:
    """What the data plane must be told."""

    gateway: str
    route: Route
    slot: int | None  # for new flows; None = none of its edges is up


class Gateways:
    """The active edge of every gateway."""

    def __init__(self, edges: int, hold_down_ns: int) -> None:
        """Begin with the gateway for all.

        Args:
            edges: how many there are.
            hold_down_ns: as of Choice.
        """
        self._every = Route(0, tuple(range(edges)))
        self._hold_down_ns = hold_down_ns
        self._routes: dict[str, Route] = {}
        self._choices: dict[str, Choice] = {}
        self._told: dict[str, tuple[Route, int | None]] = {EVERY_EDGE: (self._every, None)}
        self.steer({})

    def steer(self, routes: Mapping[str, Route]) -> None:
        """Go on with these gateways beside the one for all; one whose edges stay keeps its active edge."""
        before, self._routes = self._routes, {EVERY_EDGE: self._every, **routes}
        kept = {name for name, route in self._routes.items() if name in before and before[name].edges == route.edges}
        self._choices = {name: self._choices[name] if name in kept else Choice(len(route.edges), self._hold_down_ns)
                         for name, route in self._routes.items()}  # fmt: skip
        self._told = {name: told for name, told in self._told.items() if name in self._routes}

    def update(self, up: Sequence[bool], by_datagrams: Sequence[bool], now_ns: int) -> Iterator[Move]:
        """Choose anew, and yield the gateways of which the data plane knows something else.

        Args:
            up: of each edge, whether it is.
            by_datagrams: of each edge, whether it is up by DTLS: where one is, edges that are up by TLS only do not count.
            now_ns: monotonic.
        """
        for name, route in self._routes.items():
            counts = by_datagrams if any(by_datagrams[slot] for slot in route.edges) else up
            self._choices[name].update([counts[slot] for slot in route.edges], now_ns)
            now = route, self.active(name)
            if self._told.get(name) != now:
                self._told[name] = now
                yield Move(name, *now)

    def beside(self, slot: int) -> Iterator[tuple[int, ...]]:
        """Yield the other edges of each gateway that an edge is one of."""
        for route in self._routes.values():
            if slot in route.edges:
                yield tuple(edge for edge in route.edges if edge != slot)

    def active(self, gateway: str = EVERY_EDGE) -> int | None:
        """Return the slot for new flows of a gateway; None = none of its edges is up."""
        place = self._choices[gateway].active
        return None if place is None else self._routes[gateway].edges[place]

    def __iter__(self) -> Iterator[tuple[str, Route]]:
        return iter(self._routes.items())
