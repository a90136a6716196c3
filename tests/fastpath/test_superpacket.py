"""Large segments cut into packets, by fastpath and its model; scapy says whether every packet is right."""

import struct
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw

from fastpath import superpacket
from fastpath.action import DropReason
from fastpath.batch import HEADROOM_BYTES, PacketBatch
from inner_packets import read
from model import superpacket as reference

FOUR, SIX = IP(src="10.8.6.4", dst="198.51.100.7", id=65_534, flags="DF"), IPv6(src="fd00:8::4", dst="2001:db8::7")
TCP4, TCP6, OF_UDP, ECN = 1, 4, 5, 0x80


@pytest.fixture(params=[superpacket, reference], ids=["fastpath", "model"])
def impl(request: Any) -> ModuleType:
    return request.param


def vnet(kind: int, size: int, start: int, offset: int = 16, flags: int = 1) -> bytes:
    return struct.pack("<BBHHHH", flags, kind, 0, size, start, offset)


def cut(impl: ModuleType, header: bytes, packet: bytes, batch: PacketBatch | None = None) -> list[bytes]:
    batch = PacketBatch(64, 4096) if batch is None else batch
    n = impl.cut_one(header, packet, batch)
    assert n == batch.count and batch.start[:n].tolist() == [HEADROOM_BYTES] * n
    return [batch.frame(k) for k in range(n)]


@pytest.mark.parametrize("ip", [FOUR, SIX], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("payload", [1, 1000, 1001, 40_000])
def test_a_large_tcp_segment_becomes_packets_that_a_card_would_have_sent(impl: ModuleType, ip: Any, payload: int) -> None:
    data = bytes(k % 251 for k in range(payload))
    tcp = TCP(sport=1, dport=2, seq=0xFFFFFF00, ack=9, flags="FPAC", options=[("Timestamp", (1, 2))])
    packet = bytes(ip / tcp / Raw(data))
    kind = TCP4 if ip is FOUR else TCP6
    made = [read(each) for each in cut(impl, vnet(kind | ECN, 1000, len(ip)), packet)]
    assert b"".join(bytes(each[TCP].payload) for each in made) == data
    assert [each[TCP].seq for each in made] == [(0xFFFFFF00 + 1000 * k) & 0xFFFFFFFF for k in range(len(made))]
    assert {each[TCP].flags.value & 9 for each in made[:-1]} <= {0} and made[-1][TCP].flags.value & 9 == 9
    assert [each[TCP].flags.value >> 7 for each in made] == [1] + [0] * (len(made) - 1)
    assert {(each[TCP].ack, tuple(each[TCP].options)) for each in made} == {(9, tuple(made[0][TCP].options))}
    if ip is FOUR:
        assert [each.id for each in made] == [(65_534 + k) & 0xFFFF for k in range(len(made))]


@pytest.mark.parametrize("ip", [FOUR, SIX], ids=["IPv4", "IPv6"])
def test_a_run_of_datagrams_becomes_datagrams(impl: ModuleType, ip: Any) -> None:
    packet = bytes(ip / UDP(sport=1, dport=2) / Raw(bytes(range(250)) * 10))
    made = [read(each) for each in cut(impl, vnet(OF_UDP, 1200, len(ip), 6), packet)]
    assert [len(bytes(each[UDP].payload)) for each in made] == [1200, 1200, 100]
    assert {(each[UDP].sport, each[UDP].dport) for each in made} == {(1, 2)}


def test_a_checksum_that_was_left_undone_is_completed(impl: ModuleType) -> None:
    packet = bytearray(bytes(FOUR / UDP(sport=1, dport=2, chksum=0) / Raw(b"odd")))
    addresses = sum(int.from_bytes(packet[at:at + 2]) for at in range(12, 20, 2)) + 17 + 11
    packet[26:28] = ((addresses & 0xFFFF) + (addresses >> 16)).to_bytes(2)
    (made,) = cut(impl, vnet(0, 0, 20, 6), bytes(packet))
    assert bytes(read(made)[UDP].payload) == b"odd"
    (same,) = cut(impl, vnet(0, 0, 20, 6, flags=0), bytes(packet))
    assert same == bytes(packet)


def test_what_does_not_agree_with_its_header_is_one_dropped_row(impl: ModuleType) -> None:
    packet = bytes(FOUR / TCP(flags="A") / Raw(bytes(100)))
    batch = PacketBatch(8, 4096)
    for header in (vnet(TCP4, 0, 20), vnet(TCP6, 50, 20), vnet(TCP4, 50, 20, flags=0), vnet(TCP4, 50, 24), vnet(3, 50, 20),
                   vnet(TCP4, 50, 0xFFFF), vnet(0, 0, 140, 16), vnet(OF_UDP, 50, 133)):
        assert len(cut(impl, header, packet, batch)) == 1
        assert batch.reason[0] == DropReason.DROP_PACKET_HEADER_LENGTH, header.hex()
    assert cut(impl, bytes(10), b"") == []


def test_no_part_of_a_packet_that_fits_no_row_goes_on(impl: ModuleType) -> None:
    batch = PacketBatch(8, 512)
    for header, packet in ((vnet(TCP4, 345, 20), FOUR / TCP(flags="A") / Raw(bytes(1000))),
                           (bytes(10), FOUR / UDP() / Raw(bytes(1000)))):
        assert len(cut(impl, header, bytes(packet), batch)) == 1
        assert batch.reason[0] == DropReason.DROP_IO_TRUNCATED
    assert len(cut(impl, vnet(TCP4, 344, 20), bytes(FOUR / TCP(flags="A") / Raw(bytes(1000))), batch)) == 3
    assert batch.reason[:3].tolist() == [0, 0, 0]


def test_a_batch_takes_as_many_as_it_has_rows(impl: ModuleType) -> None:
    packet = bytes(FOUR / TCP(flags="A") / Raw(bytes(1000)))
    assert len(cut(impl, vnet(TCP4, 100, 20), packet, PacketBatch(3, 1024))) == 3


def test_wrong_calls_are_named(impl: ModuleType) -> None:
    with pytest.raises(ValueError, match="header"):
        impl.cut_one(bytes(9), b"x", PacketBatch(1))
    with pytest.raises(ValueError, match="packet"):
        impl.cut_one(bytes(10), bytes(65_536), PacketBatch(1))


@settings(max_examples=400, deadline=None)
@given(flags=st.integers(0, 3), kind=st.sampled_from([0, 1, 3, 4, 5, 0x81, 0x84, 7]), size=st.integers(0, 300),
       start=st.sampled_from([0, 20, 24, 40, 48, 65_535]) | st.integers(0, 200), offset=st.sampled_from([6, 16, 200, 65_535]),
       first=st.sampled_from([0x45, 0x46, 0x60, 0x40, 0x4F, 0]), body=st.binary(max_size=900), words=st.integers(0, 255))
def test_any_bytes_are_cut_as_the_model_does(flags: int, kind: int, size: int, start: int, offset: int, first: int,
                                             body: bytes, words: int) -> None:
    packet = bytearray([first]) + body
    if len(packet) > start + 12:
        packet[start + 12] = words
    outcomes = []
    for each in (superpacket, reference):
        batch = PacketBatch(16, 512)
        frames = cut(each, vnet(kind, size, start, offset, flags), bytes(packet), batch)
        outcomes.append((frames, batch.reason[:batch.count].tolist()))
    assert outcomes[0] == outcomes[1]
