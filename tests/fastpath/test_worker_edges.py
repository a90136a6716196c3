"""The worker at its edges: edits and failures amid a flow, packets from the wrong side, commands that do not fit."""

import pytest

from fastpath import gwlb
from fastpath.action import Action, PuntReason
from fastpath.batch import PacketBatch
from fastpath.message import Command
from fastpath.tunnels import Tunnels
from inner_packets import DNS_PORT, WORKLOAD, WORKLOAD6, pieces, read, tcp, udp
from isolation import isolated
from worker_rig import APPLICATION, EGRESS4, INTERNAL, REMOTE, REMOTE6, RULES, WorkerRig, tunnelled

ANYWHERE, SERVER = "192.0.2.1", "192.0.2.53"
DROP_ALL = [{"name": "none", "method": "DROP"}]
DIRECT_ALL = [{"name": "out", "method": "DIRECT"}]


def know_portal(rig):
    rig.say(Command.COMMAND_LEARN, namespace=0xFFFF, address=APPLICATION, value=rig.portal, until_ns=1 << 62)


def closed(rig):
    return [event.flow for event in rig.heard(PuntReason.PUNT_FLOW_CLOSED)]


@isolated
def test_edit_releases_what_was_bound_and_binds_again():
    rig = WorkerRig()
    packet = udp(WORKLOAD, REMOTE, 4000, 9)
    sizes = []
    for rules in (RULES, DROP_ALL, DIRECT_ALL):
        rig.edit(rules)
        rig.from_workload(packet)
        sizes.append((rig.nat.size, len(rig.to_kernel())))
    assert sizes == [(1, 1), (0, 0), (1, 1)]
    assert rig.drops() == {"policy": 1}


@isolated
def test_records_of_a_flow_that_was_decided_again_add_up():
    rig = WorkerRig()
    packet = udp(WORKLOAD, REMOTE, 4000, 9)
    for rules in (RULES, DROP_ALL, DIRECT_ALL):
        rig.edit(rules)
        rig.from_workload(packet)
    rig.step(200)
    flows = closed(rig)
    assert [(flow.action, flow.packets) for flow in flows] == [
        (Action.ACTION_DIRECT, (1, 0)), (Action.ACTION_DROP, (1, 0)), (Action.ACTION_DIRECT, (1, 0))]


@isolated
def test_binding_is_not_lost_when_the_flow_can_not_be_announced():
    rig = WorkerRig(event_bytes=4096)
    know_portal(rig)
    rig.edit([{"name": "no", "method": "DROP"}])
    packet = udp(WORKLOAD, str(APPLICATION), 4000, 7)
    rig.from_workload(packet)
    while rig.events.push(b""):
        pass
    rig.edit(RULES)
    rig.from_workload(packet)
    assert rig.to_kernel() == []
    assert rig.nat.size == 0
    rig.step(200)
    assert (rig.flows.size, rig.nat.size) == (0, 0)


@isolated
def test_first_packet_that_can_not_be_announced_leaves_nothing_behind():
    rig = WorkerRig(event_bytes=4096)
    know_portal(rig)
    while rig.events.push(b""):
        pass
    rig.from_workload(udp(WORKLOAD, str(APPLICATION), 4000, 7))
    assert (rig.flows.size, rig.nat.size) == (0, 0)


@isolated
def test_dns_answer_of_a_flow_that_policy_drops_is_dropped():
    rig = WorkerRig()
    rig.from_workload(udp(WORKLOAD, "10.8.7.4", 4000, 53))
    (query,) = rig.heard(PuntReason.PUNT_DNS_QUERY)
    rig.say(Command.COMMAND_RESUME, packet=query.packet, header=query.header, peer=(query.peer_address, query.peer_port))
    rig.edit(DROP_ALL)
    rig.from_workload(udp("10.8.7.4", WORKLOAD, 53, 4000))
    assert rig.heard(PuntReason.PUNT_DNS_ANSWER) == []
    assert rig.drops() == {"policy": 1}


@isolated
def test_dns_query_in_fragments_does_not_pass_unread():
    rig = WorkerRig()
    rig.attach()
    rig.from_workload(pieces(udp(WORKLOAD, SERVER, 4000, 53, bytes(200)))[0])
    assert rig.to_edge() == []
    assert rig.drops() == {"policy": 1}


@isolated
def test_workload_can_not_play_the_far_end_of_a_translated_flow():
    rig = WorkerRig()
    rig.from_workload(udp(WORKLOAD, REMOTE, 4000, 9), cookie=1)
    rig.to_kernel()
    rig.from_workload(udp(REMOTE, WORKLOAD, 9, 4000), cookie=66)
    assert rig.to_kernel() == []
    assert rig.drops() == {"policy_stray": 1}
    rig.from_kernel(udp(REMOTE, str(EGRESS4), 9, 4000))
    assert rig.to_workload()[0][:40] == gwlb.header(0xAAA, 2, 1, 4)


@isolated
def test_edge_can_not_play_the_initiator_of_a_flow():
    rig = WorkerRig()
    rig.attach()
    packet = udp(WORKLOAD, ANYWHERE, 4000, 9)
    rig.from_workload(packet)
    rig.from_edge(tunnelled(packet))
    rig.from_edge(tunnelled(udp(ANYWHERE, WORKLOAD, 9, 4000), 0x10001))
    assert rig.to_workload() == []
    assert rig.drops() == {"tunnel_flow_unknown": 2}


def alias_of_workload(rig):
    know_portal(rig)
    rig.from_workload(udp(WORKLOAD, str(APPLICATION), 4000, 7))
    return read(rig.to_kernel()[0]).src


