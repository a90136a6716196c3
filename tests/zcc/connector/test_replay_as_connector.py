"""A replay decides as the connector does: the same packets through a worker with the connector's Naming, and through a replay.

Flows that say names in every way there is, in segments and records, in any order, cut, contradictory, in fragments, from their
middle, interleaved, with names by DNS and names that other flows said of their address. What is left of each flow is compared:
its rule, its method, its name and how that is known; and what was dropped by policy.
"""

import random
from ipaddress import ip_address
from types import SimpleNamespace

import pytest
from scapy.layers.inet import ICMP, IP, UDP

import quic_sealer as sealer
from fastpath import gwlb
from fastpath.message import Command, drain
from hellos import hello, records
from inner_packets import WORKLOAD, pieces, read, tcp, udp
from isolation import isolated
from worker_rig import APPLICATIONS, EGRESS4, RULES, SECOND, WorkerRig
from zcc.connector.capture import Frame
from zcc.connector.datapath import METHODS
from zcc.connector.events import Events
from zcc.connector.naming import naming_of
from zcc.connector.replay import Replay
from zcc.connector.ruleset import NameBinder, build_ruleset
from zcc.connector.settings import ConnectorSettings
from zcc.connector.teaching import Teacher
from zcc.policy.compile import compile_policy
from zcc.policy.objects.unnamed import NAMINGS

NAME_BITS, ENDPOINT = 26, 0xAAA
NAMES = ("www.blocked.test", "direct.test", "local.test", "other.test", "also.direct.test")
POLICIES = (
    [{"name": "no-blocked", "method": "DROP", "destinations": ["*.blocked.test"]},
     {"name": "no-hiding", "method": "DROP", "reject": True, "unnamed": ["ech", "unread"]},
     {"name": "by-name", "method": "LOCAL", "destinations": ["local.test"]},
     {"name": "also-direct", "method": "DIRECT", "destinations": ["*.direct.test", "direct.test"]}],
    [{"name": "only-web", "method": "DROP", "unnamed": ["not-web", "no-name"], "services": ["tcp/443", "udp/443"]},
     {"name": "local", "method": "LOCAL", "destinations": ["local.test", "10.8.7.0/24"]},
     {"name": "blocked", "method": "DROP", "destinations": ["*.blocked.test", "other.test"], "services": ["tcp/1-500"]}],
    [{"name": "direct", "method": "DIRECT", "destinations": ["direct.test"]},
     {"name": "any", "method": "DROP", "unnamed": ["any"], "services": ["udp"]}],
)  # fmt: skip
ADDRESSES = ("203.0.113.8", "203.0.113.9", "10.8.7.4")


def settings_of(rules: list[dict]) -> ConnectorSettings:
    return ConnectorSettings.model_validate({
        "name": "cc-1", "group": "group", "state": "/var/lib/zcc",
        "identity": {"certificate": "c.pem", "key": "k.pem", "ca": "ca.pem"},
        "namespaces": [{"name": "blue", "id": 1}], "locations": ["here"],
        "endpoints": [{"id": gwlb.endpoint_name(ENDPOINT), "namespace": "blue", "location": "here"}],
        "ingress": {"address": "10.1.200.11"}, "kernel": {"internal": "198.18.0.0/16"},
        "zpa": {"edges": ["10.0.3.10:443"]}, "direct": {"address": str(EGRESS4)},
        "applications": APPLICATIONS, "rules": rules, "health": {"address": "10.1.200.11"},
    })  # fmt: skip


