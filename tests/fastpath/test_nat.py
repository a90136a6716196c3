"""Rewriting by fastpath.nat and its model, by one suite; scapy's checksums are the third opinion."""

import ipaddress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, IPv6ExtHdrDestOpt
from scapy.packet import Raw

from fastpath import nat
from fastpath.action import Action, DropReason, Fragment
from fastpath.batch import PacketBatch
from model import nat as reference

SEED = bytes(range(32))
PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "icmpv6": 58}


@pytest.fixture(params=[nat, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def mapped(text):
    address = ipaddress.ip_address(text)
    return bytes(10) + b"\xff\xff" + address.packed if address.version == 4 else address.packed


LOCAL, REMOTE, OTHER = mapped("192.0.2.1"), mapped("198.51.100.7"), mapped("203.0.113.9")


# ---- rewriting ----

PAYLOAD = Raw(b"\x01\x02\x03odd")
V4, V6 = IP(src="10.8.6.4", dst="198.51.100.7", ttl=9), IPv6(src="fd00:8::4", dst="2001:db8::7", hlim=9)
PACKETS = {
    "tcp4": (V4 / TCP(sport=4000, dport=443, flags="PA") / PAYLOAD, 6, 20),
    "tcp4 with IP options": (V4.copy() / TCP(sport=4000, dport=443) / PAYLOAD, 6, 28),
    "udp4": (V4 / UDP(sport=4000, dport=53) / PAYLOAD, 17, 20),
    "echo request": (V4 / ICMP(type=8, id=4000, seq=3) / PAYLOAD, 1, 20),
    "echo reply": (V4 / ICMP(type=0, id=4000, seq=3) / PAYLOAD, 1, 20),
    "tcp6": (V6 / TCP(sport=4000, dport=443) / PAYLOAD, 6, 40),
    "udp6": (V6 / UDP(sport=4000, dport=53) / PAYLOAD, 17, 40),
    "udp6 behind an extension header": (V6 / IPv6ExtHdrDestOpt() / UDP(sport=4000, dport=53) / PAYLOAD, 17, 48),
    "echo request 6": (V6 / ICMPv6EchoRequest(id=4000, seq=3, data=b"odd"), 58, 40),
    "echo reply 6": (V6 / ICMPv6EchoReply(id=4000, seq=3, data=b"odd"), 58, 40),
}
PACKETS["tcp4 with IP options"][0].options = b"\x94\x04\x00\x00\x01\x01\x01\x00"


def expected(packet, side, address, port):
    """The same packet made by scapy with the other address and port, all checksums from scratch."""
    made = packet.copy()
    ip = made[IP] if IP in made else made[IPv6]
    setattr(ip, "dst" if side else "src", str(address))
    transport = next(made[layer] for layer in (TCP, UDP, ICMP, ICMPv6EchoRequest, ICMPv6EchoReply) if layer in made)
    name = "id" if transport.haslayer(ICMP) or isinstance(transport, ICMPv6EchoRequest | ICMPv6EchoReply) else (
        "dport" if side else "sport")
    setattr(transport, name, port)
    return bytes(made)


@pytest.mark.parametrize("side", [0, 1], ids=["source", "destination"])
@pytest.mark.parametrize("case", PACKETS)
def test_a_rewritten_packet_is_the_one_made_from_scratch(impl, case, side):
    packet, protocol, l4_offset = PACKETS[case]
    rng = np.random.default_rng(7)
    for _ in range(20):
        address = (ipaddress.IPv4Address if IP in packet else ipaddress.IPv6Address)(rng.bytes(4 if IP in packet else 16))
        port = int(rng.integers(65536))
        data = bytearray(bytes(packet))
        assert impl.rewrite_one(data, protocol, l4_offset, side, mapped(str(address)), port) == 0
        assert bytes(data) == expected(packet, side, address, port)


def test_a_udp_checksum_of_zero_stays_zero(impl):
    data = bytearray(bytes(V4 / UDP(sport=1, dport=2, chksum=0) / PAYLOAD))
    assert impl.rewrite_one(data, 17, 20, nat.SOURCE, LOCAL, 99) == 0
    assert data[26:28] == b"\0\0"
    assert bytes(data) == bytes(IP(src="192.0.2.1", dst="198.51.100.7", ttl=9) / UDP(sport=99, dport=2, chksum=0) / PAYLOAD)


def test_a_udp_checksum_that_becomes_zero_is_sent_as_ones(impl):
    made = bytes(V4 / UDP(sport=1, dport=2) / PAYLOAD)
    total = int.from_bytes(made[26:28])
    wanted = (1 + total) % 0xFFFF       # adding `total` to the port makes the sum all ones
    data = bytearray(made)
    assert impl.rewrite_one(data, 17, 20, nat.SOURCE, mapped("10.8.6.4"), wanted) == 0
    assert data[26:28] == b"\xff\xff"
    assert bytes(data) == bytes(V4 / UDP(sport=wanted, dport=2) / PAYLOAD)


@pytest.mark.parametrize(("protocol", "header"), [
    (1, b"\x03\x01" + bytes(30)), (1, b"\x0d\0" + bytes(30)), (47, bytes(40)), (6, bytes(19)), (17, bytes(7)),
    (1, b"\x08" + bytes(6)),
    (58, b"\x80" + bytes(30)),
], ids=["icmp error", "timestamp", "gre", "short tcp", "short udp", "short echo", "unreal icmpv6 in ipv4 is rewritten"])
def test_what_has_no_port_is_refused_and_unchanged(impl, protocol, header):
    data = bytearray(bytes(V4 / Raw(header)))
    before = bytes(data)
    reason = impl.rewrite_one(data, protocol, 20, nat.SOURCE, LOCAL, 99)
    if protocol == 58:
        assert reason == 0
    else:
        assert reason == DropReason.DROP_NAT_PROTOCOL
        assert bytes(data) == before


@pytest.mark.parametrize("side", [0, 1], ids=["source", "destination"])
def test_a_later_fragment_gets_the_address_only(impl, side):
    packet = V4.copy() / Raw(bytes(range(40)))
    packet.proto, packet.frag = 17, 185
    data = bytearray(bytes(packet))
    assert impl.rewrite_one(data, 17, 20, side, LOCAL, 9, Fragment.FRAGMENT_LATER) == 0
    setattr(packet, "dst" if side else "src", "192.0.2.1")
    assert bytes(data) == bytes(packet)


def test_other_families_are_refused_and_unchanged(impl):
    data = bytearray(bytes(PACKETS["udp4"][0]))
    before = bytes(data)
    assert impl.rewrite_one(data, 17, 20, 0, mapped("2001:db8::1"), 9) == DropReason.DROP_NAT_FAMILY
    assert bytes(data) == before
    data = bytearray(bytes(PACKETS["udp6"][0]))
    assert impl.rewrite_one(data, 17, 40, 0, LOCAL, 9) == DropReason.DROP_NAT_FAMILY
    assert bytes(data) == bytes(PACKETS["udp6"][0])


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=90), protocol=st.sampled_from([1, 6, 17, 58, 47]), l4_offset=st.integers(0, 100),
       side=st.integers(0, 1),
       address=st.one_of(st.binary(min_size=16, max_size=16), st.just(LOCAL)), port=st.integers(0, 65535),
       fragment=st.integers(0, 2), version=st.sampled_from([4, 6, None]))
