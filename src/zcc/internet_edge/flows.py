"""The edge's flows and their bindings: admission of first packets, owners, ends, and the record of each.

    tunnel row, no flow ─▶ admit: flow + NAT binding, or dropped with its reason
    flow idle, evicted  ─▶ end: binding released, FlowEnd reported

Journey: between flow look-up and NAT rewriting, for misses only; all else works on whole columns. The
tables are compiled ones that the datapath made; flows and bindings live and die here together, so no
binding can point to another flow. It parses, rewrites and sends nothing. The datapath's thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Address", "FlowBook", "FlowEnd", "mapped", "unmapped"]

Address = IPv4Address | IPv6Address
Rows = NDArray[np.uint16]

BOUND = 32                 # FlowState.FLOW_BOUND
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

    def __init__(self, flows: Any, nat: Any, egress: Sequence[Address], forbidden: Iterable[Address],
                 report: Callable[[FlowEnd], None]) -> None:
        """Start empty.

        Args:
            flows: fastpath.flowtable.FlowTable, empty.
            nat: fastpath.nat.NatTable, empty.
            egress: addresses that flows leave from.
            forbidden: addresses of this host: no flow may reach the kernel that carries it.
            report: called with each flow that ended.
        """
        self._flows, self._nat, self._report = flows, nat, report
        self._egress = np.frombuffer(b"".join(map(mapped, egress)), np.uint8).reshape(-1, 16)
        self._by_version: dict[int, list[int]] = {4: [], 6: []}
        for slot, address in enumerate(egress):
            self._by_version[address.version].append(slot)
        self._forbidden = {mapped(address) for address in forbidden}
        self._due = np.zeros(DUE_AT_ONCE, np.int32)
        self.entries = flows.entries_view

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

    def admit(
        self, batch: Any, now_ns: int, locations: Callable[[int], int], refusals: tuple[int, int, int]
    ) -> None:
        """Make a flow and a binding for every live row that has none.

        Args:
            batch: parsed, keyed and looked up.
            locations: the location that a row's header names.
            refusals: drop reasons for: no room, a destination that is ours, a family without egress address.
        """
        live = batch.reason[:batch.count] == 0
        new = np.flatnonzero(live & (batch.entry[:batch.count] < 0))
        self._refuse(batch, new, refusals)
        new = new[batch.reason[new] == 0]
        if not len(new):
            return
        self._make_room(batch, len(new), refusals[0])
        self._flows.insert_misses(batch, now_ns)
        entries, first = np.unique(batch.entry[new], return_index=True)
        rows = new[first].astype(np.uint16)
        rows = np.ascontiguousarray(rows[entries >= 0])
        self._bind(batch, rows)
        for row in rows[batch.reason[rows] == 0]:
            self.entries["location"][batch.entry[row]] = locations(int(row))
        self._abandon(batch, new)

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

    def _make_room(self, batch: Any, wanted: int, reason: int) -> None:
        """End the least recently used flows that may give way; rows of this batch that are theirs are dropped."""
        while self._flows.capacity - len(self._flows) < wanted and len(self._flows):
            index = self._flows.oldest_one()
            if index < 0:
                return      # all of them were answered: who comes now is refused
            theirs = np.flatnonzero(batch.entry[:batch.count] == index)
            batch.reason[theirs], batch.entry[theirs] = reason, -1
            self._end(index, "evicted")

    def _refuse(self, batch: Any, rows: NDArray[np.intp], refusals: tuple[int, int, int]) -> None:
        for row in rows.tolist():
            if batch.destination[row].tobytes() in self._forbidden:
                batch.reason[row] = refusals[1]
            elif not self._by_version[int(batch.ip_version[row])]:
                batch.reason[row] = refusals[2]

    def _bind(self, batch: Any, rows: Rows) -> None:
        flows = np.ascontiguousarray(batch.entry[rows])
        slots = np.array([self._slot(batch, row) for row in rows.tolist()], np.uint32)
        ports = np.zeros(len(rows), np.uint16)
        self._nat.bind_rows(batch, rows, np.ascontiguousarray(self._egress[slots]), flows, ports)
        bound = batch.reason[rows] == 0
        held = flows[bound]
        self.entries["nat_port"][held] = ports[bound]
        self.entries["nat_slot"][held] = slots[bound]
        self.entries["state"][held] |= BOUND

    def _slot(self, batch: Any, row: int) -> int:
        # By the workload's address: all its flows leave from one address, as web sites expect of a user.
        slots = self._by_version[int(batch.ip_version[row])]
        return slots[hash((int(batch.namespace[row]), batch.source[row].tobytes())) % len(slots)]

    def _abandon(self, batch: Any, rows: NDArray[np.intp]) -> None:
        """Take back the flows of rows that got no binding, and drop the rows that share them."""
        entries = batch.entry[rows]
        unbound = (entries >= 0) & ((self.entries["state"][entries] & BOUND) == 0)
        for index in np.unique(entries[unbound]).tolist():
            sharing = rows[entries == index]
            batch.reason[sharing] = batch.reason[sharing].max()
            batch.entry[sharing] = -1
            self._flows.remove_one(index)

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
