"""A worker taken turn by turn, for tests: GWLB's end, the kernel's end and an internet edge's end are all in the test's hands.

The clock is a number, a turn is a call. Needs a network namespace of its own (`isolation.isolated`).
"""

import contextlib
import select
import socket
import tempfile
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from dtls_pair import contexts, pair
from fastpath import geneve, gwlb
from fastpath.action import Action, DropReason, PuntReason
from fastpath.admission import Admission
from fastpath.alias import AliasTable
from fastpath.batch import PacketBatch
from fastpath.dtls import Session
from fastpath.endpoint import EndpointMap
from fastpath.flowtable import FlowTable
from fastpath.message import Command, Event, command, drain
from fastpath.nametable import NameTable
from fastpath.nat import NatTable
from fastpath.owned import OwnedNames
from fastpath.packetio import Device, GenevePort, GeneveSocket, UdpSocket
from fastpath.ring import Ring
from fastpath.shard import Shard
from fastpath.tunnels import Tunnels
from fastpath.worker import Worker
from fastpath.xsk import XskPort
from inner_packets import DNS_PORT, TCP_PORT, UDP_PORT
from zcc.connector.ruleset import RuleSet, build_ruleset
from zcc.policy.compile import compile_policy
from zcc.policy.model import Policy
from zcc.policy.names import NameBook

SERVICE, GWLB = "127.0.0.11", "127.0.0.5"
SECOND_POOL = ip_network("10.9.0.0/24")
POOL, INTERNAL = ip_network("10.254.0.0/19"), ip_network("198.18.0.0/16")
APPLICATION, EGRESS4, EGRESS6 = ip_address("10.254.0.9"), ip_address("198.51.100.9"), ip_address("2001:db8::9")
ENDPOINTS = {0xAAA: (1, 0), 0xBBB: (2, 0)}
RULES = [
    {"name": "apps", "method": "ZPA", "applications": ["portal"]},
    {"name": "no-evil", "method": "DROP", "destinations": ["203.0.113.66"]},
    {"name": "east-west", "method": "LOCAL", "destinations": ["10.8.0.0/16", "fd00:8::/32"]},
    {"name": "updates", "method": "DIRECT", "destinations": ["203.0.113.0/24", "2001:db8:5::/48"]},
]
APPLICATIONS = [{"name": "portal", "domains": ["portal.corp.example"], "tcp": [80], "udp": [7]}]
REMOTE, REMOTE6 = "203.0.113.8", "2001:db8:5::8"      # by DIRECT
GATEWAYS = {"near": 1, "far": 2}      # their numbers in the data plane
SECOND = 1_000_000_000


