"""First packets beside the obvious way: who gets a flow, who is dropped and why, and that nothing is left behind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import geneve, packet
from fastpath.action import DropReason
from fastpath.batch import PacketBatch
from fastpath.flowkey import Secret, build_batch
from fastpath.flowtable import FlowTable
from fastpath.nat import NatTable
from fastpath.outlet import Outlet
from inner_packets import echo, tcp, udp
from model import outlet as model

SEED = bytes(range(32))
V4 = bytes(10) + b"\xff\xff"
OURS, CLOSED = V4 + bytes([10, 9, 0, 11]), V4 + bytes([10, 9, 0, 1])


def rows(*addresses):
    return np.frombuffer(b"".join(addresses), np.uint8).reshape(-1, 16)


def made(capacity=8, ports=(5000, 5002), closed=(CLOSED,)):
    return Outlet(FlowTable(capacity), NatTable(64, ports, SEED), Secret(SEED), rows(OURS), rows(*closed))


def load(batch, packets):
    """Packets as (namespace, IP packet, Geneve options), decoded and looked up in nothing."""
    frames = []
    for namespace, inner, options in packets:
        protocol = 0x0800 if inner[0] >> 4 == 4 else 0x86DD
        frames.append(geneve.encode_header(options, protocol=protocol, vni=namespace) + inner)
    batch.load(frames)
    geneve.decode_batch(batch)
    batch.namespace[:batch.count] = batch.vni[:batch.count]
    packet.parse_batch(batch)
    build_batch(batch, Secret(SEED))


def as_model(batch, row):
    at, n = int(batch.geneve_start[row]), int(batch.geneve_length[row])
    return (int(batch.namespace[row]), int(batch.ip_version[row]), int(batch.protocol[row]), int(batch.fragment[row]),
            batch.source[row].tobytes(), int(batch.source_port[row]), batch.destination[row].tobytes(),
            int(batch.destination_port[row]), batch.data[row, at:at + n].tobytes())


def ipv4(protocol, offset, destination, port):
    """A datagram to 10.9.0.`destination`; what `offset` and `protocol` make of it."""
    inner = bytearray(udp("10.8.6.4", f"10.9.0.{destination}", port, 53, b"x" * 16))
    inner[9], inner[6:8] = protocol, (offset | (0x2000 if offset else 0)).to_bytes(2, "big")
    return bytes(inner)


options = st.lists(st.sampled_from([(0xFF5A, 1, b"\0\0\0\7"), (0xFF5A, 3, bytes(8)), (0xFF5A, 1, bytes(8)), (1, 1, b"abcd")]),
                   max_size=3)
first_packets = st.tuples(
    st.integers(1, 2), st.one_of(
        st.builds(ipv4, st.sampled_from([17, 17, 17, 47]), st.sampled_from([0, 0, 0, 5]), st.integers(1, 4), st.integers(1, 4)),
        st.just(udp("fd00::1", "fd00::2", 1, 2, b"x"))), options)


@given(st.lists(st.lists(first_packets, min_size=1, max_size=6), max_size=6))
def test_who_gets_a_flow_is_who_the_obvious_way_gives_one(batches):
    outlet, batch = made(), PacketBatch(8)
    theirs = model.Outlet({4}, {CLOSED}, (5000, 5002), 8)
    for number, packets in enumerate(batches):
        load(batch, packets)
        outlet.flows.lookup_batch(batch)
        told = [as_model(batch, row) for row in range(batch.count)]
        assert outlet.admit_batch(batch, number + 1, full=True) == 0
        assert batch.reason[:batch.count].tolist() == [theirs.admit(packet) for packet in told]
        assert (batch.entry[:batch.count][batch.reason[:batch.count] == 0] >= 0).all()
        assert len(outlet.flows) == len(outlet.nat) == len(theirs.flows)
    used = outlet.flows.entries_view[outlet.flows.entries_view["used"] > 0]
    assert sorted((int(flow["namespace"]), int(flow["location"])) for flow in used) == sorted(theirs.flows.values())


def test_every_flow_is_found_by_its_binding_and_leaves_from_its_address():
    outlet, batch = made(ports=(1024, 65535)), PacketBatch(8)
    load(batch, [(1, udp("10.8.6.4", "10.9.0.2", port, 53, b"x"), []) for port in range(1, 9)])
    outlet.admit_batch(batch, 1)
    for row in range(8):
        flow = outlet.flows.get(int(batch.entry[row]))
        local = outlet.addresses[flow["nat_slot"]].tobytes()
        assert outlet.nat.find_one(17, local, flow["nat_port"], batch.destination[row].tobytes(), 53) == batch.entry[row]


def test_without_room_nothing_is_made_and_the_rows_wait():
    outlet, batch = made(capacity=2), PacketBatch(8)
    load(batch, [(1, udp("10.8.6.4", "10.9.0.2", port, 53, b"x"), []) for port in range(1, 4)])
    assert outlet.admit_batch(batch, 1) == 3
    assert (len(outlet.flows), batch.reason[:3].tolist(), batch.entry[:3].tolist()) == (0, [0] * 3, [-1] * 3)
    assert outlet.admit_batch(batch, 1, True) == 0
    assert batch.reason[:3].tolist() == [0, 0, DropReason.DROP_FLOW_TABLE_FULL]


@pytest.mark.parametrize("n", [0, 1, 2, 3, 40])
def test_closed_addresses_are_found_among_any_number(n):
    closed = [V4 + bytes([10, 9, 1, k]) for k in range(n)]
    outlet, batch = made(capacity=64, ports=(1024, 65535), closed=closed[::-1]), PacketBatch(64)
    load(batch, [(1, udp("10.8.6.4", f"10.9.1.{k}", 5, 53, b"x"), []) for k in range(n + 2)])
    outlet.admit_batch(batch, 1)
    assert batch.reason[:n + 2].tolist() == [DropReason.DROP_POLICY] * n + [0, 0]


def test_a_batch_that_does_not_hold_what_it_says_is_refused():
    outlet, batch = made(), PacketBatch(8)
    load(batch, [(1, udp("10.8.6.4", "10.9.0.2", 1, 53, b"x"), [])])
    batch.geneve_length[0] = 65535
    with pytest.raises(ValueError, match=r"geneve_start"):
        outlet.admit_batch(batch, 1)
    with pytest.raises(ValueError, match=r"^addresses"):
        Outlet(FlowTable(8), NatTable(8, (1, 2), SEED), Secret(SEED), rows(), rows())


def test_flows_end_with_their_bindings():
    outlet, batch = made(ports=(5000, 5002)), PacketBatch(8)
    ends = [("10.9.0.2", 1), ("10.9.0.2", 2), ("10.9.0.2", 3), ("10.9.0.3", 9)]
    load(batch, [(1, udp("10.8.6.4", destination, port, 53, b"x"), []) for destination, port in ends])
    outlet.admit_batch(batch, 1)
    entries = batch.entry[:4].copy()
    for wrong in (entries[3] + 100, -1):
        with pytest.raises(ValueError, match=r"^indexes"):
            outlet.end_flows(np.array([entries[0], wrong], np.int32))
    assert len(outlet.flows) == len(outlet.nat) == 4, "nothing has ended"
    assert outlet.end_flows(np.array([entries[0], entries[0]], np.int32)) == 1
    assert outlet.end_flows(entries[1:]) == 3
    assert len(outlet.flows) == len(outlet.nat) == 0
    outlet.flows.lookup_batch(batch)
    assert (batch.entry[:4] == -1).all() and outlet.admit_batch(batch, 2) == 0 and len(outlet.nat) == 4


@pytest.mark.parametrize("packet", [
    echo("10.8.6.4", "10.9.0.2", 7), echo("10.9.0.99", "10.9.0.2", 7), udp("10.9.0.99", "10.9.0.2", 7, 7),
], ids=["echo", "echo from above", "from above"])
def test_a_binding_is_found_again_whichever_end_of_the_key_began(packet):
    outlet, batch = made(), PacketBatch(8)
    load(batch, [(1, packet, [])])
    outlet.admit_batch(batch, 1)
    assert outlet.end_flows(batch.entry[:1].copy()) == 1
    assert len(outlet.nat) == 0


@pytest.mark.parametrize("n", [0, 1, 3, 9])
def test_the_oldest_flows_are_those_that_would_give_way_one_by_one(n):
    outlet, batch = made(capacity=8, ports=(1024, 65535)), PacketBatch(8)
    ends = [udp("10.8.6.4", "10.9.0.2", 1, 5), echo("10.8.6.4", "10.9.0.2", 2), udp("10.8.6.4", "10.9.0.2", 3, 5),
            tcp("10.8.6.4", "10.9.0.2", 4, 5), udp("10.8.6.4", "10.9.0.2", 5, 5), echo("10.8.6.4", "10.9.0.2", 6)]
    for now, first in enumerate(ends):
        load(batch, [(1, first, [])])
        outlet.flows.lookup_batch(batch)
        outlet.admit_batch(batch, now + 1)
        if now == 2:                                    # an answered one does not give way
            batch.direction[0] = 1 - batch.direction[0]
            outlet.flows.account_batch(batch, now + 1)
    found = np.full(n, -1, np.int32)
    told = outlet.oldest_flows(found)
    one_by_one = []
    while len(one_by_one) < n and (index := outlet.flows.oldest_one()) >= 0:
        one_by_one.append(index)
        outlet.end_flows(np.array([index], np.int32))
    assert found[:told].tolist() == one_by_one and told == min(n, 5)
