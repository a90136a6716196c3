"""Several workers: a flow, its fragments and its ICMP errors are met by one of them, whichever way they come in."""

import json
import select
import socket
import subprocess
import sys
import threading
import time

import pytest
from scapy.layers.inet import ICMP, IP
from scapy.packet import Raw

from crew_rig import CrewRig, header
from fastpath import gwlb
from fastpath.action import Action, PuntReason
from fastpath.message import Command, command
from inner_packets import WORKLOAD, WORKLOAD6, echo, pieces, read, udp
from isolation import isolated
from worker_rig import APPLICATION, EGRESS4, INTERNAL, REMOTE, REMOTE6, RULES, tunnelled

from .test_worker_alone import HELD_S, LOAD, hold_interpreter

FLOWS = 12
ANYWHERE = "192.0.2.1"
STEERED = pytest.mark.parametrize("steered", [True, False], ids=["steered", "unsteered"])


@STEERED
@isolated
def test_both_directions_of_a_flow_meet_one_worker_and_leave_under_their_own_headers(steered):
    rig = CrewRig(steered=steered)
    for k in range(FLOWS):
        there, back = udp(WORKLOAD, "10.8.7.4", 1000 + k, 2), udp("10.8.7.4", WORKLOAD, 2, 1000 + k)
        rig.from_workload(there, cookie=5)
        rig.from_workload(back, cookie=6)
        assert rig.first.to_workload() == [gwlb.header(0xAAA, 2, 5, 4) + there, gwlb.header(0xAAA, 2, 6, 4) + back]
    counts = rig.packets(Action.ACTION_LOCAL)
    assert all(there == back > 0 for there, back in counts) and sum(there for there, _ in counts) == FLOWS
    assert sum(one.flows.size for one in rig.rigs) == FLOWS
    assert set(rig.drops()) == (set() if steered else {"shard_moved"})


@STEERED
@isolated
def test_answers_from_the_kernel_find_the_worker_whose_port_they_go_to(steered):
    rig = CrewRig(steered=steered)
    for k in range(FLOWS):
        for source, remote in ((WORKLOAD, REMOTE), (WORKLOAD6, REMOTE6)):
            rig.from_workload(udp(source, remote, 4000 + k, 9), echo(source, remote, 60 + k))
            datagram, ping = (read(packet) for packet in rig.first.to_kernel())
            rig.from_kernel(udp(remote, datagram.src, 9, datagram.sport, b"late"))
            (frame,) = rig.first.to_workload()
            answer = read(frame[40:])
            assert (answer.src, answer.sport, answer.dst, answer.dport) == (remote, 9, source, 4000 + k)
            if source == WORKLOAD:
                rig.from_kernel(bytes(IP(src=remote, dst=ping.src) / ICMP(type=0, id=ping[ICMP].id)))
                (frame,) = rig.first.to_workload()
                assert read(frame[40:])[ICMP].id == 60 + k
                error = IP(src="192.0.2.254", dst=datagram.src) / ICMP(type=3, code=1) / Raw(bytes(datagram))
                rig.from_kernel(bytes(error))
                (frame,) = rig.first.to_workload()
                assert read(frame[40:])[IP].dst == WORKLOAD
    assert set(rig.drops()) == {"shard_moved"}      # of the kernel's packets the first worker took all
    assert all(one.nat.size for one in rig.rigs)


@isolated
def test_each_worker_gives_workloads_aliases_of_its_own():
    rig = CrewRig()
    for one in rig.rigs:
        one.say(Command.COMMAND_LEARN, namespace=0xFFFF, address=APPLICATION, value=one.portal, until_ns=1 << 62)
    aliases = {}
    for k in range(FLOWS):
        rig.from_workload(udp(WORKLOAD, str(APPLICATION), 4000 + k, 7))
        (out,) = rig.first.to_kernel()
        made = read(out)
        (worker,) = [n for n, one in enumerate(rig.rigs) if one.heard(PuntReason.PUNT_FLOW_OPENED)]
        assert aliases.setdefault(worker, made.src) == made.src
        rig.from_kernel(udp(str(INTERNAL[1]), made.src, made.dport, made.sport))
        (frame,) = rig.first.to_workload()
        assert (read(frame[40:]).src, read(frame[40:]).dport) == (str(APPLICATION), 4000 + k)
    assert len(set(aliases.values())) == 2


