"""The worker, turn by turn: where packets of each method go and come back, and what of a flow is kept."""

import pytest
from scapy.layers.inet import GRE

from fastpath import gwlb
from fastpath.action import Action, PuntReason
from fastpath.message import Command
from fastpath.portidle import PortIdle
from inner_packets import WORKLOAD, WORKLOAD6, echo, ip, read, tcp, udp, whole
from isolation import isolated
from worker_rig import APPLICATION, EGRESS4, INTERNAL, REMOTE, REMOTE6, WorkerRig, tunnelled


@isolated
def test_local_packets_of_both_ends_go_back_each_under_its_own_header():
    rig = WorkerRig()
    there, back = udp(WORKLOAD, "10.8.7.4", 1, 2), udp("10.8.7.4", WORKLOAD, 2, 1)
    rig.from_workload(there, cookie=5)
    rig.from_workload(back, cookie=6)
    assert rig.to_workload() == [gwlb.header(0xAAA, 2, 5, 4) + there, gwlb.header(0xAAA, 2, 6, 4) + back]
    assert rig.packets(Action.ACTION_LOCAL) == (1, 1)


@pytest.mark.parametrize("options", [b"\xab\xcd\x00\x00", b"\xab\xcd\x00\x01far!"], ids=["44", "48"])
@isolated
def test_a_header_longer_than_gwlb_s_of_today_comes_back_whole(options):
    rig, header = WorkerRig(), gwlb.header(0xAAA, 2, 1, 4)
    long = bytes([header[0] + len(options) // 4]) + header[1:] + options
    rig.from_gwlb(long + udp(WORKLOAD, REMOTE, 4000, 9))
    rig._arrived(rig.worker.geneve)
    assert len(rig.to_kernel()) == 1
    rig.from_kernel(udp(REMOTE, str(EGRESS4), 9, 4000, b"late"))
    (answer,) = rig.to_workload()
    assert answer[:len(long)] == long
    inner = read(answer[len(long):])
    assert (inner.src, inner.sport, inner.dst, inner.dport) == (REMOTE, 9, WORKLOAD, 4000)


@isolated
def test_direct_leaves_by_the_egress_address_and_returns_under_the_newest_header():
    rig = WorkerRig()
    rig.from_workload(udp(WORKLOAD, REMOTE, 4000, 9), cookie=1)
    rig.from_workload(udp(WORKLOAD, REMOTE, 4000, 9), cookie=2)
    out = [read(packet) for packet in rig.to_kernel()]
    assert [(p.src, p.sport, p.dst, p.dport) for p in out] == [(str(EGRESS4), 4000, REMOTE, 9)] * 2
    rig.from_kernel(udp(REMOTE, str(EGRESS4), 9, 4000, b"late"))
    (answer,) = rig.to_workload()
    assert answer[:40] == gwlb.header(0xAAA, 2, 2, 4)
    inner = read(answer[40:])
    assert (inner.src, inner.sport, inner.dst, inner.dport) == (REMOTE, 9, WORKLOAD, 4000)


@isolated
def test_direct_echoes_and_ipv6_are_translated_too():
    rig = WorkerRig()
    rig.from_workload(echo(WORKLOAD, REMOTE, 77), udp(WORKLOAD6, REMOTE6, 4000, 9))
    assert {read(packet).src for packet in rig.to_kernel()} == {str(EGRESS4), "2001:db8::9"}
    assert rig.nat.size == 2


@isolated
def test_other_protocols_are_refused_where_ports_are_needed():
    rig = WorkerRig()
    rig.from_workload(bytes(ip(WORKLOAD, REMOTE) / GRE()))
    assert rig.to_kernel() == []
    assert rig.drops() == {"nat_protocol": 1}
    assert (rig.flows.size, rig.nat.size) == (0, 0)


@isolated
def test_zpa_of_equal_addresses_in_two_namespaces_never_meets():
    rig = WorkerRig()
    rig.say(Command.COMMAND_LEARN, namespace=0xFFFF, address=APPLICATION, value=rig.portal, until_ns=1 << 62)
    packet = udp(WORKLOAD, str(APPLICATION), 4000, 7)
    rig.from_workload(packet, cookie=1)
    rig.from_workload(packet, endpoint=0xBBB, cookie=2)
    out = [read(p) for p in rig.to_kernel()]
    assert [p.dst for p in out] == [str(INTERNAL[1])] * 2
    assert out[0].src != out[1].src
    assert len(rig.heard(PuntReason.PUNT_FLOW_OPENED)) == 2
    for p, header in zip(out, (gwlb.header(0xAAA, 2, 1, 4), gwlb.header(0xBBB, 2, 2, 4)), strict=True):
        rig.from_kernel(udp(p.dst, p.src, p.dport, p.sport, b"pong"))
        (answer,) = rig.to_workload()
        inner = read(answer[40:])
        assert answer[:40] == header
        assert (inner.src, inner.sport, inner.dst, inner.dport) == (str(APPLICATION), 7, WORKLOAD, 4000)


@isolated
def test_zia_carries_both_families_both_ways():
    rig = WorkerRig()
    rig.attach()
    for source, destination in ((WORKLOAD, "192.0.2.1"), (WORKLOAD6, "2001:db8:9::1")):
        packet = udp(source, destination, 4000, 9)
        rig.from_workload(packet, cookie=3)
        (frame,) = rig.to_edge()
        assert frame[28:] == packet
        assert int.from_bytes(frame[4:7]) == 1
        answer = udp(destination, source, 9, 4000, b"answer")
        rig.from_edge(tunnelled(answer))
        assert rig.to_workload() == [gwlb.header(0xAAA, 2, 3, packet[0] >> 4) + answer]
    assert rig.packets(Action.ACTION_ZIA) == (2, 2)


@isolated
def test_port_reuse_takes_the_newest_cookie():
    rig = WorkerRig()
    rig.attach()
    rig.from_workload(tcp(WORKLOAD, "192.0.2.1", 4000, 443), cookie=1)
    for source, sport, destination, dport in ((WORKLOAD, 4000, "192.0.2.1", 443), ("192.0.2.1", 443, WORKLOAD, 4000)):
        packet = tcp(source, destination, sport, dport, "FA")
        rig.from_workload(packet, cookie=1) if source == WORKLOAD else rig.from_edge(tunnelled(packet))
    rig.to_workload()
    rig.from_workload(tcp(WORKLOAD, "192.0.2.1", 4000, 443), cookie=2)
    assert rig.heard(PuntReason.PUNT_FLOW_CLOSED)[0].flow.packets == (2, 1)
    rig.from_edge(tunnelled(tcp("192.0.2.1", WORKLOAD, 443, 4000, "SA")))
    assert rig.to_workload()[0][:40] == gwlb.header(0xAAA, 2, 2, 4)


@isolated
def test_idle_flow_is_reported_with_its_counters_and_gives_its_binding_back():
    rig = WorkerRig()
    packet = udp(WORKLOAD, REMOTE, 4000, 9)
    rig.from_workload(packet)
    rig.from_kernel(udp(REMOTE, str(EGRESS4), 9, 4000, b"12345"))
    rig.step(130)
    assert not rig.heard(PuntReason.PUNT_FLOW_CLOSED)
    rig.step(1)
    (event,) = rig.heard(PuntReason.PUNT_FLOW_CLOSED)
    assert (event.flow.packets, event.flow.bytes) == ((1, 1), (len(packet), 33))
    assert (rig.flows.size, rig.nat.size) == (0, 0)


@isolated
def test_flow_to_a_port_with_a_time_of_its_own_ends_by_that():
    rig = WorkerRig(port_idle=PortIdle(64, [(17, 9, 9, 10.0)]))
    rig.from_workload(udp(WORKLOAD, REMOTE, 4000, 9), udp(WORKLOAD, REMOTE, 4001, 10))
    rig.step(8)
    rig.from_workload(udp(WORKLOAD, REMOTE, 4000, 9))
    for _ in range(9):
        rig.step(1)
    assert rig.heard(PuntReason.PUNT_FLOW_CLOSED) == []
    for _ in range(3):
        rig.step(1)
    (event,) = rig.heard(PuntReason.PUNT_FLOW_CLOSED)
    assert (event.flow.source_port, event.flow.packets, rig.flows.size, rig.nat.size) == (4000, (2, 0), 1, 1)


@isolated
def test_connection_that_ends_and_begins_again_in_its_place_is_closed_once():
    rig = WorkerRig(port_idle=PortIdle(64, [(17, 9, 9, 10.0)]), flows=1)
    for port in (4000, 4001, 4000):
        rig.from_workload(udp(WORKLOAD, REMOTE, port, 9))
    rig.step(12)
    counts = rig.worker.counters()
    assert (counts["opened"], counts["closed"], rig.flows.size, rig.nat.size) == (3, 3, 0, 0)


@isolated
def test_all_that_is_due_at_once_ends_in_one_turn():
    rig = WorkerRig(flows=1024)
    for first in range(0, 1000, 100):
        rig.from_workload(*(udp(WORKLOAD, "10.8.7.4", 1000 + first + k, 9) for k in range(100)))
    assert rig.flows.size == 1000
    rig.step(200)
    assert rig.flows.size == 0


@isolated
def test_ends_of_flows_that_find_their_ring_full_are_counted():
    rig = WorkerRig(flows=4, event_bytes=4096)
    for port in range(4000, 4100):
        rig.from_workload(udp(WORKLOAD, REMOTE, port, 9))
        rig.step(1)
    ended = len(rig.heard(PuntReason.PUNT_FLOW_CLOSED))
    counts = rig.worker.counters()
    assert 0 < ended < 96 and ended + counts["unrecorded"] == counts["closed"] == 96


@isolated
def test_full_table_gives_up_its_oldest_flow_with_its_binding():
    rig = WorkerRig(flows=4)
    for port in range(4000, 4006):
        rig.step(1)
        rig.from_workload(udp(WORKLOAD, REMOTE, port, 9))
    assert [event.flow.source_port for event in rig.heard(PuntReason.PUNT_FLOW_CLOSED)] == [4000, 4001]
    assert (rig.flows.size, rig.nat.size, rig.worker.counters()["evicted"]) == (4, 4, 2)
    assert len(rig.to_kernel()) == 6


@isolated
def test_packet_too_big_for_the_tunnel_is_answered_not_sent():
    rig = WorkerRig()
    rig.attach()
    rig.from_workload(whole(udp(WORKLOAD, "192.0.2.1", 4000, 9, bytes(1400))))
    assert rig.to_edge() == []
    (frame,) = rig.to_workload()
    assert frame[:40] == gwlb.header(0xAAA, 2, 7, 4)
    told = read(frame[40:])
    assert (told.src, told.dst, told["ICMP"].type, told["ICMP"].nexthopmtu) == ("192.0.2.1", WORKLOAD, 3, 1400)
    assert rig.drops() == {"zia_too_big": 1}


@isolated
def test_syn_into_the_tunnel_has_its_mss_clamped():
    rig = WorkerRig()
    rig.attach()
    rig.from_workload(tcp(WORKLOAD, "192.0.2.1", 4000, 443))
    (frame,) = rig.to_edge()
    assert dict(read(frame[28:])["TCP"].options)["MSS"] == 1360


@isolated
def test_dead_edge_is_left_for_the_active_one():
    rig = WorkerRig()
    rig.attach(0)
    rig.attach(1, activate=False)
    packet = udp(WORKLOAD, "192.0.2.1", 4000, 9)
    rig.from_workload(packet)
    assert len(rig.to_edge(0)) == 1
    rig.say(Command.COMMAND_TUNNEL_DETACH, slot=0)
    rig.tunnels.release(0)
    rig.from_workload(packet)
    assert rig.drops() == {"zia_down": 1}
    rig.activate(1)
    rig.from_workload(packet)
    assert len(rig.to_edge(1)) == 1


@isolated
def test_goodbye_of_an_edge_detaches_it_and_is_told():
    rig = WorkerRig()
    rig.attach()
    rig.edge_sends(rig.edges[0].close())
    rig.from_workload(udp(WORKLOAD, "10.8.7.4", 1, 2))
    rig.step()
    assert [event.value for event in rig.heard(PuntReason.PUNT_TUNNEL_CLOSED)] == [0]
    rig.from_workload(udp(WORKLOAD, "192.0.2.1", 4000, 9))
    assert rig.drops()["zia_down"] == 1


@isolated
def test_edge_may_not_speak_to_flows_that_are_not_its_own():
    rig = WorkerRig()
    rig.attach()
    rig.from_workload(udp(WORKLOAD, REMOTE, 4000, 9), udp(WORKLOAD, "192.0.2.1", 4000, 9))
    rig.from_edge(tunnelled(udp(REMOTE, WORKLOAD, 9, 4000)), tunnelled(udp("192.0.2.1", WORKLOAD, 9, 4000), 2))
    assert rig.to_workload() == []
    assert rig.drops() == {"tunnel_flow_unknown": 2}
