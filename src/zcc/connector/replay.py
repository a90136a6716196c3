"""Replay: a capture through the connector's own decoding, keying, flow table and rules. Nothing is sent or opened.

    capture ▶ link ▶ outer UDP 6081? ─yes─▶ geneve ▶ gwlb ▶ endpoint ─┐
                                     └no─▶ plain ────────────────────┴▶ packet ▶ flowkey ▶ flowtable ─miss─▶ classify

Journey: `zcc replay`, the doorway to fastpath beside `datapath`; `overheard` learns names, `replayed` prints. Packets go one
by one through a batch of one row, so that a DNS answer is learned before the packet behind it; time is that of the capture.

Each packet is taken for what it is, Geneve or plain. A plain one counts as if it had come by the first endpoint of the
settings, unless it is to or from the connector itself (its addresses, its edges, its internal network): then it is no
workload's and only counted. Who began a flow whose first packet is missing is told by SYN+ACK, by a well-known source port
or, in Geneve, by the way it goes. The same file and settings give the same output: no chance comes in and no clock, but for
the age of tags, which is that of now.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from fastpath import flowkey, geneve, gwlb, packet
from fastpath.action import DropReason, Fragment
from fastpath.batch import HEADROOM_BYTES, PacketBatch
from fastpath.endpoint import EndpointMap
from fastpath.flowtable import FlowTable, TimeoutClass
from fastpath.nametable import NameTable
from zcc.connector.capture import Frame, read_frames
from zcc.connector.link import LINK_TYPES, ip_packet
from zcc.connector.overheard import Overheard
from zcc.connector.ports import TCP, UDP
from zcc.connector.replayed import DNS_HERE, ReplayedFlow, Summary, print_json, print_table, with_progress
from zcc.connector.rulebook import Rulebook
from zcc.connector.settings import ConnectorSettings
from zcc.dns.pending import Asker
from zcc.errors import CaptureError
from zcc.feeds.watch import Watch
from zcc.policy.model import STRAY_RULE, Method
from zcc.policy.world import World

__all__ = ["Replay", "run"]

GENEVE_PORT = 6081
DNS_PORT = 53
WELL_KNOWN = 1024  # ports below are servers'
EVERY_NAMESPACE = 0xFFFF
NAMES = 1 << 18
ROOM = 65_535
FRAME_LIMIT = ROOM - HEADROOM_BYTES
SYN, ACK = 0x02, 0x10
HEADER_BYTES = {TCP: 20, UDP: 8, 1: 8, 58: 8}
UDP_BYTES = 8
SEED = bytes(range(32))  # in the open: nothing but the time this command takes could be attacked by aiming at it

Address = IPv4Address | IPv6Address


def run(settings: ConnectorSettings, path: Path, as_json: bool, out: TextIO) -> None:
    """Replay a capture and print its flows.

    Raises:
        CaptureError: the file is no capture, or damaged; the flows before the damage have been printed.
    """
    replay, damage = Replay(settings, Watch(settings.feeds).world), None
    try:
        for frame in with_progress(read_frames(path), path, out):
            replay.take(frame)
    except CaptureError as error:
        damage = error
    flows, summary = replay.finish()
    if damage is None or summary.frames:
        (print_json if as_json else print_table)(flows, summary, out)
    if damage is not None:
        raise damage


def own_addresses(settings: ConnectorSettings) -> frozenset[bytes]:
    """Return the addresses of the connector and of its edges, 16 bytes each: what they say to each other is no workload's."""
    addresses: list[Address] = [settings.ingress.address, settings.health.address]
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
    link_types: Counter[int] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)
    endpoints: Counter[int] = field(default_factory=Counter)


