"""The worker's tunnels: what a path carries, and one session after the other."""

import random

import numpy as np
import pytest

from fastpath import geneve, gwlb
from fastpath.action import PuntReason
from fastpath.batch import PacketBatch
from fastpath.message import Command
from fastpath.parts import Parts
from fastpath.stream import Stream
from fastpath.tunnels import Tunnels
from inner_packets import WORKLOAD, WORKLOAD6, read, tcp, udp, whole
from isolation import isolated
from tls_pair import contexts, pair, sockets
from worker_rig import WorkerRig, tunnelled

SERVER, SERVER6 = "192.0.2.1", "2001:db8:77::1"
NARROW = 1280 - 28 - 37 - 28       # inside, over a path of 1,280 bytes


@isolated
def test_what_its_path_does_not_carry_is_answered_or_cut():
    rig = WorkerRig()
    rig.attach(0)
    rig.attach(1, activate=False)
    rig.tunnels.resize(0, 1200)
    large = udp(WORKLOAD, SERVER, 4000, 9, bytes(1250))
    rig.from_workload(whole(large))
    (frame,) = rig.to_workload()
    assert read(frame[40:])["ICMP"].nexthopmtu == 1200 and rig.drops() == {"zia_too_big": 1}
    rig.from_workload(large)
    assert [len(frame) - 28 <= 1200 for frame in rig.to_edge()] == [True, True]
    rig.activate(1)
    rig.tunnels.resize(0, 1300)
    rig.from_workload(whole(large))
    assert len(rig.to_edge(0)) == 1, "the flow stays with its edge, and the path grew"


@isolated
def test_mss_follows_the_path_both_ways():
    rig = WorkerRig()
    rig.attach()
    rig.tunnels.resize(0, 1100)
    rig.from_workload(tcp(WORKLOAD, SERVER, 4000, 443))
    (frame,) = rig.to_edge()
    assert dict(read(frame[28:])["TCP"].options)["MSS"] == 1060
    rig.from_edge(tunnelled(tcp(SERVER, WORKLOAD, 443, 4000, "SA")))
    (frame,) = rig.to_workload()
    assert dict(read(frame[40:])["TCP"].options)["MSS"] == 1060


@isolated
def test_a_session_beside_a_slot_is_heard_and_sends_once_it_has_taken_over():
    rig = WorkerRig()
    rig.attach(0)
    rig.attach(8, activate=False)
    packet, answer = udp(WORKLOAD, SERVER, 4000, 9), tunnelled(udp(SERVER, WORKLOAD, 9, 4000))
    rig.from_workload(packet)
    rig.from_edge(answer, slot=8)
    assert (len(rig.to_edge(0)), len(rig.to_edge(8)), len(rig.to_workload())) == (1, 0, 1)
    rig.tunnels.swap(0)
    rig.from_workload(packet)
    rig.from_edge(answer, slot=0)          # what was on its way in the former session
    rig.from_edge(answer, slot=8)
    assert (len(rig.to_edge(0)), len(rig.to_edge(8)), len(rig.to_workload())) == (0, 1, 2)
    assert [rig.tunnels.records(place) for place in (0, 8)] == [(1, 2), (1, 1)]


@isolated
def test_the_end_of_a_session_beside_a_slot_leaves_the_slot_alone():
    rig = WorkerRig()
    rig.attach(0)
    rig.attach(8, activate=False)
    rig.edge_sends(rig.edges[8].close(), slot=8)
    rig.from_workload(udp(WORKLOAD, SERVER, 4000, 9))
    rig.step()
    assert [event.value for event in rig.heard(PuntReason.PUNT_TUNNEL_CLOSED)] == [8]
    rig.from_workload(udp(WORKLOAD, SERVER, 4000, 9))
    assert len(rig.to_edge(0)) == 2 and rig.drops().get("zia_down", 0) == 0


@isolated
def test_a_slot_may_hold_a_stream_and_its_end_is_told(tmp_path):
    rig = WorkerRig()
    wires, connections = sockets(), pair(*contexts(tmp_path))
    near, far = (Stream(connection, wire.fileno()) for connection, wire in zip(connections, wires, strict=True))
    rig.tunnels.attach_stream(0, near, 1300)
    rig.activate(0)
    rig.from_workload(udp(WORKLOAD, SERVER, 4000, 9), whole(udp(WORKLOAD, SERVER, 4000, 9, bytes(1300))))
    batch = PacketBatch()
    assert far.recv(batch) == 1 and read(batch.frame(0)[28:]).dst == SERVER
    assert rig.drops() == {"zia_too_big": 1}
    rig.say(Command.COMMAND_TUNNEL_CONTROL, slot=0, packet=b"control")
    assert far.recv(batch) == 1 and batch.frame(0) == b"control"
    far.send_bytes(tunnelled(udp(SERVER, WORKLOAD, 9, 4000)))
    rig._arrived(near)
    assert len(rig.to_workload()) == 2       # the answer, and before it what is said of the large one
    assert rig.tunnels.records(0) == (2, 1)
    far.close()
    rig._arrived(near)
    assert [event.value for event in rig.heard(PuntReason.PUNT_TUNNEL_CLOSED)] == [0]
    rig.from_workload(udp(WORKLOAD, SERVER, 4000, 9))
    assert rig.drops()["zia_down"] == 1
    for end in (near, *wires):
        end.close()


