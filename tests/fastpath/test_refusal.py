"""Resets and ICMP errors made in a row, by fastpath and its model; scapy is the judge of every byte."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
)

from fastpath import packet, refusal
from fastpath.batch import PacketBatch
from fastpath.refusal import Refusal
from inner_packets import read
from model import refusal as reference

PROHIBITED, TOO_BIG, EXPIRED = Refusal
V4 = IP(src="10.8.6.4", dst="198.51.100.7", flags="DF")
V6 = IPv6(src="fd00:8::4", dst="2001:db8::7")
BASES = pytest.mark.parametrize("base", [V4, V6], ids=["v4", "v6"])
AT = 168                                          # where GWLB's inner packets begin


@pytest.fixture(params=[refusal, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def row(data, at=AT):
    made = PacketBatch(1)
    made.count = 1
    data = bytes(data)
    made.data[0, at:at + len(data)] = list(data)
    made.start[0] = made.inner_start[0] = at
    made.length[0] = made.inner_length[0] = len(data)
    made.reason[0] = 0
    packet.parse_batch(made)
    return made


def inner(batch):
    start = int(batch.inner_start[0])
    return batch.data[0, start:start + int(batch.inner_length[0])].tobytes()


def answer(impl, data, kind, mtu=0, speaker=None, at=AT):
    batch = row(data, at)
    return inner(batch) if impl.refuse_one(batch, 0, kind, mtu, speaker) else None


@BASES
def test_a_syn_is_reset_and_acknowledged(impl, base):
    made = read(answer(impl, base / TCP(sport=4000, dport=443, flags="S", seq=0xFFFFFFFF), PROHIBITED))
    assert (made.src, made.dst, made[TCP].sport, made[TCP].dport) == (base.dst, base.src, 443, 4000)
    assert (made[TCP].flags, made[TCP].seq, made[TCP].ack) == ("RA", 0, 0)


@BASES
def test_a_reset_of_an_acknowledging_segment_takes_its_acknowledgement_as_sequence(impl, base):
    made = read(answer(impl, base / TCP(flags="PA", seq=5, ack=777) / b"data", PROHIBITED))
    assert (made[TCP].flags, made[TCP].seq) == ("R", 777)


def test_data_and_fin_behind_options_are_acknowledged(impl):
    options = IP(src=V4.src, dst=V4.dst, options=[b"\x01"] * 8)
    segment = options / TCP(flags="F", seq=100, options=[("MSS", 1460)]) / b"four"
    assert read(answer(impl, segment, PROHIBITED))[TCP].ack == 105


def test_udp_is_told_that_it_is_prohibited_and_quoted(impl):
    offender = V4 / UDP(sport=1, dport=2) / (b"x" * 2000)
    made = answer(impl, offender, PROHIBITED)
    assert (read(made)[ICMP].type, read(made)[ICMP].code, len(made)) == (3, 13, 576)
    assert made[28:] == bytes(offender)[:548]
    offender = V6 / UDP(sport=1, dport=2) / (b"x" * 2000)
    made = IPv6(answer(impl, offender, PROHIBITED))
    assert (made[ICMPv6DestUnreach].type, made[ICMPv6DestUnreach].code, len(made)) == (1, 1, 1280)


def test_too_big_tells_the_mtu_that_its_family_may_have(impl):
    assert read(answer(impl, V4 / UDP() / bytes(1400), TOO_BIG, 1400))[ICMP].nexthopmtu == 1400
    assert IPv6(answer(impl, V6 / UDP() / bytes(1400), TOO_BIG, 1400))[ICMPv6PacketTooBig].mtu == 1400
    assert IPv6(answer(impl, V6 / UDP() / bytes(1400), TOO_BIG, 1200))[ICMPv6PacketTooBig].mtu == 1280
    assert answer(impl, IP(src=V4.src, dst=V4.dst) / UDP() / bytes(1400), TOO_BIG, 1400) is None


def test_an_expired_packet_is_told_of_by_whoever_is_named(impl):
    made = read(answer(impl, V4 / TCP(flags="A"), EXPIRED, speaker=bytes(10) + b"\xff\xff\xc0\x00\x02\x01"))
    assert (made.src, made[ICMP].type, made[ICMP].code) == ("192.0.2.1", 11, 0)
    made = IPv6(answer(impl, V6 / UDP(), EXPIRED, speaker=bytes.fromhex("20010db8" + "00" * 11 + "09")))
    assert (made.src, made[ICMPv6TimeExceeded].code) == ("2001:db8::9", 0)


@pytest.mark.parametrize("offender", [
    V4 / ICMP(type=3, code=1) / bytes(8), V4 / ICMP(type=11) / bytes(8), V6 / ICMPv6TimeExceeded() / bytes(8),
    V4 / TCP(flags="R"), V6 / TCP(flags="RA"),
    IP(src="0.0.0.0", dst="10.254.0.9") / UDP(), IP(src="10.8.6.4", dst="224.0.0.5") / UDP(),
    IP(src="10.8.6.4", dst="255.255.255.255") / UDP(), IPv6(src="::", dst="fd00::1") / UDP(),
    IP(src=V4.src, dst=V4.dst, frag=10, proto=17) / bytes(8),
    IP(src="10.8.6.4", dst="224.0.0.5") / TCP(), IP(src="10.8.6.4", dst="255.255.255.255") / TCP(),
    IP(src="239.1.1.1", dst=V4.dst) / TCP(), IP(src="0.0.0.0", dst=V4.dst) / TCP(), IP(src="127.0.0.1", dst=V4.dst) / UDP(),
    IPv6(src=V6.src, dst="ff0e::1") / TCP(), IPv6(src="::1", dst=V6.dst) / TCP(),
], ids=["unreachable", "exceeded", "exceeded6", "reset", "reset6", "unspecified", "multicast", "broadcast", "unspecified6",
        "fragment", "syn to multicast", "syn to broadcast", "syn of multicast", "syn of nobody", "loopback",
        "syn to multicast6", "syn of loopback6"])
def test_nothing_is_said_about(impl, offender):
    batch = row(offender)
    before = inner(batch)
    assert not impl.refuse_one(batch, 0, PROHIBITED)
    assert inner(batch) == before


@pytest.mark.parametrize("offender", [V4 / ICMP(id=7), V6 / ICMPv6EchoRequest(id=7)], ids=["v4", "v6"])
def test_echo_requests_are_told(impl, offender):
    assert answer(impl, offender, PROHIBITED) is not None


def test_without_room_in_front_nothing_is_said(impl):
    assert answer(impl, V4 / UDP(), PROHIBITED, at=27) is None
    assert answer(impl, V4 / UDP(), PROHIBITED, at=28) is not None


def test_wrong_calls_are_named(impl):
    batch = row(V4 / UDP())
    for arguments, name in (((1, 0), "row_number"), ((0, 3), "refusal"), ((0, TOO_BIG, 67), "mtu"),
                            ((0, 0, 0, b"short"), "speaker")):
        with pytest.raises(ValueError, match=name):
            impl.refuse_one(batch, *arguments)
    batch.reason[0] = 1
    with pytest.raises(ValueError, match="row_number"):
        impl.refuse_one(batch, 0, 0)


@settings(max_examples=300, deadline=None)
@given(first=st.sampled_from([0x45, 0x46, 0x60]), rest=st.binary(min_size=19, max_size=120),
       kind=st.sampled_from(list(Refusal)), protocol=st.sampled_from([6, 17, 47, 0, "icmp"]))
def test_any_packet_is_answered_as_the_model_does(first, rest, kind, protocol):
    data = bytearray(bytes([first]) + rest)
    if protocol == "icmp":
        protocol = 1 if first >> 4 == 4 else 58
    if first >> 4 == 4:
        data[2:4], data[6:8], data[9] = len(data).to_bytes(2), bytes([data[6] & 0x40, 0]), protocol
    else:
        data.extend(bytes(max(0, 41 - len(data))))
        data[4:6], data[6] = (len(data) - 40).to_bytes(2), protocol
    one, other = row(data), row(data)
    if one.reason[0]:
        return
    assert refusal.refuse_one(one, 0, kind, 1400) == reference.refuse_one(other, 0, kind, 1400)
    assert inner(one) == inner(other)
