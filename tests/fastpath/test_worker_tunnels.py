"""The worker's tunnels: what a path carries, and one session after the other."""

import pytest

from fastpath.action import PuntReason
from fastpath.batch import PacketBatch
from fastpath.message import Command
from fastpath.stream import Stream
from fastpath.tunnels import Tunnels
from inner_packets import WORKLOAD, read, tcp, udp, whole
from isolation import isolated
from tls_pair import contexts, pair, sockets
from worker_rig import WorkerRig, tunnelled

SERVER = "192.0.2.1"


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


def test_a_swap_with_nothing_beside_changes_nothing():
    with pytest.raises(ValueError, match="slot 3 has no session beside it"):
        Tunnels().swap(3)