def test_any_bytes_are_treated_as_the_model_does(data, protocol, l4_offset, side, address, port, fragment, version):
    if version and data:
        data = bytes([version << 4 | data[0] & 15]) + data[1:]
    outcomes = []
    for impl in (nat, reference):
        packet = bytearray(data)
        try:
            reason = impl.rewrite_one(packet, protocol, l4_offset, side, address, port, fragment)
        except ValueError:
            reason = "refused"
        try:
            goes_on = impl.decrement_ttl_one(packet)
        except ValueError:
            goes_on = "refused"
        outcomes.append((reason, goes_on, bytes(packet)))
    assert outcomes[0] == outcomes[1]


def test_ttl_goes_down_by_one_with_a_right_checksum_and_not_below_one(impl):
    for ttl in range(2, 256):
        packet = V4.copy() / PAYLOAD
        packet.ttl = ttl
        data = bytearray(bytes(packet))
        assert impl.decrement_ttl_one(data) is True
        packet.ttl = ttl - 1
        assert bytes(data) == bytes(packet)
    for ttl in (0, 1):
        data = bytearray(bytes(IPv6(hlim=ttl) / PAYLOAD))
        assert impl.decrement_ttl_one(data) is False
        assert bytes(data) == bytes(IPv6(hlim=ttl) / PAYLOAD)


