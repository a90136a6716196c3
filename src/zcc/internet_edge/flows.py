"""The edge's flows and their bindings: room for new ones, ends, and the record of each.

    no room for a new flow ─▶ the oldest that may give way end
    flow idle, evicted  ─▶ end: binding released, FlowEnd reported

Journey: beside the way of packets. fastpath.outlet makes flows, each with its binding; both end here together, so no
binding can point to another flow. It parses, rewrites and sends nothing. The datapath's thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Any, NamedTuple

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


@lru_cache(8192)       # ends of flows are few beside flows
def unmapped(packed: bytes, version: int) -> Address:
    """Return the address of 16 bytes."""
    return IPv4Address(packed[12:]) if version == 4 else IPv6Address(packed)


class FlowEnd(NamedTuple):
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

    def __init__(self, outlet: Any, report: Callable[[list[FlowEnd]], None]) -> None:
        """Start empty.

        Args:
            outlet: fastpath.outlet.Outlet over empty tables; it makes the flows.
            report: called with the flows that ended, some at a time.
        """
        self._outlet, self._flows, self._report = outlet, outlet.flows, report
        self._egress = outlet.addresses
        self._due = np.zeros(DUE_AT_ONCE, np.int32)
        self.entries, self._paths = self._flows.entries_view, self._flows.paths_view

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
            self._end(self._due[:found], "idle")

    def end_all(self) -> None:
        """End every flow: the edge stops."""
        self._end(np.flatnonzero(self.entries["used"]).astype(np.int32), "stopped")

    def _make_room(self, batch: Any, wanted: int) -> None:
        """End the least recently used flows that may give way; rows of this batch that are theirs are dropped."""
        short = wanted - (self._flows.capacity - len(self._flows))
        found = np.zeros(max(short, 0), np.int32)
        oldest = found[:self._outlet.oldest_flows(found)]      # fewer, where others were answered: who comes now is refused
        theirs = np.flatnonzero(np.isin(batch.entry[:batch.count], oldest))
        batch.reason[theirs], batch.entry[theirs] = FULL, -1
        self._end(oldest, "evicted")

    def _end(self, indexes: NDArray[np.int32], reason: str) -> None:
        if len(indexes):
            ended = list(self._describe(indexes, reason))
            self._outlet.end_flows(indexes)
            self._report(ended)

    def _describe(self, indexes: NDArray[np.int32], reason: str) -> Iterator[FlowEnd]:
        flows, started = self.entries[indexes], self._paths["started_ns"][indexes].tolist()
        sides = [list(zip(_octets(flows[f"{side}_address"]), flows[f"{side}_port"].tolist(), strict=True)) for side in "ab"]
        ours = _octets(self._egress[flows["nat_slot"]])
        names = ("initiator", "namespace", "ip_version", "protocol", "nat_port", "owner", "location", "packets", "bytes",
                 "last_seen_ns")
        rows = zip(*(flows[name].tolist() for name in names), strict=True)
        for lower, upper, local, began, row in zip(*sides, ours, started, rows, strict=True):
            first, namespace, version, protocol, port, owner, location, packets, n_bytes, last = row
            source, destination = (upper, lower) if first else (lower, upper)
            yield FlowEnd(
                namespace, version, protocol, unmapped(source[0], version), source[1], unmapped(destination[0], version),
                destination[1], unmapped(local, version), port, owner, location, tuple(packets), tuple(n_bytes), began, last,
                reason)


def _octets(rows: NDArray[np.uint8]) -> list[bytes]:
    """Rows of 16 bytes, each as bytes."""
    flat = rows.tobytes()
    return [flat[at:at + 16] for at in range(0, len(flat), 16)]
