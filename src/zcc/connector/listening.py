"""Listening: the flows of a capture that may yet say their names, as the data plane watches them.

    begun, its port watched ─▶ watched ─▶ its packets to Naming ─▶ named, decided again from the next packet on
                                  └─ too many packets, fragments, its beginning missed ─▶ unread, at once

Journey: `replay` shows each flow that begins and each packet of its beginner → here → the connector's own Naming → `replay`.
What fastpath.watch does natively stands here once more, for flows that no worker carries; a test holds the two together. Two
things differ: no copy is ever lost, and the answer is there before the next packet, where a connector's takes some 0.1 ms.
Part of the doorway to fastpath.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fastpath.action import Fragment
from zcc.clock import Clock
from zcc.connector.arrival import UDP_BYTES, Address, Arrivals
from zcc.connector.capture_names import NAME_BITS, CaptureNames
from zcc.connector.naming import naming_of
from zcc.connector.packets import ACK, SYN
from zcc.connector.ports import TCP, UDP, FlowRecord, Punt
from zcc.connector.rulebook import Rulebook
from zcc.connector.settings import ConnectorSettings
from zcc.connector.teaching import Teacher
from zcc.policy.midway import HEARD
from zcc.policy.objects.unnamed import NAMINGS, Unnamed
from zcc.policy.watched import holds

__all__ = ["Listening"]

WORDS_MAX = 16  # of fastpath.watch: packets of a flow that are looked at
UNREAD = NAMINGS.index(Unnamed.UNREAD) << NAME_BITS


@dataclass(slots=True)
class _Watched:
    """A flow that has not said its name."""

    base: int  # low 16 bits of the sequence number of its first octet; TCP only
    started_ns: int
    packets: int = 0


class Listening:
    """The watched flows of one capture, by the number of the flow."""

    def __init__(self, settings: ConnectorSettings, rulebook: Rulebook, teacher: Teacher, names: CaptureNames, clock: Clock,
                 named: Callable[[int, int], None]) -> None:
        """Compose.

        Args:
            named: has a flow decided again by a word of fastpath.naming.
        """
        self.cut_short = 0  # flows whose first words the capture left out
        self._bits, self._names, self._clock, self._named = rulebook.compiled.watched, names, clock, named
        self._watched: dict[int, _Watched] = {}
        self._naming = naming_of(settings, rulebook, teacher, self, clock)

    @property
    def counts(self) -> dict[str, int]:
        """How many flows have said their name, by how, or why not."""
        return {how: number for how in NAMINGS if (number := self._naming.counts[how])}

    def __contains__(self, number: int) -> bool:
        """Say whether a flow is watched."""
        return number in self._watched

    def expire(self) -> None:
        """Give up on flows that have said nothing more for too long."""
        self._naming.expire()

    def begin(self, number: int, arrivals: Arrivals, method: str, *, turned: bool) -> None:
        """Watch a flow that begins with row 0, if the rules have its name matter.

        Args:
            turned: whether row 0 was sent by the other end.
        """
        batch, base = arrivals.batch, 0
        protocol, fragment = int(batch.protocol[0]), batch.fragment[0]
        if method not in HEARD or fragment == Fragment.FRAGMENT_LATER or protocol not in (TCP, UDP):
            return
        if not holds(self._bits, protocol, int(batch.destination_port[0])):
            return
        if protocol == TCP:
            if turned or batch.tcp_flags[0] & (SYN | ACK) != SYN or fragment != Fragment.FRAGMENT_NONE:
                self._named(number, UNREAD)
                return
            base = _sequence(arrivals) + 1 & 0xFFFF
        self._watched[number] = _Watched(base, self._clock.monotonic_ns())

    def hear(self, number: int, arrivals: Arrivals, flow: FlowRecord) -> Punt | None:
        """Take row 0 of a watched flow's beginner; return what `understand` is to be given once it has gone on, if anything."""
        watched, batch = self._watched[number], arrivals.batch
        if flow.protocol == TCP and batch.tcp_flags[0] & SYN:
            watched.base = _sequence(arrivals) + 1 & 0xFFFF
        whole = batch.fragment[0] == Fragment.FRAGMENT_NONE
        if whole and _payload_bytes(arrivals) <= 0:
            return None
        if arrivals.is_cut:
            self.cut_short += 1
            self.end(number)
            return None
        if not whole or watched.packets >= WORDS_MAX:
            self.end(number)
            self._named(number, UNREAD)
            return None
        watched.packets += 1
        return Punt(0, flow.namespace, watched.base, int(batch.hash[0]), arrivals.packet, flow=flow, value=number)

    def understand(self, heard: Punt) -> None:
        """Read what was heard; the flow may be decided again by it."""
        self._naming.hear(heard)

    def end(self, number: int) -> None:
        """A flow has ended, or need not be watched any more."""
        self._watched.pop(number, None)

    # ---- what Naming asks for: zcc.connector.naming.Plane ----

    def name_flow(self, punt: Punt, number: int, naming: int) -> None:
        """Name the flow of a punt, if it is still that one."""
        watched, flow = self._watched.get(punt.value), punt.flow
        if watched is not None and flow is not None and watched.started_ns == flow.started_ns:
            self.end(punt.value)
            self._named(punt.value, naming << NAME_BITS | number)

    def learn(self, namespace: int | None, address: Address, name_id: int, ttl_s: float, naming: int = 0) -> None:
        """Make an address belong to a name."""
        self._names.learn(namespace, address, name_id, ttl_s, naming)

    def forget(self, namespace: int, address: Address, number: int, naming: int) -> None:
        """Make an address belong to no name, if it is this one that it belongs to."""
        self._names.forget(namespace, address, number, naming)


def _sequence(arrivals: Arrivals) -> int:
    at = int(arrivals.batch.l4_start[0]) + 4
    return int.from_bytes(arrivals.batch.data[0, at : at + 4].tobytes(), "big")


def _payload_bytes(arrivals: Arrivals) -> int:
    batch = arrivals.batch
    l4 = int(batch.l4_start[0])
    header = 4 * (int(batch.data[0, l4 + 12]) >> 4) if batch.protocol[0] == TCP else UDP_BYTES
    return int(batch.inner_start[0]) + int(batch.inner_length[0]) - l4 - header
