"""Datapath: the connector's one doorway to fastpath: commands to the workers, and what they have to say.

Journey: services of the control plane call `learn`, `reply`, `resume` …; each becomes one command, carried out in order: what
every worker must know is told to all, an answer goes to the worker that asked. The workers' events come out of `pump` as
Punts and go to whoever subscribed to their reason. It decides nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import logging
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address

import numpy as np
import numpy.typing as npt

from fastpath.action import Action, DropReason, PuntReason
from fastpath.classify import RuleSet
from fastpath.dtls import Session
from fastpath.message import Command, Event, command, drain
from fastpath.packetio import UdpSocket
from fastpath.refusal import Refusal
from fastpath.stream import Stream
from fastpath.worker import Worker
from zcc.connector.bound import Bound
from zcc.connector.crew import Crew
from zcc.connector.events import Events
from zcc.connector.flow_log import FlowLog
from zcc.connector.plan import Plan
from zcc.connector.ports import Counters, FlowRecord, Place, Punt
from zcc.connector.record_pump import RecordPump
from zcc.connector.sessions import Labels
from zcc.connector.tallies import added_up, named
from zcc.errors import ZccError
from zcc.telemetry.logs import Logs

log = logging.getLogger(__name__)

EVERY_NAMESPACE = 0xFFFF
EVENTS_AT_ONCE, UNREAD = 64, 1024
WORDS_AT_ONCE = 64  # then others of the loop have their turn
NAME_BITS = 26  # of fastpath.naming
NO_TUNNEL = 255

METHODS: dict[int, str] = {
    action: action.name.removeprefix("ACTION_") for action in Action if action != Action.ACTION_NONE
}
METHODS[Action.ACTION_REJECT] = "DROP"      # it differs in what the sender is told
_NO_DROPS = (DropReason.DROP_NONE, DropReason.DROP_REASONS, DropReason.DROP_SHARD_MOVED, DropReason.DROP_PART_HELD)
_DROPS: dict[int, str] = {
    reason: reason.name.removeprefix("DROP_").lower() for reason in DropReason if reason not in _NO_DROPS
}
_REFUSALS: dict[int, str] = {refusal: refusal.name.removeprefix("REFUSAL_").lower() for refusal in Refusal}
_PUNTS: dict[int, str] = {reason: reason.name.removeprefix("PUNT_").lower() for reason in PuntReason}


class Datapath:
    """The workers and the control plane's end of them. All methods are for the control plane's thread."""

    def __init__(self, plan: Plan, rules: RuleSet) -> None:
        """Open the sockets and make the tables.

        Raises:
            OSError: the service address or the device can not be opened.
        """
        self._crew = Crew(plan, rules)
        self._workers, self.exchange_pools = self._crew.workers, self._crew.exchange_pools
        self._tunnels = self._crew.tunnels[0]
        self._events_of = [Events(self._crew.aliases_of(number), plan.egress, number) for number in range(plan.workers)]
        self._records = [
            RecordPump(ring, functools.partial(self._hand, number), functools.partial(_unrecorded, self._workers[number]))
            for number, ring in enumerate(self._crew.records)
        ]
        self._told = self._all_told = 0     # of what every worker is told: the last number, and the last that all have got
        self._receive_lost = 0
        self._subscribers: dict[str, Callable[[Punt], None]] = {}
        self.bound = Bound(self._crew)

    def by_worker(self) -> list[Datapath]:
        """Return one for each worker that speaks to that one alone: what a worker has for itself are its tunnels."""
        made = []
        for worker, tunnels in zip(self._workers, self._crew.tunnels, strict=True):
            one = copy.copy(self)
            one._workers, one._tunnels = [worker], tunnels
            made.append(one)
        return made

    @property
    def dns_fd(self) -> int:
        """The descriptor of a DNS listener's socket, to send by; -1 = there is none."""
        listener = self._workers[0].listener
        return -1 if listener is None else listener.socket.fd

    def subscribe(self, reason: str, handler: Callable[[Punt], None]) -> None:
        """Have `handler` called with each Punt of a reason; one handler a reason.

        Args:
            reason: as in Counters.punts: dns_query, dns_answer, unknown_synthetic, flow_closed …
        Raises:
            ValueError: there is no such reason.
        """
        if reason not in _PUNTS.values():
            raise ValueError(f"reason must be one of {', '.join(_PUNTS.values())}, not {reason!r}")
        self._subscribers[reason] = handler

    def write_down(self, labels: Labels, logs: Logs) -> None:
        """Have flows that end written down, all but ZPA's; nobody is called for them any more."""
        for records in self._records:
            records.flow_log = FlowLog(labels, self._crew.plan.egress, logs)

    @staticmethod
    def session(connection: object) -> Session:
        """Make what attach_tunnel takes of a pyOpenSSL connection whose handshake is done."""
        return Session(connection)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the workers; their events are pumped whenever the loop sees them."""
        self._loop = self.bound.loop = loop
        for number in range(len(self._workers)):
            loop.add_reader(self._crew.events[number].fileno(), self._pump, number, EVENTS_AT_ONCE)
            loop.add_reader(self._crew.words[number].fileno(), self._pump_words, number)
            self._records[number].start(loop)
        self._crew.start()

    def stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop the workers, wait for their threads, and hand on what they had still to say."""
        for ring in (*self._crew.events, *self._crew.words):
            loop.remove_reader(ring.fileno())
        for records in self._records:
            records.stop()
        self._lost()
        self._crew.stop()
        self.pump()
        for records in self._records:
            records.finish()

    def pump(self) -> None:
        """Hand every waiting event to its subscriber."""
        for number in range(len(self._workers)):
            self._pump(number)

    def _pump(self, number: int, at_once: int = UNREAD) -> None:
        self._hand(number, drain(self._crew.events[number], at_once))
        self.bound.watch()

    def _hand(self, number: int, events: Iterable[Event]) -> None:
        for event in events:
            punt = self._events_of[number].punt(event)
            self.bound.track(punt)
            if (handler := self._subscribers.get(_PUNTS[punt.reason])) is not None:
                _hand_over(handler, punt)

    def _pump_words(self, number: int) -> None:
        handler = self._subscribers.get(_PUNTS[PuntReason.PUNT_WORDS])
        for event in drain(self._crew.words[number], WORDS_AT_ONCE):
            if handler is not None:
                _hand_over(handler, self._events_of[number].punt(event))

    # ---- commands ----

    def learn(
        self, namespace: int | None, address: IPv4Address | IPv6Address, name_id: int, ttl_s: float, naming: int = 0
    ) -> None:
        """Make `address` belong to the name for `ttl_s`; None = every namespace. In force before what is queued after it.

        A name that flows say (`naming`) does not replace one by DNS.

        An IPv4-mapped IPv6 address is on no wire, but the tables hold IPv4 addresses so: it is not learned, or an AAAA record
        could name the addresses that an A record may not.
        """
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            return
        self._command_all(
            Command.COMMAND_LEARN,
            namespace=EVERY_NAMESPACE if namespace is None else namespace,
            address=address,
            value=naming << NAME_BITS | name_id,
            until_ns=time.monotonic_ns() + int(ttl_s * 1e9),
        )

    def forget(self, namespace: int, address: IPv4Address | IPv6Address, number: int, naming: int) -> None:
        """Make `address` belong to no name, if it is this one that it belongs to."""
        word = naming << NAME_BITS | number
        self._command_all(Command.COMMAND_FORGET, namespace=namespace, address=address, value=word)

    def name_flow(self, punt: Punt, number: int, naming: int) -> None:
        """Name the flow whose words a punt was, and have it decided again.

        Args:
            number: of the name; 0 = none.
            naming: how it is known, or why it is not.
        """
        assert punt.flow is not None
        self._command(
            Command.COMMAND_NAME, punt.worker, namespace=punt.namespace, location=punt.value, endpoint=punt.endpoint,
            until_ns=punt.flow.started_ns, value=naming << NAME_BITS | number, packet=punt.packet, header=punt.header,
            peer=punt.peer,
        )

    def own(self, place: Place, name: bytes, address: IPv4Address, ttl: int, until_s: float) -> None:
        """Answer queries for a name in the workers, for so long."""
        self._command_all(
            Command.COMMAND_OWN, namespace=place.namespace, location=place.location, packet=name, address=address,
            value=ttl, until_ns=time.monotonic_ns() + int(until_s * 1e9),
        )

    def disown_all(self) -> None:
        """Have queries for every name punted again."""
        for number in range(len(self._workers)):
            self._command(Command.COMMAND_DISOWN, number)

    def reply(self, punt: Punt, packet: bytes) -> None:
        """Send an inner packet back to the workload under the punt's header."""
        self._command(
            Command.COMMAND_DELIVER, punt.worker, packet=packet, header=punt.header, peer=punt.peer, endpoint=self._all_told
        )

    def resume(self, punt: Punt) -> None:
        """Let the punted packet go on as if it had not been punted: answers to the workload, the rest by policy."""
        kind = (
            Command.COMMAND_DELIVER if punt.reason == PuntReason.PUNT_DNS_ANSWER else Command.COMMAND_RESUME
        )
        self._command(
            kind, punt.worker, packet=punt.packet, header=punt.header, peer=punt.peer, endpoint=self._all_told
        )

    def close_flow(self, protocol: int, alias: IPv4Address, port: int) -> None:
        """Forget the flow bound to (protocol, alias, port)."""
        self._command(Command.COMMAND_RESET, self._crew.owner_of(alias), bound=(protocol, alias, port))

    def refuse_new_flows(self, refuse: bool) -> None:
        """Drop first packets (draining), or take them again."""
        for number in range(len(self._workers)):
            self._command(Command.COMMAND_DRAIN, number, value=int(refuse))

    def exchange_rules(self, rules: RuleSet) -> asyncio.Future[None]:
        """Decide by a new rule set; live flows are decided again at their next packet.

        Returns:
            Done once every worker decides by it; a ZccError when one can not be told.
        """
        loop = self._loop
        done: asyncio.Future[None] = loop.create_future()

        left = set(range(len(self._workers)))

        def exchange(number: int) -> None:
            self._workers[number].admission.exchange_rules(rules)
            with contextlib.suppress(RuntimeError):     # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_finish, done, left, number)

        for number in tuple(left):
            if not self._exchange(functools.partial(exchange, number), number) and not done.done():
                done.set_exception(ZccError("a worker takes no commands; is it alive? try again, or restart the connector"))
        return done

    def attach_tunnel(self, place: int, session: Session, sock_fd: int, mtu: int) -> None:
        """Give a session, its handshake done, and its connected socket to the worker; places are those of fastpath.tunnels."""
        self._exchange(functools.partial(self._tunnels.attach, place, session, UdpSocket(sock_fd), mtu))

    def attach_stream(self, place: int, connection: object, sock_fd: int, mtu: int) -> None:
        """The same with a TLS session over TCP."""
        self._exchange(functools.partial(self._tunnels.attach_stream, place, Stream(connection, sock_fd), mtu))

    def resize_tunnel(self, place: int, mtu: int, parts: bool) -> None:
        """Let packets of up to `mtu` bytes go by a session; with `parts` those of 1,280 in any case."""
        self._exchange(lambda: self._tunnels.resize(place, mtu, parts))

    def swap_tunnel(self, slot: int) -> None:
        """Exchange the session in a slot with the one beside it, between two batches."""
        self._exchange(lambda: self._tunnels.swap(slot))

    def tunnel_records(self, place: int) -> tuple[int, int]:
        """Return how many records a session has sealed and opened."""
        return self._tunnels.records(place)

    def detach_tunnel(self, place: int) -> None:
        """Take a session back; what is on its way in it is lost."""
        self._command(Command.COMMAND_TUNNEL_DETACH, slot=place)
        self._exchange(lambda: self._tunnels.release(place))

    def activate_tunnel(self, gateway: int, slot: int | None, edges: Iterable[int]) -> None:
        """Send new flows of a gateway by `slot`, one of the slots of its edges; None = none of them is up."""
        self._command(
            Command.COMMAND_TUNNEL_ACTIVE, value=gateway, slot=NO_TUNNEL if slot is None else slot,
            endpoint=sum(1 << edge for edge in set(edges)),
        )

    def send_control(self, place: int, packet: bytes) -> None:
        """Seal a Geneve packet in the session of a place as it is and send it."""
        self._command(Command.COMMAND_TUNNEL_CONTROL, slot=place, packet=packet)

    def _command(self, kind: Command, worker: int = 0, **fields: object) -> bool:
        if command(self._workers[worker].commands, kind, **fields):  # type: ignore[arg-type]
            return True
        log.warning("command ring is full: %s is lost", kind.name)
        return False

    def _command_all(self, kind: Command, **fields: object) -> None:
        """Tell every worker; what is queued after it leaves when all of them have heard it."""
        self._told += 1
        told = [self._command(kind, number, endpoint=self._told, **fields) for number in range(len(self._workers))]
        if all(told):       # else some would be waited for in vain
            self._all_told = self._told

    def _exchange(self, call: Callable[[], None], worker: int = 0) -> bool:
        def guarded() -> None:
            try:
                call()
            except Exception:       # it would end the worker's thread
                log.exception("an exchange failed")

        if self._workers[worker].exchange(guarded):
            return True
        log.warning("command ring is full: an exchange is lost")
        return False

    # ---- what is known ----

    def flow_of(self, protocol: int, alias: IPv4Address, port: int) -> FlowRecord | None:
        """Find the live flow bound to (protocol, alias, port), unread events included."""
        self.pump()
        return self.bound.get(protocol, alias, port)

    def live_flows(self) -> npt.NDArray[np.void]:
        """Copy the entries (fastpath.flowentry.ENTRY) of the flows that rules decided; any thread.

        The worker goes on meanwhile, so a flow that begins or ends just then may be there or not.
        """
        tables = [worker.admission.flows.entries_view for worker in self._workers]
        return np.concatenate([entries[(entries["used"] != 0) & (entries["rule"] >= 0)] for entries in tables])

    def live_destinations(self) -> list[IPv4Address]:
        """Return the synthetic addresses that live ZPA flows go to, each once; any thread, as live_flows."""
        entries = self.live_flows()
        zpa = entries[(entries["action"] == Action.ACTION_ZPA) & (entries["ip_version"] == 4)]
        far = np.where((zpa["initiator"] == 0)[:, None], zpa["b_address"], zpa["a_address"])
        numbers = np.unique(np.ascontiguousarray(far[:, 12:]).view(">u4"))
        return [IPv4Address(int(number)) for number in numbers]

    def counters(self) -> Counters:
        """Add up the workers' counters. Each number is one word, so a torn read is impossible; together they are no snapshot.

        The heartbeat is that of the worker whose last turn is longest ago.
        """
        raw = added_up([worker.counters() for worker in self._workers])
        return Counters(
            packets=named(METHODS, raw["packets"]),
            bytes=named(METHODS, raw["bytes"]),
            drops=named(_DROPS, raw["drops"]),
            punts=named(_PUNTS, raw["events"]),
            rings_lost={"punt": raw["events_lost"], "inject": raw["commands_lost"], "receive": self._lost(),
                        "records": sum(ring.lost for ring in self._crew.records),
                        "words": sum(ring.lost for ring in self._crew.words)},
            flows=raw["flows"],
            flows_opened=raw["opened"],
            dns_answered=raw["dns_answered"],
            dns_unrecorded=raw["dns_unrecorded"],
            heartbeat_ns=raw["heartbeat_ns"],
            refusals=named(_REFUSALS, raw["refusals"]) | {"untold": raw["untold"]},
            cut=raw["cut"],
            handed_over=raw["drops"][DropReason.DROP_SHARD_MOVED],
        )

    def _lost(self) -> int:
        if all(worker.geneve.fileno() >= 0 for worker in self._workers):      # once they are closed the last reading stands
            self._receive_lost = sum(worker.geneve.lost() for worker in self._workers)
        return self._receive_lost


def _hand_over(handler: Callable[[Punt], None], punt: Punt) -> None:
    try:
        handler(punt)
    except Exception:       # the events behind it have left the ring already
        log.exception("the handler of %s failed", _PUNTS[punt.reason])


def _unrecorded(worker: Worker) -> int:
    return int(worker.counters()["unrecorded"])


def _finish(done: asyncio.Future[None], left: set[int], number: int) -> None:
    left.discard(number)
    if not left and not done.done():
        done.set_result(None)