class Running:
    """A worker with what names its flows; both sides of a Datapath in one."""

    def __init__(self, rig: WorkerRig, settings: ConnectorSettings) -> None:
        self.rig, self.events = rig, Events(settings.kernel.internal[2], (EGRESS4,))
        rig.names.announce = None
        compiled = compile_policy(settings.policy(), "group", rig.names)
        rig.generation += 1
        rules = build_ruleset(compiled, rig.generation)
        rig.names.announce = NameBinder(rig.names, compiled, rules)
        rig.admission.exchange_rules(rules)
        self.rules = [rule.name for rule in compiled.rules]
        book = SimpleNamespace(names=rig.names, likeness=rules.likeness)
        teacher = Teacher(self, rig.names, rules.speaks_of, settings.pool_networks)
        self.naming = naming_of(settings, book, teacher, self, SimpleNamespace(monotonic_ns=lambda: rig.now))

    def take(self, packet: bytes) -> None:
        self.naming.expire()
        self.rig.from_workload(packet)
        for event in drain(self.rig.words):
            self.naming.hear(self.events.punt(event))
        self.rig.to_kernel()
        self.rig.to_workload()
        drain(self.rig.events)

    def name_flow(self, punt, number, naming) -> None:
        self.rig.say(Command.COMMAND_NAME, namespace=punt.namespace, location=punt.value, endpoint=punt.endpoint,
                     until_ns=punt.flow.started_ns, value=naming << NAME_BITS | number, packet=punt.packet,
                     header=punt.header, peer=punt.peer)

    def learn(self, namespace, address, name_id, ttl_s, naming=0) -> None:
        self.rig.say(Command.COMMAND_LEARN, namespace=namespace, address=address, value=naming << NAME_BITS | name_id,
                     until_ns=self.rig.now + int(ttl_s * SECOND))

    def forget(self, namespace, address, number, naming) -> None:
        word = naming << NAME_BITS | number
        self.rig.say(Command.COMMAND_FORGET, namespace=namespace, address=address, value=word)

    def found(self) -> dict[int, tuple]:
        entries = self.rig.flows.entries_view
        return {int(entry["b_port"] if entry["initiator"] else entry["a_port"]): self._of(entry)
                for entry in entries[(entries["used"] != 0) & (entries["protocol"] != 1)]}

    def _of(self, entry) -> tuple:
        word = int(entry["name_id"])
        return (self.rules[int(entry["rule"])], METHODS[int(entry["action"])],
                self.rig.names.name_of(word & (1 << NAME_BITS) - 1) or "", NAMINGS[word >> NAME_BITS] if word else "")


def words(chance: random.Random) -> bytes:
    """What a client of TCP says."""
    name = chance.choice([*NAMES, None])
    kind = chance.randrange(8)
    if kind < 4:
        padding = chance.choice([0, 900])
        return records(hello(name, ech=chance.random() < 0.2, padding=padding), chance.choice([60, 300, 1 << 14]))
    if kind < 6:
        host = b"" if name is None else b"Host: " + name.encode() + chance.choice([b"", b":8080"]) + b"\r\n"
        return b"GET / HTTP/1.1\r\nA: b\r\n" + host * chance.choice([1, 1, 2]) + b"\r\n"
    return chance.choice([b"SSH-2.0-x\r\n", b"\x16\x03\x01\x00", b"", bytes(600)])


def segment(ends: tuple, flags: str, payload: bytes, sequence: int) -> bytes:
    packet = read(tcp(*ends, flags, payload))
    packet["TCP"].seq, packet["TCP"].ack = sequence & 0xFFFFFFFF, 900
    del packet["TCP"].chksum
    return bytes(packet)


def connection(chance: random.Random, ends: tuple) -> list[bytes]:
    """The client's packets of a TCP flow."""
    said, size, first = words(chance), chance.choice([40, 200, 1400]), chance.choice([70_000, 0xFFFF_FFF0, 0x1_0000])
    parts = [(at, said[at:at + size]) for at in range(0, len(said), size)]
    if chance.random() < 0.4:
        chance.shuffle(parts)
    if parts and chance.random() < 0.2:
        at, octets = chance.choice(parts)
        parts.append((at, octets if chance.random() < 0.5 else bytes([octets[0] ^ 1]) + octets[1:]))
    packets = [segment(ends, "PA", octets, first + at) for at, octets in parts]
    if packets and chance.random() < 0.15:
        parts = pieces(packets[0], 64)
        chance.shuffle(parts)
        packets[:1] = parts[: chance.choice([1, len(parts)])]
    begin = [segment(ends, "S", b"", first - 1)] if chance.random() < 0.9 else []
    return [*begin, segment(ends, "A", b"", first), *packets, *(segment(ends, "PA", b"more", first + 5000) for _ in range(2))]


def large(chance: random.Random, ends: tuple) -> list[bytes]:
    """A datagram in fragments, in any order, perhaps not all of them or one of them twice; and an ICMP error about it."""
    parts = pieces(udp(*ends, bytes(chance.choice([300, 900]))), 200)
    chance.shuffle(parts)
    parts = parts[: chance.choice([1, 2, 9])] + parts[: chance.choice([0, 0, 1])]
    source, destination, *ports = ends
    about = IP(src=source, dst=destination) / UDP(sport=ports[0], dport=ports[1]) / bytes(8)
    ends_of_error = {"src": chance.choice([destination, "10.8.9.9"]), "dst": chance.choice([source, source, "10.8.6.5"])}
    return [*parts, bytes(IP(**ends_of_error) / ICMP(type=3, code=3) / about)]


