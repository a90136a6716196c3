"""Watched flows of a worker: what is copied, what a name may change midway, what becomes of flows that say nothing."""

from ipaddress import ip_address

import numpy as np
import pytest

from fastpath.action import Action, Naming, PuntReason
from fastpath.classify import RuleSet
from fastpath.criteria import Criteria
from fastpath.message import Command, Event, drain
from fastpath.watch import Watch
from hellos import hello, records
from inner_packets import WORKLOAD, pieces, read, tcp, udp
from isolation import isolated
from worker_rig import EGRESS4, REMOTE, RULES, SECOND, WorkerRig

NAME_BITS = 26
BLOCKED, DIRECT, LOCAL, OTHER = "www.blocked.test", "direct.test", "local.test", "other.test"
NAMED = [
    {"name": "no-blocked", "method": "DROP", "destinations": ["*.blocked.test"]},
    {"name": "no-ech", "method": "DROP", "unnamed": ["ech", "unread"]},
    {"name": "by-name", "method": "LOCAL", "destinations": [LOCAL]},
    {"name": "also-direct", "method": "DIRECT", "destinations": [DIRECT]},
]
FIRST = 70_000_000       # a sequence number


class Connection:
    """A client's TCP connection through a worker that watches."""

    def __init__(self, rig: WorkerRig, port: int = 40_000, remote: str = REMOTE, dport: int = 443) -> None:
        self.rig, self.ends = rig, (WORKLOAD, remote, port, dport)
        self.send("S", b"", FIRST - 1)

    def send(self, flags: str, payload: bytes, sequence: int) -> None:
        packet = read(tcp(*self.ends, flags, payload))
        packet["TCP"].seq, packet["TCP"].ack = sequence & 0xFFFFFFFF, 900
        del packet["TCP"].chksum
        self.rig.from_workload(bytes(packet))

    def say(self, payload: bytes, at: int = 0) -> None:
        self.send("PA", payload, FIRST + at)

    def answered(self) -> None:
        """The server sends something."""
        _, destination, sport, dport = self.ends
        self.rig.from_kernel(tcp(destination, str(EGRESS4), dport, sport, "PA", b"late"))


def watching(rules: list[dict] | None = None) -> WorkerRig:
    rig = WorkerRig()
    for name in (BLOCKED, DIRECT, LOCAL, OTHER):
        rig.names.id_of(name)
    rig.edit([*NAMED, *RULES] if rules is None else rules)
    return rig


def words(rig: WorkerRig) -> list[Event]:
    return drain(rig.words)


def tell(rig: WorkerRig, event: Event, name: str | None, naming: Naming, **other: int) -> None:
    """Answer a copy, as the control plane does."""
    word = naming << NAME_BITS | (rig.names.id_of(name) if name else 0)
    fields = {"location": event.value, "endpoint": event.endpoint, "until_ns": event.flow.started_ns, "value": word, **other}
    rig.say(Command.COMMAND_NAME, namespace=event.namespace, packet=event.packet, header=event.header,
            peer=(event.peer_address, event.peer_port), **fields)


def teach(rig: WorkerRig, name: str) -> None:
    """A DNS answer has named the server's address."""
    packed = bytes(10) + b"\xff\xff" + ip_address(REMOTE).packed
    rig.admission.names.insert(1, packed, rig.names.id_of(name), rig.now + 60 * SECOND)


def entry(rig: WorkerRig) -> object:
    entries = rig.flows.entries_view
    return entries[entries["used"] != 0][0]


def closed(rig: WorkerRig) -> list[tuple[int, str | None, int]]:
    """Action, name and naming of the records there are."""
    return [(e.flow.action, rig.names.name_of(e.flow.name_id), e.flow.naming) for e in rig.heard(PuntReason.PUNT_FLOW_CLOSED)]


@isolated
def test_what_a_client_says_is_copied_and_goes_on_as_it_is():
    rig = watching()
    client = Connection(rig)
    client.send("A", b"", FIRST)
    assert words(rig) == []
    client.say(b"hello")
    (event,) = words(rig)
    assert event.reason == PuntReason.PUNT_WORDS and read(event.packet)["TCP"].payload.load == b"hello"
    assert event.location == FIRST & 0xFFFF and event.flow.destination == ip_address(REMOTE)
    assert len(rig.to_kernel()) == 3 and rig.worker.counters()["events"][PuntReason.PUNT_WORDS] == 1
    client.answered()
    assert words(rig) == [] and len(rig.to_workload()) == 1


