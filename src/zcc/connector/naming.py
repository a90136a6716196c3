"""Naming: flows named by what they say themselves, and addresses by what flows to them say.

    copies of first packets ─▶ zcc.names ─▶ a name or a cause ─▶ number ─▶ the data plane decides the flow again
                                                  └─ a name ─▶ hearsay ─▶ new flows to its address, for a time

Journey: the data plane's PUNT_WORDS → here → `name_flow`. Packets do not wait for it. Bounded: FLOWS_LIMIT readers of 32 kB at
most, WAIT_S for a flow to have said its name; beyond both it is told as unread. One thread, the event loop's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from zcc.clock import NS_PER_S, Clock
from zcc.connector import packets
from zcc.connector.hearsay import Address, Claim, Hearsay, Taught, nobody
from zcc.connector.ports import Punt
from zcc.connector.rulebook import Rulebook
from zcc.connector.settings import ConnectorSettings
from zcc.connector.teaching import Teacher
from zcc.connector.traffic_names import TrafficNames
from zcc.names.reader import DatagramReader, StreamReader
from zcc.names.said import UNREAD, Said
from zcc.policy.objects.unnamed import NAMINGS

__all__ = ["Naming", "Plane", "naming_of"]

FLOWS_LIMIT = 2048  # that have said something, but not their name
WAIT_S = 10

Key = tuple[int, int, int]


class Plane(Taught, Protocol):
    """What of the data plane is used: `zcc.connector.datapath.Datapath`."""

    def name_flow(self, punt: Punt, number: int, naming: int) -> None:
        """Name the flow of a punt."""


@dataclass(slots=True)
class _Open:
    """A flow that has not said enough yet."""

    reader: StreamReader | DatagramReader
    last: Punt
    until_ns: int


class Naming:
    """Names flows, and teaches addresses."""

    def __init__(self, plane: Plane, number_of: Callable[[str], int], may_teach: Callable[[str, Address], bool],
                 clock: Clock, tell: Callable[[Claim], None] = nobody) -> None:
        """Compose.

        Args:
            number_of: gives a name its number; 0 = it can have none.
            may_teach, tell: see Hearsay.
        """
        self.counts: Counter[str] = Counter()
        self.hearsay = Hearsay(plane, number_of, may_teach, clock, self.counts, tell)
        self._plane, self._number_of, self._clock = plane, number_of, clock
        self._open: dict[Key, _Open] = {}  # in the order in which they began

    @property
    def open_flows(self) -> int:
        """Flows that have not said enough yet."""
        return len(self._open)

    async def run(self) -> None:
        """Give up on flows that say nothing more, for ever."""
        while True:
            await asyncio.sleep(1)
            self.expire()

    def hear(self, punt: Punt) -> None:
        """Take the copy of a packet."""
        inner, flow, now_ns = packets.parse(punt.packet), punt.flow, self._clock.monotonic_ns()
        if flow is None or inner is None or inner.fragment:
            self.counts["unreadable"] += 1
            return
        self.expire()
        key = (punt.value, punt.endpoint, flow.started_ns)
        found = self._open.get(key)
        if found is None:
            if len(self._open) >= FLOWS_LIMIT:
                self.counts["overflow"] += 1
                self._settle(punt, UNREAD)
                return
            reader = StreamReader() if inner.protocol == packets.TCP else DatagramReader()
            found = self._open[key] = _Open(reader, punt, now_ns + WAIT_S * NS_PER_S)
        found.last = punt
        said = _fed(found.reader, inner, punt.location)
        if said is not None:
            del self._open[key]
            self._settle(punt, said)

    def expire(self) -> None:
        """Tell flows that have waited for too long as unread."""
        now_ns = self._clock.monotonic_ns()
        while self._open and (key := next(iter(self._open))) and self._open[key].until_ns <= now_ns:
            self.counts["late"] += 1
            self._settle(self._open.pop(key).last, UNREAD)

    def _settle(self, punt: Punt, said: Said) -> None:
        self.counts[str(said.how)] += 1
        naming = NAMINGS.index(str(said.how))
        number = 0 if said.name is None else self._number_of(said.name)
        if said.name is not None and number == 0:
            self.counts["numberless"] += 1
        self._plane.name_flow(punt, number, naming)
        flow = punt.flow
        if flow is not None and said.name is not None and number and naming < NAMINGS.index("ech"):
            self.hearsay.said(Claim(flow.namespace, flow.destination, said.name, naming))


def naming_of(settings: ConnectorSettings, rulebook: Rulebook, teacher: Teacher, plane: Plane, clock: Clock,
              tell: Callable[[Claim], None] = nobody) -> Naming:  # fmt: skip
    """Make the Naming of a connector's policy: of the running one, and of a replay."""

    def may_teach(name: str, address: Address) -> bool:
        return settings.naming.teach_addresses and teacher.may_be_said(name, address)

    return Naming(plane, TrafficNames(rulebook.names, rulebook.likeness).number_of, may_teach, clock, tell)


def _fed(reader: StreamReader | DatagramReader, inner: packets.Inner, base: int) -> Said | None:
    """Give a reader the payload of a packet.

    Args:
        base: low 16 bits of the sequence number of the stream's first octet; TCP only.
    """
    if isinstance(reader, DatagramReader):
        return reader.feed(inner.payload)
    sequence = int.from_bytes(inner.raw[inner.l4 + 4 : inner.l4 + 8])
    begin = inner.l4 + (inner.raw[inner.l4 + 12] >> 4) * 4
    # Data in a SYN is behind it, RFC 9293 §3.4.
    return reader.feed((sequence + bool(inner.raw[inner.l4 + 13] & packets.SYN) - base) & 0xFFFF, inner.raw[begin:])
