"""Followers: packets of a capture that belong to a flow by another packet: later fragments, and ICMP errors.

    first fragment ─▶ its flow ─▶ later ones, also those that came before it and waited
    ICMP error ─▶ the packet that it quotes ─▶ that one's flow

Journey: `replay` shows what has no ports of its own → here, by the data plane's own tables → the number of a flow. Part of the
doorway to fastpath.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from fastpath import flowkey, quote
from fastpath.action import DropReason
from fastpath.flowtable import FlowTable
from fastpath.fragments import FragmentTable, Origin
from zcc.clock import Clock
from zcc.connector.arrival import Arrivals, Place

__all__ = ["Followers"]

DROPPED, HELD = -1, -2  # of FragmentTable.enter_one
PLAIN = 1  # in the column peer_port, which a frame that waits keeps, and which no capture fills


class Followers:
    """The fragments and errors of one capture."""

    def __init__(self, arrivals: Arrivals, table: FlowTable, secret: flowkey.Secret, clock: Clock, seed: bytes) -> None:
        """Compose.

        Args:
            table: of the flows, with keys hashed by `secret`.
            seed: of the hash of datagrams, 32 bytes.
        """
        self._arrivals, self._table, self._secret, self._clock = arrivals, table, secret, clock
        self._fragments = FragmentTable(seed=seed)

    def enter(self, place: Place) -> int | None:
        """Enter row 0, a fragment; return the number of its datagram, or None: it was dropped, or waits for the first one."""
        batch = self._arrivals.batch
        batch.peer_port[0] = PLAIN if place.plain else 0
        origin = Origin.ORIGIN_EDGE if place.outgoing else Origin.ORIGIN_WORKLOAD
        number = self._fragments.enter_one(batch, 0, origin, self._clock.monotonic_ns())
        if number == DROPPED:
            self._arrivals.drop(DropReason(batch.reason[0]))
        return None if number in (DROPPED, HELD) else number

    def settle(self, number: int, index: int) -> None:
        """Say which flow the first fragment of a datagram belongs to, or minus the reason why it has none."""
        verdict, batch = max(0, -index), self._arrivals.batch
        self._fragments.settle_one(number, max(index, -1), int(batch.hash[0]), int(batch.direction[0]), verdict)

    def flow_of(self, number: int) -> int:
        """Return the flow of row 0, a later fragment, which is turned as its first one was; -1: that has ended."""
        batch = self._arrivals.batch
        index, hash_, batch.direction[0] = self._fragments.follow_one(number)
        entry = self._table.entries_view[index]
        return index if entry["used"] and int(entry["hash"]) == hash_ else -1

    def released(self) -> Place | None:
        """Make a frame that need wait no more row 0 again; None = there is none."""
        for origin in (Origin.ORIGIN_WORKLOAD, Origin.ORIGIN_EDGE):
            if self._fragments.release_rows(self._arrivals.batch, origin):
                return self._arrivals.again(
                    plain=self._arrivals.batch.peer_port[0] == PLAIN, outgoing=origin == Origin.ORIGIN_EDGE
                )
        return None

    def lost(self, *, all_that_wait: bool = False) -> int:
        """Return how many fragments have waited in vain since the last call."""
        waiting = self._fragments.waiting if all_that_wait else 0
        lost = self._fragments.sweep_held(self._clock.monotonic_ns())
        return max(lost, waiting)

    def quoted(self) -> tuple[int, bool, bytes] | None:
        """Return the flow that row 0, an ICMP error, speaks of, whether its beginner sent what is quoted, and from where.

        None: it is no error, or about no flow.
        """
        batch = self._arrivals.batch
        found = quote.read_one(batch, 0)
        if found is None:
            return None
        protocol, source, source_port, destination, destination_port = found
        key, direction = flowkey.make_key(
            _address(source), _address(destination), protocol=protocol, source_port=source_port,
            destination_port=destination_port, namespace=int(batch.namespace[0]),
        )  # fmt: skip
        index = self._table.find_one(key, flowkey.key_hash(key, self._secret))
        return None if index < 0 else (index, direction == self._table.entries_view[index]["initiator"], source)


def _address(packed: bytes) -> IPv4Address | IPv6Address:
    address = IPv6Address(packed)
    return address.ipv4_mapped or address