# ---- rows ----

def parsed(cases):
    """A batch of PACKETS with the columns that packet.parse would write."""
    batch = PacketBatch(32, 512)
    batch.load([bytes(PACKETS[case][0]) for case in cases])
    for i, case in enumerate(cases):
        packet, protocol, l4_offset = PACKETS[case]
        ip = packet[IP] if IP in packet else packet[IPv6]
        transport = packet.lastlayer() if protocol == 58 else ip.payload if l4_offset != 48 else ip.payload.payload
        batch.ip_version[i], batch.protocol[i], batch.fragment[i] = ip.version, protocol, 0
        batch.inner_start[i], batch.inner_length[i], batch.l4_start[i] = 128, len(packet), 128 + l4_offset
        batch.source[i] = list(mapped(ip.src))
        batch.destination[i] = list(mapped(ip.dst))
        batch.source_port[i] = transport.id if protocol in (1, 58) else transport.sport
        batch.destination_port[i] = transport.id if protocol in (1, 58) else transport.dport
    return batch


def columns(batch):
    names = "reason", "action", "source", "destination", "source_port", "destination_port", "data"
    return [getattr(batch, name).tolist() for name in names]


def test_flows_go_out_and_come_back_in_batches(impl):
    """NAT of a whole exchange: bind, rewrite the source; the answer is found and its destination restored."""
    cases = list(PACKETS)
    batch, n = parsed(cases), len(cases)
    rows, flows, ports = np.arange(n, dtype=np.uint16), np.arange(n, dtype=np.int32) + 70, np.zeros(n, np.uint16)
    inside = batch.source[:n].copy(), batch.source_port[:n].copy()
    local = np.array([list(LOCAL if IP in PACKETS[case][0] else mapped("fd00:9::11")) for case in cases], np.uint8)
    table = impl.NatTable(100, (2000, 3000), SEED)
    assert table.bind_rows(batch, rows, local, flows, ports) == n
    assert impl.rewrite_rows(batch, rows, impl.SOURCE, local, ports) == n
    for i, case in enumerate(cases):
        address = ipaddress.ip_address(local[i].tobytes()[12:] if IP in PACKETS[case][0] else local[i].tobytes())
        assert batch.frame(i) == expected(PACKETS[case][0], 0, address, int(ports[i]))
    assert (batch.source_port[:n] == ports).all()
    assert (batch.source[:n] == local).all()
    there, back = batch.source.copy(), batch.source_port.copy()
    batch.source[:], batch.source_port[:] = batch.destination, batch.destination_port
    batch.destination[:], batch.destination_port[:] = there, back
    found = np.zeros(n, np.int32)
    assert table.find_rows(batch, rows, found) == n
    assert (found == flows).all()
    assert impl.rewrite_rows(batch, rows, impl.DESTINATION, *inside) == n
    assert (batch.destination[:n] == inside[0]).all()
    assert (batch.destination_port[:n] == inside[1]).all()


