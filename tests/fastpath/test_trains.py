"""Packets of one stream coupled, by fastpath and its model; what the kernel would cut again is what was coupled."""

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from fastpath import superpacket, trains
from fastpath.batch import PacketBatch
from model import trains as reference

Made = list[tuple[list[int], bytes, bytes]]


@pytest.fixture(params=[trains, reference], ids=["fastpath", "model"])
def impl(request: Any) -> ModuleType:
    return request.param


def batch_of(packets: list[bytes]) -> PacketBatch:
    batch = PacketBatch(256, 4096)
    n = batch.load(packets)
    batch.inner_start[:n], batch.inner_length[:n] = batch.start[:n], batch.length[:n]
    return batch


def join(impl: ModuleType, packets: list[bytes]) -> Made:
    made: Made = impl.join_rows(batch_of(packets), np.arange(len(packets), dtype=np.uint16))
    return made


def cut(header: bytes, packet: bytes) -> list[bytes]:
    batch = PacketBatch(256, 4096)
    return [batch.frame(k) for k in range(superpacket.cut_one(header, packet, batch))]


def part(seq: int, size: int = 100, flags: str = "A", six: bool = False, ident: int = 1, **of: Any) -> bytes:
    """A packet of a stream; `of` changes its headers."""
    ip = {key: of.pop(key) for key in ("tos", "ttl") if key in of}
    head = IPv6(src="fd00::1", dst="fd00::2") if six else IP(src="10.0.0.1", id=ident, dst="10.0.0.2", flags="DF", **ip)
    tcp = TCP(**{"sport": 1, "dport": 2, "seq": seq & 0xFFFFFFFF, "ack": 5, "flags": flags} | of)
    return bytes(head / tcp / Raw(bytes((seq + k) % 251 for k in range(size))))


@pytest.mark.parametrize("six", [False, True], ids=["IPv4", "IPv6"])
def test_what_was_coupled_is_the_same_when_it_is_cut(impl: ModuleType, six: bool) -> None:
    packets = [part(-200 + 100 * k, six=six, ident=1 + k) for k in range(40)]
    packets.append(part(3800, 30, "FPA", six=six, ident=41))
    ((rows, header, packet),) = join(impl, packets)
    assert rows == list(range(41))
    assert cut(header, packet) == packets


def test_streams_are_coupled_through_each_other(impl: ModuleType) -> None:
    packets = [part(100 * (k // 3), sport=10 + k % 3, flags="A") for k in range(12)]
    assert [rows for rows, _, _ in join(impl, packets)] == [[0, 3, 6, 9], [1, 4, 7, 10], [2, 5, 8, 11]]


@pytest.mark.parametrize("second", [
    part(101), part(99), part(100, ack=6), part(100, window=7), part(100, tos=1), part(100, ttl=9), part(100, 101),
    part(100, flags="AE"), part(100, flags="AC"), part(100, flags="AU"), part(100, flags="AR"), part(100, flags="SA"),
    part(100, flags="P"), part(100, options=[("NOP", 0)] * 4), part(100, 0), part(100, urgptr=1), part(100, chksum=1),
    part(100, dport=3), bytes(IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / Raw(bytes(60))), b"", b"E",
])
def test_what_is_no_next_packet_leaves_by_itself(impl: ModuleType, second: bytes) -> None:
    packets = [part(0), second]
    made = join(impl, packets)
    assert [(rows, packet) for rows, _, packet in made] == [([k], packet) for k, packet in enumerate(packets) if packet]
    assert all(header == bytes(10) for _, header, _ in made)


@pytest.mark.parametrize("last", [part(100, 99), part(100, flags="PA"), part(100, flags="FA")])
def test_nothing_follows_a_short_or_pushed_packet(impl: ModuleType, last: bytes) -> None:
    size = len(last) - 40
    assert [rows for rows, _, _ in join(impl, [part(0), last, part(100 + size)])] == [[0, 1], [2]]


def test_a_wrong_checksum_is_not_made_right(impl: ModuleType) -> None:
    wrong = part(0, chksum=1)
    assert [packet for _, _, packet in join(impl, [wrong, part(100), part(200)])] == [wrong, *[
        packet for _, _, packet in join(impl, [part(100), part(200)])]]


def test_a_packet_without_payload_stays_between_its_neighbours(impl: ModuleType) -> None:
    packets = [part(0), part(100, 0), part(100)]
    assert [rows for rows, _, _ in join(impl, packets)] == [[0], [1], [2]]


def test_identifications_count_where_a_packet_may_be_cut(impl: ModuleType) -> None:
    def may_be_cut(seq: int, ident: int) -> bytes:
        made = IP(part(seq, ident=ident))
        made.flags = ""
        del made.chksum
        return bytes(made)

    assert [rows for rows, _, _ in join(impl, [may_be_cut(0, 7), may_be_cut(100, 8)])] == [[0, 1]]
    assert [rows for rows, _, _ in join(impl, [may_be_cut(0, 7), may_be_cut(100, 9)])] == [[0], [1]]


def test_a_train_stays_within_what_an_ip_packet_holds(impl: ModuleType) -> None:
    made = join(impl, [part(1400 * k, 1400) for k in range(60)])
    assert [len(rows) for rows, _, _ in made] == [46, 14] and all(len(packet) <= 65_000 for _, _, packet in made)


def test_wrong_calls_are_named(impl: ModuleType) -> None:
    batch = batch_of([part(0)])
    for rows in (np.array([1], np.uint16), np.zeros(257, np.uint16)):
        with pytest.raises(ValueError, match="rows"):
            impl.join_rows(batch, rows)


@st.composite
def streams(draw: Any) -> list[bytes]:
    """Packets of a few streams, most of them in order, some of them changed in one byte."""
    packets = []
    at = {port: 0 for port in range(3)}
    for _ in range(draw(st.integers(0, 12))):
        port, six = draw(st.integers(0, 2)), draw(st.booleans())
        size = draw(st.sampled_from([0, 8, 8, 8, 5]))
        packet = bytearray(part(at[port], size, draw(st.sampled_from(["A", "A", "A", "PA", "FA", "S"])), six, sport=port))
        at[port] += size + draw(st.sampled_from([0, 0, 0, 1]))
        if draw(st.integers(0, 5)) == 0:
            packet[draw(st.integers(0, len(packet) - 1))] ^= 1 << draw(st.integers(0, 7))
        packets.append(bytes(packet[:draw(st.sampled_from([999, 999, 999, 30]))]))
    return packets


@settings(max_examples=300, deadline=None)
@given(streams())
def test_any_packets_are_coupled_as_the_model_does(packets: list[bytes]) -> None:
    assert join(trains, packets) == join(reference, packets)
