"""The data path with a real kernel: every method, and what Python is asked, in a network namespace of its own."""

import asyncio
import contextlib
import dataclasses
import gc
import ipaddress
import itertools
import socket
import struct
import sys
import time

import pytest
from pyroute2 import IPRoute

from fastpath import gwlb
from fastpath.action import PuntReason
from isolation import isolated
from zcc.connector.datapath import Datapath
from zcc.connector.plan import Plan
from zcc.connector.routed import Routed
from zcc.connector.ruleset import build_ruleset
from zcc.connector.settings import RoutedSettings
from zcc.device import DeviceSettings
from zcc.doorway import Doorway
from zcc.policy.compile import compile_policy
from zcc.policy.model import Policy
from zcc.policy.names import NameBook

SERVICE, GWLB = "127.0.0.11", "127.0.0.5"
ENDPOINT = 0x0AAA
POOL, INTERNAL = ipaddress.ip_network("10.254.0.0/19"), ipaddress.ip_network("198.18.0.0/16")
APPLICATION = ipaddress.ip_address("10.254.0.9")
TCP_PORT, UDP_PORT, DNS_PORT = 5080, 5080, 5353
RULES = [
    {"name": "apps", "method": "ZPA", "applications": ["portal"]},
    {"name": "no-evil", "method": "DROP", "destinations": ["203.0.113.66"]},
    {"name": "east-west", "method": "LOCAL", "destinations": ["10.8.0.0/16", "fd00:8::/32"]},
    {"name": "updates", "method": "DIRECT", "destinations": ["203.0.113.0/24"]},
]
QUESTION = b"\x00\x01\x01\x00\x00\x01" + bytes(6) + b"\x01a\x04test\x00\x00\x01\x00\x01"
APPLICATIONS = [{"name": "portal", "domains": ["portal.corp.example"], "tcp": [80], "udp": [7]}]


def policy(rules=RULES):
    return Policy.model_validate({"applications": APPLICATIONS, "rules": rules, "pool": str(POOL)})


def udp4(source, destination, sport, dport, payload=b"hello"):
    """An IPv4/UDP packet without a UDP checksum."""
    body = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0) + payload
    head = struct.pack(
        ">BBHHHBBH4s4s",
        0x45,
        0,
        20 + len(body),
        1,
        0,
        64,
        17,
        0,
        ipaddress.ip_address(source).packed,
        ipaddress.ip_address(destination).packed,
    )
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return head[:10] + struct.pack(">H", total) + head[12:] + body


class Rig:
    """GWLB's end of the wire, and the data path under test."""

    workers = 1

    def __init__(self, loop):
        self.doorway = Doorway(DeviceSettings(device="auto", name="zcc0", mtu=8500, internal=INTERNAL))
        device = self.doorway.open()
        self.gwlb = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.gwlb.bind((GWLB, 6081))
        self.gwlb.settimeout(3)
        self.names = NameBook(policy().applications)
        self.names.id_of("portal.corp.example")
        compiled = compile_policy(policy(), "group", self.names)
        idle = dict.fromkeys(("tcp", "tcp_opening", "tcp_closing", "udp", "icmp", "other"), 60.0)
        plan = Plan(
            ipaddress.ip_address(SERVICE),
            6081,
            ((ENDPOINT, 1, 0),),
            device,
            self.doorway.kind,
            1024,
            idle,
            (POOL,),
            INTERNAL,
            (TCP_PORT, UDP_PORT, DNS_PORT),
            (ipaddress.ip_address("198.51.100.9"),),
            1400,
            1500,
            workers=self.workers,
            routed=self.routed(),
        )
        self.path = Datapath(plan, build_ruleset(compiled, 1))
        self.punts = []
        for reason in PuntReason:
            self.path.subscribe(reason.name.removeprefix("PUNT_").lower(), self.punts.append)
        self.path.start(loop)
        self.loop = loop

    def routed(self):
        return ()

    def send(self, packet, cookie=7, endpoint=ENDPOINT):
        self.gwlb.sendto(gwlb.header(endpoint, 2, cookie, packet[0] >> 4) + packet, (SERVICE, 6081))

    def wait(self, check):
        limit = time.monotonic() + 3
        while not check():
            assert time.monotonic() < limit, f"{check} did not come true; {self.path.counters()}"
            self.loop.run_until_complete(asyncio.sleep(0.01))

    def punt(self, reason):
        self.wait(lambda: any(p.reason == reason for p in self.punts))
        return next(p for p in self.punts if p.reason == reason)


