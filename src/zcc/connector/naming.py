"""Naming: flows named by what they say themselves, and addresses by what flows to them say.

    copies of first packets ─▶ zcc.names ─▶ a name or a cause ─▶ number ─▶ the data plane decides the flow again
                                                  └─ a name that rules speak of ─▶ new flows to its address, for a time

Journey: the data plane's PUNT_WORDS → here → `name_flow`. Packets do not wait for it. Bounded: FLOWS_LIMIT readers of 32 kB at
most, WAIT_S for a flow to have said its name; beyond both it is told as unread. One thread, the event loop's.

A client may say any name. So a name by DNS stands above those that flows say of an address, and an address to which flows say
several names has none of them: which came last does not matter.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from zcc.clock import NS_PER_S, Clock
from zcc.connector import packets
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
ADDRESSES_LIMIT = 65_536
ADDRESS_S = 600  # for which an address has the name that flows say; every such flow begins it anew
SEVERAL = ""  # in place of a name

Address = IPv4Address | IPv6Address
Key = tuple[int, int, int]


class Plane(Protocol):
    """What of the data plane is used: `zcc.connector.datapath.Datapath`."""

    def name_flow(self, punt: Punt, number: int, naming: int) -> None:
        """Name the flow of a punt."""

    def learn(self, namespace: int | None, address: Address, name_id: int, ttl_s: float, naming: int = 0) -> None:
        """Make an address belong to a name."""

    def forget(self, namespace: int, address: Address, number: int, naming: int) -> None:
        """Make an address belong to no name, if it is this one that it belongs to."""


@dataclass(slots=True)
class _Open:
    """A flow that has not said enough yet."""

    reader: StreamReader | DatagramReader
    last: Punt
    until_ns: int


@dataclass(slots=True)
class _Heard:
    """What flows to an address have said."""

    name: str
    until_ns: int
    taught: tuple[int, int] | None = None  # number and naming that the data plane was told


class Naming:
    """Names flows, and teaches addresses."""

    def __init__(self, plane: Plane, number_of: Callable[[str], int], may_teach: Callable[[str, Address], bool],
                 clock: Clock) -> None:
        """Compose.

        Args:
            number_of: gives a name its number; 0 = it can have none.
            may_teach: whether an address may have a name that a flow to it said.
        """
        self.counts: Counter[str] = Counter()
        self._plane, self._number_of, self._may_teach, self._clock = plane, number_of, may_teach, clock
        self._open: dict[Key, _Open] = {}  # in the order in which they began
        self._heard: dict[tuple[int, Address], _Heard] = {}  # in the order in which they were last heard of

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
        if said.name is not None and number and naming < NAMINGS.index("ech"):
            self._teach(punt, said.name, number, naming)

    def _teach(self, punt: Punt, name: str, number: int, naming: int) -> None:
        flow = punt.flow
        assert flow is not None
        key, now_ns = (flow.namespace, flow.destination), self._clock.monotonic_ns()
        before = self._heard.pop(key, None)
        if before is not None and before.until_ns <= now_ns:
            before = None
        heard = name if before is None or before.name == name else SEVERAL
        if len(self._heard) >= ADDRESSES_LIMIT:
            self._heard.pop(next(iter(self._heard)))
        found = self._heard[key] = _Heard(heard, now_ns + ADDRESS_S * NS_PER_S)
        if heard != SEVERAL and self._may_teach(name, flow.destination):
            self.counts["addresses"] += 1
            found.taught = number, naming
            self._plane.learn(*key, number, ADDRESS_S, naming)
        elif heard == SEVERAL and before is not None and before.taught is not None:
            self.counts["addresses_several"] += 1
            self._plane.forget(*key, *before.taught)


def naming_of(settings: ConnectorSettings, rulebook: Rulebook, teacher: Teacher, plane: Plane, clock: Clock) -> Naming:
    """Make the Naming of a connector's policy: of the running one, and of a replay."""

    def may_teach(name: str, address: Address) -> bool:
        return settings.naming.teach_addresses and teacher.may_be_said(name, address)

    return Naming(plane, TrafficNames(rulebook.names, rulebook.likeness).number_of, may_teach, clock)


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
