"""Ports: the words between the connector's services and its data plane.

Journey: the worker punts packets and flow records; the services answer with a reply, a resume or a name
learned. `datapath` implements `Datapath` and `Flows`; `dns`, `stray` and `relay` are written against them.
All of it runs on the control plane's one thread. It holds no behaviour and knows nothing of `fastpath`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import NamedTuple, Protocol

TCP = 6  # IANA protocol numbers
UDP = 17

DNS_TCP_PORT = 5353  # listeners on the device's .0.1; only rewritten flows and their like reach them
RELAY_TCP_PORT = 5080
RELAY_UDP_PORT = 5080


@dataclass(frozen=True, slots=True)
class FlowRecord:
    """A flow as its initiator sees it; counters are pairs (from the initiator, to it)."""

    namespace: int
    ip_version: int
    protocol: int
    source: IPv4Address | IPv6Address
    source_port: int
    destination: IPv4Address | IPv6Address
    destination_port: int
    action: int  # fastpath Action
    rule: int  # index of the deciding rule; -1 = none
    name_id: int  # of the destination; 0 = no name known
    location: int
    packets: tuple[int, int] = (0, 0)
    bytes: tuple[int, int] = (0, 0)
    started_ns: int = 0
    ended_ns: int = 0  # of the last packet so far while it lives
    nat_address: IPv4Address | IPv6Address | None = None  # source it leaves with; None = not rewritten
    nat_port: int = 0  # valid iff nat_address or alias is set
    tunnel: int = 255  # slot of the internet tunnel; 255 = none
    naming: int = 0  # how the name is known, or why it is not: place in zcc.policy.objects.unnamed.NAMINGS
    alias: IPv4Address | None = None  # the workload inside the kernel; iff ZPA or DNS over TCP


@dataclass(frozen=True, slots=True)
class Punt:
    """One event of the worker."""

    reason: int  # fastpath PuntReason
    namespace: int
    location: int
    endpoint: int
    packet: bytes = b""  # inner IP packet; b"" for flow events
    header: bytes = b""  # Geneve header to echo; b"" = none
    peer: tuple[int, int] = (0, 0)  # outer IPv4 address as an integer, UDP port
    slot: int = 255  # tunnel slot; valid iff a tunnel event
    flow: FlowRecord | None = None
    value: int = 0  # too big: the MTU of the way out; words: slot of the flow, its hash in `endpoint`, its base in `location`
    worker: int = 0  # who has it; what comes of it goes to that one


@dataclass(frozen=True, slots=True)
class Counters:
    """What the workers have counted since they started; names are complete, zero included."""

    packets: Mapping[str, int]  # by method: ZIA ZPA DIRECT DROP LOCAL
    bytes: Mapping[str, int]  # by method, inner bytes
    drops: Mapping[str, int]  # by drop reason in lower case without the prefix: geneve_short …
    punts: Mapping[str, int]  # by punt reason, likewise: dns_query …
    rings_lost: Mapping[str, int]  # by ring: punt, inject, records …
    flows: int  # alive now
    flows_opened: int
    dns_answered: int  # queries for owned names, in the data plane
    dns_unrecorded: int  # of these, more than may be recorded
    heartbeat_ns: int  # monotonic, of the last turn of the worker that is longest silent
    refusals: Mapping[str, int]  # told to senders: prohibited, too_big, expired; untold
    cut: int  # packets too large for their way out, sent in fragments
    handed_over: int = 0  # packets that came to another worker than their own


class Place(NamedTuple):
    """Where a client is, by the data plane's numbers."""

    namespace: int
    location: int


DnsListen = tuple[str, int, int, int]  # address, port; namespace and location id of its clients


class Datapath(Protocol):
    """Commands to the worker, carried out in the order given."""

    def learn(
        self, namespace: int | None, address: IPv4Address | IPv6Address, name_id: int, ttl_s: float
    ) -> None:
        """Make `address` belong to the name for `ttl_s`; None = every namespace.

        Effective before whatever is queued after it.
        """

    def own(self, place: Place, name: bytes, address: IPv4Address, ttl: int, until_s: float) -> None:
        """Answer queries for a name with its address in the data plane.

        Args:
            place: of the clients; the location counts iff pools go by location.
            name: wire form, lower case.
            ttl: seconds, of answers.
            until_s: seconds from now for which that holds.
        """

    def disown_all(self) -> None:
        """Have queries for every name punted again."""

    def reply(self, punt: Punt, packet: bytes) -> None:
        """Send an inner packet back to the workload under the punt's header."""

    def resume(self, punt: Punt) -> None:
        """Let the punted packet go on along the policy as if it had not been punted."""

    def close_flow(self, protocol: int, alias: IPv4Address, port: int) -> None:
        """Forget the flow bound to (protocol, alias, port)."""

    def refuse_new_flows(self, refuse: bool) -> None:
        """Drop first packets (draining), or take them again."""

    def counters(self) -> Counters:
        """Read the worker's counters."""


class Flows(Protocol):
    """Who is behind a peer address that the kernel accepted."""

    def flow_of(self, protocol: int, alias: IPv4Address, port: int) -> FlowRecord | None:
        """Find the live flow bound to (protocol, alias, port), unread events included; None = none."""


class Names(Protocol):
    """Names that the policy's rules and applications speak of, and their numbers in the data plane."""

    def id_of(self, name: str) -> int:
        """Return the number of a name (lower case, no trailing dot), given out at its first use.

        0 = no rule and no application speaks of it.
        """

    def name_of(self, name_id: int) -> str | None:
        """Return the name with that number; None = not given out."""

    def application_of(self, name: str) -> str | None:
        """Return the application that owns the name; None = no application's."""
