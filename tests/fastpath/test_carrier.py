"""An edge's packets beside the obvious way, and where a batch stops because one of its rows needs thought."""

import os
import threading
import time
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.packet import Raw

from carrier_rig import LOCAL, LOCAL6, SILENT_NS, Rig
from dtls_pair import contexts
from fastpath.action import DropReason
from fastpath.batch import PacketBatch
from fastpath.carrier import Carrier
from fastpath.stages import Stage, Want
from inner_packets import echo, error, tcp, udp
from model import carrier as model

SERVER, SERVER6, WORKLOAD, WORKLOAD6 = "10.9.0.2", "fd00:9::2", "10.8.6.4", "fd00:8::4"
DATA = udp(WORKLOAD, SERVER, 5555, 53, b"question")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return contexts(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def rig(both):
    made = Rig(both)
    yield made
    made.close()


def answer(packet, payload=None):
    """What a server says to a packet that has left: the same, or `payload`."""
    whole, transport, source, destination = model.parsed(packet)
    if payload is not None:
        del whole.len, transport.len
        transport.payload = Raw(payload)
    whole.src, whole.dst = whole.dst, whole.src
    if source != destination:
        transport.sport, transport.dport = transport.dport, transport.sport
    elif whole.version == 4:
        transport.type = 0
    else:
        return b"".join((packet[:8], packet[24:40], packet[8:24], model.rebuilt(whole)[40:]))
    return model.rebuilt(whole)


ports = st.integers(2001, 2004)
packets = st.one_of(
    st.builds(udp, st.just(WORKLOAD), st.just(SERVER), ports, ports, st.binary(max_size=30)),
    st.builds(udp, st.just(WORKLOAD6), st.just(SERVER6), ports, ports, st.binary(max_size=30)),
    st.builds(tcp, st.just(WORKLOAD), st.just(SERVER), ports, ports, st.just("A"), st.binary(max_size=30)),
    st.builds(echo, st.just(WORKLOAD), st.just(SERVER), ports))
sent = st.tuples(st.integers(0, 1), st.integers(1, 2), st.integers(0, 3), packets)


@given(st.lists(st.lists(sent, max_size=8), max_size=4))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_leaves_is_what_leaves_the_obvious_way(both, turns):
    rig = Rig(both)
    ends = [rig.connector(), rig.connector()]
    edge = model.Edge({4: LOCAL, 6: LOCAL6})
    for now, turn in enumerate(turns):
        for who, namespace, location, packet in turn:
            ends[who].send(packet, namespace, location)
            assert rig.carrier.step(now) == Want.WANT_NOTHING
        gone = rig.left()
        assert gone == [edge.out(who, namespace, location, packet, left)
                        for (who, namespace, location, packet), left in zip(turn, gone, strict=True)]
        for packet in gone:
            if packet[0] >> 4 == 6 and packet[6] == 58:
                continue
            rig.net.send(answer(packet))
            assert rig.carrier.step(now) == Want.WANT_NOTHING
            who, header, restored = edge.back(answer(packet))
            received = ends[who].receive()
            assert received[:20] + received[28:] == header + restored
    assert rig.outward.carried[0] == sum(map(len, turns)) and not rig.carrier.drops.any()
    assert sum(link.received for link in rig.links) == rig.outward.carried[0]
    assert sum(link.sent for link in rig.links) == rig.inward.carried[0]
    assert sum(link.sent_bytes for link in rig.links) == rig.inward.carried[1]
    rig.close()


def test_packets_of_a_flow_keep_their_order_in_a_batch_with_odd_ones(rig):
    end = rig.connector()
    for k in range(20):
        end.send(udp(WORKLOAD, SERVER, 5555, 53, bytes([k]) * 8))
    assert rig.carrier.step(1) == Want.WANT_NOTHING
    left = rig.left()
    assert [packet[28] for packet in left] == list(range(20))
    for k in range(20):
        rig.net.send(answer(left[0], bytes([k])) if k != 7 else error(left[0]))
    assert rig.carrier.step(2) == Want.WANT_ERRORS
    rig.batch.reason[7] = DropReason.DROP_ICMP_UNMATCHED
    assert rig.carrier.go_on(2) == Want.WANT_WAYS
    assert rig.carrier.go_on(2) == Want.WANT_NOTHING
    assert [end.receive()[-1] for _ in range(19)] == [k for k in range(20) if k != 7] and end.receive() is None
    assert rig.carrier.drops[DropReason.DROP_ICMP_UNMATCHED] == 1


def test_a_stranger_stops_the_batch_and_everything_else_of_it_goes_on(rig):
    end, stranger = rig.connector(), rig.connector()
    rig.links.remove(stranger.link)
    end.send(DATA)
    stranger.send(DATA)
    assert rig.carrier.step(1) == Want.WANT_GATE
    assert rig.outward.origin[:2].tolist() == [end.link.number, 0] and rig.batch.reason[:2].tolist() == [0, 0]
    assert rig.carrier.go_on(1) == Want.WANT_NOTHING
    assert len(rig.left()) == 1
    assert rig.carrier.drops[DropReason.DROP_DTLS_PEER_UNKNOWN] == 1
    rig.links.add(stranger.link.record, stranger, stranger.link.address, stranger.link.port, 1).mtu = 1400
    stranger.send(DATA)
    assert rig.carrier.step(2) == Want.WANT_NOTHING


def test_a_stranger_whose_session_has_begun_meanwhile_is_heard(rig):
    end = rig.connector()
    rig.links.remove(end.link)
    end.send(DATA)
    assert rig.carrier.step(1) == Want.WANT_GATE
    rig.links.add(end.link.record, end, end.link.address, end.link.port, 1).mtu = 1400
    assert rig.carrier.go_on(1) == Want.WANT_NOTHING
    assert len(rig.left()) == 1


@pytest.mark.parametrize("said", [b"\x16\xfe\xfd\0\0" + bytes(6) + b"\0\1\1", b"\x17\xfe\xfd" + bytes(30), b"x", b""],
                         ids=["hello", "forged", "short", "empty"])
def test_what_is_no_record_of_a_session_is_looked_at(rig, said):
    end = rig.connector()
    end.socket.send(said)
    if said:
        assert rig.carrier.step(1) == Want.WANT_GATE
        rig.batch.reason[0] = rig.batch.reason[0] or DropReason.DROP_REASONS
        while rig.carrier.go_on(1):
            pass
    end.send(DATA)
    while rig.carrier.step(2):
        rig.carrier.go_on(2)
    assert len(rig.left()) == 1 and end.link.last_ns == 2


@given(st.lists(st.binary(max_size=200), max_size=10))
@settings(max_examples=100)
def test_any_bytes_inside_a_session_end_as_a_counted_drop_or_a_want(both, frames):
    rig = Rig(both)
    end = rig.connector()
    for frame in filter(None, frames):
        end.socket.send(end.session.seal(frame))
    for now in range(1, 4):
        want = rig.carrier.step(now)
        while want:
            if want == Want.WANT_CONTROL:
                rig.batch.reason[:rig.batch.count][rig.batch.geneve_flags[:rig.batch.count] != 0] = DropReason.DROP_REASONS
            want = rig.carrier.go_on(now)
    assert rig.carrier.drops.sum() == len([frame for frame in frames if frame])
    assert not rig.left() and len(rig.outlet.flows) == len(rig.outlet.nat) == 0
    rig.close()


@pytest.mark.parametrize(("packet", "flags", "want"), [
    (b"control", 0x80, Want.WANT_CONTROL), (DATA, 0x40, Want.WANT_CONTROL), (error(DATA), 0, Want.WANT_FLOWS),
    (bytes(IP(src=WORKLOAD, dst=SERVER, flags="MF") / UDP(sport=5, dport=6) / Raw(bytes(16))), 0, Want.WANT_FLOWS),
    (bytes(IP(src=WORKLOAD, dst=SERVER, ttl=1) / UDP(sport=5, dport=6) / Raw(bytes(16))), 0, Want.WANT_EXPIRED),
], ids=["control", "part", "error", "fragment", "expired"])
def test_a_row_that_needs_thought_stops_its_batch(rig, packet, flags, want):
    end = rig.connector()
    end.send(DATA)
    end.send(packet, flags=flags)
    assert rig.carrier.step(1) == want
    rig.batch.reason[1] = DropReason.DROP_REASONS
    assert want != Want.WANT_FLOWS or rig.outlet.admit_batch(rig.batch, 1) == 0
    assert rig.carrier.go_on(1) == Want.WANT_NOTHING
    assert len(rig.left()) == 1 and rig.carrier.drops.sum() == 1


def test_a_full_table_wants_room(both):
    rig = Rig(both, capacity=1)
    end = rig.connector()
    end.send(DATA)
    end.send(udp(WORKLOAD, SERVER, 1, 53))
    assert rig.carrier.step(1) == Want.WANT_FLOWS and len(rig.outlet.flows) == 0
    assert rig.outlet.admit_batch(rig.batch, 1, full=True) == 0
    assert rig.carrier.go_on(1) == Want.WANT_NOTHING
    assert len(rig.left()) == 1 and rig.carrier.drops[DropReason.DROP_FLOW_TABLE_FULL] == 1
    rig.close()


def joined(rig):
    """A connector with a flow, and the answer to it."""
    end = rig.connector()
    end.send(DATA)
    assert rig.carrier.step(1) == Want.WANT_NOTHING
    (left,) = rig.left()
    return end, answer(left)


@pytest.mark.parametrize("how", ["moved", "gone", "outlived and silent"])
def test_a_flow_whose_session_is_elsewhere_asks_for_its_way(rig, how):
    end, back = joined(rig)
    other = rig.connector()
    if how == "moved":
        end.link.moved = True
    elif how == "gone":
        rig.links.remove(end.link)
    else:
        end.link.outlived = True
        rig.net.send(back)
        assert rig.carrier.step(SILENT_NS) == Want.WANT_NOTHING, "it was heard of a moment ago"
        assert end.receive()
    rig.net.send(back)
    assert rig.carrier.step(1 + SILENT_NS) == Want.WANT_WAYS
    rig.inward.ways[0] = other.link.number
    assert rig.carrier.go_on(1 + SILENT_NS) == Want.WANT_NOTHING
    assert other.receive() and not end.receive()
    rig.net.send(back)
    assert rig.carrier.step(1 + SILENT_NS) == Want.WANT_WAYS
    rig.inward.ways[0] = 0
    assert rig.carrier.go_on(1 + SILENT_NS) == Want.WANT_NOTHING
    assert rig.carrier.drops[DropReason.DROP_DTLS_PEER_UNKNOWN] == 1


def test_what_is_larger_than_its_tunnel_stops_twice(rig):
    end, back = joined(rig)
    end.link.mtu = len(back) - 1
    rig.net.send(back)
    assert rig.carrier.step(2) == Want.WANT_WAYS and rig.inward.ways[0] == end.link.number
    assert rig.carrier.go_on(2) == Want.WANT_CUT
    rows, numbers = np.zeros(1, np.uint16), np.array([end.link.number], np.uint32)
    assert rig.inward.enter_rows(rig.batch, rows, numbers) == 1
    rig.batch.reason[0] = DropReason.DROP_REASONS
    assert rig.carrier.go_on(2) == Want.WANT_NOTHING
    assert end.receive()[28:] and not end.receive()


def test_strangers_do_not_keep_the_internet_from_its_turn(rig):
    end, back = joined(rig)
    stranger = rig.connector()
    rig.links.remove(stranger.link)
    for _ in range(300):
        stranger.socket.send(b"let me in")
    rig.net.send(back)
    for _ in range(2):
        assert rig.carrier.step(2) == Want.WANT_GATE
        assert rig.carrier.go_on(2) == Want.WANT_NOTHING
    assert end.receive(), "though strangers wait still"
    assert rig.carrier.step(2) == Want.WANT_GATE


def test_nobody_s_answer_is_dropped(rig):
    rig.net.send(udp(SERVER, LOCAL, 53, 5555))
    assert rig.carrier.step(1) == Want.WANT_NOTHING
    assert rig.carrier.drops[DropReason.DROP_NAT_NO_BINDING] == 1


def test_a_workload_that_speaks_like_a_server_of_another_is_not_taken_for_it(rig):
    end = rig.connector()
    end.send(DATA)
    end.send(udp(SERVER, WORKLOAD, 53, 5555))
    assert rig.carrier.step(1) == Want.WANT_NOTHING
    assert len(rig.left()) == 1 and rig.carrier.drops[DropReason.DROP_TUNNEL_FLOW_UNKNOWN] == 1


@pytest.mark.parametrize("vni", [0, 65_001, (1 << 24) - 1])
def test_a_namespace_that_nobody_has_is_dropped(rig, vni):
    end = rig.connector()
    end.send(DATA, namespace=vni)
    assert rig.carrier.step(1) == Want.WANT_NOTHING
    assert not rig.left() and rig.carrier.drops[DropReason.DROP_TUNNEL_FLOW_UNKNOWN] == 1


def test_a_segment_size_is_lowered_to_the_tunnel_s(rig):
    end = rig.connector()
    end.link.mtu = 1300
    end.send(tcp(WORKLOAD, SERVER, 5, 80, "S"))
    assert rig.carrier.step(1) == Want.WANT_NOTHING
    (left,) = rig.left()
    assert dict(model.parsed(left)[1].options)["MSS"] == 1260
    rig.net.send(answer(left).replace(b"\x02\x04\x04\xec", b"\x02\x04\x05\xb4"))
    rig.carrier.step(1)
    assert b"\x02\x04\x04\xec" in end.receive()


@pytest.mark.parametrize("spoiled", [
    {"entry": 1 << 20}, {"entry": -1}, {"inner_start": 3}, {"inner_length": 65535}, {"l4_start": 9000}, {"ip_version": 6}])
def test_a_batch_that_others_have_spoiled_is_refused(rig, spoiled):
    end, back = joined(rig)
    end.link.moved = True
    rig.net.send(back)
    assert rig.carrier.step(2) == Want.WANT_WAYS
    for column, value in spoiled.items():
        getattr(rig.batch, column)[0] = value
    with pytest.raises(ValueError, match=r"batch|inner_start"):
        rig.carrier.go_on(2)


def test_batches_begin_where_others_may_have_filled_them(rig):
    for stage in set(Stage) - {Stage.STAGE_DECODE, Stage.STAGE_PARSE}:
        with pytest.raises(ValueError, match=r"^stage"):
            rig.carrier.begin(stage, 1)
    end, _ = joined(rig)
    rig.batch.load([bytes.fromhex("0000080000000100") + DATA])
    rig.batch.peer_address[0], rig.batch.peer_port[0] = end.link.address, end.link.port
    assert rig.carrier.begin(Stage.STAGE_DECODE, 1) == Want.WANT_NOTHING
    assert len(rig.left()) == 1 and rig.outward.origin[0] == end.link.number


def test_a_run_ends_in_time_or_when_it_is_called(rig):
    began = time.monotonic_ns()
    assert rig.carrier.run(began + 20_000_000) == Want.WANT_NOTHING
    assert time.monotonic_ns() >= began + 20_000_000
    wake = os.eventfd(0, os.EFD_NONBLOCK)
    carrier = Carrier(rig.batch, rig.outward, rig.inward, (wake, -1))
    caller = threading.Timer(0.05, os.eventfd_write, (wake, 1))
    caller.start()
    assert carrier.run(began + 60_000_000_000) == Want.WANT_NOTHING, "or this test takes a minute"
    caller.join()
    os.close(wake)


def test_the_wrong_parts_are_refused(rig, both):
    other = Rig(both)
    with pytest.raises(ValueError, match=r"^inward"):
        Carrier(rig.batch, rig.outward, other.inward)
    with pytest.raises(ValueError, match=r"^batch"):
        Carrier(PacketBatch(65, 2048), rig.outward, rig.inward)
    with pytest.raises((TypeError, ValueError), match=r"^others"):
        Carrier(rig.batch, rig.outward, rig.inward, mock.sentinel.no)
    other.close()
