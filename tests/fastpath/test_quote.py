"""What ICMP errors quote, read and rewritten by fastpath and its model; scapy makes the packets and checks their sums."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6PacketTooBig,
    IPv6,
    IPv6ExtHdrDestOpt,
)
from scapy.packet import Raw

from fastpath import quote
from model import quote as reference

from .test_refusal import inner, row

V4, V6 = IP(src="198.51.100.9", dst="203.0.113.8"), IPv6(src="2001:db8::9", dst="2001:db8:5::8")
ROUTER, ROUTER6 = IP(src="192.0.2.1", dst=V4.src), IPv6(src="2001:db8:9::1", dst=V6.src)
TOO_BIG, TOO_BIG6 = ICMP(type=3, code=4, nexthopmtu=1400), ICMPv6PacketTooBig(mtu=1400)
OFFENDERS = {
    "tcp": V4 / TCP(sport=5000, dport=443, flags="A") / Raw(bytes(64)),
    "udp": V4 / UDP(sport=5000, dport=53) / Raw(b"odd"),
    "udp without a sum": V4 / UDP(sport=5000, dport=53, chksum=0) / Raw(b"odd"),
    "echo": V4 / ICMP(id=5000) / Raw(b"odd"),
    "options": IP(src=V4.src, dst=V4.dst, options=[b"\x01"] * 8) / TCP(sport=5000, dport=443, flags="A"),
    "tcp6": V6 / TCP(sport=5000, dport=443, flags="A") / Raw(bytes(64)),
    "udp6": V6 / UDP(sport=5000, dport=53) / Raw(b"odd"),
    "echo6": V6 / ICMPv6EchoRequest(id=5000, data=b"odd"),
    "chain6": V6 / IPv6ExtHdrDestOpt() / UDP(sport=5000, dport=53) / Raw(b"odd"),
}
CASES = pytest.mark.parametrize("name", OFFENDERS)


@pytest.fixture(params=[quote, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def mapped(text):
    packed = ipaddress.ip_address(text).packed
    return packed if len(packed) == 16 else bytes(10) + b"\xff\xff" + packed


def error(offender, cut=None):
    """The ICMP error of a router about a packet, of which it quotes so much."""
    raw = bytes(offender)[:cut]
    return ROUTER / TOO_BIG / Raw(raw) if IP in offender else ROUTER6 / TOO_BIG6 / Raw(raw)


@CASES
def test_the_quoted_ends_are_read(impl, name):
    offender = OFFENDERS[name]
    protocol, source, source_port, destination, destination_port = impl.read_one(row(error(offender)), 0)
    assert (source, destination) == (mapped(offender.src), mapped(offender.dst))
    assert source_port == 5000
    assert destination_port == (5000 if protocol in (1, 58) else offender.dport)


@CASES
@pytest.mark.parametrize("side", [0, 1], ids=["source", "destination"])
def test_a_rewritten_quote_is_the_one_made_from_scratch(impl, name, side):
    offender = OFFENDERS[name]
    changed = offender.copy()
    address = "10.8.6.4" if IP in offender else "fd00:8::4"
    setattr(changed, "dst" if side else "src", address)
    layer = changed[TCP] if TCP in changed else changed[UDP] if UDP in changed else changed.lastlayer().underlayer
    setattr(layer, "id" if layer.haslayer(ICMP) or (hasattr(layer, "seq") and TCP not in changed) else
            "dport" if side else "sport", 4000)
    batch = row(error(offender))
    impl.rewrite_one(batch, 0, side, mapped(address), 4000)
    assert inner(batch) == bytes(error(changed))


@pytest.mark.parametrize("name", ["udp", "udp6"])
@pytest.mark.parametrize("side", [0, 1], ids=["source", "destination"])
def test_an_error_with_another_address_is_the_one_made_from_scratch(impl, name, side):
    made = error(OFFENDERS[name])
    batch = row(made)
    address = "10.8.6.4" if IP in made else "fd00:8::4"
    impl.readdress_one(batch, 0, side, mapped(address))
    setattr(made, "dst" if side else "src", address)
    assert inner(batch) == bytes(made)
    assert (batch.destination if side else batch.source)[0].tobytes() == mapped(address)


def test_of_a_quote_of_eight_bytes_only_what_is_there_is_changed(impl):
    offender = OFFENDERS["tcp"]
    changed = offender.copy()
    changed.src, changed[TCP].sport = "10.8.6.4", 4000
    batch = row(error(offender, 28))
    impl.rewrite_one(batch, 0, 0, mapped("10.8.6.4"), 4000)
    assert inner(batch) == bytes(error(changed, 28))


@pytest.mark.parametrize("made", [
    V4 / ICMP(id=7), V6 / ICMPv6EchoRequest(), V4 / UDP(), V4 / ICMP(type=5) / Raw(bytes(V4 / UDP())),
    error(OFFENDERS["tcp"], 27), error(OFFENDERS["tcp6"], 47), ROUTER / TOO_BIG / Raw(bytes(V6 / UDP())),
    ROUTER / TOO_BIG / Raw(bytes(IP(src=V4.src, dst=V4.dst, frag=9, proto=17) / Raw(bytes(20)))),
    error(V4 / ICMP(type=3) / Raw(bytes(28))), error(V6 / ICMPv6DestUnreach() / Raw(bytes(48))),
], ids=["echo", "echo6", "udp", "redirect", "short", "short6", "other family", "later fragment", "error", "error6"])
def test_what_names_no_flow_is_none(impl, made):
    batch = row(made)
    assert impl.read_one(batch, 0) is None
    with pytest.raises(ValueError, match="quotes no packet"):
        impl.rewrite_one(batch, 0, 0, mapped(made.src), 9)


def test_wrong_calls_are_named(impl):
    batch = row(error(OFFENDERS["udp"]))
    for call, name in ((lambda: impl.read_one(batch, 1), "row_number"),
                       (lambda: impl.rewrite_one(batch, 0, 2, mapped("10.0.0.1"), 9), "side"),
                       (lambda: impl.rewrite_one(batch, 0, 0, b"short", 9), "address"),
                       (lambda: impl.readdress_one(batch, 0, 2, mapped("10.0.0.1")), "side"),
                       (lambda: impl.readdress_one(batch, 0, 0, b"short"), "address"),
                       (lambda: impl.rewrite_one(batch, 0, 0, mapped("fd00::1"), 9), "address")):
        with pytest.raises(ValueError, match=name):
            call()


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(sorted(OFFENDERS)), place=st.integers(0, 90), byte=st.integers(0, 255), cut=st.integers(0, 150),
       side=st.integers(0, 1))
def test_any_quote_is_read_and_rewritten_as_the_model_does(name, place, byte, cut, side):
    data = bytearray(bytes(error(OFFENDERS[name], cut)))
    at = (28 if IP in OFFENDERS[name] else 48) + place
    if at < len(data):
        data[at] = byte
    address = mapped("10.8.6.4" if IP in OFFENDERS[name] else "fd00:8::4")
    seen = []
    for impl in (quote, reference):
        batch = row(data)
        found = impl.read_one(batch, 0)
        if found:
            impl.rewrite_one(batch, 0, side, address, 4000)
        seen.append((found, inner(batch)))
    assert seen[0] == seen[1]
