"""Fakes of what the connector's services talk to: a data plane, a name book, an edge, a place for records."""

import asyncio
from collections import Counter
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network

from zcc.connector.dns import Helpers
from zcc.connector.dns_control import DnsControl
from zcc.connector.dns_gateways import Gateways
from zcc.connector.dns_upstream import NoAnswer
from zcc.connector.full_pools import FullPools
from zcc.connector.ports import TCP, FlowRecord, Punt
from zcc.connector.sessions import Labels
from zcc.connector.settings import ConnectorSettings
from zcc.mtunnel.errors import EdgeDown, StreamGone
from zcc.synthetic.lease import Lease, Tombstone


def networks_of(name: str):
    return {"default": IPv4Network("10.254.0.0/19"), "second": IPv4Network("10.9.0.0/24")}.get(name, ())


PORTAL = Lease(name="portal.corp.example", address=IPv4Address("10.254.0.7"), application="portal", ttl=60)
FLOW = FlowRecord(
    namespace=1, ip_version=4, protocol=TCP, source=IPv4Address("10.8.6.4"), source_port=40000,
    destination=PORTAL.address, destination_port=443, action=5, rule=0, name_id=1, location=1,
    alias=IPv4Address("127.0.0.1"), nat_port=0)


class FakeDatapath:
    """Writes commands down in the order in which they were given."""

    def __init__(self) -> None:
        self.said: list[tuple] = []
        self.owned: dict[tuple[int, bytes], tuple] = {}

    def learn(self, namespace, address, name_id, ttl_s) -> None:
        self.said.append(("learn", namespace, str(address), name_id, ttl_s))

    def own(self, place, name, address, ttl, until_s) -> None:
        self.owned[place.namespace, name] = (str(address), ttl, until_s)

    def disown_all(self) -> None:
        self.owned.clear()

    def reply(self, punt: Punt, packet: bytes) -> None:
        self.said.append(("reply", punt, packet))

    def resume(self, punt: Punt) -> None:
        self.said.append(("resume", punt))

    def close_flow(self, protocol, alias, port) -> None:
        self.said.append(("close", protocol, alias, port))

    def refuse_new_flows(self, refuse: bool) -> None:
        self.said.append(("refuse", refuse))

    @property
    def verbs(self) -> list[str]:
        return [said[0] for said in self.said]


