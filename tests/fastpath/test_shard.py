"""Shard: packets of a flow, its fragments and its ICMP errors have one worker, which the kernel's programs choose too."""

import os
import socket
from ipaddress import ip_address

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6DestUnreach, IPv6
from scapy.packet import Raw

import namespaces
from fastpath import geneve, gwlb, packet, shard
from fastpath.batch import PacketBatch
from fastpath.memoryport import MemoryPort
from fastpath.packetio import GeneveSocket
from fastpath.packetring import PacketRing
from fastpath.shard import shards
from fastpath.xsk import XskPort
from inner_packets import WORKLOAD, WORKLOAD6, echo, pieces, tcp, udp
from isolation import isolated
from model import shard as model

PORTS = st.integers(0, 65_535)
ENDS = st.one_of(st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)), st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)))


def owners(count: int, *frames: bytes) -> list[int]:
    """The workers of inner packets."""
    batch, out = PacketBatch(), np.full(len(frames), -9, np.int32)
    batch.load([gwlb.header(0xAAA, 2, 7, frame[0] >> 4) + frame for frame in frames])
    geneve.decode_batch(batch)
    gwlb.decode_batch(batch)
    packet.parse_batch(batch)
    shards(count)[0].owners_batch(batch, out)
    return out.tolist()


@given(st.integers(1, 32), ENDS, PORTS, PORTS)
def test_both_ways_have_one_worker_and_the_model_names_the_same(count, ends, port, other) -> None:
    source, destination = ends
    found = model.shard_of(count, source, port, destination, other)
    assert shard.shard_of(count, source, port, destination, other) == found
    assert shard.shard_of(count, destination, other, source, port) == found
    assert 0 <= found < count


@pytest.mark.parametrize("module", [shard, model], ids=["fastpath", "model"])
def test_wrong_arguments_are_named(module) -> None:
    for count, source, port in ((0, "10.0.0.1", 1), (33, "10.0.0.1", 1), (2, "10.0.0.1", 65_536), (2, "fd00::1", 1)):
        with pytest.raises(ValueError, match=r"count|port|family"):
            module.shard_of(count, source, port, "10.0.0.2", 1)


def test_a_crew_needs_ports_and_aliases_for_all() -> None:
    for wrong in ({"count": 0}, {"count": 33}, {"count": 2, "ports": (5, 5)}, {"count": 2, "aliases": (0, 1)},
                  {"count": 2, "ring_bytes": 5000}, {"count": 2, "ports": (9, 70_000)}):
        with pytest.raises(ValueError, match=r"^(count|ports|aliases|ring_bytes)"):
            shards(**wrong)


def test_ports_and_aliases_are_parted_without_overlap() -> None:
    crew = shards(3, ports=(1024, 65_535), aliases=("198.18.0.2", 65_000))
    ranges = [one.port_range for one in crew]
    assert ranges == [(1024, 22_527), (22_528, 44_031), (44_032, 65_535)]
    first, many = crew[1].alias_range
    assert (first, many) == (int(ip_address("198.18.0.2")) + 21_666, 21_666)


@pytest.mark.parametrize("count", [2, 3, 8])
def test_flows_spread_evenly_even_where_both_ends_count_up_together(count: int) -> None:
    n = 4096
    for flows in (
        [(f"10.0.{k >> 8}.{k & 255}", 5000, f"10.1.{k >> 8}.{k & 255}", 5000) for k in range(n)],
        [("10.0.0.1", 1024 + k, "10.1.0.1", 80) for k in range(n)],
        [(f"fd00::{k:x}", 7, f"fd00:1::{k:x}", 7) for k in range(n)],
    ):
        spread = np.bincount([shard.shard_of(count, *flow) for flow in flows], minlength=count)
        assert spread.min() > 0.85 * n / count


def test_fragments_go_by_addresses_and_errors_by_what_they_quote() -> None:
    there, back = udp(WORKLOAD, "192.0.2.1", 4000, 9), udp("192.0.2.1", WORKLOAD, 9, 4000)
    for k in range(8):
        there = udp(WORKLOAD, "192.0.2.1", 4000 + k, 9)
        back = udp("192.0.2.1", WORKLOAD, 9, 4000 + k)
        error = bytes(IP(src="192.0.2.254", dst=WORKLOAD) / ICMP(type=3, code=1) / Raw(there))
        six = udp(WORKLOAD6, "2001:db8::1", 4000 + k, 9)
        error6 = bytes(IPv6(src="2001:db8::fe", dst=WORKLOAD6) / ICMPv6DestUnreach() / Raw(six))
        assert len(set(owners(8, there, back, error))) == 1
        assert len(set(owners(8, six, error6))) == 1
    parts = pieces(udp(WORKLOAD, "192.0.2.1", 4000, 9, bytes(300)))
    assert set(owners(8, *parts)) == {shard.shard_of(8, WORKLOAD, 0, "192.0.2.1", 0)}
    assert owners(8, echo(WORKLOAD, "192.0.2.1", 5)) == [shard.shard_of(8, "192.0.2.1", 0, WORKLOAD, 0)]


