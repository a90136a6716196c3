"""From a client's packet to its cut connection: worker, ring, reader, name book and rules together, with a running worker."""

import asyncio
import contextlib
import ipaddress
import socket
import time

import quic_sealer as sealer
from fastpath import gwlb
from hellos import hello, records
from inner_packets import WORKLOAD, read, tcp, udp
from isolation import isolated
from zcc.clock import SystemClock
from zcc.connector.datapath import METHODS, Datapath
from zcc.connector.naming import Naming
from zcc.connector.plan import Plan
from zcc.connector.ruleset import NameBinder, build_ruleset
from zcc.connector.sessions import Labels, session_fields
from zcc.connector.traffic_names import TrafficNames
from zcc.device import DeviceSettings
from zcc.doorway import Doorway
from zcc.policy.compile import compile_policy
from zcc.policy.model import Policy
from zcc.policy.names import NameBook

SERVICE, GWLB, ENDPOINT, SERVER = "127.0.0.11", "127.0.0.5", 0x0AAA, "10.8.7.4"
INTERNAL = ipaddress.ip_network("198.18.0.0/16")
RULES = [
    {"name": "no-blocked", "method": "DROP", "destinations": ["*.blocked.test"]},
    {"name": "no-hiding", "method": "DROP", "unnamed": ["ech", "no-name"]},
    {"name": "east-west", "method": "LOCAL", "destinations": ["10.8.0.0/16"]},
]


class Rig:
    """GWLB's end of the wire, and a connector as far as it names flows. Nothing has a name by DNS."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop, policy = loop, Policy.model_validate({"rules": RULES})
        self.doorway = Doorway(DeviceSettings(device="auto", name="zcc0", mtu=8500, internal=INTERNAL))
        device = self.doorway.open()
        self.gwlb = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.gwlb.bind((GWLB, 6081))
        self.gwlb.setblocking(False)
        book = NameBook(capacity=64)
        compiled = compile_policy(policy, "g", book)
        rules = build_ruleset(compiled, 1)
        book.announce = NameBinder(book, compiled, rules)
        idle = dict.fromkeys(("tcp", "tcp_opening", "tcp_closing", "udp", "icmp", "other"), 60.0)
        self.path = Datapath(Plan(
            ipaddress.ip_address(SERVICE), 6081, ((ENDPOINT, 1, 0),), device, self.doorway.kind, 1024, idle, (policy.pool,),
            INTERNAL, (5080, 5080, 5353), (), 1400, 1500), rules)  # fmt: skip
        numbers = TrafficNames(book, rules.likeness)
        self.naming = Naming(self.path, numbers.number_of, lambda name, address: True, SystemClock())
        self.sessions: list[dict] = []
        labels = Labels({1: "blue"}, {}, METHODS, [rule.name for rule in compiled.rules], book.name_of)
        self.path.subscribe("words", self.naming.hear)
        self.path.subscribe("flow_closed", lambda punt: self.sessions.append(session_fields(punt.flow, labels)))
        self.path.start(loop)

    def send(self, packet: bytes) -> None:
        self.gwlb.sendto(gwlb.header(ENDPOINT, 2, 7, 4) + packet, (SERVICE, 6081))

    def until(self, check) -> None:
        limit = time.monotonic() + 5
        while not check():
            assert time.monotonic() < limit, f"{self.naming.counts} {self.path.counters()} {self.sessions}"
            self.loop.run_until_complete(asyncio.sleep(0.005))

    def taken(self, count: int) -> list:
        """So many packets that came back to GWLB."""
        packets: list = []

        def enough() -> bool:
            with contextlib.suppress(BlockingIOError):
                packets.append(read(self.gwlb.recv(9000)[40:]))
            return len(packets) >= count

        self.until(enough)
        return packets

    def connect(self, port: int, said: bytes) -> list:
        """A client's SYN, and what it says in segments of 300 octets, the last first; what came back to GWLB."""
        segments = [said[at:at + 300] for at in range(0, len(said), 300)]
        self.send(tcp(WORKLOAD, SERVER, port, 443))
        for number in reversed(range(len(segments))):
            packet = read(tcp(WORKLOAD, SERVER, port, 443, "PA", segments[number]))
            packet["TCP"].seq, packet["TCP"].ack = 1 + 300 * number, 500
            del packet["TCP"].chksum
            self.send(bytes(packet))
        return self.taken(len(segments) + 1)


@contextlib.contextmanager
def running():
    loop = asyncio.new_event_loop()
    rig = Rig(loop)
    yield rig
    rig.path.stop(loop)
    rig.doorway.close()
    loop.close()


@isolated
def test_a_rule_by_name_cuts_a_connection_to_an_address_that_has_no_name():
    with running() as rig:
        rig.connect(40_000, records(hello("www.blocked.test", padding=700), 200))
        (reset,) = rig.taken(1)
        assert (reset["TCP"].flags, reset["TCP"].seq, reset.src, reset.dst) == ("R", 500, SERVER, WORKLOAD)
        rig.send(tcp(SERVER, WORKLOAD, 443, 40_000, "SA"))
        rig.until(lambda: rig.path.counters().drops["policy"] == 1)
        rig.until(lambda: rig.sessions)
        record = rig.sessions[0]
        assert (record["clt_dst_name"], record["clt_dst_name_from"]) == ("www.blocked.test", "sni")
        assert (record["fwdtypename"], record["rdrrulename"]) == ("LOCAL", "east-west")


@isolated
def test_flows_whose_name_can_not_be_known_are_told_by_their_cause_and_others_go_on():
    with running() as rig:
        for port, said in enumerate((hello("outer.test", ech=True), hello(None)), 40_000):
            rig.connect(port, records(said))
            assert rig.taken(1)[0]["TCP"].flags == "R"
        rig.send(udp(WORKLOAD, SERVER, 4000, 443, sealer.initial(sealer.crypto(0, hello("a.blocked.test")), version=sealer.V2)))
        forwarded, refusal = rig.taken(2)
        assert forwarded["UDP"].dport == 443 and (refusal["ICMP"].type, refusal["ICMP"].code) == (3, 13)
        for port, said in ((41_000, records(hello("www.good.test"))), (41_001, b"SSH-2.0-x\r\n")):
            rig.connect(port, said)
        rig.until(lambda: rig.naming.counts["not-web"] == 1)
        rig.send(tcp(SERVER, WORKLOAD, 443, 41_000, "SA"))
        rig.send(tcp(SERVER, WORKLOAD, 443, 41_001, "SA"))
        assert [packet["TCP"].flags for packet in rig.taken(2)] == ["SA", "SA"]
        assert {how: rig.naming.counts[how] for how in ("ech", "no-name", "quic", "sni", "not-web")} == dict.fromkeys(
            ("ech", "no-name", "quic", "sni", "not-web"), 1)
        assert rig.path.counters().rings_lost["words"] == 0 and rig.naming.open_flows == 0