@pytest.fixture(autouse=True, params=[1, 2], ids=["one-worker", "two-workers"])
def workers(request):
    """Every test here is one of one worker, and of two."""
    Rig.workers = request.param


class RoutedRig(Rig):
    """Workloads' packets are routed to a device."""

    def routed(self):
        self.ways = Routed([RoutedSettings(endpoint="vpce-00000000000000aaa")])
        return self.ways.open()


@contextlib.contextmanager
def running(kind=Rig):
    loop = asyncio.new_event_loop()
    rig = kind(loop)
    yield rig
    rig.path.stop(loop)
    rig.doorway.close()


@isolated
def test_local_packet_comes_back_under_its_own_header():
    with running() as rig:
        packet = udp4("10.8.6.4", "10.8.7.4", 1000, 2000)
        rig.send(packet, cookie=99)
        answer, sender = rig.gwlb.recvfrom(9000)
        assert answer == gwlb.header(ENDPOINT, 2, 99, 4) + packet
        assert sender[0] == SERVICE


@isolated
def test_drop_and_unknown_endpoint_and_hostile_bytes_are_counted():
    with running() as rig:
        rig.send(udp4("10.8.6.4", "203.0.113.66", 1, 2))
        rig.send(udp4("10.8.6.4", "10.8.7.4", 1, 2), endpoint=5)
        rig.gwlb.sendto(b"\x00", (SERVICE, 6081))
        rig.gwlb.sendto(gwlb.header(ENDPOINT, 2, 1, 4) + b"\x45", (SERVICE, 6081))
        rig.wait(lambda: sum(rig.path.counters().drops.values()) >= 4)
        drops = {name: n for name, n in rig.path.counters().drops.items() if n}
        assert drops == {"policy": 1, "gwlb_endpoint_unknown": 1, "geneve_short": 1, "packet_short": 1}


@isolated
def test_zia_without_an_edge_is_dropped_and_counted():
    with running() as rig:
        rig.send(udp4("10.8.6.4", "192.0.2.1", 1, 2))
        rig.wait(lambda: rig.path.counters().drops["zia_down"] == 1)


@isolated
def test_dns_query_is_punted_and_answered_under_its_header():
    with running() as rig:
        rig.send(udp4("10.8.6.4", "192.0.2.53", 4000, 53, b"query"), cookie=5)
        punt = rig.punt(PuntReason.PUNT_DNS_QUERY)
        assert (punt.namespace, punt.endpoint, punt.packet[-5:]) == (1, ENDPOINT, b"query")
        rig.path.reply(punt, udp4("192.0.2.53", "10.8.6.4", 53, 4000, b"answer"))
        answer = rig.gwlb.recv(9000)
        assert answer[:40] == gwlb.header(ENDPOINT, 2, 5, 4)
        assert answer.endswith(b"answer")


@isolated
def test_unknown_synthetic_address_is_asked_for_then_goes_to_the_kernel_listener():
    with running() as rig:
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind((str(INTERNAL[1]), UDP_PORT))
        listener.settimeout(3)
        rig.send(udp4("10.8.6.4", str(APPLICATION), 3000, 7, b"ping"))
        punt = rig.punt(PuntReason.PUNT_UNKNOWN_SYNTHETIC)
        rig.path.learn(None, APPLICATION, rig.names.id_of("portal.corp.example"), 60)
        rig.path.resume(punt)
        data, (alias, port) = listener.recvfrom(100)
        assert data == b"ping"
        flow = rig.path.flow_of(17, ipaddress.ip_address(alias), port)
        assert (str(flow.source), flow.source_port, flow.destination, flow.destination_port) == (
            "10.8.6.4",
            3000,
            APPLICATION,
            7,
        )
        listener.sendto(b"pong", (alias, port))
        answer = rig.gwlb.recv(9000)[40:]
        assert answer[12:20] == APPLICATION.packed + ipaddress.ip_address("10.8.6.4").packed
        assert answer[20:24] == struct.pack(">HH", 7, 3000)
        assert answer.endswith(b"pong")


