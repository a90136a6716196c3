"""Decided flows that the XDP program carries: what it takes over, what it leaves to the worker, and the books of both."""

import functools
import os
import select
import socket
from collections.abc import Callable

import pytest

import namespaces
from fastpath import bpf, gwlb
from fastpath.action import Action, PuntReason
from fastpath.bpfcode import Code
from fastpath.kernelflows import KernelFlows
from fastpath.xsk import XskPort
from gateway_site import GATEWAY, OURS, bound
from inner_packets import WORKLOAD, WORKLOAD6, pieces, tcp, udp
from isolation import isolated
from worker_rig import RULES, WorkerRig

LOCAL_PEER, EVIL = "10.8.7.4", "203.0.113.66"
ACK, FIN_ACK = "A", "FA"


def carried(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a namespace with a cable; without root the maps must be refused, and that is the test."""

    @functools.wraps(test)
    def run() -> None:
        isolated(test if os.geteuid() == 0 else refused)()

    return run


def refused() -> None:
    with pytest.raises(PermissionError):
        KernelFlows(64)


class Carried(WorkerRig):
    """A worker behind AF_XDP, its program carrying what is decided."""

    def __init__(self) -> None:
        other = namespaces.another()
        namespaces.link("g0", [f"{OURS}/24"], other, "g1", [f"{GATEWAY}/24"])
        with namespaces.inside(other):
            sender = bound(GATEWAY, 6081)
            self.far = [take_frames("g1")]
        self.kernel_port = XskPort(OURS, kernel_flows=64)
        super().__init__(port=self.kernel_port, gwlb=sender)
        self.slots = self.kernel_port.flows
        assert self.slots is not None

    def passes(self, packet: bytes, cookie: int = 7) -> bytes | None:
        """Send a packet while the worker sleeps; what came back, None if it waits for the worker, b"" if it is gone."""
        self.from_gwlb(gwlb.header(0xAAA, 2, cookie, packet[0] >> 4) + packet)
        waiting, _, _ = select.select([self.worker.geneve, self.gwlb], [], [], 0.2)
        if self.gwlb in waiting:
            return self.gwlb.recv(9999)
        return None if waiting else b""

    def learn(self, packet: bytes) -> list[bytes]:
        """Send a packet through the worker twice, as a flow's first is not enough for the kernel; what came back."""
        came = []
        for _ in range(2):
            self.from_workload(packet)
            select.select([self.gwlb], [], [], 0.1)
            came += self.to_workload()
        return came


def take_frames(name: str) -> int:
    """Put a program that passes everything on a veth end: without one it takes nothing that the other end's program sends."""
    code = Code()
    code.alu("mov", "r0", 2)
    code.exit()
    program = bpf.program_load(bpf.PROGRAM_XDP, code.assemble(), attach=bpf.ATTACH_XDP)
    return bpf.link_create(program, socket.if_nametoindex(name), bpf.ATTACH_XDP, bpf.XDP_DRIVER)


def headed(packet: bytes, cookie: int = 7) -> bytes:
    return gwlb.header(0xAAA, 2, cookie, packet[0] >> 4) + packet


@carried
def test_a_local_flow_goes_back_without_the_worker_each_way_once_seen() -> None:
    rig = Carried()
    there, back = udp(WORKLOAD, LOCAL_PEER, 1, 2, b"there"), udp(LOCAL_PEER, WORKLOAD, 2, 1, b"back")
    assert rig.learn(there) == 2 * [headed(there)]
    assert rig.passes(there, cookie=9) == headed(there, 9)
    assert rig.passes(back) is None
    rig.step()
    assert rig.gwlb.recv(9999) == headed(back)
    assert rig.passes(back) == headed(back)
    rig.step()
    assert rig.packets(Action.ACTION_LOCAL) == (3, 2)
    assert rig.slots.size == 2


@carried
def test_a_flow_of_one_packet_is_never_shown_to_the_kernel() -> None:
    rig = Carried()
    for port in range(100, 110):
        rig.from_workload(udp(WORKLOAD, LOCAL_PEER, port, 2))
    assert (rig.flows.size, rig.slots.size) == (10, 0)
    rig.from_workload(udp(LOCAL_PEER, WORKLOAD, 2, 105))
    assert rig.slots.size == 1


@carried
def test_a_dropped_flow_ends_in_the_kernel_and_is_counted() -> None:
    rig = Carried()
    evil = udp(WORKLOAD, EVIL, 1, 2)
    assert rig.learn(evil) == []
    assert rig.passes(evil) == b""
    rig.step()
    assert rig.drops() == {"policy": 3}
    assert rig.packets(Action.ACTION_DROP) == (3, 0)


@carried
def test_an_edit_reaches_the_flow_on_its_next_packet() -> None:
    rig = Carried()
    packet = udp(WORKLOAD, LOCAL_PEER, 1, 2)
    rig.learn(packet)
    assert rig.passes(packet) == headed(packet)
    rig.edit([{"name": "none", "method": "DROP", "destinations": ["10.8.0.0/16"]}])
    rig.step()
    for dropped in (1, 2):          # it is another flow now, which begins again
        assert rig.passes(packet) is None
        rig.step()
        assert rig.drops() == {"policy": dropped}
    assert rig.passes(packet) == b""
    rig.edit(RULES)
    rig.step()
    assert rig.learn(packet) == 2 * [headed(packet)]
    assert rig.passes(packet) == headed(packet)


@carried
def test_a_flow_lives_as_long_as_the_kernel_carries_it_and_its_record_is_whole() -> None:
    rig = Carried()
    packet = udp(WORKLOAD, LOCAL_PEER, 1, 2, b"12345")
    rig.learn(packet)
    for _ in range(3):
        assert rig.passes(packet) == headed(packet)
        rig.step(100)            # UDP may be idle for 130 s
    assert rig.flows.size == 1
    assert rig.passes(packet) == headed(packet)
    rig.step()
    rig.step(131)
    (event,) = rig.heard(PuntReason.PUNT_FLOW_CLOSED)
    assert (event.flow.packets, event.flow.bytes) == ((6, 0), (6 * len(packet), 0))
    assert (rig.flows.size, rig.slots.size) == (0, 0)
    assert bpf.map_lookup(rig.slots.maps[0], bytes(24), 4) is None
    assert rig.passes(packet) is None


@carried
def test_what_was_carried_up_to_the_end_is_in_the_record() -> None:
    rig = Carried()
    packet = udp(WORKLOAD, LOCAL_PEER, 1, 2)
    rig.learn(packet)
    assert rig.passes(packet) == headed(packet)
    for port in range(100, 100 + 200):      # the table holds 64 flows: the first one must go, though it was used last
        rig.from_workload(udp(WORKLOAD, LOCAL_PEER, port, 2))
    closed = {event.flow.source_port: event.flow.packets for event in rig.heard(PuntReason.PUNT_FLOW_CLOSED)}
    assert closed[1] == (3, 0)
    assert closed[100] == (1, 0)
    assert (rig.flows.size, rig.slots.size) == (64, 0)


@carried
def test_tcp_that_opens_or_closes_is_the_workers() -> None:
    rig = Carried()
    syn, ack, fin = (tcp(WORKLOAD, LOCAL_PEER, 1, 2, flags=flags) for flags in ("S", ACK, FIN_ACK))
    rig.learn(syn)
    assert rig.passes(ack) is None
    rig.step()
    assert rig.gwlb.recv(9999) == headed(ack)
    assert rig.passes(ack) == headed(ack)
    for packet in (syn, fin, tcp(WORKLOAD, LOCAL_PEER, 1, 2, flags="RA")):
        assert rig.passes(packet) is None
        rig.step()
        rig.gwlb.recv(9999)


@carried
def test_what_the_program_can_not_read_is_the_workers_for_ever() -> None:
    rig = Carried()
    first, *_ = pieces(udp(WORKLOAD, LOCAL_PEER, 7, 8, bytes(200)), 96)
    for packet in (udp(WORKLOAD6, "fd00:8::4", 1, 2), first, tcp(WORKLOAD, LOCAL_PEER, 9, 53, flags=ACK)):
        rig.learn(packet)
        assert rig.passes(packet) is None
        rig.step()
        rig.to_workload()
    assert rig.slots.size == 0


@carried
def test_another_endpoint_and_a_changed_key_are_other_flows() -> None:
    rig = Carried()
    packet = udp(WORKLOAD, LOCAL_PEER, 1, 2)
    rig.learn(packet)
    other = gwlb.header(0xBBB, 2, 7, 4) + packet
    rig.from_gwlb(other)
    assert rig.worker.geneve in select.select([rig.worker.geneve, rig.gwlb], [], [], 1)[0]
    for changed in (udp(WORKLOAD, LOCAL_PEER, 1, 3), udp(WORKLOAD, "10.8.7.5", 1, 2), udp("10.8.6.5", LOCAL_PEER, 1, 2)):
        rig.step()
        rig.to_workload()
        assert rig.passes(changed) is None


@carried
def test_close_frees_the_maps_and_a_closed_table_takes_nothing() -> None:
    rig = Carried()
    before = len(os.listdir("/proc/self/fd"))
    rig.kernel_port.close()
    assert len(os.listdir("/proc/self/fd")) == before - 8      # queue, UDP, raw; program, link, XSKMAP; keys, slots
    rig.step()


@pytest.mark.parametrize("capacity", [0, -1, (1 << 24) + 1])
def test_capacity_out_of_range_is_named(capacity: int) -> None:
    with pytest.raises(ValueError, match="capacity"):
        KernelFlows(capacity)
