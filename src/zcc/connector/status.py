"""Status: how a running connector is, in plain values: its edges, which of them each gateway uses, and what has failed.

Journey: `zcc status` ▶ local socket ▶ here. It looks and changes nothing. The event loop's thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zcc.connector.datapath import Datapath
from zcc.connector.edits import Edits
from zcc.connector.settings import ConnectorSettings
from zcc.connector.tunnels import Tunnels
from zcc.mtunnel.client import EdgeClient

__all__ = ["Status"]


class Status:
    """The parts of one connector that a person asks about.

    Args:
        tunnels, edge: None = the file has no such section.
    """

    def __init__(self, edits: Edits, datapath: Datapath, tunnels: Tunnels | None, edge: EdgeClient | None) -> None:
        self._edits, self._datapath, self._tunnels, self._edge = edits, datapath, tunnels, edge

    async def tell(self, question: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the status; nothing of the question is looked at."""
        settings: ConnectorSettings = self._edits.settings
        counters = self._datapath.counters()
        return {
            "name": settings.name,
            "group": settings.group,
            "failures": sorted(str(failure) for failure in self._edits.failures),
            "flows": counters.flows,
            "private_edge": None if self._edge is None else _private(self._edge),
            "internet_edges": [] if self._tunnels is None else _edges(self._tunnels),
            "gateways": [] if self._tunnels is None else _gateways(self._tunnels, settings),
            "pools": {name: str(network) for name, network in settings.pool_by_name.items()},
        }


def _private(edge: EdgeClient) -> dict[str, Any]:
    return {"connected": edge.connected, "address": edge.edge, "rtt_ms": edge.round_trip_ns / 1e6,
            "reason": edge.last_error}


def _edges(tunnels: Tunnels) -> list[dict[str, Any]]:
    return [{"name": one.name, "address": one.address, "state": one.state, "rtt_ms": one.rtt_ms, "reason": one.reason,
             "transport": one.transport, "path_mtu": one.path_mtu, "inner_mtu": one.inner_mtu, "path_state": one.path_state,
             "renewals": one.renewals} for one in tunnels.status()]


def _gateways(tunnels: Tunnels, settings: ConnectorSettings) -> list[dict[str, Any]]:
    """Those that rules name; "" is the one of rules that name none."""
    told = []
    for name, edges in tunnels.gateways().items():
        fail = settings.gateway_by_name[name].fail if name else settings.zia.fail if settings.zia else "closed"
        told.append({"name": name, "edges": list(edges), "active": tunnels.active(name), "fail": fail})
    return told
