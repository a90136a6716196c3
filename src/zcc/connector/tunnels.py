"""Tunnels: the internet tunnel of every worker, as one. Each worker has sessions of its own to all edges.

Journey: the daemon makes one client a worker → here → health, status and rules ask about them as if there were one. What a
worker's session has to say goes to that worker's client. It decides nothing: each client chooses by the same routes.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping, Sequence

from zcc.itunnel.client import EdgeStatus, TunnelClient
from zcc.itunnel.gateways import EVERY_EDGE, Route

__all__ = ["Tunnels"]

STATES = ("down", "connecting", "probing", "up")      # the worst first
COUNTED = ("probes_sent", "probes_answered", "black_holes", "renewals")


class Tunnels:
    """The clients of all workers, in the workers' order."""

    def __init__(self, clients: Sequence[TunnelClient]) -> None:
        self._clients = tuple(clients)

    def steer(self, routes: Mapping[str, Route]) -> None:
        """Have each gateway's new flows go by the first of its edges that is up."""
        for client in self._clients:
            client.steer(routes)

    @property
    def up(self) -> bool:
        """Whether every worker has an edge that is up."""
        return all(client.up for client in self._clients)

    def active(self, gateway: str = EVERY_EDGE) -> str | None:
        """Name of the edge that takes new flows of a gateway, at the first worker; None = at some worker none is up."""
        names = [client.active(gateway) for client in self._clients]
        return None if None in names else names[0]

    def gateways(self) -> dict[str, tuple[str, ...]]:
        """Return the edges of every gateway by name, in the order in which they are tried."""
        return self._clients[0].gateways()

    def status(self) -> list[EdgeStatus]:
        """Return the state of every edge, in order: of the worker for which it is worst; what is counted is added up."""
        return [_together(row) for row in zip(*(client.status() for client in self._clients), strict=True)]

    async def run(self) -> None:
        """Keep all sessions until cancelled; then say goodbye to all edges."""
        async with asyncio.TaskGroup() as group:
            for number, client in enumerate(self._clients):
                group.create_task(client.run(), name=f"internet edges of worker {number}")

    def on_control(self, worker: int, slot: int, packet: bytes) -> None:
        """Take a control packet that came in a session of a worker."""
        self._clients[worker].on_control(slot, packet)

    def on_closed(self, worker: int, slot: int) -> None:
        """Take the news that a session of a worker ended."""
        self._clients[worker].on_closed(slot)


def _together(row: Sequence[EdgeStatus]) -> EdgeStatus:
    worst = min(row, key=lambda one: STATES.index(one.state))
    return dataclasses.replace(worst, **{name: sum(getattr(one, name) for one in row) for name in COUNTED})