@isolated
def test_a_name_that_a_rule_drops_cuts_the_flow_and_its_client_is_told_at_once():
    rig = watching()
    client = Connection(rig)
    client.say(records(hello(BLOCKED)))
    rig.to_kernel()
    (event,) = words(rig)
    tell(rig, event, BLOCKED, Naming.NAMING_SNI)
    (refusal,) = rig.to_workload()
    reset = read(refusal[40:])
    assert reset["TCP"].flags == "R" and reset["TCP"].seq == 900 and (reset.src, reset.dst) == (REMOTE, WORKLOAD)
    assert closed(rig) == [(Action.ACTION_DIRECT, BLOCKED, Naming.NAMING_SNI)]       # what it was until then
    client.answered()
    assert rig.to_workload() == [] and rig.nat.size == 0, "nothing comes back any more"
    client.say(b"more", 600)
    assert rig.to_kernel() == [] and read(rig.to_workload()[0][40:])["TCP"].flags == "R" and words(rig) == []
    assert int(entry(rig)["action"]) == Action.ACTION_DROP and rig.drops()["policy"] == 1


@isolated
def test_another_path_is_not_taken_midway_and_a_rule_of_the_same_action_takes_over():
    rig = watching()
    for port, (name, rule) in enumerate(((LOCAL, "updates"), (DIRECT, "also-direct"), (OTHER, "updates"))):
        client = Connection(rig, 40_000 + port)
        client.say(b"\x16")
        (event,) = words(rig)
        tell(rig, event, name, Naming.NAMING_SNI)
        client.say(b"more", 1)
        assert words(rig) == [] and len(rig.to_kernel()) == 3, name
        found = rig.flows.entries_view[event.value]
        assert (int(found["action"]), [*NAMED, *RULES][int(found["rule"])]["name"]) == (Action.ACTION_DIRECT, rule)
        assert int(found["name_id"]) == Naming.NAMING_SNI << NAME_BITS | rig.names.id_of(name)


@isolated
def test_an_edit_decides_by_what_the_flow_has_said_not_by_its_addresss_name():
    rig = watching()
    client = Connection(rig)
    client.say(b"\x16")
    tell(rig, words(rig)[0], OTHER, Naming.NAMING_SNI)
    teach(rig, BLOCKED)
    rig.edit([{"name": "no-other", "method": "DROP", "destinations": [OTHER]}, *RULES])
    rig.to_kernel()
    client.say(b"more", 1)
    assert rig.to_kernel() == [] and rig.drops()["policy"] == 1


@isolated
def test_without_a_sure_name_of_its_own_the_addresss_name_stands():
    rig = watching()
    teach(rig, DIRECT)
    client = Connection(rig)
    client.say(b"\x16")
    tell(rig, words(rig)[0], OTHER, Naming.NAMING_ECH)
    client.say(b"more", 1)
    assert len(rig.to_kernel()) == 3 and int(entry(rig)["name_id"]) == rig.names.id_of(DIRECT)


@isolated
def test_a_name_that_flows_say_of_an_address_gives_way_to_dns_and_takes_back_only_itself():
    rig, packed = watching(), bytes(10) + b"\xff\xff" + ip_address(REMOTE).packed
    direct, local = (Naming.NAMING_SNI << NAME_BITS | rig.names.id_of(name) for name in (DIRECT, LOCAL))
    address = {"namespace": 1, "address": ip_address(REMOTE), "until_ns": rig.now + 60 * SECOND}

    def known() -> int:
        return rig.admission.names.lookup(1, packed, rig.now)

    rig.say(Command.COMMAND_LEARN, value=direct, **address)
    rig.say(Command.COMMAND_FORGET, value=local, **address)
    assert known() == direct
    rig.say(Command.COMMAND_LEARN, value=local, **address)
    assert known() == local, "the newest"
    rig.say(Command.COMMAND_FORGET, value=local, **address)
    assert known() == 0
    teach(rig, OTHER)
    rig.say(Command.COMMAND_LEARN, value=direct, **address)
    rig.say(Command.COMMAND_FORGET, value=direct, **address)
    assert known() == rig.names.id_of(OTHER)
    rig.say(Command.COMMAND_FORGET, **address)
    assert known() == 0


@isolated
def test_what_others_said_of_an_address_chooses_a_path_and_drops_no_first_packet():
    rig = watching()
    for name, action in ((LOCAL, Action.ACTION_LOCAL), (BLOCKED, Action.ACTION_DIRECT)):
        rig.say(Command.COMMAND_LEARN, namespace=1, address=ip_address(REMOTE), until_ns=rig.now + 60 * SECOND,
                value=Naming.NAMING_SNI << NAME_BITS | rig.names.id_of(name))
        client = Connection(rig, 40_000 + action)
        client.say(b"\x16")
        (event,) = words(rig)
        assert int(rig.flows.entries_view[event.value]["action"]) == action
        assert event.flow.name_id == (rig.names.id_of(LOCAL) if name == LOCAL else 0)


