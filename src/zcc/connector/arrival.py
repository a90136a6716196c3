"""Arrival: a captured frame as the workload's packet that a connector would have received, in row 0 of a batch, and its place.

    capture ▶ link ▶ outer UDP 6081? ─yes─▶ geneve ▶ gwlb ▶ endpoint ─┐
                                     └no─▶ plain ────────────────────┴▶ packet, parsed

Journey: `replay` brings frames, one by one → here → `replay` keys and follows them. Each packet is taken for what it is, Geneve
or plain. A plain one counts as if it had come by the first endpoint of the settings, unless it is to or from the connector
itself (its addresses, its edges, its internal network): then it is no workload's and only counted. Part of the doorway to
fastpath. It knows no flows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address

import numpy as np

from fastpath import geneve, gwlb, packet
from fastpath.action import DropReason, Fragment
from fastpath.batch import HEADROOM_BYTES, PacketBatch
from fastpath.endpoint import EndpointMap
from zcc.connector.capture import Frame
from zcc.connector.link import LINK_TYPES, ip_packet
from zcc.connector.ports import TCP, UDP
from zcc.connector.settings import ConnectorSettings

__all__ = ["Address", "Arrivals", "Counts", "Place", "mapped"]

GENEVE_PORT = 6081
ROOM = 65_535
FRAME_LIMIT = ROOM - HEADROOM_BYTES
HEADER_BYTES = {TCP: 20, UDP: 8, 1: 8, 58: 8}
UDP_BYTES = 8

Address = IPv4Address | IPv6Address


def own_addresses(settings: ConnectorSettings) -> frozenset[bytes]:
    """Return the addresses of the connector and of its edges, 16 bytes each: what they say to each other is no workload's."""
    addresses: list[Address] = [settings.health.address]
    if settings.ingress.address is not None:
        addresses.append(settings.ingress.address)
    if settings.direct is not None:
        addresses += [address for address in (settings.direct.address, settings.direct.address6) if address is not None]
    if settings.zpa is not None:
        addresses += [edge.address for edge in settings.zpa.edges]
    if settings.zia is not None:
        addresses += [edge.address.address for edge in settings.zia.edges]
    return frozenset(mapped(address) for address in addresses)


def mapped(address: Address) -> bytes:
    """Return an address as the fast path holds it. Source: RFC 4291 §2.5.5.2."""
    return address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed


@dataclass(frozen=True, slots=True)
class Place:
    """Where a packet came from."""

    namespace: int
    location: int
    plain: bool = False  # not in Geneve
    outgoing: bool = False  # sent by the connector, to GWLB


@dataclass(slots=True)
class Counts:
    """What did not become a flow."""

    frames: int = 0
    not_ip: int = 0
    outside: int = 0
    echoes: int = 0
    errors: int = 0
    link_types: Counter[int] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)
    endpoints: Counter[int] = field(default_factory=Counter)