@isolated
def test_policy_edit_reaches_a_live_flow_on_its_next_packet():
    with running() as rig:
        packet = udp4("10.8.6.4", "10.8.7.4", 1000, 2000)
        rig.send(packet)
        assert rig.gwlb.recv(9000)[40:] == packet
        edited = policy([{"name": "none", "method": "DROP", "destinations": ["10.8.0.0/16"]}])
        rules = build_ruleset(compile_policy(edited, "group", rig.names), 2)
        rig.loop.run_until_complete(asyncio.wait_for(rig.path.exchange_rules(rules), 3))
        rig.send(packet)
        rig.wait(lambda: rig.path.counters().drops["policy"] == 1)


@isolated
def test_draining_refuses_new_flows_and_keeps_old_ones():
    with running() as rig:
        old = udp4("10.8.6.4", "10.8.7.4", 1, 2)
        ports = itertools.count(1000)    # a flow that came before the command took effect goes on, so each is another
        rig.send(old)
        assert rig.gwlb.recv(9000)[40:] == old
        rig.path.refuse_new_flows(True)
        rig.wait(lambda: rig.send(udp4("10.8.6.4", "10.8.7.4", next(ports), 4)) or rig.path.counters().drops["draining"] > 0)
        rig.gwlb.setblocking(False)
        while True:
            try:
                rig.gwlb.recv(9000)
            except BlockingIOError:
                break
        rig.gwlb.settimeout(3)
        rig.send(old)
        assert rig.gwlb.recv(9000)[40:] == old


@isolated
def test_loop_allocates_nothing():
    with running() as rig:
        packet = udp4("10.8.6.4", "10.8.7.4", 1000, 2000)
        rig.send(packet)
        rig.gwlb.recv(9000)
        gc.collect()
        before = sys.getallocatedblocks()
        for _ in range(1000):
            rig.send(packet)
            rig.gwlb.recv(9000)
        assert abs(sys.getallocatedblocks() - before) < 50


@isolated
def test_ipv4_address_in_the_disguise_of_an_ipv6_one_is_not_learned():
    with running() as rig:
        rig.path.learn(1, ipaddress.ip_address(f"::ffff:{APPLICATION}"), rig.names.id_of("evil.example"), 60)
        rig.path.learn(1, ipaddress.ip_address("2001:db8::1"), rig.names.id_of("good.example"), 60)
        rig.wait(lambda: all(worker.counters()["names"] == 1 for worker in rig.path._workers))


@isolated
def test_handler_that_fails_costs_no_other_event():
    with running() as rig:
        def fail(punt):
            raise ValueError("a handler's own fault")

        rig.path.subscribe("dns_query", fail)
        rig.send(udp4("10.8.6.4", "192.0.2.53", 4000, 53, b"query"))
        rig.send(udp4("10.8.6.4", str(APPLICATION), 3000, 7))
        rig.punt(PuntReason.PUNT_UNKNOWN_SYNTHETIC)


@isolated
def test_exchange_that_fails_does_not_end_the_worker():
    with running() as rig:
        rig.path._exchange(lambda: rig.path._tunnels.release(99))
        rules = build_ruleset(compile_policy(policy(), "group", rig.names), 2)
        rig.loop.run_until_complete(asyncio.wait_for(rig.path.exchange_rules(rules), 3))
        packet = udp4("10.8.6.4", "10.8.7.4", 1, 2)
        rig.send(packet)
        assert rig.gwlb.recv(9000)[40:] == packet


@isolated
def test_data_path_that_was_never_started_can_be_stopped():
    with running() as rig:
        rig.path.stop(rig.loop)
        plan = dataclasses.replace(rig.path._crew.plan, port=6082)
        Datapath(plan, build_ruleset(compile_policy(policy(), "group", rig.names), 2)).stop(rig.loop)


