"""What may wait in a crowded queue: the XDP program against its model on any bytes, and with a worker that marks its flows."""

import contextlib
import gc
import os
import random
import select
import socket
import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyroute2 import IPRoute

import namespaces
from fastpath import bpf, gwlb
from fastpath.action import PuntReason
from fastpath.batch import PacketBatch
from fastpath.flowmarks import FlowMarks
from fastpath.packetio import GenevePort
from fastpath.packetring import PacketRing
from fastpath.redirect import program
from fastpath.xsk import XskPort
from gateway_site import GATEWAY, OURS, bound
from inner_packets import WORKLOAD, WORKLOAD6, echo, error, pieces, tcp, udp
from isolation import isolated
from model.earlydrop import QUESTION, standing
from worker_rig import WorkerRig
from zcc import privileges

LOCAL_PEER, LOCAL_PEER6, EVIL = "10.8.7.4", "fd00:8::4", "203.0.113.66"
DROP, PASS = 1, 2           # PASS: there is no socket behind these programs
STATE = struct.Struct("<8Q")
SENT, ROOM, NEWCOMERS, QUESTIONS, REFUSED = 0, 2, 3, 4, 5
FLAT = gwlb.header(0xAAA, 2, 7, 4)

FIRST, LATER, *_ = pieces(udp(WORKLOAD, LOCAL_PEER, 7, 53, bytes(200)), 96)
INNER = [udp(WORKLOAD, LOCAL_PEER, 1, 2), tcp(WORKLOAD, LOCAL_PEER, 3, 53), udp(WORKLOAD6, LOCAL_PEER6, 4, 53),
         tcp(WORKLOAD6, LOCAL_PEER6, 5, 6), echo(WORKLOAD, LOCAL_PEER, 9), FIRST, LATER, error(udp(WORKLOAD, LOCAL_PEER, 1, 2))]


class Gate:
    """The program with its maps, and no socket."""

    def __init__(self, undo: contextlib.ExitStack) -> None:
        self.marks = FlowMarks(64)
        self.queues_fd, self.marks_fd, self.bits, self.factors = self.marks.maps
        sockets = bpf.map_create(bpf.MAP_XSK, 4, 4, 64)
        code = program(OURS, 6081, sockets, marks=self.marks.maps)
        self.program = bpf.program_load(bpf.PROGRAM_XDP, code, attach=bpf.ATTACH_XDP)
        for descriptor in (sockets, self.program):
            undo.callback(os.close, descriptor)

    def verdict(self, frame: bytes, *, newcomers: int = 0, questions: int = 0, sent: int = 100, room: int = 50) -> int:
        """What becomes of a frame in a queue with so many packets; `self.state` is the queue's afterwards."""
        bpf.map_update(self.queues_fd, bytes(4), STATE.pack(sent, 0, room, newcomers, questions, 0, 0, 0))
        found = bpf.run(self.program, frame, 1)
        self.state = STATE.unpack(bpf.map_lookup(self.queues_fd, bytes(4), STATE.size) or b"")
        return found

    def mark(self, place: int, count: int) -> None:
        """Set a counter."""
        word = bytearray(8)
        word[place & 7] = count
        bpf.map_update(self.marks_fd, (place >> 3).to_bytes(4, "little"), bytes(word))


@pytest.fixture(scope="module")
def gate() -> Iterator[Gate]:
    with contextlib.ExitStack() as undo:
        yield Gate(undo)