class FakeNames:
    """Numbers from 1; *.corp.example is an application's."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def id_of(self, name: str) -> int:
        return self.numbers.setdefault(name, len(self.numbers) + 1)

    def name_of(self, name_id: int) -> str | None:
        return next((name for name, number in self.numbers.items() if number == name_id), None)

    def application_of(self, name: str) -> str | None:
        return "portal" if name.endswith(".corp.example") else None


class FakeRecords:
    """Keeps records."""

    def __init__(self) -> None:
        self.sessions: list[dict] = []
        self.exchanges: list[dict] = []

    def session(self, **fields) -> None:
        self.sessions.append(fields)

    def dns(self, **fields) -> None:
        self.exchanges.append(fields)


class FakeStream:
    """The far end of a microtunnel: what was written, and what will be read."""

    def __init__(self) -> None:
        self.bytes_in = self.bytes_out = 0
        self.written = bytearray()
        self.datagrams: list[bytes] = []
        self.coming: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.finished = asyncio.Event()
        self.gone = asyncio.Event()
        self.heard = asyncio.Condition()

    async def read(self, n: int = 0) -> bytes:
        data = await self.coming.get()
        if self.gone.is_set():
            raise StreamGone("reset")
        self.bytes_in += len(data or b"")
        return data or b""

    async def write(self, data: bytes) -> None:
        if self.gone.is_set():
            raise StreamGone("reset")
        self.written += data
        self.bytes_out += len(data)
        async with self.heard:
            self.heard.notify_all()

    async def finish(self) -> None:
        self.finished.set()

    def reset(self) -> None:
        self.gone.set()
        self.coming.put_nowait(None)

    async def read_datagram(self) -> bytes | None:
        data = await self.coming.get()
        if self.gone.is_set():
            raise StreamGone("reset")
        return data

    async def write_datagram(self, data: bytes) -> None:
        self.datagrams.append(data)
        async with self.heard:
            self.heard.notify_all()

    async def until_written(self, n: int) -> None:
        async with self.heard:
            await self.heard.wait_for(lambda: len(self.written) >= n or len(self.datagrams) >= n)


class FakeEdge:
    """An edge with leases; `down` makes it unreachable, `gate` makes it slow, `refusal` makes it say no."""

    def __init__(self, *leases: Lease) -> None:
        self.leases = list(leases)
        self.tombstones: dict[IPv4Address, Tombstone] = {}
        self.down = False
        self.refusal: Exception | None = None
        self.gate: asyncio.Event | None = None
        self.asked: Counter = Counter()
        self.opened: list = []
        self.streams: asyncio.Queue[FakeStream] = asyncio.Queue()

    @property
    def edge(self) -> str | None:
        return None if self.down else "10.0.3.10:443"

    async def resolve(self, namespace: str, name: str, pool: str) -> Lease | None:
        await self._pass(("resolve", namespace, name))
        return next((lease for lease in self.leases if (lease.name, lease.pool) == (name, pool)), None)

    async def who_is(self, address: IPv4Address) -> Lease | Tombstone | None:
        await self._pass(("who-is", address))
        held = next((lease for lease in self.leases if lease.address == address), None)
        return held or self.tombstones.get(address)

    async def open(self, request) -> FakeStream:
        await self._pass(("open", request.host))
        self.opened.append(request)
        stream = FakeStream()
        self.streams.put_nowait(stream)
        return stream

    async def _pass(self, what) -> None:
        self.asked[what] += 1
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise EdgeDown("no private edge is connected")
        if self.refusal is not None:
            raise self.refusal


class FakeFlows:
    """Every peer is behind one flow, unless it is told that there is none."""

    def __init__(self, flow: FlowRecord | None = FLOW) -> None:
        self.flow = flow

    def flow_of(self, protocol: int, alias: IPv4Address, port: int) -> FlowRecord | None:
        if self.flow is None:
            return None
        return replace(self.flow, protocol=protocol, alias=alias, nat_port=port)


def labels(names: FakeNames) -> Labels:
    return Labels({1: "co1", 2: "co2"}, {1: "aws-co1"}, {4: "ZIA", 5: "ZPA", 1: "DIRECT"}, ["apps"], names.name_of)


CONNECTOR = {
    "role": "connector", "name": "cc-1", "group": "group-1", "state": "state",
    "identity": {"certificate": "c.pem", "key": "k.pem", "ca": "ca.pem"},
    "namespaces": [{"name": "co1", "id": 1}, {"name": "co2", "id": 2}], "locations": ["aws-1", "aws-2"],
    "ingress": {"address": "10.1.200.11"}, "kernel": {"internal": "198.18.0.0/16"},
    "zpa": {"edges": ["10.0.3.10:443"], "pool": "10.254.0.0/19"}, "health": {"address": "10.1.200.11"},
    "applications": [{"name": "portal", "domains": ["*.corp.example"], "tcp": [443]}],
}


class FakeServers:
    """DNS servers by address; one that is not there does not answer."""

    def __init__(self) -> None:
        self.answers: dict[IPv4Address, bytes] = {}
        self.asked: list[tuple[IPv4Address, bytes]] = []

    async def ask(self, server: IPv4Address, wire: bytes) -> bytes:
        self.asked.append((server, wire))
        await asyncio.sleep(0)
        if server not in self.answers:
            raise NoAnswer("silence")
        return wire[:2] + self.answers[server][2:]


def helpers(resolver, interceptor, teacher, clock, servers: FakeServers | None = None, **more) -> Helpers:
    """Whom a DnsService asks; `more` are fields of the connector's file, such as dns_rules."""
    made = ConnectorSettings.model_validate({**CONNECTOR, **more})
    gateways = Gateways(made.dns_gateways, clock, (servers or FakeServers()).ask)
    return Helpers(resolver, interceptor, DnsControl(made, clock), gateways, teacher, FullPools(made, clock))