@pytest.mark.parametrize("ip_version", [4, 6])
def test_headers_of_both_families_name_the_protocol(ip_version):
    assert gwlb.header(1, 2, 3, ip_version)[2:4] == {4: b"\x08\x00", 6: b"\x86\xdd"}[ip_version]


@isolated
def test_live_destinations_are_the_synthetic_addresses_of_live_flows_each_once():
    with running() as rig:
        other = APPLICATION + 1
        for address in (APPLICATION, other):
            rig.path.learn(None, address, rig.names.id_of("portal.corp.example"), 60)
        for number, (destination, port) in enumerate(((APPLICATION, 7), (other, 7), (APPLICATION, 7), ("10.8.7.4", 7))):
            rig.send(udp4("10.8.6.4", str(destination), 3000 + number, port))
        rig.wait(lambda: rig.path.counters().flows == 4)
        assert rig.path.live_destinations() == [APPLICATION, other]


@isolated
def test_a_name_that_some_worker_could_not_be_told_holds_no_answer_back():
    with running() as rig:
        tell = rig.path._command
        rig.path._command = lambda kind, worker=0, **fields: worker == 0 and tell(kind, worker, **fields)      # a ring is full
        rig.path.learn(None, APPLICATION, rig.names.id_of("portal.corp.example"), 60)
        rig.path._command = tell
        query = udp4("10.8.6.4", "192.0.2.53", 4000, 53, QUESTION)
        rig.send(query)
        answer = udp4("192.0.2.53", "10.8.6.4", 53, 4000)
        rig.path.reply(rig.punt(PuntReason.PUNT_DNS_QUERY), answer)
        assert rig.gwlb.recv(9000)[40:] == answer


@isolated
def test_an_answer_goes_by_the_worker_that_was_asked_and_names_reach_all():
    with running() as rig:
        asked = set()
        for port in range(4000, 4012):
            rig.path.learn(None, APPLICATION, rig.names.id_of("portal.corp.example"), 60)
            query = udp4("10.8.6.4", "192.0.2.53", port, 53, QUESTION)
            rig.send(query, cookie=port)
            punt = rig.punt(PuntReason.PUNT_DNS_QUERY)
            rig.punts.clear()
            asked.add(punt.worker)
            answer = udp4("192.0.2.53", "10.8.6.4", 53, port)
            rig.path.reply(punt, answer)
            assert rig.gwlb.recv(9000) == gwlb.header(ENDPOINT, 2, port, 4) + answer
        assert asked == set(range(Rig.workers))
        assert all(worker.counters()["names"] == 1 for worker in rig.path._workers)


@isolated
def test_counters_add_up_and_live_flows_are_those_of_every_worker():
    with running() as rig:
        for port in range(3000, 3020):
            rig.send(udp4("10.8.6.4", "10.8.7.4", port, 9))
            rig.gwlb.recv(9000)
        counters = rig.path.counters()
        assert (counters.packets["LOCAL"], counters.flows, counters.handed_over) == (20, 20, 0)
        assert len(rig.path.live_flows()) == 20
        assert all(worker.counters()["flows"] > 0 for worker in rig.path._workers)


@isolated
def test_packets_that_are_routed_here_go_by_the_rules_whichever_worker_has_their_flow():
    with running(RoutedRig) as rig:
        with IPRoute() as ip:
            index = ip.link_lookup(ifname="zccin0")[0]
            for destination in ("10.8.0.0/16", "203.0.113.66/32"):
                ip.route("add", dst=destination, oif=index)
        socks = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(16)]

        def arrived():
            for sock in socks:
                sock.sendto(b"x", ("10.8.7.4", 9))
                sock.sendto(b"x", ("203.0.113.66", 9))
            return rig.path.counters().flows == 32

        rig.wait(arrived)
        counters = rig.path.counters()
        assert counters.packets["LOCAL"] >= 16 and counters.drops["policy"] >= 16
        assert all(worker.counters()["flows"] for worker in rig.path._workers)
    rig.ways.close()