@STEERED
@isolated
def test_fragments_follow_their_first_one_to_its_flow_in_any_order(steered):
    rig = CrewRig(steered=steered)
    for k in range(FLOWS):
        packet = udp(WORKLOAD, REMOTE, 4000 + k, 9, bytes(range(150)))
        rig.from_workload(udp(WORKLOAD, REMOTE, 4000 + k, 9))
        (out,) = rig.first.to_kernel()
        port = read(out).sport
        parts = pieces(bytes(IP(packet[:4] + (100 + k).to_bytes(2) + packet[6:])))
        rig.from_workload(*(parts if k % 2 else parts[::-1]))
        sent = [IP(part) for part in rig.first.to_kernel()]
        assert sorted(part.frag for part in sent) == [0, 8, 16]
        assert {part.src for part in sent} == {str(EGRESS4)}
        answer = udp(REMOTE, str(EGRESS4), 9, port, bytes(range(150)))
        parts = pieces(bytes(IP(answer[:4] + (200 + k).to_bytes(2) + answer[6:])))
        rig.from_kernel(*(parts[::-1] if k % 2 else parts))
        back = [IP(frame[40:]) for frame in rig.first.to_workload()]
        assert sorted(part.frag for part in back) == [0, 8, 16]
        assert {part.dst for part in back} == {WORKLOAD}
    assert set(rig.drops()) == {"shard_moved"}
    assert sum(one.flows.size for one in rig.rigs) == FLOWS


@STEERED
@isolated
def test_errors_that_workloads_and_routers_send_meet_the_flow_they_speak_of(steered):
    rig = CrewRig(steered=steered)
    for k in range(FLOWS):
        packet = udp(WORKLOAD, "10.8.7.4", 4000 + k, 9)
        rig.from_workload(packet)
        error = bytes(IP(src="10.8.0.1", dst=WORKLOAD) / ICMP(type=11) / Raw(packet))
        rig.from_workload(error)
        assert [frame[40:] for frame in rig.first.to_workload()] == [packet, error]
    assert sum(one.flows.size for one in rig.rigs) == FLOWS      # no error has made one of its own


@STEERED
@isolated
def test_answers_of_an_internet_edge_find_their_flow_also_by_another_workers_session(steered):
    rig = CrewRig(steered=steered)
    for one in rig.rigs:
        one.attach(0)
        one.edit([{"name": "web", "method": "ZIA"}])
    for k in range(FLOWS):
        packet = udp(WORKLOAD, ANYWHERE, 4000 + k, 9)
        rig.from_workload(packet)
        (worker,) = [n for n, one in enumerate(rig.rigs) if one.to_edge()]
        answer = udp(ANYWHERE, WORKLOAD, 9, 4000 + k, bytes(range(150)))
        parts = pieces(bytes(IP(answer[:4] + (300 + k).to_bytes(2) + answer[6:])))
        error = bytes(IP(src="192.0.2.254", dst=WORKLOAD) / ICMP(type=11) / Raw(packet))
        for by in (worker, 1 - worker):
            sent = [answer, error, *(parts if k % 2 else parts[::-1])] if by == worker else [answer, error]
            for frame in sent:
                rig.rigs[by].edge_sends(rig.rigs[by].edges[0].seal(tunnelled(frame)))
                assert select.select([rig.rigs[by].ours[0]], [], [], 5)[0]
                rig.step()
            got = [frame[40:] for frame in rig.first.to_workload()]
            assert len(got) == len(sent) and got[:2] == [answer, error]
        other = pieces(bytes(IP(answer[:4] + (400 + k).to_bytes(2) + answer[6:])))
        for frame in other[::-1]:
            rig.rigs[1 - worker].edge_sends(rig.rigs[1 - worker].edges[0].seal(tunnelled(frame)))
        rig.step()
        assert sorted(IP(frame[40:]).frag for frame in rig.first.to_workload()) == [0, 8, 16]
    stray = udp(ANYWHERE, WORKLOAD, 9, 9)
    rig.rigs[0].edge_sends(rig.rigs[0].edges[0].seal(tunnelled(stray)))
    rig.step()
    drops = rig.drops()
    assert drops.pop("shard_moved") > 0 and drops == {"tunnel_flow_unknown": 1}