class Replay:
    """One capture on its way through; take() its frames, then finish()."""

    def __init__(self, settings: ConnectorSettings, world: World | None = None) -> None:
        """Make the tables.

        Args:
            world: what is known beside the policy; None = nothing.
        """
        self._settings, self._own = settings, own_addresses(settings)
        self._rulebook = Rulebook(settings, world)
        self._told_ns = time.monotonic_ns()
        self._rules = self._rulebook.rules
        numbers = {namespace.name: namespace.id for namespace in settings.namespaces}
        places = [(e.id, numbers[e.namespace], self._rulebook.location_of(e.id)) for e in settings.endpoints]
        self._endpoints = EndpointMap(places)
        first = places[0] if places else (0, settings.namespaces[0].id, 1)
        self._plain = Place(*first[1:], plain=True)
        idle = settings.ingress.idle
        self._table = FlowTable(settings.ingress.flows, {
            TimeoutClass[f"TIMEOUT_{name.upper()}"]: getattr(idle, name).total_seconds() for name in type(idle).model_fields
        })
        self._names = NameTable(NAMES, SEED)
        self._secret = flowkey.Secret(SEED)
        self._overheard = Overheard(settings, self._rulebook, self._learn, world)
        self._batch = PacketBatch(1, ROOM)
        self._one = (np.zeros(1, np.uint32), np.zeros(1, np.uint32), np.zeros(1, np.int32))
        self._due = np.zeros(64, np.int32)
        self._now_ns = 0
        self._connectors: dict[frozenset[bytes], bytes] = {}
        self._live: dict[int, ReplayedFlow] = {}
        self._ended: list[ReplayedFlow] = []
        self._counts = Counts()
        self._labels = ({number: name for name, number in numbers.items()},
                        {number: name for name, number in self._rulebook.location_ids.items()})

    def take(self, frame: Frame) -> None:
        """Send one frame through."""
        counts = self._counts
        counts.frames += 1
        data = ip_packet(frame)
        if data is None:
            if frame.link_type in LINK_TYPES:
                counts.not_ip += 1
            else:
                counts.link_types[frame.link_type] += 1
            return
        self._now_ns = max(self._now_ns, frame.time_ns)
        place = self._load(data, frame.missing)
        if place is None:
            return
        self._batch.namespace[0] = place.namespace
        flowkey.build_batch(self._batch, self._secret)
        self._expire()
        self._follow(place)

    def finish(self) -> tuple[list[ReplayedFlow], Summary]:
        """End all flows and return them by their first packet."""
        for index in list(self._live):
            self._end(index)
        counts, flows = self._counts, sorted(self._ended, key=lambda flow: flow.started_ns)
        summary = Summary(
            flows=len(flows), packets=sum(sum(flow.packets) for flow in flows), bytes=sum(sum(flow.bytes) for flow in flows),
            frames=counts.frames, not_ip=counts.not_ip, outside=counts.outside, echoes=counts.echoes,
            dns_answered_here=self._overheard.answered_here, dns=self._overheard.tally(), link_types=dict(counts.link_types),
            drops=dict(counts.drops.most_common()),
            unknown_endpoints={gwlb.endpoint_name(id): n for id, n in counts.endpoints.most_common()},
        )  # fmt: skip
        return flows, summary

    # ---- decode ----

    def _load(self, data: bytes, missing: int) -> Place | None:
        """Make row 0 the workload's packet, parsed; None if it is none or was dropped."""
        batch = self._batch
        # Bytes that the capture left out are zero here, so that lengths agree; headers must not lie in them.
        whole = len(data) + missing
        if whole > FRAME_LIMIT:
            self._drop(DropReason.DROP_IO_TRUNCATED)
            return None
        batch.load([data.ljust(whole, b"\0")])
        batch.inner_start[0], batch.inner_length[0] = batch.start[0], batch.length[0]
        packet.parse_batch(batch)
        place: Place | None = self._plain
        if self._is_geneve():
            place = self._open_geneve()
        elif self._is_ours():
            self._counts.outside += 1
            return None
        if place is not None and not batch.reason[0]:
            there = HEADROOM_BYTES + len(data) - int(batch.l4_start[0])
            if batch.fragment[0] != Fragment.FRAGMENT_LATER and there < HEADER_BYTES.get(int(batch.protocol[0]), 0):
                batch.reason[0] = DropReason.DROP_IO_TRUNCATED
        if batch.reason[0]:
            self._drop(DropReason(batch.reason[0]))
            return None
        return place

    def _is_geneve(self) -> bool:
        batch = self._batch
        return bool(
            not batch.reason[0] and batch.ip_version[0] == 4 and batch.protocol[0] == UDP
            and batch.fragment[0] != Fragment.FRAGMENT_LATER
            and int(batch.destination_port[0]) in (GENEVE_PORT, self._settings.ingress.port)
        )  # fmt: skip

    def _is_ours(self) -> bool:
        """Whether the plain packet of row 0 is the connector's own."""
        batch, internal = self._batch, self._settings.kernel.internal
        if batch.reason[0]:
            return False
        if self._own & {batch.source[0].tobytes(), batch.destination[0].tobytes()}:
            return True
        ends = (self._address(batch.source), self._address(batch.destination))
        return internal is not None and any(end in internal for end in ends)

    def _open_geneve(self) -> Place | None:
        """Make the inner packet of an outer one, which is parsed, the packet of row 0."""
        batch = self._batch
        ends = batch.source[0].tobytes()[12:], batch.destination[0].tobytes()[12:]
        begin = int(batch.l4_start[0]) + UDP_BYTES
        end = int(batch.inner_start[0]) + int(batch.inner_length[0])
        length = int.from_bytes(batch.data[0, begin - 4 : begin - 2].tobytes(), "big") - UDP_BYTES
        batch.start[0], batch.length[0] = begin, max(0, min(length, end - begin))
        geneve.decode_batch(batch)
        gwlb.decode_batch(batch)
        if batch.reason[0]:
            return None
        found = self._endpoints.get(int(batch.endpoint[0]))
        if found is None:
            self._counts.endpoints[int(batch.endpoint[0])] += 1
            batch.reason[0] = DropReason.DROP_GWLB_ENDPOINT_UNKNOWN
            return None
        packet.parse_batch(batch)
        return Place(*found, outgoing=self._sent_by_connector(*ends))

    def _sent_by_connector(self, source: bytes, destination: bytes) -> bool:
        """Which end of the outer pair is the connector: the ingress address, else who was sent to first."""
        own = self._settings.ingress.address.packed
        if own in (source, destination):
            return source == own
        return self._connectors.setdefault(frozenset((source, destination)), destination) == source

    def _drop(self, reason: DropReason) -> None:
        self._counts.drops[reason.name.removeprefix("DROP_").lower()] += 1

    # ---- flows ----

    def _follow(self, place: Place) -> None:
        """Find or make the flow of row 0, and count the packet in it."""
        batch, table = self._batch, self._table
        table.lookup_batch(batch)
        index = int(batch.entry[0])
        if index >= 0 and self._begins_anew(index):
            self._end(index)
            table.remove_one(index)
            batch.entry[0], index = -1, -1
        forwarded = not self._is_query_for_us(place)
        if index < 0:
            index = self._admit(place, forwarded)
            if index < 0:
                self._drop(DropReason.DROP_FLOW_TABLE_FULL)
                return
        flow = self._live[index]
        if forwarded and flow.method == DNS_HERE and batch.protocol[0] == UDP and batch.destination_port[0] == DNS_PORT:
            flow = self._live[index] = replace(flow, **self._decision(place))
        if place.outgoing and flow.method == Method.LOCAL:
            self._counts.echoes += 1
            return
        table.account_batch(batch, self._now_ns)
        if flow.method == Method.DROP:
            self._drop(DropReason.DROP_POLICY_STRAY if flow.rule == STRAY_RULE else DropReason.DROP_POLICY)
        self._hear_answer(place)

    def _begins_anew(self, index: int) -> bool:
        closing = self._table.entries_view[index]["timeout_class"] == TimeoutClass.TIMEOUT_TCP_CLOSING
        return bool(closing and self._batch.tcp_flags[0] & (SYN | ACK) == SYN)

    def _admit(self, place: Place, forwarded: bool) -> int:
        """Make a flow for row 0, decided with whoever began it as its source; -1: no flow gives way."""
        batch, table = self._batch, self._table
        if len(table) == table.capacity:
            oldest = table.oldest_one()
            if oldest < 0:
                return -1
            self._end(oldest)
            table.remove_one(oldest)
        answers = self._is_answer(place)
        if answers:
            self._turn_round()
        over_tcp = batch.protocol[0] == TCP and batch.destination_port[0] == DNS_PORT
        flow = ReplayedFlow(
            namespace=self._labels[0][place.namespace], location=self._labels[1].get(place.location, ""),
            protocol=int(batch.protocol[0]), source=self._address(batch.source), destination=self._address(batch.destination),
            source_port=int(batch.source_port[0]), destination_port=int(batch.destination_port[0]),
            rule="" if forwarded else self._overheard.rule,
        )  # fmt: skip
        if forwarded and not over_tcp:
            flow = replace(flow, **self._decision(place))
        table.insert_misses(batch, self._now_ns)
        self._live[int(batch.entry[0])] = flow
        if answers:
            self._turn_round()
        return int(batch.entry[0])

    def _is_answer(self, place: Place) -> bool:
        """Whether row 0, the first packet seen of its flow, was not sent by who began the flow."""
        batch = self._batch
        if not place.plain:
            return place.outgoing  # as the connector sees it: who sends first through it begins
        flags = int(batch.tcp_flags[0]) & (SYN | ACK)
        if batch.protocol[0] == TCP and flags & SYN:
            return flags == SYN | ACK
        return bool(0 < batch.source_port[0] < WELL_KNOWN <= batch.destination_port[0])

    def _turn_round(self) -> None:
        """Swap the ends of row 0; its key stays, its direction turns."""
        batch = self._batch
        for one, other in ((batch.source, batch.destination), (batch.source_port, batch.destination_port)):
            one[0], other[0] = other[0].copy(), one[0].copy()
        batch.direction[0] ^= 1

    def _decision(self, place: Place) -> dict[str, Any]:
        """Rule, method and name for row 0, as fields of its flow."""
        destination = self._batch.destination[0].tobytes()
        name = self._names.lookup(place.namespace, destination, self._now_ns)
        name = name or self._names.lookup(EVERY_NAMESPACE, destination, self._now_ns)
        locations, names, out = self._one
        locations[0], names[0] = place.location, name
        self._rules.decide_batch(self._batch, locations, names, out, self._told_ns)
        rule = self._rulebook.compiled.rules[int(out[0])]
        return {"rule_index": int(out[0]), "rule": rule.name, "method": str(rule.method),
                "name": self._rulebook.names.name_of(name) or ""}

    def _expire(self) -> None:
        while n := self._table.due_flows(self._now_ns, self._due):
            for index in self._due[:n].tolist():
                self._end(index)
                self._table.remove_one(index)

    def _end(self, index: int) -> None:
        flow, entry = self._live.pop(index), self._table.get(index)
        self._ended.append(replace(flow, packets=tuple(entry["packets"]), bytes=tuple(entry["bytes"]),
                                   started_ns=entry["started_ns"], ended_ns=entry["last_seen_ns"]))

    # ---- names ----

    def _learn(self, namespace: int | None, address: Address, name_id: int, ttl_s: float) -> None:
        until = self._now_ns + int(ttl_s * 1e9)
        self._names.insert(EVERY_NAMESPACE if namespace is None else namespace, mapped(address), name_id, until)

    def _is_query_for_us(self, place: Place) -> bool:
        if place.outgoing or not self._is_dns(self._batch.destination_port):
            return False
        batch = self._batch
        client, server = self._address(batch.source), self._address(batch.destination)
        asker = Asker(place.namespace, client, int(batch.source_port[0]), server)
        return self._overheard.query(asker, self._payload(), self._now_ns / 1e9, place.location)

    def _hear_answer(self, place: Place) -> None:
        if not self._is_dns(self._batch.source_port):
            return
        batch = self._batch
        client, server = self._address(batch.destination), self._address(batch.source)
        asker = Asker(place.namespace, client, int(batch.destination_port[0]), server)
        self._overheard.answer(asker, self._payload(), self._now_ns / 1e9, place.location, stand_in=place.plain)

    def _is_dns(self, ports: np.ndarray[tuple[int], np.dtype[np.uint16]]) -> bool:
        batch = self._batch
        return bool(batch.protocol[0] == UDP and ports[0] == DNS_PORT and batch.fragment[0] == Fragment.FRAGMENT_NONE)

    def _payload(self) -> bytes:
        batch = self._batch
        end = int(batch.inner_start[0]) + int(batch.inner_length[0])
        return batch.data[0, int(batch.l4_start[0]) + UDP_BYTES : end].tobytes()

    def _address(self, column: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> Address:
        packed = column[0].tobytes()
        return IPv4Address(packed[12:]) if self._batch.ip_version[0] == 4 else IPv6Address(packed)
