"""Tunnels of several workers are told of as one: up when all are, and as bad as the worst."""

import asyncio

from zcc.connector.tunnels import Tunnels
from zcc.itunnel.client import EdgeStatus


class Client:
    """A worker's client as far as it is asked here."""

    def __init__(self, states: dict[str, str], active: str | None) -> None:
        self.states, self.chosen, self.heard = states, active, []
        self.up = "up" in states.values()

    def active(self, gateway: str) -> str | None:
        return self.chosen

    def gateways(self) -> dict[str, tuple[str, ...]]:
        return {"": tuple(self.states)}

    def status(self) -> list[EdgeStatus]:
        return [EdgeStatus(name, "", state, False, 1.0, 7, 6, "", renewals=2) for name, state in self.states.items()]

    def steer(self, routes: object) -> None:
        self.heard.append(routes)

    def on_control(self, slot: int, packet: bytes) -> None:
        self.heard.append((slot, packet))

    def on_closed(self, slot: int) -> None:
        self.heard.append(slot)

    async def run(self) -> None:
        self.heard.append("run")


def test_an_edge_is_as_up_as_it_is_for_the_worker_that_has_it_worst() -> None:
    one, two = Client({"ie-1": "up", "ie-2": "up"}, "ie-1"), Client({"ie-1": "probing", "ie-2": "up"}, "ie-2")
    tunnels = Tunnels([one, two])
    rows = tunnels.status()
    assert [(row.name, row.state) for row in rows] == [("ie-1", "probing"), ("ie-2", "up")]
    assert (rows[0].probes_sent, rows[0].probes_answered, rows[0].renewals) == (14, 12, 4)      # counters never go back
    assert (tunnels.up, tunnels.active(), tunnels.gateways()) == (True, "ie-1", {"": ("ie-1", "ie-2")})


def test_a_worker_without_an_edge_makes_the_connector_one_without() -> None:
    tunnels = Tunnels([Client({"ie-1": "up"}, "ie-1"), Client({"ie-1": "down"}, None)])
    assert (tunnels.up, tunnels.active()) == (False, None)


def test_what_a_session_says_goes_to_the_client_of_its_worker_and_routes_to_all() -> None:
    clients = [Client({"ie-1": "up"}, "ie-1") for _ in range(2)]
    tunnels = Tunnels(clients)
    tunnels.on_control(1, 3, b"hello")
    tunnels.on_closed(0, 2)
    tunnels.steer({})
    asyncio.run(tunnels.run())
    assert [client.heard for client in clients] == [[2, {}, "run"], [(3, b"hello"), {}, "run"]]
