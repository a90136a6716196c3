"""The worker and gateways: a ZIA flow goes by an edge of its rule's gateway, and by no other."""

import pytest

from fastpath.action import Action
from fastpath.message import Command
from inner_packets import WORKLOAD, read, udp
from isolation import isolated
from worker_rig import EGRESS4, WorkerRig

NEAR, FAR, ANYWHERE = "192.0.2.1", "192.0.2.2", "192.0.2.3"
RULES = [{"name": "near", "method": "ZIA", "destinations": [NEAR], "gateway": "near"},
         {"name": "far", "method": "ZIA", "destinations": [FAR], "gateway": "far"}]


def sent(rig: WorkerRig, *slots: int) -> list[str]:
    """Where the packets of some edges went to, each with its edge: "0:192.0.2.1"."""
    return [f"{slot}:{read(frame[28:]).dst}" for slot in slots for frame in rig.to_edge(slot)]


def gateways(fail_open: bool = False) -> WorkerRig:
    """Four edges; near is 1 and 2, far is 2 and 3, the rest goes by 0."""
    rig = WorkerRig(fail_open=fail_open)
    for slot in range(4):
        rig.attach(slot, activate=False)
    rig.activate(0)
    rig.activate(1, gateway=1, edges=0b0110)
    rig.activate(2, gateway=2, edges=0b1100)
    rig.edit(RULES)
    return rig


@isolated
def test_each_flow_goes_by_its_rule_s_gateway():
    rig = gateways()
    rig.from_workload(*(udp(WORKLOAD, there, 4000, 9) for there in (NEAR, FAR, ANYWHERE)))
    assert sent(rig, 0, 1, 2, 3) == [f"0:{ANYWHERE}", f"1:{NEAR}", f"2:{FAR}"]


@isolated
def test_flows_move_to_the_secondary_stay_there_and_new_ones_return():
    rig = gateways()
    old, new = udp(WORKLOAD, NEAR, 4000, 9), udp(WORKLOAD, NEAR, 4001, 9)
    rig.from_workload(old)
    assert sent(rig, 1) == [f"1:{NEAR}"]
    rig.activate(2, gateway=1, edges=0b0110)
    rig.say(Command.COMMAND_TUNNEL_DETACH, slot=1)
    rig.from_workload(old)
    assert sent(rig, 0, 2) == [f"2:{NEAR}"]
    rig.tunnels.attach(1, rig.sessions[1], rig.ours[1])
    rig.activate(1, gateway=1, edges=0b0110)
    rig.from_workload(old, new)
    assert sent(rig, 1, 2) == [f"1:{NEAR}", f"2:{NEAR}"]


@isolated
def test_a_flow_leaves_an_edge_that_is_no_longer_its_gateway_s():
    rig = gateways()
    packet = udp(WORKLOAD, NEAR, 4000, 9)
    rig.from_workload(packet)
    rig.edit([{**RULES[0], "gateway": "far"}])
    rig.from_workload(packet)
    assert sent(rig, 1, 2) == [f"1:{NEAR}", f"2:{NEAR}"]
    rig.edit([RULES[0]])                     # edge 2 is one of near's too: no reason to move
    rig.from_workload(packet)
    rig.activate(1, gateway=1, edges=0b0010)
    rig.from_workload(packet)
    assert sent(rig, 1, 2) == [f"1:{NEAR}", f"2:{NEAR}"]


@isolated
def test_a_gateway_whose_edges_are_down_is_closed_while_others_go_on():
    rig = gateways()
    for slot in (1, 2):
        rig.say(Command.COMMAND_TUNNEL_DETACH, slot=slot)
    rig.activate(255, gateway=1, edges=0b0110)
    rig.from_workload(udp(WORKLOAD, NEAR, 4000, 9), udp(WORKLOAD, ANYWHERE, 4000, 9))
    assert sent(rig, 0) == [f"0:{ANYWHERE}"] and rig.drops() == {"zia_down": 1}


@isolated
@pytest.mark.parametrize("stance", ["open", "hold"])
def test_what_a_rule_without_gateway_says_counts_before_what_the_file_says_for_all(stance):
    rig = WorkerRig(fail_open=True)
    rig.edit([{"name": "r", "method": "ZIA", "destinations": [NEAR], "on_failure": {"edge_down": stance}}])
    rig.from_workload(udp(WORKLOAD, NEAR, 4000, 9), udp(WORKLOAD, ANYWHERE, 4000, 9))
    assert [(read(packet).src, read(packet).dst) for packet in rig.to_kernel()] == [(str(EGRESS4), ANYWHERE)]
    assert rig.drops() == {"zia_down": 1}     # stances that open are the control plane's to carry out
    assert rig.packets(Action.ACTION_DIRECT)[0] == 1


@isolated
def test_a_session_that_ended_leaves_no_gateway_active_on_its_slot():
    rig = gateways()
    rig.say(Command.COMMAND_TUNNEL_DETACH, slot=1)
    rig.tunnels.attach(1, rig.sessions[1], rig.ours[1])
    rig.from_workload(udp(WORKLOAD, NEAR, 4000, 9))
    assert sent(rig, 0, 1, 2) == [] and rig.drops() == {"zia_down": 1}


@isolated
def test_a_number_that_is_no_gateway_s_is_ignored():
    rig = gateways()
    rig.activate(3, gateway=2048)
    rig.activate(3, gateway=2**32 - 1)
    rig.from_workload(udp(WORKLOAD, ANYWHERE, 4000, 9))
    assert sent(rig, 0, 3) == [f"0:{ANYWHERE}"]