@pytest.mark.parametrize(("source", "server"), [(WORKLOAD, SERVER), (WORKLOAD6, SERVER6)])
@isolated
def test_what_every_path_has_to_carry_goes_in_parts_to_an_edge_that_takes_them(source, server):
    rig = WorkerRig()
    rig.attach()
    rig.tunnels.resize(0, NARROW)
    sizes = {4000: 1280, 4001: NARROW, 4002: NARROW + 1, 4003: 1281}
    large = [sized(source, server, size, port) for port, size in sizes.items()]
    rig.from_workload(large[0])
    assert rig.to_edge() == [] and rig.drops() == {"zia_too_big": 1}, "it has not said that it takes parts"
    rig.to_workload()
    rig.tunnels.resize(0, NARROW, parts=True)
    rig.from_workload(*large)
    sent = rig.to_edge()
    assert [len(frame) <= 28 + NARROW for frame in sent] == [True] * 5
    assert [frame[1] & 0x40 for frame in sent] == [0x40, 0x40, 0, 0x40, 0x40]
    packets = joined(*sent)
    assert [frame[28:] for frame in packets] == large[:3]
    assert rig.drops() == {"zia_too_big": 2}, "the fourth"
    assert rig.tunnels.records(0)[0] == 5


@isolated
def test_parts_of_an_edge_are_one_packet_and_a_lost_one_is_lost_alone():
    rig = WorkerRig()
    rig.attach()
    answers = [tunnelled(sized(SERVER6, WORKLOAD6, 1280, 9, port)) for port in (4000, 4001, 4002)]
    rig.from_workload(*(udp(WORKLOAD6, SERVER6, port, 9) for port in (4000, 4001, 4002)))
    frames = parted(*answers)
    rig.from_edge(frames[1], frames[4], frames[2], frames[5], frames[0])
    assert [frame[40:] for frame in rig.to_workload()] == [answers[2][8:], answers[0][8:]]
    assert rig.drops() == {"part_held": 3}
    rig.from_edge(*(part(number, b"x" * 9) for number in range(34, 34 + 33)))
    assert rig.drops()["part_orphan"] == 2, "the second packet's, and one whose place was needed"
    rig.from_edge(tunnelled(udp(SERVER6, WORKLOAD6, 9, 4000))[:1] + b"\x40" + tunnelled(udp(SERVER6, WORKLOAD6, 9, 4000))[2:])
    assert rig.drops()["part_shape"] == 1 and rig.to_workload() == []


@isolated
def test_parts_of_one_packet_may_come_by_a_session_before_and_after_it_takes_over():
    rig = WorkerRig()
    rig.attach(0)
    rig.attach(8, activate=False)
    answer = tunnelled(sized(SERVER6, WORKLOAD6, 1280, 9, 4000))
    rig.from_workload(udp(WORKLOAD6, SERVER6, 4000, 9))
    old, new = parted(answer), parted(answer)
    rig.from_edge(old[0], slot=0)
    rig.from_edge(new[1], slot=8)
    assert rig.to_workload() == [], "two sessions have the same numbers, and nothing else in common"
    rig.tunnels.swap(0)
    rig.edges[0], rig.edges[8] = rig.edges[8], rig.edges[0]
    rig.wires[0], rig.wires[8] = rig.wires[8], rig.wires[0]
    rig.ours[0], rig.ours[8] = rig.ours[8], rig.ours[0]
    rig.from_edge(old[1], slot=8)
    rig.from_edge(new[0], slot=0)
    assert [frame[40:] for frame in rig.to_workload()] == [answer[8:]] * 2


@isolated
def test_the_order_of_a_batch_is_kept_where_some_go_in_parts():
    rig = WorkerRig()
    rig.attach()
    rig.tunnels.resize(0, NARROW, parts=True)
    packets = [sized(WORKLOAD6, SERVER6, 1280 if k % 3 else 100, 4000, 9, k) for k in range(40)]
    for packet in packets:
        rig.from_gwlb(gwlb.header(0xAAA, 2, 7, 6) + packet)
    rig._arrived(rig.worker.geneve)
    assert [frame[28:] for frame in joined(*rig.to_edge())] == packets
    assert rig.drops() == {}


def sized(source, destination, size, sport, dport=9, seed=0):
    """A UDP packet of so many bytes, of IPv4 one that may not be fragmented."""
    head = 48 if ":" in source else 28
    packet = udp(source, destination, sport, dport, random.Random(seed).randbytes(size - head))
    return packet if ":" in source else whole(packet)


def parted(*frames):
    """Geneve packets in parts, as an edge sends them over a narrow path."""
    batch, out = PacketBatch(len(frames)), PacketBatch(64, 2048)
    batch.load(list(frames))
    Parts().split_rows(batch, np.arange(len(frames), dtype=np.uint16), 28 + NARROW, out)
    return [out.frame(row) for row in range(out.count)]


def joined(*frames):
    """The whole packets among Geneve packets and parts, in the order in which they are whole."""
    batch, parts, found = PacketBatch(1, 2048), Parts(), []
    for frame in frames:
        batch.load([frame])
        geneve.decode_batch(batch)
        if not batch.geneve_flags[0] or parts.join_rows(batch, np.zeros(1, np.uint16)):
            found.append(batch.frame(0))
    return found


def part(number, data):
    """A part of a packet of which nothing else comes."""
    said = number.to_bytes(4) + bytes([0, 0, 0, 99])
    return geneve.encode_header([(0xFF5A, 0x84, said)], vni=1, flags=0x40) + data


def test_a_swap_with_nothing_beside_changes_nothing():
    with pytest.raises(ValueError, match="slot 3 has no session beside it"):
        Tunnels().swap(3)