class WorkerRig:
    """The worker and all that surrounds it."""

    def __init__(self, *, flows: int = 64, event_bytes: int = 1 << 20, fail_open: bool = False,
                 batch: PacketBatch | None = None, port: GenevePort | None = None,
                 gwlb: socket.socket | None = None, ports: tuple[int, int] = (1024, 65535),
                 crew: "tuple[Shard, WorkerRig | None] | None" = None, **admission: Any) -> None:
        """Make it; `crew`: of several workers which one it is, and the first of them, whose network it shares."""
        self.now = 1000 * SECOND
        self.fail_open = fail_open
        self.generation = 0
        self.names = NameBook(_policy([]).applications)
        self.portal = self.names.id_of("portal.corp.example")
        shard, beside = (None, None) if crew is None else crew
        if beside is None:
            self._make_link()
        else:
            self.kernel, self._mac, gwlb = beside.kernel, beside._mac, beside.gwlb
        aliases = (INTERNAL[2], 16) if shard is None else shard.alias_range
        ports = ports if shard is None else shard.port_range
        port = GeneveSocket(SERVICE, 6081) if port is None else port
        self.service = socket.inet_ntoa(port.address.to_bytes(4, "big"))
        self.gwlb = socket.socket(socket.AF_INET, socket.SOCK_DGRAM) if gwlb is None else gwlb
        if gwlb is None:
            self.gwlb.bind((GWLB, 6081))
        self.gwlb.setblocking(False)
        self.tunnels, self.events, self.commands = Tunnels(), Ring(event_bytes), Ring(1 << 20)
        self.words = Ring(1 << 14)
        idle = {"tcp": 400, "tcp_opening": 30, "tcp_closing": 5, "udp": 130, "icmp": 30, "other": 130}
        self.flows = FlowTable(flows, dict(enumerate(idle.values())))
        self.nat = NatTable(flows, ports, bytes(range(1, 33)))
        self.admission = Admission(
            self.flows, self.nat, NameTable(64, bytes(range(32))), AliasTable(*aliases), self.rules(), self.tunnels,
            self.events, secret=bytes(range(32)), pools=[POOL, SECOND_POOL], internal=INTERNAL,
            ports=(TCP_PORT, UDP_PORT, DNS_PORT), egress=(EGRESS4, EGRESS6),
            owned=OwnedNames(64, bytes(range(32)), by_location=True), **admission)
        carried = port.flows if isinstance(port, XskPort) else None
        self.worker = Worker(
            port, Device.veth("w0", receives=beside is None), EndpointMap((number, *of) for number, of in ENDPOINTS.items()),
            self.admission, self.commands, batch, kernel_flows=carried, words=self.words, shard=shard)
        self.edges: dict[int, Session] = {}          # their ends of the tunnels, ours, and both sockets
        self.sessions: dict[int, Session] = {}
        self.ours: dict[int, UdpSocket] = {}
        self.wires: dict[int, socket.socket] = {}

    def _make_link(self) -> None:
        Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").write_text("1")    # the kernel's own chatter would be counted
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
        with IPRoute() as ip:
            ip.link("set", index=1, state="up")
            ip.link("add", ifname="w0", kind="veth", peer="w1")
            indexes = [ip.link_lookup(ifname=name)[0] for name in ("w0", "w1")]
            for index in indexes:
                ip.link("set", index=index, state="up", arp=False, mtu=9000)
            mac = ip.get_links(indexes[0])[0].get_attr("IFLA_ADDRESS")
        self._mac = bytes.fromhex(mac.replace(":", ""))
        self.kernel = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0)
        self.kernel.setsockopt(263, 23, 1)      # SOL_PACKET, PACKET_IGNORE_OUTGOING
        self.kernel.bind(("w1", 3))
        self.kernel.setblocking(False)

    def rules(self, rules: list[dict] | None = None) -> RuleSet:
        """Compile a policy as the next generation."""
        policy = _policy(RULES if rules is None else rules, self.fail_open)
        self.generation += 1
        return build_ruleset(compile_policy(policy, "group", self.names), self.generation, gateways=GATEWAYS)

    def edit(self, rules: list[dict]) -> None:
        """Put another policy in force."""
        self.admission.exchange_rules(self.rules(rules))

    # ---- in ----

    def step(self, seconds: float = 0) -> None:
        """Take a turn, so much later."""
        self.now += int(seconds * SECOND)
        self.worker.step(self.now)

    def from_workload(self, *packets: bytes, endpoint: int = 0xAAA, cookie: int = 7) -> None:
        """Have GWLB send packets, and take a turn over them."""
        for packet in packets:
            self.from_gwlb(gwlb.header(endpoint, 2, cookie, packet[0] >> 4) + packet)
        self._arrived(self.worker.geneve)

    def from_gwlb(self, frame: bytes) -> None:
        """Send a Geneve packet; no turn."""
        self.gwlb.sendto(frame, (self.service, 6081))

    def from_kernel(self, *packets: bytes) -> None:
        """Have the kernel send packets, and take a turn over them."""
        for packet in packets:
            self.kernel_sends(packet)
        self._arrived(self.worker.device)

    def kernel_sends(self, packet: bytes) -> None:
        """Send a packet to the device; no turn."""
        kind = 0x86DD if packet[:1] and packet[0] >> 4 == 6 else 0x0800
        self.kernel.sendto(packet, ("w1", kind, 0, 0, self._mac))

    def _arrived(self, device: object) -> None:
        assert select.select([device], [], [], 5)[0], "what was sent has not arrived"
        self.step()

    # ---- out ----

    def to_workload(self) -> list[bytes]:
        """Take what GWLB has been sent, headers and all."""
        return list(_received(self.gwlb))

    def to_kernel(self) -> list[bytes]:
        """Take what the kernel has been sent."""
        return list(_received(self.kernel))

    def heard(self, reason: PuntReason | None = None) -> list[Event]:
        """Take the events posted; of one reason, if it is given."""
        return [event for event in drain(self.events) if reason is None or event.reason == reason]

    def say(self, kind: Command, **fields: object) -> None:
        """Post a command and take a turn."""
        assert command(self.commands, kind, **fields)
        self.step()

    def drops(self) -> dict[str, int]:
        """Name what was dropped."""
        counts = self.worker.counters()["drops"]
        return {reason.name.removeprefix("DROP_").lower(): counts[reason] for reason in DropReason
                if reason != DropReason.DROP_REASONS and counts[reason]}

    def packets(self, action: Action) -> tuple[int, int]:
        """Count packets by an action, there and back."""
        counts = self.worker.counters()
        return counts["packets"][action], counts["returned_packets"][action]

    # ---- an internet edge ----

    def attach(self, slot: int = 0, *, activate: bool = True) -> None:
        """Shake hands with an internet edge and give the session to the worker."""
        ours, theirs = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for end in (ours, theirs):
            end.bind(("127.0.0.1", 0))
        ours.connect(theirs.getsockname())
        theirs.connect(ours.getsockname())
        theirs.setblocking(False)
        with tempfile.TemporaryDirectory() as folder:
            client, server = pair(*contexts(Path(folder)))
        self.edges[slot], self.wires[slot] = Session(server), theirs
        self.sessions[slot], self.ours[slot] = Session(client), UdpSocket(ours.fileno())
        self.tunnels.attach(slot, self.sessions[slot], self.ours[slot])
        if activate:
            self.activate(slot)

    def activate(self, slot: int, gateway: int = 0, edges: int = 0xFF) -> None:
        """Have new flows of a gateway go by a slot; edges: bits of the slots that are its own."""
        self.say(Command.COMMAND_TUNNEL_ACTIVE, slot=slot, value=gateway, endpoint=edges)

    def to_edge(self, slot: int = 0) -> list[bytes]:
        """Take what an edge has been sent: Geneve packets."""
        opened = (self.edges[slot].open(datagram) for datagram in _received(self.wires[slot]))
        return [plain for plain in opened if plain is not None]

    def from_edge(self, *frames: bytes, slot: int = 0) -> None:
        """Have an edge send Geneve packets, and take a turn over them."""
        for frame in frames:
            self.edge_sends(self.edges[slot].seal(frame), slot)
        self._arrived(self.ours[slot])

    def edge_sends(self, datagram: bytes, slot: int = 0) -> None:
        """Send a datagram over an edge's wire; no turn."""
        self.wires[slot].send(datagram)


def _policy(rules: list[dict], fail_open: bool = False) -> Policy:
    gateways = [{"name": name, "primary": f"ie-{number}", "secondary": f"ie-{number + 1}"} for name, number in GATEWAYS.items()]
    return Policy.model_validate({
        "applications": APPLICATIONS, "rules": rules, "pool": str(POOL), "fail_open": fail_open, "gateways": gateways,
        "edges": [f"ie-{number}" for number in range(4)]})


def _received(end: socket.socket):
    with contextlib.suppress(BlockingIOError):
        while True:
            yield end.recv(10_000)


def tunnelled(packet: bytes, namespace: int = 1) -> bytes:
    """Put the tunnel's Geneve header in front of a packet, as an edge does."""
    return geneve.encode_header(vni=namespace, protocol=0x86DD if packet[0] >> 4 == 6 else 0x0800) + packet
