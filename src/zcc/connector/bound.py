"""Bound: the flows that lead to this host's listeners, by what they are bound to, as the workers' events tell.

    "opened"  ─▶ known: without this event there is no such flow
    "closed"  ─▶ forgotten; a full ring loses it ─▶ some seconds later: forgotten, if no worker's table has the flow

Journey: beside the events of `datapath`. What a flood of first packets makes events lost of would otherwise stay here for ever.
Part of the doorway to fastpath. The event loop's thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address

import numpy as np
import numpy.typing as npt

from fastpath.action import Action, PuntReason
from fastpath.flowtable import FlowState
from zcc.connector.crew import Crew
from zcc.connector.ports import FlowRecord, Punt

__all__ = ["Bound"]

LOOK_S = 5.0  # between two looks at the tables, each a few milliseconds


class Bound:
    """Flows by protocol, alias and port."""

    def __init__(self, crew: Crew) -> None:
        """Start empty."""
        self._crew = crew
        self._flows: dict[int, FlowRecord] = {}
        self._lost, self._is_due = 0, False
        self.loop: asyncio.AbstractEventLoop | None = None  # once the workers run
        self.ended: Callable[[FlowRecord], object] = lambda flow: None  # told of a flow whose end nobody has told

    def __len__(self) -> int:
        return len(self._flows)

    def get(self, protocol: int, alias: IPv4Address, port: int) -> FlowRecord | None:
        """Find a flow."""
        return self._flows.get(_code(protocol, alias, port))

    def track(self, punt: Punt) -> None:
        """Take an event."""
        flow = punt.flow
        if flow is None or flow.alias is None:
            return
        code = _code(flow.protocol, flow.alias, flow.nat_port)
        if punt.reason == PuntReason.PUNT_FLOW_OPENED:
            self._flows[code] = flow
        elif punt.reason == PuntReason.PUNT_FLOW_CLOSED:
            self._flows.pop(code, None)

    def watch(self) -> None:
        """Have the tables looked at soon, if events were lost since they were looked at."""
        lost = sum(ring.lost for ring in self._crew.events)
        if lost != self._lost and not self._is_due and self.loop is not None:
            self._lost, self._is_due = lost, True
            self.loop.call_later(LOOK_S, self.look)      # a worker loses the event first, and then ends the flow

    def look(self) -> None:
        """Forget the flows that no worker has any more."""
        self._is_due = False
        known = np.fromiter(self._flows, np.int64, len(self._flows))
        live = np.concatenate([self._live(number) for number in range(len(self._crew.workers))])
        for code in np.setdiff1d(known, live).tolist():
            self.ended(self._flows.pop(code))

    def _live(self, number: int) -> npt.NDArray[np.int64]:
        entries = self._crew.workers[number].admission.flows.entries_view
        is_bound = (entries["used"] != 0) & (entries["action"] == Action.ACTION_ZPA)
        held = entries[is_bound & (entries["state"] & FlowState.FLOW_BOUND != 0)]
        aliases = held["nat_slot"].astype(np.int64) + int(self._crew.aliases_of(number))
        codes: npt.NDArray[np.int64] = held["protocol"].astype(np.int64) << 48 | aliases << 16 | held["nat_port"]
        return codes


def _code(protocol: int, alias: IPv4Address, port: int) -> int:
    return protocol << 48 | int(alias) << 16 | port