def datagrams(chance: random.Random, ends: tuple) -> list[bytes]:
    """The client's packets of a UDP flow."""
    message = hello(chance.choice([*NAMES, None]), ech=chance.random() < 0.2, padding=chance.choice([0, 700]))
    half, version = len(message) // 2, chance.choice([sealer.V1, sealer.V2])
    frames = [(0, message[:half]), (half, message[half:])]
    chance.shuffle(frames)
    said = [sealer.initial(sealer.crypto(*frame), version=version, number=number) for number, frame in enumerate(frames)]
    if chance.random() < 0.3:
        said = [chance.choice([b"no quic", b"\xc0" + b"\x1a" * 40, bytes(1200)])]
    return [udp(*ends, octets) for octets in (*said, b"\x40more", b"\x40more")]


def scenario(chance: random.Random) -> list[tuple[float, bytes]]:
    """Packets of some flows, interleaved, each with the time after which it comes."""
    flows = []
    for number in range(chance.randint(1, 6)):
        ends = (WORKLOAD, chance.choice(ADDRESSES), 40_000 + number, chance.choice([443, 443, 80, 25, 8080]))
        flows.append(chance.choices((connection, datagrams, large), (7, 2, 2))[0](chance, ends))
    found, pauses = [], [0.0] * 12 + [11.0]
    while flows:
        flow = chance.choice(flows) if chance.random() < 0.5 else flows[0]
        found.append((chance.choice(pauses) if sum(pause for pause, _ in found) < 20 else 0.0, flow.pop(0)))
        flows = [flow for flow in flows if flow]
    return found


def frame(now_ns: int, packet: bytes) -> Frame:
    header = gwlb.header(ENDPOINT, 2, 7, packet[0] >> 4)
    outer = IP(src="10.1.1.1", dst="10.1.200.11") / UDP(sport=60_001, dport=6081, chksum=0) / (header + packet)
    return Frame(0, now_ns, 101, True, bytes(outer), 0)


def counted(drops: dict[str, int]) -> dict[str, int]:
    """Drops by reason. The worker tells a second copy of a dropped fragment as policy's; "none" was only told to its sender."""
    found = {why: number for why, number in drops.items() if why not in ("none", "policy", "fragment_duplicate")}
    found["policy"] = drops.get("policy", 0) + drops.get("fragment_duplicate", 0)
    return {why: number for why, number in found.items() if number}


def compare(chance: random.Random, rig: WorkerRig) -> tuple[set[str], int]:
    settings = settings_of([*chance.choice(POLICIES), *RULES])
    running, replay, before = Running(rig, settings), Replay(settings), rig.drops()
    if chance.random() < 0.3:
        name, address = chance.choice(NAMES), ip_address(chance.choice(ADDRESSES))
        running.learn(1, address, rig.names.id_of(name), 60.0)
        replay._clock.now_ns = rig.now
        replay._names.learn(1, address, replay._rulebook.names.id_of(name), 60.0)
    for pause, packet in scenario(chance):
        rig.step(pause)
        running.take(packet)
        replay.take(frame(rig.now, packet))
    wanted = running.found()
    rig.step(60)        # for fragments that wait
    dropped = {why: number - before.get(why, 0) for why, number in rig.drops().items()}
    flows, summary = replay.finish()
    found = {flow.source_port: (flow.rule, flow.method, flow.name, flow.name_from) for flow in flows if flow.protocol != 1}
    assert found == wanted
    assert counted(summary.drops) == counted(dropped)
    assert summary.changed == sum(flow.before is not None for flow in flows)
    return {how for *_, how in found.values()}, summary.changed


@isolated
@pytest.mark.parametrize("seed", range(4))
def test_the_same_packets_are_decided_the_same_way(seed: int) -> None:
    rig, chance, seen, changed = WorkerRig(), random.Random(seed), set(), 0
    for _ in range(40):
        how, decided_again = compare(chance, rig)
        seen |= how
        changed += decided_again
        for _ in range(3):
            rig.step(700)        # flows end, names are forgotten
        assert rig.flows.size == 0
    assert seen >= {"sni", "host", "quic", "ech", "no-name", "not-web", "unread", "dns"} and changed > 10