def privileged(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test that needs BPF; without root the maps must be refused, and that is the test."""
    return test if os.geteuid() == 0 else refused


def refused() -> None:
    with pytest.raises(PermissionError):
        FlowMarks(64)


def framed(geneve: bytes) -> bytes:
    """An Ethernet frame with Geneve for us."""
    addresses = socket.inet_aton(GATEWAY) + socket.inet_aton(OURS)
    outer = struct.pack("!BBHHHBBH", 0x45, 0, 28 + len(geneve), 0, 0, 64, 17, 0) + addresses
    return bytes(12) + b"\x08\x00" + outer + struct.pack("!HHHH", 5, 6081, 8 + len(geneve), 0) + geneve


@st.composite
def geneve_packets(draw: st.DrawFn) -> bytes:
    """Geneve as it should be, with some bytes turned and the end cut off; or anything."""
    whole = bytearray(FLAT + draw(st.sampled_from(INNER)))
    for at, value in draw(st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=3)):
        whole[at] = value
    cut = bytes(whole[:draw(st.integers(0, len(whole)))])
    return draw(st.one_of(st.just(bytes(whole)), st.just(cut), st.binary(max_size=120)))


@privileged
@given(geneve=geneve_packets())
@settings(max_examples=400, deadline=None)
def test_a_crowded_queue_lets_in_whom_the_model_lets_in(gate: Gate, geneve: bytes) -> None:
    frame = framed(geneve)
    place, kind = standing(frame, gate.bits, gate.factors)
    assert gate.verdict(frame) == DROP
    assert (gate.state[REFUSED], gate.state[SENT]) == (1, 100)
    assert gate.verdict(frame, newcomers=3) == PASS
    assert (gate.state[SENT], gate.state[NEWCOMERS]) == (101, 2)
    assert gate.verdict(frame, questions=3) == (PASS if kind == QUESTION else DROP)
    assert gate.state[QUESTIONS] == (2 if kind == QUESTION else 3)
    if place is not None:
        gate.mark(place, 1)
        assert gate.verdict(frame) == PASS
        assert gate.state[REFUSED] == 0
        gate.mark(place, 0)


@privileged
@pytest.mark.parametrize(("sent", "room", "found"), [(50, 50, PASS), (51, 50, DROP), (10**6, 0, PASS), (1, 1, PASS)])
def test_nobody_is_refused_while_there_is_room(gate: Gate, sent: int, room: int, found: int) -> None:
    assert gate.verdict(framed(FLAT + INNER[0]), sent=sent - 1, room=room) == found


@privileged
def test_what_is_not_ours_is_neither_counted_nor_refused(gate: Gate) -> None:
    frame = bytearray(framed(FLAT + INNER[0]))
    frame[37] ^= 1           # another port
    assert gate.verdict(bytes(frame)) == PASS
    assert (gate.state[SENT], gate.state[REFUSED]) == (100, 0)


PORTS: dict[str, Callable[[], GenevePort]] = {
    "xdp": lambda: XskPort(OURS, marks=FlowMarks(64)),
    "kernel flows": lambda: XskPort(OURS, marks=FlowMarks(64), kernel_flows=64),
    "packet": lambda: PacketRing(OURS, marks=FlowMarks(64)),
}


class Crowded(WorkerRig):
    """A worker whose queue may be said to be crowded."""

    def __init__(self, kind: str) -> None:
        other = namespaces.another()
        namespaces.link("g0", [f"{OURS}/24"], other, "g1", [f"{GATEWAY}/24"])
        with namespaces.inside(other):
            sender = bound(GATEWAY, 6081)
        port = PORTS[kind]()
        super().__init__(port=port, gwlb=sender)
        assert port.marks is not None
        self.queues_fd = port.marks.maps[0]

    def gets_in(self, packet: bytes) -> bool:
        """Whether a packet comes through while the queue is crowded and nothing is left of its allowances."""
        bpf.map_update(self.queues_fd, bytes(4), STATE.pack(10_000, 0, 1024, 0, 0, self.state()[REFUSED], 0, 0))
        self.from_gwlb(gwlb.header(0xAAA, 2, 7, packet[0] >> 4) + packet)
        there = bool(select.select([self.worker.geneve], [], [], 0.2)[0])
        self.step()
        self.to_workload()
        return there

    def state(self) -> tuple[int, ...]:
        """The queue's."""
        return STATE.unpack(bpf.map_lookup(self.queues_fd, bytes(4), STATE.size) or b"")

    def open(self, packet: bytes) -> None:
        """Send it twice while there is room: one packet does not make a flow known."""
        for _ in range(2):
            self.from_workload(packet)
            select.select([self.gwlb], [], [], 0.1)
            self.to_workload()


@privileged
@pytest.mark.parametrize("kind", ["xdp", "packet"])
@isolated
def test_flows_are_known_from_their_second_packet_both_ways_until_they_end(kind: str) -> None:
    rig = Crowded(kind)
    for there, back in ((udp(WORKLOAD, LOCAL_PEER, 1, 2), udp(LOCAL_PEER, WORKLOAD, 2, 1)),
                        (tcp(WORKLOAD, LOCAL_PEER, 3, 4), tcp(LOCAL_PEER, WORKLOAD, 4, 3, "SA")),
                        (udp(WORKLOAD6, LOCAL_PEER6, 5, 6), udp(LOCAL_PEER6, WORKLOAD6, 6, 5)),
                        (echo(WORKLOAD, LOCAL_PEER, 7), echo(LOCAL_PEER, WORKLOAD, 7))):
        assert not rig.gets_in(there)
        rig.from_workload(there)
        assert not rig.gets_in(there)
        rig.open(there)
        assert rig.gets_in(there)
        assert rig.gets_in(back)
    assert rig.drops() == {"overload": 8}
    rig.step(1000)
    assert rig.flows.size == 0
    assert not rig.gets_in(udp(WORKLOAD, LOCAL_PEER, 1, 2))


@privileged
@isolated
def test_a_flow_that_is_dropped_is_not_known() -> None:
    rig = Crowded("xdp")
    rig.open(udp(WORKLOAD, EVIL, 1, 2))
    assert not rig.gets_in(udp(WORKLOAD, EVIL, 1, 2))


@privileged
@pytest.mark.parametrize("kind", ["xdp", "packet"])
@isolated
def test_after_each_batch_the_queue_has_room_again_and_some_newcomers_may_come(kind: str) -> None:
    rig = Crowded(kind)
    rig.from_workload(udp(WORKLOAD, LOCAL_PEER, 1, 2))
    sent, taken, room, newcomers, questions, refused, *_ = rig.state()
    assert sent == taken == 1
    assert room == 1024
    assert (newcomers, questions, refused) == (16, 64, 0)


@privileged
@isolated
def test_the_end_of_one_flow_leaves_its_neighbour_on_the_same_counter_known() -> None:
    rig = Crowded("xdp")
    there = udp(WORKLOAD, LOCAL_PEER, 1, 2)
    rig.open(there)
    rig.open(tcp(WORKLOAD, LOCAL_PEER, 1, 2))          # the protocol is not part of the hash
    rig.open(tcp(WORKLOAD, LOCAL_PEER, 1, 2, "R"))
    rig.step(20)          # TCP that was reset is gone, UDP is not
    closed = rig.heard(PuntReason.PUNT_FLOW_CLOSED)
    assert [event.flow.protocol for event in closed if event.flow] == [6]
    assert rig.gets_in(there)


@privileged
@isolated
def test_kernel_flows_and_early_drop_live_in_one_program() -> None:
    rig = Crowded("kernel flows")
    rig.open(udp(WORKLOAD, LOCAL_PEER, 1, 2))
    assert rig.worker.geneve.flows.size == 1
    assert not rig.gets_in(udp(WORKLOAD, LOCAL_PEER, 8, 9))
    assert rig.drops() == {"overload": 1}


@privileged
@isolated
def test_workers_share_the_marks_and_their_memory_outlives_the_port_that_made_it() -> None:
    other = namespaces.another()
    namespaces.link("g0", [f"{OURS}/24"], other, "g1", [f"{GATEWAY}/24"], queues=2)
    marks = FlowMarks(64)
    first = XskPort(OURS, workers=2, marks=marks)
    second = XskPort(OURS, worker=1, workers=2, first=first, marks=marks)
    read = [bpf.map_lookup(marks.maps[0], queue.to_bytes(4, "little"), STATE.size) or b"" for queue in range(3)]
    assert [STATE.unpack(state)[ROOM] for state in read] == [1024, 1024, 0]
    first.close()
    del first, marks
    gc.collect()
    batch = PacketBatch(4)
    assert second.recv(batch) == 0
    second.close()


@privileged
@isolated
def test_a_crowded_ring_lets_in_whom_the_model_lets_in() -> None:
    other = namespaces.another()
    namespaces.link("g0", [f"{OURS}/24"], other, "g1", [f"{GATEWAY}/24"])
    marks, batch, wheel = FlowMarks(64), PacketBatch(64), random.Random(1)
    queues_fd, _, bits, factors = marks.maps
    with namespaces.inside(other):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        wire.bind(("g1", 0))
    port = PacketRing(OURS, marks=marks)
    addresses = mac_of("g0") + bytes(6)
    for _ in range(400):
        geneve = bytearray(FLAT + wheel.choice(INNER))
        for _ in range(wheel.randrange(3)):
            geneve[wheel.randrange(len(geneve))] = wheel.randrange(256)
        frame = addresses + framed(bytes(geneve[:wheel.choice((len(geneve), wheel.randrange(len(geneve))))]))[12:]
        place, kind = standing(frame, bits, factors)
        for newcomers, questions, there in ((1, 0, True), (0, 1, kind == QUESTION), (0, 0, False)):
            bpf.map_update(queues_fd, bytes(4), STATE.pack(100, 0, 50, newcomers, questions, 0, 0, 0))
            wire.send(frame)
            assert (port.recv(batch) == 1) == there, (newcomers, questions, frame)
            state = STATE.unpack(bpf.map_lookup(queues_fd, bytes(4), STATE.size) or b"")
            assert (state[SENT], state[REFUSED]) == ((101, 0) if there else (100, 1))
        assert place is None or 0 <= place < 1 << bits
    for at, value in ((12, 0x86), (23, 6), (33, 9), (37, 9), (21, 1)):      # protocols, address, port; a later fragment
        frame = bytearray(addresses + framed(FLAT + INNER[0])[12:])
        frame[at] = value
        bpf.map_update(queues_fd, bytes(4), STATE.pack(0, 0, 50, 0, 0, 0, 0, 0))
        wire.send(frame)
        assert port.recv(batch) == 0
        assert STATE.unpack(bpf.map_lookup(queues_fd, bytes(4), STATE.size) or b"")[SENT] == 0


def mac_of(name: str) -> bytes:
    """An interface's address."""
    with IPRoute() as ip:
        (link,) = ip.link("get", ifname=name)
    return bytes.fromhex(link.get_attr("IFLA_ADDRESS").replace(":", ""))


@privileged
@isolated
def test_the_programs_load_with_the_capabilities_that_the_unit_grants() -> None:
    namespaces.link("g0", [f"{OURS}/24"], namespaces.another(), "g1", [f"{GATEWAY}/24"])
    net_admin, ipc_lock = 12, 14       # the latter in place of the unit's LimitMEMLOCK
    granted = {net_admin, privileges.CAP_NET_RAW, privileges.CAP_BPF, ipc_lock}
    privileges.drop(*(set(range(41)) - granted))
    assert privileges.held() == sum(1 << number for number in granted)
    with PORTS["kernel flows"]() as port:
        assert port.mode == "driver, copy"
    with PORTS["packet"]() as port:
        assert port.marks is not None


@pytest.mark.parametrize("capacity", [0, -1, (1 << 24) + 1])
def test_capacity_out_of_range_is_named(capacity: int) -> None:
    with pytest.raises(ValueError, match="capacity"):
        FlowMarks(capacity)