@isolated
def test_an_edit_reaches_live_flows_of_every_worker():
    rig = CrewRig()
    packets = [udp(WORKLOAD, "10.8.7.4", 1000 + k, 2) for k in range(FLOWS)]
    rig.from_workload(*packets)
    assert all(there for there, _ in rig.packets(Action.ACTION_LOCAL))
    rig.first.to_workload()
    for one in rig.rigs:
        one.edit([{"name": "none", "method": "DROP", "destinations": ["10.8.0.0/16"]}, *RULES])
    rig.from_workload(*packets)
    assert rig.first.to_workload() == []
    assert rig.drops() == {"policy": FLOWS}


@isolated
def test_a_drain_refuses_new_flows_at_every_worker():
    rig = CrewRig()
    packets = [udp(WORKLOAD, "10.8.7.4", 1000 + k, 2) for k in range(2 * FLOWS)]
    rig.from_workload(*packets[:FLOWS])
    for one in rig.rigs:
        one.say(Command.COMMAND_DRAIN, value=1)
    rig.from_workload(*packets)
    assert len(rig.first.to_workload()) == 2 * FLOWS
    assert rig.drops() == {"draining": FLOWS}


@isolated
def test_an_answer_leaves_when_every_worker_knows_the_name_and_no_earlier():
    rig = CrewRig()
    answer = udp(REMOTE, WORKLOAD, 53, 4000)
    learned = {"namespace": 1, "address": APPLICATION, "value": 1, "until_ns": 1 << 62}
    assert command(rig.rigs[0].commands, Command.COMMAND_LEARN, endpoint=7, **learned)
    assert command(rig.rigs[1].commands, Command.COMMAND_LEARN, endpoint=7, **learned)
    assert command(rig.rigs[0].commands, Command.COMMAND_DELIVER, packet=answer, header=header(answer), endpoint=7,
                   peer=(int.from_bytes(socket.inet_aton("127.0.0.5")), 6081))
    for _ in range(3):
        rig.rigs[0].step()
    assert rig.first.to_workload() == []
    rig.rigs[1].step()
    rig.rigs[0].step()
    assert [frame[40:] for frame in rig.first.to_workload()] == [answer]


@isolated
def test_a_full_ring_to_another_worker_drops_and_counts_and_the_rest_goes_on():
    rig = CrewRig(steered=False)
    big = [udp(WORKLOAD, "10.8.7.4", 1000 + k, 2, bytes(8000)) for k in range(40)]
    for packet in big:
        rig.first.from_gwlb(header(packet) + packet)
    taker = rig.rigs[select.select([one.worker.geneve for one in rig.rigs], [], [], 5)[0][0] is rig.rigs[1].worker.geneve]
    taker.step()            # the other one stands still meanwhile
    counts = rig.drops()
    assert counts["shard_moved"] > 0 and counts["shard_full"] > 0
    assert counts["shard_full"] == sum(one.lost for one in rig.shards)
    rig.step()
    assert sum(there for there, _ in rig.packets(Action.ACTION_LOCAL)) == len(big) - counts["shard_full"]


@isolated
def test_two_workers_go_on_while_python_stands_still():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        rig = CrewRig(steered=False, flows=4096, gwlb=nobody)
        packets = [gwlb.header(0xAAA, 2, 7, 4) + udp(WORKLOAD, "10.8.7.4", 1024 + n // 2, 9) for n in range(200)]
        load = subprocess.Popen([sys.executable, "-c", LOAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        load.stdin.write(" ".join(packet.hex() for packet in packets) + "\n")
        load.stdin.flush()
        assert load.stdout.readline() == "ready\n"
        threads = [threading.Thread(target=one.worker.run) for one in rig.rigs]
        for thread in threads:
            thread.start()
        load.stdin.write("go\n")
        load.stdin.flush()
        hold_interpreter(HELD_S)
        released = time.monotonic()
        found = json.loads(load.communicate(timeout=60)[0])
        for one, thread in zip(rig.rigs, threads, strict=True):
            one.worker.stop()
            thread.join()
    assert found["answered"] == 200
    assert found["ended"] < released, "the answers waited for Python"
    counts = rig.packets(Action.ACTION_LOCAL)
    assert all(there for there, _ in counts) and sum(there for there, _ in counts) == 200