class Arrivals:
    """The packets of one capture."""

    def __init__(self, settings: ConnectorSettings, location_of: Callable[[int], int]) -> None:
        """Compose.

        Args:
            location_of: gives an endpoint's place its number.
        """
        self.counts, self.batch = Counts(), PacketBatch(1, ROOM)
        self.is_cut = False  # whether the capture left out the end of the packet that was taken last
        self._settings, self._own = settings, own_addresses(settings)
        numbers = {namespace.name: namespace.id for namespace in settings.namespaces}
        places = [(e.id, numbers[e.namespace], location_of(e.id)) for e in settings.endpoints]
        self._endpoints = EndpointMap(places)
        first = places[0] if places else (0, settings.namespaces[0].id, 1)
        self._plain = Place(*first[1:], plain=True)
        self._connectors: dict[frozenset[bytes], bytes] = {}

    def take(self, frame: Frame) -> Place | None:
        """Make row 0 the workload's packet, parsed, with its namespace; None if it is none or was dropped."""
        counts = self.counts
        counts.frames += 1
        data = ip_packet(frame)
        if data is None:
            if frame.link_type in LINK_TYPES:
                counts.not_ip += 1
            else:
                counts.link_types[frame.link_type] += 1
            return None
        self.is_cut = frame.missing > 0
        place = self._load(data, frame.missing)
        if place is not None:
            self.batch.namespace[0] = place.namespace
        return place

    def again(self, *, plain: bool, outgoing: bool) -> Place | None:
        """Take row 0 as a frame that has been taken before: what `start` and `length` say, from Geneve or IP on."""
        batch = self.batch
        self.is_cut = False  # a fragment is not read
        place = self._plain if plain else self._decapsulated()
        if place is not None:
            packet.parse_batch(batch)
            place = replace(place, outgoing=outgoing)
        if place is None or batch.reason[0]:
            self.drop(DropReason(batch.reason[0]))
            return None
        batch.namespace[0] = place.namespace
        return place

    # ---- row 0 ----

    @property
    def source(self) -> Address:
        """The address it came from."""
        return self._address(self.batch.source)

    @property
    def destination(self) -> Address:
        """The address it goes to."""
        return self._address(self.batch.destination)

    @property
    def packet(self) -> bytes:
        """The IP packet as it was sent, zeros where the capture left something out."""
        return self._from(int(self.batch.inner_start[0]))

    @property
    def datagram(self) -> bytes:
        """What UDP carries; valid iff it is UDP and no later fragment."""
        return self._from(int(self.batch.l4_start[0]) + UDP_BYTES)

    def turn_round(self) -> None:
        """Swap the ends; its key stays, its direction turns."""
        batch = self.batch
        for one, other in ((batch.source, batch.destination), (batch.source_port, batch.destination_port)):
            one[0], other[0] = other[0].copy(), one[0].copy()
        batch.direction[0] ^= 1

    def _from(self, begin: int) -> bytes:
        batch = self.batch
        return batch.data[0, begin : int(batch.inner_start[0]) + int(batch.inner_length[0])].tobytes()

    def _address(self, column: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> Address:
        packed = column[0].tobytes()
        return IPv4Address(packed[12:]) if self.batch.ip_version[0] == 4 else IPv6Address(packed)

    # ---- decode ----

    def _load(self, data: bytes, missing: int) -> Place | None:
        batch = self.batch
        # Bytes that the capture left out are zero here, so that lengths agree; headers must not lie in them.
        whole = len(data) + missing
        if whole > FRAME_LIMIT:
            self.drop(DropReason.DROP_IO_TRUNCATED)
            return None
        batch.load([data.ljust(whole, b"\0")])
        batch.inner_start[0], batch.inner_length[0] = batch.start[0], batch.length[0]
        packet.parse_batch(batch)
        place: Place | None = self._plain
        if self._is_geneve():
            place = self._open_geneve()
        elif self._is_ours():
            self.counts.outside += 1
            return None
        if place is not None and not batch.reason[0]:
            there = HEADROOM_BYTES + len(data) - int(batch.l4_start[0])
            if batch.fragment[0] != Fragment.FRAGMENT_LATER and there < HEADER_BYTES.get(int(batch.protocol[0]), 0):
                batch.reason[0] = DropReason.DROP_IO_TRUNCATED
        if batch.reason[0]:
            self.drop(DropReason(batch.reason[0]))
            return None
        return place

    def _is_geneve(self) -> bool:
        batch = self.batch
        return bool(
            not batch.reason[0] and batch.ip_version[0] == 4 and batch.protocol[0] == UDP
            and batch.fragment[0] != Fragment.FRAGMENT_LATER
            and int(batch.destination_port[0]) in (GENEVE_PORT, self._settings.ingress.port)
        )  # fmt: skip

    def _is_ours(self) -> bool:
        """Whether the plain packet of row 0 is the connector's own."""
        batch, internal = self.batch, self._settings.kernel.internal
        if batch.reason[0]:
            return False
        if self._own & {batch.source[0].tobytes(), batch.destination[0].tobytes()}:
            return True
        return internal is not None and any(end in internal for end in (self.source, self.destination))

    def _open_geneve(self) -> Place | None:
        """Make the inner packet of an outer one, which is parsed, the packet of row 0."""
        batch = self.batch
        ends = batch.source[0].tobytes()[12:], batch.destination[0].tobytes()[12:]
        begin = int(batch.l4_start[0]) + UDP_BYTES
        end = int(batch.inner_start[0]) + int(batch.inner_length[0])
        length = int.from_bytes(batch.data[0, begin - 4 : begin - 2].tobytes(), "big") - UDP_BYTES
        batch.start[0], batch.length[0] = begin, max(0, min(length, end - begin))
        place = self._decapsulated()
        if place is not None:
            packet.parse_batch(batch)
            place = replace(place, outgoing=self._sent_by_connector(*ends))
        return place

    def _decapsulated(self) -> Place | None:
        """Make the inner packet that of row 0, and tell its place by its endpoint."""
        batch = self.batch
        geneve.decode_batch(batch)
        gwlb.decode_batch(batch)
        if batch.reason[0]:
            return None
        found = self._endpoints.get(int(batch.endpoint[0]))
        if found is None:
            self.counts.endpoints[int(batch.endpoint[0])] += 1
            batch.reason[0] = DropReason.DROP_GWLB_ENDPOINT_UNKNOWN
            return None
        return Place(*found)

    def _sent_by_connector(self, source: bytes, destination: bytes) -> bool:
        """Which end of the outer pair is the connector: the ingress address, else who was sent to first."""
        own = b"" if self._settings.ingress.address is None else self._settings.ingress.address.packed
        if own in (source, destination):
            return source == own
        return self._connectors.setdefault(frozenset((source, destination)), destination) == source

    def drop(self, reason: DropReason) -> None:
        """Count a packet that goes no further."""
        self.counts.drops[reason.name.removeprefix("DROP_").lower()] += 1