@isolated
def test_connector_speaks_for_a_workload_and_hears_the_answer():
    rig = WorkerRig()
    rig.attach()
    alias = alias_of_workload(rig)
    rig.from_kernel(tcp(alias, SERVER, 5000, 53))
    (frame,) = rig.to_edge()
    out = read(frame[28:])
    assert (out.src, out.sport, out.dst, out.dport) == (WORKLOAD, 5000, SERVER, 53)
    rig.from_edge(tunnelled(tcp(SERVER, WORKLOAD, 53, 5000, "SA")))
    back = read(rig.to_kernel()[0])
    assert (back.src, back.sport, back.dst, back.dport) == (SERVER, 53, alias, 5000)


@isolated
def test_workload_can_not_use_the_flow_that_the_connector_began_for_it():
    rig = WorkerRig()
    rig.attach()
    rig.from_kernel(tcp(alias_of_workload(rig), SERVER, 5000, 53))
    rig.to_edge()
    rig.from_workload(tcp(WORKLOAD, SERVER, 5000, 53, "PA", b"unread query"))
    assert rig.to_edge() == []
    assert rig.drops() == {"nat_exhausted": 1}


@isolated
def test_dns_over_tcp_is_ended_by_the_listener_here():
    rig = WorkerRig()
    rig.from_workload(tcp(WORKLOAD, SERVER, 4000, 53))
    out = read(rig.to_kernel()[0])
    assert (out.dst, out.dport) == (str(INTERNAL[1]), DNS_PORT)


@isolated
def test_open_failing_zia_goes_direct_until_an_edge_is_up():
    rig = WorkerRig(fail_open=True)
    rig.from_workload(udp(WORKLOAD, ANYWHERE, 4000, 9))
    assert read(rig.to_kernel()[0]).src == str(EGRESS4)
    rig.attach()
    rig.from_workload(udp(WORKLOAD, ANYWHERE, 4001, 9))
    assert len(rig.to_edge()) == 1
    rig.step(200)
    assert (rig.flows.size, rig.nat.size) == (0, 0)


@isolated
def test_live_zia_flow_goes_direct_when_the_last_edge_is_gone_and_zia_fails_open():
    rig = WorkerRig(fail_open=True)
    rig.attach()
    packet = udp(WORKLOAD, ANYWHERE, 4000, 9)
    rig.from_workload(packet)
    rig.say(Command.COMMAND_TUNNEL_DETACH, slot=0)
    rig.from_workload(packet, packet)
    assert [read(p).src for p in rig.to_kernel()] == [str(EGRESS4)] * 2
    rig.step(200)
    assert [(flow.action, flow.packets) for flow in closed(rig)] == [
        (Action.ACTION_ZIA, (1, 0)), (Action.ACTION_DIRECT, (2, 0))]
    assert rig.nat.size == 0


@isolated
def test_stray_synthetic_address_is_refused_aloud_once_nobody_knows_it():
    rig = WorkerRig()
    rig.from_workload(udp(WORKLOAD, "10.254.0.77", 4000, 7))
    (asked,) = rig.heard(PuntReason.PUNT_UNKNOWN_SYNTHETIC)
    rig.say(Command.COMMAND_RESUME, packet=asked.packet, header=asked.header, peer=(asked.peer_address, asked.peer_port))
    (frame,) = rig.to_workload()
    assert frame[:40] == gwlb.header(0xAAA, 2, 7, 4)
    told = read(frame[40:])
    assert (told.src, told["ICMP"].type, told["ICMP"].code) == ("10.254.0.77", 3, 13)
    assert rig.drops() == {"policy_stray": 1}


@isolated
def test_command_whose_packet_does_not_fit_a_row_or_has_no_header_is_counted():
    rig = WorkerRig(batch=PacketBatch(2, 512))
    header = gwlb.header(0xAAA, 2, 7, 4)
    rig.say(Command.COMMAND_DELIVER, packet=bytes(9000), header=header, peer=(1, 2))
    rig.say(Command.COMMAND_RESUME, packet=bytes(9000), header=header, peer=(1, 2))
    rig.say(Command.COMMAND_DELIVER, packet=bytes(40), peer=(1, 2))
    assert rig.drops() == {"io_truncated": 2, "inject_stale": 1}


@isolated
def test_a_header_that_speaks_of_another_family_is_dropped():
    rig = WorkerRig()
    for family, packet in ((6, udp(WORKLOAD, REMOTE, 4000, 9)), (4, udp(WORKLOAD6, REMOTE6, 4000, 9))):
        rig.from_gwlb(gwlb.header(0xAAA, 2, 7, family) + packet)
        rig.from_gwlb(gwlb.header(0xAAA, 2, 7, packet[0] >> 4) + packet)
        rig._arrived(rig.worker.geneve)
        assert len(rig.to_kernel()) == 1
    assert (rig.drops(), rig.to_workload()) == ({"packet_version": 2}, [])


@isolated
def test_exchanges_happen_in_the_order_of_the_commands_around_them():
    rig = WorkerRig()
    rig.attach(0, activate=False)
    session, ours = rig.sessions[0], rig.ours[0]
    rig.worker.exchange(lambda: None)
    rig.say(Command.COMMAND_TUNNEL_DETACH, slot=0)
    rig.worker.exchange(lambda: rig.tunnels.attach(0, session, ours))
    rig.activate(0)
    rig.step()
    rig.step()
    rig.from_workload(udp(WORKLOAD, ANYWHERE, 4000, 9))
    assert len(rig.to_edge(0)) == 1


@isolated
def test_exchange_is_refused_when_the_ring_is_full_and_then_never_happens():
    rig = WorkerRig()
    done = []
    while rig.worker.exchange(lambda: done.append("early")):
        pass
    posted = rig.commands.lost
    assert posted == 1
    rig.step()
    assert done == ["early"]


def test_slot_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="place"):
        Tunnels().release(99)
