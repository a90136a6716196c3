"""The edge's flows and their bindings: room for new ones, ends, and the record of each.

    no room for a new flow ─▶ the oldest that may give way end
    flow idle, evicted  ─▶ end: binding released, FlowEnd reported

Journey: beside the way of packets. fastpath.outlet makes flows, each with its binding; both end here together, so no
binding can point to another flow. It parses, rewrites and sends nothing. The datapath's thread only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zcc.internet_edge.drops import FULL

__all__ = ["Address", "FlowBook", "FlowEnd", "mapped", "unmapped"]

Address = IPv4Address | IPv6Address
Rows = NDArray[np.uint16]

DUE_AT_ONCE = 1024
MAPPED = bytes(10) + b"\xff\xff"      # RFC 4291 §2.5.5.2


def mapped(address: Address) -> bytes:
    """Return 16 bytes, IPv4 mapped."""
    return address.packed if isinstance(address, IPv6Address) else MAPPED + address.packed


def unmapped(packed: bytes, version: int) -> Address:
    """Return the address of 16 bytes."""
    return IPv4Address(packed[12:]) if version == 4 else IPv6Address(packed)


@dataclass(frozen=True, slots=True)
class FlowEnd:
    """A flow as its initiator saw it, when it ended."""

    namespace: int
    version: int
    protocol: int
    source: Address
    source_port: int
    destination: Address
    destination_port: int
    nat_address: Address
    nat_port: int
    owner: int               # number of the session its newest packet came from
    location: int
    packets: tuple[int, int]  # from the initiator, to it
    bytes: tuple[int, int]
    started_ns: int
    ended_ns: int
    reason: str              # idle, evicted, stopped


class FlowBook:
    """Flows, and the bindings that they hold."""

    def __init__(self, outlet: Any, report: Callable[[FlowEnd], None]) -> None:
        """Start empty.

        Args:
            outlet: fastpath.outlet.Outlet over empty tables; it makes the flows.
            report: called with each flow that ended.
        """
        self._outlet, self._flows, self._nat, self._report = outlet, outlet.flows, outlet.nat, report
        self._egress = outlet.addresses
        self._due = np.zeros(DUE_AT_ONCE, np.int32)
        self.entries = self._flows.entries_view

    def __len__(self) -> int:
        return len(self._flows)

    def sources(self, entries: NDArray[np.int32]) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """Return the egress address (k × 16) and port of each flow."""
        return self._egress[self.entries["nat_slot"][entries]], self.entries["nat_port"][entries]

    def initiators(self, entries: NDArray[np.int32]) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
        """Return the address (k × 16) and port of the side that began each flow."""
        flows = self.entries                         # column by column: whole entries are ten times the bytes
        lower = flows["initiator"][entries] == 0     # DIRECTION_FORWARD: sent by the lower end of the key
        addresses = np.where(lower[:, None], flows["a_address"][entries], flows["b_address"][entries])
        ports = np.where(lower, flows["a_port"][entries], flows["b_port"][entries])
        return addresses, ports

    def admit(self, batch: Any, now_ns: int) -> None:
        """Make a flow and a binding for every live row that has none; old flows end where there is no room for all.

        Args:
            batch: decoded, parsed, keyed and looked up.
        """
        wanted = self._outlet.admit_batch(batch, now_ns)
        if wanted:
            self._make_room(batch, wanted)
            self._outlet.admit_batch(batch, now_ns, full=True)

    def expire(self, now_ns: int) -> None:
        """End flows that were idle for longer than their class allows."""
        found = len(self._due)
        while found == len(self._due):
            found = self._flows.due_flows(now_ns, self._due)
            for index in self._due[:found].tolist():
                self._end(index, "idle")

    def end_all(self) -> None:
        """End every flow: the edge stops."""
        for index in np.flatnonzero(self.entries["used"]).tolist():
            self._end(index, "stopped")

    def _make_room(self, batch: Any, wanted: int) -> None:
        """End the least recently used flows that may give way; rows of this batch that are theirs are dropped."""
        while self._flows.capacity - len(self._flows) < wanted and len(self._flows):
            index = self._flows.oldest_one()
            if index < 0:
                return      # all of them were answered: who comes now is refused
            theirs = np.flatnonzero(batch.entry[:batch.count] == index)
            batch.reason[theirs], batch.entry[theirs] = FULL, -1
            self._end(index, "evicted")

    def _end(self, index: int, reason: str) -> None:
        ended = self._describe(index, reason)
        nat_address = self._egress[self.entries["nat_slot"][index]].tobytes()
        remote = mapped(ended.destination)
        echo = ended.protocol in (1, 58)      # has an identifier, no second port
        remote_port = 0 if echo else ended.destination_port
        self._nat.release_one(ended.protocol, nat_address, ended.nat_port, remote, remote_port)
        self._flows.remove_one(index)
        self._report(ended)

    def _describe(self, index: int, reason: str) -> FlowEnd:
        flow = self._flows.get(index)
        ends = [(flow["a_address"], flow["a_port"]), (flow["b_address"], flow["b_port"])]
        if flow["initiator"] != 0:
            ends.reverse()
        (source, source_port), (destination, destination_port) = ends
        version = flow["ip_version"]
        return FlowEnd(
            flow["namespace"], version, flow["protocol"], unmapped(source, version), source_port,
            unmapped(destination, version), destination_port,
            unmapped(self._egress[flow["nat_slot"]].tobytes(), version), flow["nat_port"],
            flow["owner"], flow["location"], tuple(flow["packets"]), tuple(flow["bytes"]), flow["started_ns"],
            flow["last_seen_ns"], reason)