@isolated
def test_a_cause_matches_its_rule_with_or_without_a_name_outside():
    rig = watching()
    for port, name in ((40_000, OTHER), (40_001, None)):
        client = Connection(rig, port)
        client.say(b"\x16")
        tell(rig, words(rig)[0], name, Naming.NAMING_ECH)
        assert len(rig.to_workload()) == 1, "its client is told"
    client = Connection(rig, 40_002)
    client.say(b"SSH-2.0\r\n")
    tell(rig, words(rig)[0], None, Naming.NAMING_NOT_WEB)
    assert rig.to_workload() == []
    client.say(b"more", 9)
    assert words(rig) == []


@isolated
def test_too_many_packets_without_a_name_are_unread():
    rig = watching()
    client = Connection(rig)
    for n in range(16):
        client.say(b"x", n)
        assert len(words(rig)) == 1
    client.say(b"x", 16)
    assert words(rig) == [] and int(entry(rig)["name_id"]) == Naming.NAMING_UNREAD << NAME_BITS
    assert int(entry(rig)["action"]) == Action.ACTION_DROP


@isolated
def test_a_ring_that_nobody_reads_holds_nothing_up_and_its_flows_are_unread():
    rig = watching([r for r in [*NAMED, *RULES] if r["name"] != "no-ech"])
    for n in range(40):
        Connection(rig, 40_000 + n % 60).say(b"x" * 1000)
    assert rig.words.lost > 0 and rig.worker.counters()["events_lost"] == 0
    assert len(rig.to_kernel()) == 80
    unread = rig.flows.entries_view["name_id"] == Naming.NAMING_UNREAD << NAME_BITS
    assert unread.sum() == rig.words.lost


@isolated
def test_fragments_and_connections_from_their_middle_are_unread():
    rig = watching()
    client = Connection(rig)
    rig.from_workload(pieces(tcp(*client.ends, "PA", b"x" * 200), 64)[0])
    assert int(entry(rig)["action"]) == Action.ACTION_DROP and words(rig) == []


@isolated
def test_a_connection_whose_beginning_was_missed_is_unread():
    rig = watching()
    rig.from_workload(tcp(WORKLOAD, REMOTE, 40_000, 443, "PA", b"x"))
    assert rig.to_kernel() == [] and int(entry(rig)["name_id"]) == Naming.NAMING_UNREAD << NAME_BITS


@isolated
def test_datagrams_are_heard_from_the_first_on():
    rig = watching()
    rig.from_workload(udp(WORKLOAD, REMOTE, 4000, 443, b"quic"))
    (event,) = words(rig)
    tell(rig, event, BLOCKED, Naming.NAMING_QUIC)
    (refusal,) = rig.to_workload()
    error = read(refusal[40:])
    assert (error["ICMP"].type, error["ICMP"].code) == (3, 13)


@isolated
def test_only_ports_that_rules_look_at_are_watched_and_only_with_a_ring():
    rig = watching([{"name": "no", "method": "DROP", "destinations": [BLOCKED], "services": ["tcp/25"]}, *RULES])
    for port in (443, 80, 25):
        Connection(rig, 40_000 + port, dport=port).say(b"x")
        assert len(words(rig)) == (port == 25)
    rig.edit(RULES)
    Connection(rig, 41_000, dport=25).say(b"x")
    assert words(rig) == [] and Watch(rig.admission).words is None


@isolated
def test_an_answer_for_another_flow_changes_nothing():
    """The slot may be another's by then: hash and start must be the flow's."""
    rig = watching()
    Connection(rig).say(b"\x16")
    (event,) = words(rig)
    for wrong in ({"location": event.value + 1}, {"endpoint": event.endpoint ^ 1}, {"until_ns": 5}, {"location": 2**32 - 1}):
        tell(rig, event, BLOCKED, Naming.NAMING_SNI, **wrong)
    assert rig.to_workload() == [] and int(entry(rig)["action"]) == Action.ACTION_DIRECT
    tell(rig, event, OTHER, Naming.NAMING_SNI)
    tell(rig, event, BLOCKED, Naming.NAMING_SNI)
    assert rig.to_workload() == [] and int(entry(rig)["action"]) == Action.ACTION_DIRECT, "its name is given once"


@pytest.mark.parametrize("length", [1, 8192, 16_385])
def test_the_ports_of_a_rule_set_are_whole_or_none(length):
    with pytest.raises(ValueError, match="watched must be"):
        RuleSet(1, actions=np.zeros(1, np.uint8), rule_of=np.zeros(1, np.int32), criteria=Criteria(), watched=bytes(length))
