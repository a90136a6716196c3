"""Replay: a capture through the connector's own decoding, keying, flow table and rules. Nothing is sent or opened.

    capture ▶ arrival ▶ flowkey ▶ flowtable ─miss─▶ names ▶ classify
                                      └─ DNS ▶ overheard, first words ▶ listening ─▶ names; the flow is decided again

Journey: `zcc replay`, the doorway to fastpath beside `datapath`; `arrival` decodes, `overheard` and `listening` learn names,
`replayed` prints. Packets go one by one through a batch of one row, so that a DNS answer is learned before the packet behind
it; time is that of the capture.

Who began a flow whose first packet is missing is told by SYN+ACK, by a well-known source port or, in Geneve, by the way it
goes. The same file and settings give the same output: no chance comes in and no clock, but for the age of tags, which is that
of now.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from fastpath import flowkey, gwlb
from fastpath.action import DropReason, Fragment
from fastpath.batch import PacketBatch
from fastpath.flowtable import FlowTable, TimeoutClass
from fastpath.portidle import PortIdle
from zcc.clock import NS_PER_S
from zcc.connector import replayed
from zcc.connector.arrival import Arrivals, Place, mapped
from zcc.connector.capture import Frame, read_frames
from zcc.connector.capture_names import CaptureNames, naming_of, number_of
from zcc.connector.followers import Followers
from zcc.connector.listening import Listening
from zcc.connector.overheard import Overheard
from zcc.connector.packets import ACK, SYN
from zcc.connector.plan import idle_times
from zcc.connector.ports import TCP, UDP, FlowRecord
from zcc.connector.replayed import DNS_HERE, Before, ReplayedFlow, Summary
from zcc.connector.rulebook import Rulebook
from zcc.connector.settings import ConnectorSettings
from zcc.dns.pending import Asker
from zcc.errors import CaptureError
from zcc.feeds.watch import Watch
from zcc.policy.midway import takes_over
from zcc.policy.model import Method, Rule
from zcc.policy.objects.unnamed import NAMINGS
from zcc.policy.world import World

__all__ = ["Replay", "run"]

DNS_PORT = 53
ICMP = (1, 58)
WELL_KNOWN = 1024  # ports below are servers'
SEED = bytes(range(32))  # in the open: nothing but the time this command takes could be attacked by aiming at it
CAUSES_FROM = NAMINGS.index("ech")


def run(settings: ConnectorSettings, path: Path, as_json: bool, out: TextIO) -> None:
    """Replay a capture and print its flows.

    Raises:
        CaptureError: the file is no capture, or damaged; the flows before the damage have been printed.
    """
    replay, damage = Replay(settings, Watch(settings.feeds).world), None
    try:
        for frame in replayed.with_progress(read_frames(path), path, out):
            replay.take(frame)
    except CaptureError as error:
        damage = error
    flows, summary = replay.finish()
    if damage is None or summary.frames:
        (replayed.print_json if as_json else replayed.print_table)(flows, summary, out)
    if damage is not None:
        raise damage


class CaptureClock:
    """The time of the last packet."""

    now_ns = 0  # since 1970

    def monotonic_ns(self) -> int:
        """Return it in nanoseconds."""
        return self.now_ns

    def time(self) -> float:
        """Return it in seconds."""
        return self.now_ns / NS_PER_S


@dataclass(slots=True)
class _Live:
    """A flow that has not ended."""

    flow: ReplayedFlow
    place: Place
    word: int = 0  # of its name: fastpath.naming


class Replay:
    """One capture on its way through; take() its frames, then finish()."""

    def __init__(self, settings: ConnectorSettings, world: World | None = None) -> None:
        """Make the tables.

        Args:
            world: what is known beside the policy; None = nothing.
        """
        self._rulebook, self._clock = Rulebook(settings, world), CaptureClock()
        self._arrivals = Arrivals(settings, self._rulebook.location_of)
        self._pools = settings.pool_networks
        self._batch, self._told_ns = self._arrivals.batch, time.monotonic_ns()
        idle, of_ports = idle_times(settings.ingress)
        self._table = FlowTable(settings.ingress.flows, {TimeoutClass[f"TIMEOUT_{name.upper()}"]: idle[name] for name in idle})
        self._port_idle, self._adopts = PortIdle(settings.ingress.flows, of_ports), settings.ingress.midstream == "adopt"
        self._names, self._secret = CaptureNames(self._clock, SEED), flowkey.Secret(SEED)
        self._followers = Followers(self._arrivals, self._table, self._secret, self._clock, SEED)
        self._overheard = Overheard(settings, self._rulebook, self._names.learn, self._clock, world)
        self._listening = Listening(settings, self._rulebook, self._overheard.teacher, self._names, self._clock, self._named)
        self._again = PacketBatch(1, 256)
        self._one = (np.zeros(1, np.uint32), np.zeros(1, np.uint32), np.zeros(1, np.int32))
        self._due = np.zeros(64, np.int32)
        self._live: dict[int, _Live] = {}
        self._ended: list[ReplayedFlow] = []
        self._labels = ({namespace.id: namespace.name for namespace in settings.namespaces},
                        {number: name for name, number in self._rulebook.location_ids.items()})

    def take(self, frame: Frame) -> None:
        """Send one frame through."""
        place = self._arrivals.take(frame)
        self._clock.now_ns = max(self._clock.now_ns, frame.time_ns)
        self._listening.expire()
        self._orphaned(self._followers.lost())
        if place is not None:
            self._walk(place)
            while (place := self._followers.released()) is not None:
                self._walk(place)

    def finish(self) -> tuple[list[ReplayedFlow], Summary]:
        """End all flows and return them by their first packet."""
        self._orphaned(self._followers.lost(all_that_wait=True))
        for index in list(self._live):
            self._end(index)
        counts, flows = self._arrivals.counts, sorted(self._ended, key=lambda flow: flow.started_ns)
        summary = Summary(
            flows=len(flows), packets=sum(sum(flow.packets) for flow in flows), bytes=sum(sum(flow.bytes) for flow in flows),
            frames=counts.frames, not_ip=counts.not_ip, outside=counts.outside, echoes=counts.echoes, errors=counts.errors,
            dns_answered_here=self._overheard.answered_here, dns=self._overheard.tally(), link_types=dict(counts.link_types),
            drops=dict(counts.drops.most_common()), namings=self._listening.counts, cut_short=self._listening.cut_short,
            changed=sum(flow.before is not None for flow in flows),
            unknown_endpoints={gwlb.endpoint_name(id): n for id, n in counts.endpoints.most_common()},
        )  # fmt: skip
        return flows, summary

    # ---- packets ----

    def _walk(self, place: Place) -> None:
        """Send row 0 to its flow: its own, or that of its first fragment, or that of the packet it quotes."""
        batch, followers = self._batch, self._followers
        flowkey.build_batch(batch, self._secret)
        self._expire()
        if batch.fragment[0] == Fragment.FRAGMENT_NONE:
            if not self._is_error(place):
                self._follow(place)
            return
        number = followers.enter(place)
        if number is None:
            return
        if batch.fragment[0] == Fragment.FRAGMENT_FIRST:
            followers.settle(number, self._follow(place))
            return
        index = followers.flow_of(number)
        if index < 0:
            self._orphaned(1)
        else:
            batch.entry[0] = index
            self._count(index, place)

    def _orphaned(self, number: int) -> None:
        for _ in range(number):
            self._arrivals.drop(DropReason.DROP_FRAGMENT_ORPHAN)

    def _is_error(self, place: Place) -> bool:
        """Whether row 0 is an ICMP error about a flow, which is counted then; as fastpath.ingress has it."""
        batch, counts = self._batch, self._arrivals.counts
        about = self._followers.quoted() if batch.protocol[0] in ICMP else None
        if about is None:
            return False
        index, by_beginner, sender = about
        local = self._live[index].flow.method == Method.LOCAL
        # What goes out through a translation is answered on the other side of it: no such error comes from a workload.
        strange = not (local or place.plain or place.outgoing) and by_beginner
        if strange or batch.destination[0].tobytes() != sender:
            self._arrivals.drop(DropReason.DROP_ICMP_UNMATCHED)
        elif place.outgoing and local:
            counts.echoes += 1
        else:
            counts.errors += 1
        return True

    # ---- flows ----

    def _follow(self, place: Place) -> int:
        """Find or make the flow of row 0, and count the packet in it; return its number, or minus why it has none."""
        batch, table, arrivals = self._batch, self._table, self._arrivals
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
                arrivals.drop(DropReason(-index))
                return index
        live = self._live[index]
        if forwarded and live.flow.method == DNS_HERE and batch.protocol[0] == UDP and batch.destination_port[0] == DNS_PORT:
            self._decide_first(live)
        self._count(index, place)
        return index

    def _count(self, index: int, place: Place) -> None:
        """Count row 0 in its flow, hear what it says, and tell if it is dropped."""
        batch, table, arrivals, live = self._batch, self._table, self._arrivals, self._live[index]
        if place.outgoing and live.flow.method == Method.LOCAL:
            arrivals.counts.echoes += 1
            return
        table.account_batch(batch, self._clock.now_ns)
        heard = None
        if index in self._listening and batch.direction[0] == table.entries_view[index]["initiator"]:
            heard = self._listening.hear(index, arrivals, self._record(index))
        if live.flow.method == Method.DROP:
            arrivals.drop(self._reason(live.flow))
        if heard is not None:
            self._listening.understand(heard)
        self._hear_answer(place)

    def _reason(self, flow: ReplayedFlow) -> DropReason:
        """What the data plane calls it, when it drops a packet of a flow by policy."""
        if flow.rule_index >= 0 and self._rulebook.compiled.rules[flow.rule_index].reject:
            return DropReason.DROP_REJECTED
        pooled = flow.before is None and any(flow.destination in network for network in self._pools)
        return DropReason.DROP_POLICY_STRAY if pooled else DropReason.DROP_POLICY

    def _begins_anew(self, index: int) -> bool:
        closing = self._table.entries_view[index]["timeout_class"] == TimeoutClass.TIMEOUT_TCP_CLOSING
        return bool(closing and self._batch.tcp_flags[0] & (SYN | ACK) == SYN)

    def _admit(self, place: Place, forwarded: bool) -> int:
        """Make a flow for row 0, decided with whoever began it as its source; or return minus the reason why not."""
        batch, table = self._batch, self._table
        begins = batch.protocol[0] != TCP or batch.tcp_flags[0] & (SYN | ACK) == SYN
        if not (begins or self._adopts or place.outgoing):
            return -DropReason.DROP_MIDSTREAM
        if len(table) == table.capacity:
            oldest = table.oldest_one()
            if oldest < 0:
                return -DropReason.DROP_FLOW_TABLE_FULL
            self._end(oldest)
            table.remove_one(oldest)
        answers = self._is_answer(place)
        if answers:
            self._arrivals.turn_round()
        over_tcp = batch.protocol[0] == TCP and batch.destination_port[0] == DNS_PORT
        flow = ReplayedFlow(
            namespace=self._labels[0][place.namespace], location=self._labels[1].get(place.location, ""),
            protocol=int(batch.protocol[0]), source=self._arrivals.source, destination=self._arrivals.destination,
            source_port=int(batch.source_port[0]), destination_port=int(batch.destination_port[0]),
            rule="" if forwarded else self._overheard.rule,
        )  # fmt: skip
        live = _Live(flow, place)
        if batch.protocol[0] == UDP and batch.destination_port[0] == DNS_PORT and batch.fragment[0] != Fragment.FRAGMENT_NONE:
            live.flow = replace(flow, method=str(Method.DROP))  # its server would read a query that nobody has read here
        elif forwarded and not over_tcp:
            self._decide_first(live)
        table.insert_misses(batch, self._clock.now_ns)
        index = int(batch.entry[0])
        self._live[index] = live
        self._port_idle.enter_one(table, index, flow.protocol, flow.destination_port, self._clock.now_ns)
        self._listening.begin(index, self._arrivals, live.flow.method, turned=answers)
        if answers:
            self._arrivals.turn_round()
        return index

    def _is_answer(self, place: Place) -> bool:
        """Whether row 0, the first packet seen of its flow, was not sent by who began the flow."""
        batch = self._batch
        if not place.plain:
            return place.outgoing  # as the connector sees it: who sends first through it begins
        flags = int(batch.tcp_flags[0]) & (SYN | ACK)
        if batch.protocol[0] == TCP and flags & SYN:
            return flags == SYN | ACK
        return bool(0 < batch.source_port[0] < WELL_KNOWN <= batch.destination_port[0])

    def _record(self, index: int) -> FlowRecord:
        """What the data plane would say of a flow with its first words."""
        live, flow = self._live[index], self._live[index].flow
        return FlowRecord(live.place.namespace, flow.source.version, flow.protocol, flow.source, flow.source_port,
                          flow.destination, flow.destination_port, 0, flow.rule_index, number_of(live.word),
                          live.place.location, started_ns=self._table.get(index)["started_ns"], naming=naming_of(live.word))

    def _expire(self) -> None:
        table, now_ns = self._table, self._clock.now_ns
        while n := self._port_idle.due_flows(table, now_ns, self._due):
            self._remove(self._due[:n].tolist())
        while n := table.due_flows(now_ns, self._due):
            self._remove(self._due[:n].tolist())

    def _remove(self, indexes: list[int]) -> None:
        for index in indexes:
            if index in self._live:  # it may be named twice: see fastpath.portidle
                self._end(index)
                self._table.remove_one(index)

    def _end(self, index: int) -> None:
        flow, entry = self._live.pop(index).flow, self._table.get(index)
        self._listening.end(index)
        self._ended.append(replace(flow, packets=tuple(entry["packets"]), bytes=tuple(entry["bytes"]),
                                   started_ns=entry["started_ns"], ended_ns=entry["last_seen_ns"]))

    # ---- decisions ----

    def _decide_first(self, live: _Live) -> None:
        """Decide a flow by what is known of row 0, its first packet or like it."""
        live.word = self._names.of(live.place.namespace, live.flow.destination)
        index, rule = self._decision(self._batch, live)
        if naming_of(live.word) and rule.method is Method.DROP:
            live.word = 0  # others said that of its address; it may yet say another name, which it could not if it were dropped
            index, rule = self._decision(self._batch, live)
        live.flow = replace(live.flow, rule_index=index, rule=rule.name, method=str(rule.method), **self._name(live))

    def _named(self, index: int, word: int) -> None:
        """Decide a flow by what it has said, as far as its way can change midway: see fastpath.watch."""
        live = self._live[index]
        if naming_of(word) >= CAUSES_FROM and number_of(live.word):
            return  # its own words name nothing for sure: the address's name stands
        live.word, flow, again = word, live.flow, self._again
        live.flow = replace(flow, **self._name(live))
        again.reset(1)
        for column, end in ((again.source, flow.source), (again.destination, flow.destination)):
            column[0] = np.frombuffer(mapped(end), np.uint8)
        again.ip_version[0], again.protocol[0], again.namespace[0] = flow.source.version, flow.protocol, live.place.namespace
        again.source_port[0], again.destination_port[0], again.fragment[0] = flow.source_port, flow.destination_port, 0
        number, rule = self._decision(again, live)
        before = self._rulebook.compiled.rules[flow.rule_index]
        if number != flow.rule_index and (rule.method is Method.DROP or takes_over(before, rule)):
            packets = tuple(self._table.get(index)["packets"])
            was = Before(flow.rule_index, flow.rule, flow.method, packets) if any(packets) else None
            live.flow = replace(live.flow, rule_index=number, rule=rule.name, method=str(rule.method), before=was)

    def _decision(self, batch: PacketBatch, live: _Live) -> tuple[int, Rule]:
        """The rule for row 0 of a batch as a flow's, and its index."""
        locations, words, out = self._one
        locations[0], words[0] = live.place.location, live.word
        self._rulebook.rules.decide_batch(batch, locations, words, out, self._told_ns)
        return int(out[0]), self._rulebook.compiled.rules[int(out[0])]

    def _name(self, live: _Live) -> dict[str, Any]:
        return {"name": self._rulebook.names.name_of(number_of(live.word)) or "",
                "name_from": NAMINGS[naming_of(live.word)] if live.word else ""}  # fmt: skip

    # ---- DNS ----

    def _is_query_for_us(self, place: Place) -> bool:
        if place.outgoing or not self._is_dns(self._batch.destination_port):
            return False
        arrivals, port = self._arrivals, int(self._batch.source_port[0])
        asker = Asker(place.namespace, arrivals.source, port, arrivals.destination)
        return self._overheard.query(asker, arrivals.datagram, place.location)

    def _hear_answer(self, place: Place) -> None:
        if not self._is_dns(self._batch.source_port):
            return
        arrivals, port = self._arrivals, int(self._batch.destination_port[0])
        asker = Asker(place.namespace, arrivals.destination, port, arrivals.source)
        self._overheard.answer(asker, arrivals.datagram, place.location, stand_in=place.plain)

    def _is_dns(self, ports: np.ndarray[tuple[int], np.dtype[np.uint16]]) -> bool:
        batch = self._batch
        return bool(batch.protocol[0] == UDP and ports[0] == DNS_PORT and batch.fragment[0] == Fragment.FRAGMENT_NONE)
