"""Datapath: the connector's one doorway to fastpath. It owns the worker's thread, its rings and its tables.

Journey: services of the control plane call `learn`, `reply`, `resume` …; each becomes one command, carried out in order.
The worker's events come out of `pump` as Punts and go to whoever subscribed to their reason. It decides nothing.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv6Address

import numpy as np
import numpy.typing as npt

from fastpath.action import Action, DropReason, PuntReason
from fastpath.admission import Admission
from fastpath.alias import AliasTable
from fastpath.classify import RuleSet
from fastpath.dnslistener import DnsListener
from fastpath.dtls import Session
from fastpath.endpoint import EndpointMap
from fastpath.flowtable import FlowTable, TimeoutClass
from fastpath.message import Command, command, drain
from fastpath.nametable import NameTable
from fastpath.nat import NatTable
from fastpath.owned import OwnedNames
from fastpath.packetio import Device, UdpSocket
from fastpath.portidle import PortIdle
from fastpath.refusal import Refusal
from fastpath.ring import Ring
from fastpath.tunnels import Tunnels
from fastpath.worker import Worker
from fastpath.xsk import XskPort
from zcc.connector.events import Events
from zcc.connector.ingress import open_ingress
from zcc.connector.plan import Plan
from zcc.connector.ports import Counters, FlowRecord, Place, Punt
from zcc.errors import ZccError

log = logging.getLogger(__name__)

EVERY_NAMESPACE = 0xFFFF
ALIASES = 65_000
NAMES = 1 << 18
OWNED = 1 << 16
EVENT_RING_BYTES = 1 << 24
COMMAND_RING_BYTES = 1 << 23
WORDS_RING_BYTES = 1 << 21  # of copies of first packets; its own, so that they cost no other event its room
WORDS_AT_ONCE = 64  # then others of the loop have their turn
NAME_BITS = 26  # of fastpath.naming
NO_TUNNEL = 255

METHODS: dict[int, str] = {
    action: action.name.removeprefix("ACTION_") for action in Action if action != Action.ACTION_NONE
}
METHODS[Action.ACTION_REJECT] = "DROP"      # it differs in what the sender is told
_DROPS: dict[int, str] = {
    reason: reason.name.removeprefix("DROP_").lower()
    for reason in DropReason
    if reason not in (DropReason.DROP_NONE, DropReason.DROP_REASONS)
}
_CLASSES = {kind.name.removeprefix("TIMEOUT_").lower(): int(kind) for kind in TimeoutClass}
_REFUSALS: dict[int, str] = {refusal: refusal.name.removeprefix("REFUSAL_").lower() for refusal in Refusal}
_PUNTS: dict[int, str] = {reason: reason.name.removeprefix("PUNT_").lower() for reason in PuntReason}


class Datapath:
    """One worker and the control plane's end of it. All methods are for the control plane's thread."""

    def __init__(self, plan: Plan, rules: RuleSet) -> None:
        """Open the sockets and make the tables.

        Raises:
            OSError: the service address or the device can not be opened.
        """
        self._base, self._words = plan.internal[2], Ring(WORDS_RING_BYTES)
        tunnels, events = Tunnels(), Ring(EVENT_RING_BYTES)
        admission = Admission(
            FlowTable(plan.flows, {_CLASSES[name]: s for name, s in plan.idle.items()}, ready=plan.flows),
            NatTable(plan.flows, (1024, 65535), secrets.token_bytes(32)),
            NameTable(NAMES, secrets.token_bytes(32)),
            AliasTable(self._base, min(ALIASES, plan.internal.num_addresses - 3)),
            rules, tunnels, events,
            secret=secrets.token_bytes(32),
            pools=plan.pools,
            internal=plan.internal,
            ports=plan.ports,
            egress=plan.egress,
            mtus=(plan.zia_mtu, plan.direct_mtu),
            midstream=plan.midstream,
            port_idle=PortIdle(plan.flows, plan.port_idle),
            owned=OwnedNames(OWNED, secrets.token_bytes(32), plan.dns_text, plan.dns_by_location),
        )
        device = Device.tun(plan.device) if plan.device_kind == "tun" else Device.veth(plan.device)
        port = open_ingress(plan.io, str(plan.address), plan.port, plan.flows)
        self._worker = Worker(
            port,
            device,
            EndpointMap(plan.endpoints),
            admission,
            Ring(COMMAND_RING_BYTES),
            kernel_flows=port.flows if isinstance(port, XskPort) else None,
            words=self._words,
        )
        if plan.dns_listen is not None:
            address, dns_port, *of = plan.dns_listen
            self._worker.listen(DnsListener(UdpSocket.bind(address, dns_port), admission, *of))
        self._plan, self._tunnels, self._events = plan, tunnels, events
        self._events_of = Events(self._base, plan.egress)
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)
        self._receive_lost = 0
        self._subscribers: dict[str, Callable[[Punt], None]] = {}
        self._bound: dict[tuple[int, IPv4Address, int], FlowRecord] = {}

    @property
    def dns_fd(self) -> int:
        """The descriptor of the DNS listener's socket, to send by; -1 = there is none."""
        listener = self._worker.listener
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

    @staticmethod
    def session(connection: object) -> Session:
        """Make what attach_tunnel takes of a pyOpenSSL connection whose handshake is done."""
        return Session(connection)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the worker; its events are pumped whenever the loop sees them."""
        self._loop = loop
        loop.add_reader(self._events.fileno(), self.pump)
        loop.add_reader(self._words.fileno(), self._pump_words)
        self._thread.start()

    def stop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop the worker, wait for its thread, and hand on what it had still to say."""
        loop.remove_reader(self._events.fileno())
        loop.remove_reader(self._words.fileno())
        self._worker.stop()
        if self._thread.ident is not None:      # it was started
            self._thread.join(timeout=5)
        self._worker.geneve.close()
        self.pump()

    def _work(self) -> None:
        core = self._plan.io.core
        if core is not None:
            try:
                os.sched_setaffinity(0, {core})      # of this thread alone
            except OSError as error:
                log.warning("the worker is not bound to CPU %d: %s", core, error.strerror)
        self._worker.run()

    def pump(self) -> None:
        """Hand every waiting event to its subscriber."""
        for event in drain(self._events):
            punt = self._events_of.punt(event)
            self._track(punt)
            handler = self._subscribers.get(_PUNTS[punt.reason])
            if handler is not None:
                _hand_over(handler, punt)

    def _pump_words(self) -> None:
        handler = self._subscribers.get(_PUNTS[PuntReason.PUNT_WORDS])
        for event in drain(self._words, WORDS_AT_ONCE):
            if handler is not None:
                _hand_over(handler, self._events_of.punt(event))

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
        self._command(
            Command.COMMAND_LEARN,
            namespace=EVERY_NAMESPACE if namespace is None else namespace,
            address=address,
            value=naming << NAME_BITS | name_id,
            until_ns=time.monotonic_ns() + int(ttl_s * 1e9),
        )

    def forget(self, namespace: int, address: IPv4Address | IPv6Address, number: int, naming: int) -> None:
        """Make `address` belong to no name, if it is this one that it belongs to."""
        word = naming << NAME_BITS | number
        self._command(Command.COMMAND_FORGET, namespace=namespace, address=address, value=word)

    def name_flow(self, punt: Punt, number: int, naming: int) -> None:
        """Name the flow whose words a punt was, and have it decided again.

        Args:
            number: of the name; 0 = none.
            naming: how it is known, or why it is not.
        """
        assert punt.flow is not None
        self._command(
            Command.COMMAND_NAME, namespace=punt.namespace, location=punt.value, endpoint=punt.endpoint,
            until_ns=punt.flow.started_ns, value=naming << NAME_BITS | number, packet=punt.packet, header=punt.header,
            peer=punt.peer,
        )

    def own(self, place: Place, name: bytes, address: IPv4Address, ttl: int, until_s: float) -> None:
        """Answer queries for a name in the worker, for so long."""
        self._command(
            Command.COMMAND_OWN, namespace=place.namespace, location=place.location, packet=name, address=address,
            value=ttl, until_ns=time.monotonic_ns() + int(until_s * 1e9),
        )

    def disown_all(self) -> None:
        """Have queries for every name punted again."""
        self._command(Command.COMMAND_DISOWN)

    def reply(self, punt: Punt, packet: bytes) -> None:
        """Send an inner packet back to the workload under the punt's header."""
        self._command(Command.COMMAND_DELIVER, packet=packet, header=punt.header, peer=punt.peer)

    def resume(self, punt: Punt) -> None:
        """Let the punted packet go on as if it had not been punted: answers to the workload, the rest by policy."""
        kind = (
            Command.COMMAND_DELIVER if punt.reason == PuntReason.PUNT_DNS_ANSWER else Command.COMMAND_RESUME
        )
        self._command(kind, packet=punt.packet, header=punt.header, peer=punt.peer)

    def close_flow(self, protocol: int, alias: IPv4Address, port: int) -> None:
        """Forget the flow bound to (protocol, alias, port)."""
        self._command(Command.COMMAND_RESET, bound=(protocol, alias, port))

    def refuse_new_flows(self, refuse: bool) -> None:
        """Drop first packets (draining), or take them again."""
        self._command(Command.COMMAND_DRAIN, value=int(refuse))

    def exchange_rules(self, rules: RuleSet) -> asyncio.Future[None]:
        """Decide by a new rule set; live flows are decided again at their next packet.

        Returns:
            Done once the worker decides by it; a ZccError when the worker can not be told.
        """
        loop = self._loop
        done: asyncio.Future[None] = loop.create_future()

        def exchange() -> None:
            self._worker.admission.exchange_rules(rules)
            with contextlib.suppress(RuntimeError):     # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_finish, done)

        if not self._exchange(exchange):
            done.set_exception(ZccError("the worker takes no commands; is it alive? try again, or restart the connector"))
        return done

    def attach_tunnel(self, place: int, session: Session, sock_fd: int, mtu: int) -> None:
        """Give a session, its handshake done, and its connected socket to the worker; places are those of fastpath.tunnels."""
        socket = UdpSocket(sock_fd)
        self._exchange(lambda: self._tunnels.attach(place, session, socket, mtu))

    def resize_tunnel(self, place: int, mtu: int) -> None:
        """Let packets of up to `mtu` bytes go by a session."""
        self._exchange(lambda: self._tunnels.resize(place, mtu))

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

    def _command(self, kind: Command, **fields: object) -> None:
        if not command(self._worker.commands, kind, **fields):  # type: ignore[arg-type]
            log.warning("command ring is full: %s is lost", kind.name)

    def _exchange(self, call: Callable[[], None]) -> bool:
        def guarded() -> None:
            try:
                call()
            except Exception:       # it would end the worker's thread
                log.exception("an exchange failed")

        if self._worker.exchange(guarded):
            return True
        log.warning("command ring is full: an exchange is lost")
        return False

    # ---- what is known ----

    def flow_of(self, protocol: int, alias: IPv4Address, port: int) -> FlowRecord | None:
        """Find the live flow bound to (protocol, alias, port), unread events included."""
        self.pump()
        return self._bound.get((protocol, alias, port))

    def live_flows(self) -> npt.NDArray[np.void]:
        """Copy the entries (fastpath.flowentry.ENTRY) of the flows that rules decided; any thread.

        The worker goes on meanwhile, so a flow that begins or ends just then may be there or not.
        """
        entries = self._worker.admission.flows.entries_view
        return np.asarray(entries[(entries["used"] != 0) & (entries["rule"] >= 0)])

    def live_destinations(self) -> list[IPv4Address]:
        """Return the synthetic addresses that live ZPA flows go to, each once; any thread, as live_flows."""
        entries = self.live_flows()
        zpa = entries[(entries["action"] == Action.ACTION_ZPA) & (entries["ip_version"] == 4)]
        far = np.where((zpa["initiator"] == 0)[:, None], zpa["b_address"], zpa["a_address"])
        numbers = np.unique(np.ascontiguousarray(far[:, 12:]).view(">u4"))
        return [IPv4Address(int(number)) for number in numbers]

    def counters(self) -> Counters:
        """Read the worker's counters. Each number is one word, so a torn read is impossible; together they are no snapshot."""
        raw = self._worker.counters()
        return Counters(
            packets=_named(METHODS, raw["packets"]),
            bytes=_named(METHODS, raw["bytes"]),
            drops=_named(_DROPS, raw["drops"]),
            punts=_named(_PUNTS, raw["events"]),
            rings_lost={"punt": raw["events_lost"], "inject": raw["commands_lost"], "receive": self._lost(),
                        "words": self._words.lost},
            flows=raw["flows"],
            flows_opened=raw["opened"],
            dns_answered=raw["dns_answered"],
            dns_unrecorded=raw["dns_unrecorded"],
            heartbeat_ns=raw["heartbeat_ns"],
            refusals=_named(_REFUSALS, raw["refusals"]) | {"untold": raw["untold"]},
            cut=raw["cut"],
        )

    def _lost(self) -> int:
        if self._worker.geneve.fileno() >= 0:      # once it is closed the last reading stands
            self._receive_lost = self._worker.geneve.lost()
        return self._receive_lost

    def _track(self, punt: Punt) -> None:
        flow = punt.flow
        if flow is None or flow.alias is None:
            return
        key = (flow.protocol, flow.alias, flow.nat_port)
        if punt.reason == PuntReason.PUNT_FLOW_OPENED:
            self._bound[key] = flow
        elif punt.reason == PuntReason.PUNT_FLOW_CLOSED:
            self._bound.pop(key, None)


def _hand_over(handler: Callable[[Punt], None], punt: Punt) -> None:
    try:
        handler(punt)
    except Exception:       # the events behind it have left the ring already
        log.exception("the handler of %s failed", _PUNTS[punt.reason])


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _named(names: dict[int, str], values: Iterable[int]) -> dict[str, int]:
    numbers = list(values)
    named = dict.fromkeys(names.values(), 0)
    for key, name in names.items():
        named[name] += numbers[key]
    return named
