"""packet: literal packets, scapy's packets, and any bytes at all."""

import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import packet as compiled
from fastpath.action import DropReason, Fragment
from fastpath.batch import PacketBatch
from model import packet as model

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_RR  # noqa: E402
from scapy.layers.inet6 import (  # noqa: E402
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)

COLUMNS = (
    "ip_version",
    "protocol",
    "fragment",
    "tcp_flags",
    "l4_start",
    "inner_length",
    "source_port",
    "destination_port",
)

UDP4 = bytes.fromhex(
    "45 00 0021 0001 0000 40 11 0000 0a080604 cb00710a"  # IPv4, 33 bytes, UDP, 10.8.6.4 → 203.0.113.10
    "03e8 0035 000d 0000 68656c6c6f"  # 1000 → 53, 13 bytes
)


@pytest.fixture(params=[compiled, model], ids=["fastpath", "model"])
def impl(request):
    return request.param


def parsed(impl, packets, batch=None):
    batch = batch or PacketBatch(32, 2048)
    batch.load(packets)
    batch.inner_start[: len(packets)] = batch.start[: len(packets)]
    batch.inner_length[: len(packets)] = batch.length[: len(packets)]
    impl.parse_batch(batch)
    return batch


def test_udp_packet_is_read(impl):
    batch = parsed(impl, [UDP4])
    assert (batch.ip_version[0], batch.protocol[0], batch.source_port[0], batch.destination_port[0]) == (
        4,
        17,
        1000,
        53,
    )
    assert batch.source[0].tobytes() == bytes(10) + b"\xff\xff\x0a\x08\x06\x04"


def test_padding_behind_the_packet_is_ignored(impl):
    assert parsed(impl, [UDP4 + bytes(13)]).inner_length[0] == len(UDP4)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", DropReason.DROP_PACKET_SHORT),
        (UDP4[:19], DropReason.DROP_PACKET_SHORT),
        (b"\x55" + UDP4[1:], DropReason.DROP_PACKET_VERSION),
        (b"\x44" + UDP4[1:], DropReason.DROP_PACKET_HEADER_LENGTH),
        (UDP4[:-1], DropReason.DROP_PACKET_TOTAL_LENGTH),
        (UDP4[:2] + b"\x00\x13" + UDP4[4:], DropReason.DROP_PACKET_TOTAL_LENGTH),
        (UDP4[:2] + b"\x00\x1b" + UDP4[4:], DropReason.DROP_PACKET_L4_SHORT),
        (b"\x60" + bytes(38), DropReason.DROP_PACKET_SHORT),
        (b"\x60\0\0\0\x00\x01\x11" + bytes(33), DropReason.DROP_PACKET_TOTAL_LENGTH),
        (
            b"\x60\0\0\0\x00\x08\x00" + bytes(33) + b"\x11\x09" + bytes(6),
            DropReason.DROP_PACKET_EXTENSION_CHAIN,
        ),
        (b"\x60\0\0\0\x00\x50\x00" + bytes(33) + bytes(80), DropReason.DROP_PACKET_EXTENSION_CHAIN),
    ],
    ids=["empty", "short", "version", "ihl", "cut", "total", "udp", "short6", "cut6", "overrun6", "endless6"],
)
def test_bad_packet_is_dropped_with_its_reason(impl, data, reason):
    assert parsed(impl, [data]).reason[0] == reason


SCAPY = [
    (
        IP(src="1.2.3.4", dst="5.6.7.8", options=IPOption_RR()) / TCP(sport=1, dport=2, flags="SA"),
        6,
        1,
        2,
        Fragment.FRAGMENT_NONE,
    ),
    (IP(flags="MF") / UDP(sport=3, dport=4) / b"x", 17, 3, 4, Fragment.FRAGMENT_FIRST),
    (IP(frag=7, proto=17) / b"in the middle of it", 17, 0, 0, Fragment.FRAGMENT_LATER),
    (IP() / ICMP(type=8, id=77), 1, 77, 77, Fragment.FRAGMENT_NONE),
    (IP() / ICMP(type=3, code=4) / bytes(28), 1, 0, 0, Fragment.FRAGMENT_NONE),
    (IPv6() / TCP(sport=5, dport=6), 6, 5, 6, Fragment.FRAGMENT_NONE),
    (
        IPv6() / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / UDP(sport=7, dport=8),
        17,
        7,
        8,
        Fragment.FRAGMENT_NONE,
    ),
    (
        IPv6() / IPv6ExtHdrFragment(offset=0, m=1) / UDP(sport=9, dport=10) / b"first",
        17,
        9,
        10,
        Fragment.FRAGMENT_FIRST,
    ),
    (IPv6() / IPv6ExtHdrFragment(offset=9, nh=17) / b"later", 17, 0, 0, Fragment.FRAGMENT_LATER),
    (IPv6() / ICMPv6EchoRequest(id=99), 58, 99, 99, Fragment.FRAGMENT_NONE),
    (IP(proto=47) / b"gre", 47, 0, 0, Fragment.FRAGMENT_NONE),
]