def test_rows_that_cannot_be_translated_are_dropped_with_their_reason(impl):
    batch = parsed(["udp4", "udp4", "echo request", "udp4", "udp6", "udp4", "udp4"])
    batch.fragment[1] = Fragment.FRAGMENT_LATER
    batch.data[2, 148] = 3
    batch.protocol[3] = 47
    batch.reason[5] = DropReason.DROP_POLICY
    local = np.array([list(LOCAL)] * 7, np.uint8)
    rows, ports = np.arange(7, dtype=np.uint16), np.zeros(7, np.uint16)
    table = impl.NatTable(1, (5000, 5000), SEED)
    assert table.bind_rows(batch, rows, local, np.arange(7, dtype=np.int32), ports) == 1
    assert batch.reason[:7].tolist() == [0, DropReason.DROP_NAT_FRAGMENT,
                                         DropReason.DROP_NAT_PROTOCOL, DropReason.DROP_NAT_PROTOCOL,
                                         DropReason.DROP_NAT_FAMILY, DropReason.DROP_POLICY, DropReason.DROP_NAT_EXHAUSTED]
    assert (batch.action[1:5] == Action.ACTION_DROP).all()
    assert ports.tolist() == [5000, 0, 0, 0, 0, 0, 0]


def test_packets_without_a_binding_or_a_port_are_not_found(impl):
    batch = parsed(["udp4", "echo request", "udp4"])
    batch.data[1, 148] = 11
    batch.fragment[2] = Fragment.FRAGMENT_LATER
    found = np.zeros(3, np.int32)
    table = impl.NatTable(10, (1, 65535), SEED)
    assert table.find_rows(batch, np.arange(3, dtype=np.uint16), found) == 0
    assert found.tolist() == [-1, -1, -1]
    assert batch.reason[:3].tolist() == [0, 0, 0]


def test_rewriting_rows_equals_the_model_on_every_column():
    outcomes = []
    for impl in (nat, reference):
        batch = parsed([*PACKETS, "udp4", "udp6"])
        batch.fragment[10], batch.reason[11] = Fragment.FRAGMENT_LATER, DropReason.DROP_POLICY
        rows = np.arange(11, -1, -1).astype(np.uint16)
        addresses = np.array([list(mapped("fd00:9::11") if i % 2 else LOCAL) for i in range(12)], np.uint8)
        ports = np.arange(100, 112, dtype=np.uint16)
        counts = impl.rewrite_rows(batch, rows, 1, addresses, ports), impl.decrement_ttl_rows(batch, rows)
        outcomes.append((counts, columns(batch)))
    assert outcomes[0] == outcomes[1]


def test_ttl_of_rows_expires_with_its_reason(impl):
    batch = parsed(["udp4", "udp4"])
    batch.data[1, 128 + 8] = 1
    assert impl.decrement_ttl_rows(batch, np.arange(2, dtype=np.uint16)) == 1
    assert batch.reason[:2].tolist() == [0, DropReason.DROP_TTL_EXPIRED]
    assert batch.data[0, 128 + 8] == 8


def test_rows_and_shapes_are_checked_before_anything_is_changed(impl):
    batch, table = parsed(["udp4"]), impl.NatTable(1, (1, 65535), SEED)
    row, local, port, flow = np.zeros(1, np.uint16), np.zeros((1, 16), np.uint8), np.zeros(1, np.uint16), np.zeros(1, np.int32)
    before = columns(batch)
    for name, call in {
        "rows": lambda: impl.rewrite_rows(batch, row + np.uint16(1), 0, local, port),
        "addresses": lambda: impl.rewrite_rows(batch, row, 0, local[:, :8].copy(), port),
        "ports": lambda: impl.rewrite_rows(batch, row, 0, local, np.zeros(2, np.uint16)),
        "side": lambda: impl.rewrite_rows(batch, row, 2, local, port),
        "flows": lambda: table.find_rows(batch, row, np.zeros(2, np.int32)),
        "addresses ": lambda: table.bind_rows(batch, row, np.zeros((2, 16), np.uint8), flow, port),
        "rows ": lambda: impl.decrement_ttl_rows(batch, row + np.uint16(1)),
    }.items():
        with pytest.raises(ValueError, match=name.strip()):
            call()
    assert columns(batch) == before
    nothing = np.zeros(0, np.uint16)
    assert impl.rewrite_rows(batch, nothing, 0, np.zeros((0, 16), np.uint8), nothing) == 0
    assert table.bind_rows(batch, nothing, np.zeros((0, 16), np.uint8), np.zeros(0, np.int32), nothing) == 0