def samples() -> list[bytes]:
    """Packets of every kind that the kernel's program tells apart."""
    made = []
    for k in range(12):
        far, far6 = f"192.0.2.{k}", f"2001:db8:{k}::{k}"
        one, six = udp(WORKLOAD, far, 4000 + k, 9), tcp(WORKLOAD6, far6, 4000 + k, 443)
        made += [one, tcp(far, WORKLOAD, 80, 3000 + k), echo(WORKLOAD, far, k), six, echo(WORKLOAD6, far6, k)]
        made.append(bytes(IP(src="192.0.2.254", dst=WORKLOAD) / ICMP(type=11) / Raw(one)))
        made.append(bytes(IPv6(src="2001:db8::fe", dst=WORKLOAD6) / ICMPv6DestUnreach() / Raw(six)))
        made += pieces(udp(WORKLOAD, far, 4000 + k, 9, bytes(150)))
        made.append(bytes(IP(src=WORKLOAD, dst=far, options=b"\x01\x01\x01\x01") / Raw(udp(WORKLOAD, far, k, 9)[20:])))
        made.append(bytes(IP(src=WORKLOAD, dst=far, proto=17, options=b"\x01\x01\x01\x01") / Raw(one[20:])))
        made.append(bytes(IP(src=WORKLOAD, dst=far, proto=47) / Raw(bytes(24))))
    return made


def arrived(ports: list, frames: int) -> dict[bytes, int]:
    """Which port each inner packet came to."""
    batch, found, left = PacketBatch(), {}, frames
    for _ in range(200):
        for number, port in enumerate(ports):
            for k in range(port.recv(batch)):
                start, length = int(batch.start[k]), int(batch.length[k])
                found[batch.data[k, start + 40:start + length].tobytes()] = number
                left -= 1
        if left <= 0:
            return found
    raise AssertionError(f"{left} of {frames} packets have not arrived")


@isolated
def test_sockets_of_a_group_get_the_packets_of_their_workers() -> None:
    frames = samples()
    ports = [GeneveSocket("127.0.0.11", workers=4) for _ in range(4)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gwlb_end:
        for frame in frames:
            gwlb_end.sendto(gwlb.header(0xAAA, 2, 7, frame[0] >> 4) + frame, ("127.0.0.11", 6081))
    found = arrived(ports, len(frames))
    assert [found[frame] for frame in frames] == owners(4, *frames)
    assert set(found.values()) == {0, 1, 2, 3}


@isolated
def test_rings_of_a_group_get_the_packets_of_their_workers() -> None:
    frames = samples()
    other = namespaces.another()
    namespaces.link("g0", ["10.1.0.1/24"], other, "g1", ["10.1.0.2/24"])
    first = PacketRing("10.1.0.1", workers=3)
    ports = [first, *(PacketRing("10.1.0.1", fanout=first.fanout, workers=3) for _ in range(2))]
    with namespaces.inside(other), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gwlb_end:
        for frame in frames:
            gwlb_end.sendto(gwlb.header(0xAAA, 2, 7, frame[0] >> 4) + frame, ("10.1.0.1", 6081))
    found = arrived(ports, len(frames))
    assert [found[frame] for frame in frames] == owners(3, *frames)


@isolated
def test_ports_that_share_the_queues_of_an_interface_get_every_packet_once() -> None:
    if os.geteuid() != 0:
        return      # AF_XDP wants rights that a user namespace does not give
    frames = samples()
    other = namespaces.another()
    namespaces.link("g0", ["10.1.0.1/24"], other, "g1", ["10.1.0.2/24"], queues=2)
    first = XskPort("10.1.0.1", workers=2)
    ports = [first, XskPort("10.1.0.1", worker=1, workers=2, first=first)]
    with namespaces.inside(other):
        ends = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(8)]
    for k, frame in enumerate(frames):      # the sender's queue is chosen by its flow
        ends[k % 8].sendto(gwlb.header(0xAAA, 2, 7, frame[0] >> 4) + frame, ("10.1.0.1", 6081))
    assert sorted(arrived(ports, len(frames))) == sorted(frames)
    for wrong in ({"worker": 2, "workers": 2}, {"workers": 2, "first": first}, {"worker": 1, "workers": 2}):
        with pytest.raises(ValueError, match=r"worker|first"):
            XskPort("10.1.0.1", **wrong)


def test_memory_port_gives_its_frames_in_turn_for_ever_and_keeps_what_was_sent_last() -> None:
    port, batch = MemoryPort([b"one", b"two!"], "192.0.2.1", peers=[7, 8]), PacketBatch(3)
    assert port.recv(batch) == 3
    assert batch.peer_address.tolist()[:3] == [7, 8, 7]
    assert port.send(batch) == 3
    assert [sent[28:] for sent in port.last(9)] == [b"one", b"two!", b"one"]
    assert IP(port.last(1)[0]).src == "192.0.2.1"
    assert (port.sent, port.lost(), port.recv(batch)) == (3, 0, 3)
    port.close()
    with pytest.raises(ValueError, match="closed"):
        port.recv(batch)


def test_memory_port_refuses_what_it_can_not_hold() -> None:
    for frames, peers in (([], None), ([b"x"], [1, 2]), ([bytes(70_000)], None), ([b"x"], [1 << 32])):
        with pytest.raises(ValueError, match=r"frames|peers"):
            MemoryPort(frames, peers=peers)
    with pytest.raises(TypeError, match="frames"):
        MemoryPort([7])