@pytest.mark.parametrize(
    ("packet", "protocol", "source", "destination", "fragment"), SCAPY, ids=range(len(SCAPY))
)
def test_scapys_packets_are_read_as_scapy_wrote_them(impl, packet, protocol, source, destination, fragment):
    batch = parsed(impl, [bytes(packet)])
    assert batch.reason[0] == 0
    assert (batch.protocol[0], batch.source_port[0], batch.destination_port[0], batch.fragment[0]) == (
        protocol,
        source,
        destination,
        fragment,
    )
    if TCP in packet:
        assert batch.tcp_flags[0] == int(packet[TCP].flags)


ENDS6 = bytes(15) + b"\x01" + bytes(15) + b"\x02"
UDP_53 = bytes.fromhex("03e8 0035 0008 0000")


def udp4(options, fragment=b"\x00\x00"):
    """An IPv4 UDP packet with these options."""
    total = 20 + len(options) + len(UDP_53)
    return (
        bytes([0x45 + len(options) // 4, 0]) + total.to_bytes(2) + b"\0\1" + fragment + b"\x40\x11\0\0" + ENDS6[:8]
        + options + UDP_53
    )  # fmt: skip


def udp6(*headers):
    """An IPv6 UDP packet behind extension headers: (kind, the bytes behind its next-header byte) each."""
    kinds = [kind for kind, _ in headers] + [17]
    chain = b"".join(bytes([kinds[k + 1]]) + rest for k, (_, rest) in enumerate(headers)) + UDP_53
    return b"\x60\0\0\0" + len(chain).to_bytes(2) + bytes([kinds[0], 64]) + ENDS6 + chain


LOOSE, STRICT = bytes.fromhex("83070400000000 00"), bytes.fromhex("89070400000000 00")
TO_GO, SPENT = bytes.fromhex("02000100000000") + bytes(16), bytes.fromhex("02000000000000") + bytes(16)
SEGMENT_ROUTING, PADDING = bytes.fromhex("02040100000000") + bytes(16), bytes(7)
HOP_BY_HOP, ROUTING, FRAGMENT = 0, 43, 44


def packets():
    bases = [bytes(row[0]) for row in SCAPY] + [UDP4, udp4(LOOSE), udp6((HOP_BY_HOP, PADDING), (ROUTING, TO_GO))]
    mutated = st.tuples(
        st.sampled_from(bases),
        st.lists(st.tuples(st.integers(0, 70), st.integers(0, 255)), max_size=3),
        st.integers(0, 90),
    ).map(_mutate)
    return st.one_of(st.binary(max_size=120), mutated)


def _mutate(recipe):
    data, changes, cut = bytearray(recipe[0]), recipe[1], recipe[2]
    for at, value in changes:
        data[at % len(data)] = value
    return bytes(data[: max(cut, 1)])


@settings(max_examples=200, deadline=None)
@given(st.lists(packets(), max_size=8), st.lists(packets(), max_size=8))
def test_any_bytes_are_read_as_the_model_reads_them_also_in_a_used_batch(before, data):
    fast, slow = PacketBatch(16, 1024), PacketBatch(16, 1024)
    parsed(compiled, before, fast)
    parsed(compiled, data, fast)
    parsed(model, data, slow)
    assert list(fast.reason[: len(data)]) == list(slow.reason[: len(data)])
    for i in range(len(data)):
        if slow.reason[i] == 0:
            assert [int(getattr(fast, c)[i]) for c in COLUMNS] == [int(getattr(slow, c)[i]) for c in COLUMNS]
            assert (
                fast.source[i].tobytes() + fast.destination[i].tobytes()
                == slow.source[i].tobytes() + slow.destination[i].tobytes()
            )


def test_routing_and_authentication_headers_are_walked_by_their_own_units(impl):
    packet = (
        bytes.fromhex("60000000 0034 2b 40") + ENDS6  # IPv6, 52 bytes, routing next
        + bytes.fromhex("33 02 00 00 00000000") + bytes(16)  # routing, 8 × (2 + 1) bytes (RFC 8200 §4.4), AH next
        + bytes.fromhex("11 03 0000 00000001 00000001 00000000 00000000")  # AH, 4 × (3 + 2) bytes (RFC 4302 §2.2), UDP next
        + UDP_53
    )  # fmt: skip
    batch = parsed(impl, [packet])
    assert (batch.reason[0], batch.protocol[0], batch.destination_port[0]) == (0, 17, 53)
    assert batch.l4_start[0] == 128 + len(packet) - 8


@pytest.mark.parametrize(
    "packet",
    [udp4(LOOSE), udp4(STRICT), udp4(b"\1\1\1" + LOOSE[:-3] + b"\1\1\1\0"), udp4(b"\x94\x04\0\0" + STRICT),
     udp4(LOOSE, b"\x20\x00"), udp4(LOOSE, b"\x00\x09"), udp4(b"\1\1\1\x83"), udp4(b"\x89\0\0\0"),
     udp6((ROUTING, TO_GO)), udp6((HOP_BY_HOP, PADDING), (ROUTING, TO_GO)), udp6((ROUTING, SPENT), (ROUTING, TO_GO)),
     udp6((FRAGMENT, b"\0\0\1\0\0\0\1"), (ROUTING, TO_GO))],
    ids=["loose", "strict", "behind no-ops", "behind a router alert", "first fragment", "later fragment", "cut",
         "without length", "type 0", "behind hop-by-hop", "behind a spent one", "behind a fragment header"],
)  # fmt: skip
def test_a_route_that_the_sender_names_is_dropped(impl, packet):
    assert parsed(impl, [packet]).reason[0] == DropReason.DROP_PACKET_SOURCE_ROUTE


@pytest.mark.parametrize(
    "packet",
    [udp4(b"\0" + LOOSE[:-1]), udp4(b"\x07\x01" + LOOSE[:6]), udp4(b"\x07\x0b\x04" + LOOSE + b"\0"), udp4(b"\x07\x00\x83\x03"),
     udp6((ROUTING, SPENT)), udp6((ROUTING, SEGMENT_ROUTING)), udp6((HOP_BY_HOP, b"\0\0\1\0\0\0\0"))],
    ids=["behind the end", "behind what can not be read", "inside another option", "behind no length", "spent", "another type",
         "no routing header"],
)  # fmt: skip
def test_what_names_no_route_is_read(impl, packet):
    batch = parsed(impl, [packet])
    assert (batch.reason[0], batch.protocol[0], batch.destination_port[0]) == (0, 17, 53)


@pytest.mark.parametrize(("headers", "reason"), [(8, 0), (9, DropReason.DROP_PACKET_EXTENSION_CHAIN)])
def test_a_chain_of_extension_headers_is_bounded(impl, headers, reason):
    chain = bytes.fromhex("3c00000000000000") * (headers - 1) + bytes.fromhex("1100000000000000") + UDP_53
    batch = parsed(impl, [b"\x60\0\0\0" + len(chain).to_bytes(2, "big") + b"\x3c\x40" + ENDS6 + chain])
    assert batch.reason[0] == reason


@pytest.mark.parametrize(
    "before", [[], [("NOP", None)], [("SAckOK", b""), ("NOP", None)]], ids=["even", "odd", "later"]
)
@pytest.mark.parametrize(("family", "expected"), [(IP, 1360), (IPv6, 1340)], ids=["IPv4", "IPv6"])
def test_mss_is_lowered_and_the_checksum_stays_right(family, expected, before):
    packet = family() / TCP(flags="S", options=[*before, ("MSS", 8460)])
    batch = parsed(compiled, [bytes(packet)])
    assert compiled.clamp_mss_batch(batch, 1400) == 1
    changed = family(batch.frame(0))
    assert dict(changed[TCP].options)["MSS"] == expected
    given_sum = changed[TCP].chksum
    del changed[TCP].chksum
    assert family(bytes(changed))[TCP].chksum == given_sum


@pytest.mark.parametrize("options", [[8460, 500], [500, 8460], [8460, 8460]])
def test_every_mss_option_is_lowered(options):
    batch = parsed(compiled, [bytes(IP() / TCP(flags="S", options=[("MSS", size) for size in options]))])
    assert compiled.clamp_mss_batch(batch, 1400) == 1
    changed = IP(batch.frame(0))
    assert [size for _, size in changed[TCP].options] == [min(size, 1360) for size in options]
    given_sum = changed[TCP].chksum
    del changed[TCP].chksum
    assert IP(bytes(changed))[TCP].chksum == given_sum


def test_mss_is_never_raised_and_only_in_a_syn():
    small = bytes(IP() / TCP(flags="S", options=[("MSS", 500)]))
    late = bytes(IP() / TCP(flags="A", options=[("MSS", 8460)]))
    batch = parsed(compiled, [small, late])
    assert compiled.clamp_mss_batch(batch, 1400) == 0
    assert [batch.frame(0), batch.frame(1)] == [small, late]


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_any_tcp_options_are_safe_to_clamp(options):
    options = options[: len(options) // 4 * 4]
    tcp = bytes(12) + bytes([(5 + len(options) // 4) << 4, 2]) + bytes(6) + options
    batch = parsed(compiled, [bytes(IP(proto=6) / tcp)])
    compiled.clamp_mss_batch(batch, 1400)
    assert len(batch.frame(0)) == 20 + len(tcp)


def test_mtu_out_of_range_is_named():
    with pytest.raises(ValueError, match="mtu"):
        compiled.clamp_mss_batch(PacketBatch(), 100)
