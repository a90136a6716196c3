"""Packets sent back to workloads, with scapy as the judge of every byte."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.packet import Raw

from zcc.connector import packets

V4 = IP(src="10.8.6.4", dst="10.254.0.9")
V6 = IPv6(src="fd00:8::4", dst="fd00:8::99")
BASES = pytest.mark.parametrize("base", [V4, V6], ids=["v4", "v6"])


def inner(packet) -> packets.Inner:
    found = packets.parse(bytes(packet))
    assert found is not None
    return found


def read(base, wire):
    """What scapy reads, and that it would have written the same bytes: lengths and checksums included."""
    assert wire is not None
    packet = type(base)(wire)
    again = type(base)(wire)
    layer = again
    while not isinstance(layer, IPerror | Raw) and layer.name not in ("NoPayload", "IPv6 in ICMPv6"):
        for field in ("chksum", "cksum", "len", "plen"):
            if field in layer.fields:
                delattr(layer, field)
        layer = layer.payload
        if isinstance(layer, Raw) or layer.name in ("IP in ICMP", "IPv6 in ICMPv6"):
            break
    assert bytes(again) == wire
    assert (packet.src, packet.dst) == (base.dst, base.src)
    return packet


@BASES
@pytest.mark.parametrize("payload", [b"", b"x", b"answer" * 100], ids=["empty", "odd", "long"])
def test_udp_reply_swaps_ends_and_carries_the_payload(base, payload):
    packet = read(base, packets.udp_reply(inner(base / UDP(sport=40000, dport=53) / b"query"), payload))
    assert (packet[UDP].sport, packet[UDP].dport) == (53, 40000)
    assert bytes(packet[UDP].payload) == payload
    assert packet[UDP].chksum != 0


def test_udp_payload_ends_where_udp_says():
    packet = V4 / UDP(sport=1, dport=53, len=8 + 3) / b"abcdef"
    assert inner(packet).payload == b"abc"


@BASES
def test_reset_of_a_syn_acknowledges_it(base):
    syn = base / TCP(sport=40000, dport=443, flags="S", seq=0xFFFFFFFF)
    packet = read(base, packets.tcp_reset(inner(syn)))
    assert packet[TCP].flags == "RA"
    assert (packet[TCP].seq, packet[TCP].ack) == (0, 0)
    assert (packet[TCP].sport, packet[TCP].dport) == (443, 40000)


@BASES
def test_reset_of_an_acknowledging_segment_takes_its_acknowledgement_as_sequence(base):
    packet = read(base, packets.tcp_reset(inner(base / TCP(flags="PA", seq=5, ack=777) / b"data")))
    assert packet[TCP].flags == "R"
    assert packet[TCP].seq == 777


def test_reset_of_data_without_acknowledgement_counts_data_and_fin_behind_options():
    segment = V4 / TCP(flags="F", seq=100, options=[("MSS", 1460)]) / b"four"
    assert IP(packets.tcp_reset(inner(segment)))[TCP].ack == 105


@BASES
def test_reset_is_not_reset(base):
    assert packets.tcp_reset(inner(base / TCP(flags="R"))) is None


def test_prohibited_quotes_the_offender():
    offender = V4 / UDP(sport=1, dport=2) / (b"x" * 2000)
    wire = packets.prohibited(inner(offender))
    packet = read(V4, wire)
    assert (packet[ICMP].type, packet[ICMP].code) == (3, 13)
    assert len(wire) == 576
    assert wire[28:] == bytes(offender)[:548]


def test_prohibited_of_ipv6_quotes_up_to_the_minimum_mtu():
    offender = V6 / UDP(sport=1, dport=2) / (b"x" * 2000)
    packet = read(V6, packets.prohibited(inner(offender)))
    assert (packet[ICMPv6DestUnreach].type, packet[ICMPv6DestUnreach].code) == (1, 1)
    assert len(packet) == 1280


@pytest.mark.parametrize("offender", [
    V4 / ICMP(type=3, code=1) / b"xxxxxxxx", V4 / ICMP(type=11) / b"xxxxxxxx",
    V6 / ICMPv6TimeExceeded() / b"xxxxxxxx",
    IP(src="0.0.0.0", dst="10.254.0.9") / UDP(), IP(src="10.8.6.4", dst="224.0.0.5") / UDP(),
    IP(src="10.8.6.4", dst="255.255.255.255") / UDP(),
    IP(src=V4.src, dst=V4.dst, frag=10, proto=17) / (b"x" * 8),
    V6 / IPv6ExtHdrFragment(offset=10, nh=17) / (b"x" * 8),
], ids=["unreachable", "exceeded", "exceeded6", "unspecified", "multicast", "broadcast", "fragment",
        "fragment6"])
def test_errors_are_not_sent_about(offender):
    assert packets.prohibited(inner(offender)) is None


@pytest.mark.parametrize("offender", [V4 / ICMP(), V6 / ICMPv6EchoRequest()], ids=["v4", "v6"])
def test_echo_requests_are_told(offender):
    assert packets.prohibited(inner(offender)) is not None


def test_refusal_of_tcp_is_a_reset_and_of_udp_an_error():
    assert IP(packets.refusal(inner(V4 / TCP(flags="S")))).proto == packets.TCP
    assert IP(packets.refusal(inner(V4 / UDP()))).proto == packets.ICMP


def test_ports_are_found_behind_options_and_extension_headers():
    for base in (IP(src=V4.src, dst=V4.dst, options=[b"\x01"] * 8),
                 V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt()):
        found = inner(base / UDP(sport=7, dport=9) / b"z")
        assert (found.source_port, found.destination_port, found.payload) == (7, 9, b"z")


def test_padding_behind_the_packet_is_cut():
    assert inner(bytes(V4 / UDP() / b"z") + b"\x00" * 18).raw == bytes(V4 / UDP() / b"z")


@pytest.mark.parametrize("wire", [
    b"", b"\x45", bytes(V4 / TCP())[:-1], bytes(V4)[:2] + b"\xff\xff" + bytes(V4)[4:],
    b"\x44" + bytes(V4 / UDP())[1:],
    bytes(V6 / UDP())[:-1], b"\x15" + bytes(40),
], ids=["empty", "one byte", "cut", "total too long", "header too short", "cut6", "version 1"])
def test_unreadable_packets_are_none(wire):
    assert packets.parse(wire) is None


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([0x45, 0x4F, 0x60, 0x00]), st.binary(max_size=120))
def test_any_bytes_are_read_or_not(first, rest):
    found = packets.parse(bytes([first]) + rest)
    if found is not None:
        assert found.l4 <= len(found.raw)
        packets.refusal(found)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_checksum_equals_the_sum_of_words(data):
    padded = data + b"\x00" * (len(data) % 2)
    total = sum(int.from_bytes(padded[i:i + 2]) for i in range(0, len(padded), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    assert packets.internet_checksum(data) == total ^ 0xFFFF
