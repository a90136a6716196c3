"""capture and link: what scapy writes is read back; damage is an error with the offset, never a traceback."""

import logging
import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zcc.connector.capture import Frame, read_frames
from zcc.connector.link import ip_packet
from zcc.errors import CaptureError

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.inet import IP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.l2 import ARP, CookedLinux, CookedLinuxV2, Dot1Q, Ether, Loopback  # noqa: E402
from scapy.utils import PcapNgWriter, PcapWriter  # noqa: E402

# Given, because scapy asks the network by ARP for what is left out.
MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
PACKET = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=1, dport=2) / b"hello"
PACKET6 = IPv6(src="::1", dst="::2") / UDP(sport=1, dport=2) / b"hello"
KINDS = [
    (Ether(**MACS) / PACKET, 1),
    (Ether(**MACS) / Dot1Q(vlan=5) / PACKET, 1),
    (Ether(**MACS, type=0x88A8) / Dot1Q(vlan=7) / Dot1Q(vlan=5) / PACKET6, 1),
    (PACKET, 101),
    (PACKET6, 101),
    (PACKET, 228),
    (PACKET6, 229),
    (CookedLinux(proto=0x800) / PACKET, 113),
    (CookedLinuxV2(proto=0x86DD) / PACKET6, 276),
    (Loopback(type=2) / PACKET, 0),
    (Loopback(type=10) / PACKET6, 0),
]


def written(path, packets, link_type=1, *, nano=False, endian="<"):
    writer = PcapWriter(str(path), linktype=link_type, nano=nano, endianness=endian, sync=True)
    for packet in packets:
        writer.write(packet)
    writer.close()
    return path


def block(kind, body, order="<"):
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def section(order="<"):
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link_type=101, snapshot=0, options=b"", order="<"):
    return block(1, struct.pack(order + "HHI", link_type, 0, snapshot) + options, order)


def enhanced(data, ticks=0, index=0, original=None, order="<"):
    head = struct.pack(order + "IIIII", index, ticks >> 32, ticks & 0xFFFFFFFF, len(data), original or len(data))
    return block(6, head + data, order)


@pytest.mark.parametrize(("packet", "link_type"), KINDS, ids=[f"{k}-{n}" for n, (_, k) in enumerate(KINDS)])
def test_ip_packet_is_found_behind_every_link_layer(tmp_path, packet, link_type):
    (frame,) = read_frames(written(tmp_path / "a.pcap", [packet], link_type))
    inner = packet[IPv6] if IPv6 in packet else packet[IP]
    assert ip_packet(frame) == bytes(inner)


@pytest.mark.parametrize("endian", "<>")
@pytest.mark.parametrize(("nano", "time_ns"), [(False, 12_000_345_000), (True, 12_000_345_678)], ids=["us", "ns"])
def test_pcap_is_read_in_both_byte_orders_and_resolutions(tmp_path, endian, nano, time_ns):
    packet = PACKET.copy()
    packet.time = 12_000_345_678 / 1_000_000_000
    (frame,) = read_frames(written(tmp_path / "a.pcap", [packet], 101, nano=nano, endian=endian))
    assert frame.data == bytes(PACKET) and frame.missing == 0
    assert abs(frame.time_ns - time_ns) <= 1000


def test_scapys_pcapng_is_read(tmp_path):
    path = tmp_path / "a.pcapng"
    writer = PcapNgWriter(str(path))
    writer.write([Ether(**MACS) / PACKET, Ether(**MACS) / PACKET6])
    writer.close()
    assert [ip_packet(frame) for frame in read_frames(path)] == [bytes(PACKET), bytes(PACKET6)]


@pytest.mark.parametrize("order", "<>")
def test_pcapng_sections_interfaces_clocks_and_block_kinds(tmp_path, order):
    data = bytes(PACKET)
    nano = struct.pack(order + "HHB3xHHqHH", 9, 1, 9, 14, 8, 100, 0, 0)
    old = struct.pack(order + "HHIIII", 1, 0, 0, 5, len(data), len(data) + 10) + data
    simple = struct.pack(order + "I", len(data) + 50) + data
    path = tmp_path / "a.pcapng"
    path.write_bytes(b"".join([
        section(order), interface(snapshot=len(data), order=order), interface(options=nano, order=order),
        block(5, b"statistics..", order), enhanced(data, 7, order=order), enhanced(data, 7, index=1, order=order),
        block(2, old, order), block(3, simple, order), section(order), interface(order=order), enhanced(data, 1, order=order),
    ]))  # fmt: skip
    frames = list(read_frames(path))
    assert [frame.data for frame in frames] == [data] * 5
    assert [frame.time_ns for frame in frames] == [7000, 100_000_000_007, 100_000_000_005, 0, 1000]
    assert [frame.missing for frame in frames] == [0, 0, 10, 50, 0]


@pytest.mark.parametrize(
    ("kind", "little", "family"),
    [(0, True, "02000000"), (0, False, "00000002"), (108, True, "00000002"), (108, False, "00000002")],
    ids=["null, little", "null, big", "loop, little", "loop, big"],
)
def test_null_has_the_writers_byte_order_and_loop_the_networks(kind, little, family):
    assert ip_packet(Frame(0, 0, kind, little, bytes.fromhex(family) + bytes(PACKET), 0)) == bytes(PACKET)


def test_other_network_layers_and_link_types_have_no_ip_packet(tmp_path):
    (frame,) = read_frames(written(tmp_path / "a.pcap", [Ether(**MACS) / ARP()]))
    assert ip_packet(frame) is None
    assert ip_packet(Frame(0, 0, 189, True, bytes(64), 0)) is None


@pytest.mark.parametrize(
    ("data", "offset", "words"),
    [
        (b"", 0, "ends inside the first four bytes"),
        (b"hello world", 0, "begin no .pcap"),
        (b"\x1f\x8b\x08\x00" + bytes(20), 0, "gunzip"),
        (bytes.fromhex("d4c3b2a1 0200"), 6, "ends inside the file header"),
        (bytes.fromhex("d4c3b2a1 0300 0000") + bytes(16), 4, "version 3"),
        (bytes.fromhex("d4c3b2a1 0200 0400") + bytes(16) + bytes(8) + b"\xff" * 8, 24, "damaged"),
        (bytes.fromhex("d4c3b2a1 0200 0400") + bytes(16) + bytes(8) + b"\x05\0\0\0" * 2 + b"abc", 43, "ends inside a frame"),
        (section()[:10], 10, "ends inside a section header"),
        (section()[:8] + bytes(20), 8, "byte-order mark"),
        (section() + struct.pack("<II", 1, 13) + bytes(20), 28, "a block of 13 bytes"),
        (section() + interface()[:-4] + b"\xff\0\0\0", 28, "ends with length 255"),
        (section() + block(1, b"abc"), 28, "an interface block of 4 bytes"),
        (section() + enhanced(b"x"), 28, "interface 0, which no block describes"),
        (section() + interface() + block(6, bytes(8)), 48, "a packet block of 8 bytes"),
        (section() + interface() + block(6, struct.pack("<IIIII", 0, 0, 0, 99, 99)), 48, "a frame of 99 bytes"),
    ],
)
def test_damage_is_named_with_its_offset(tmp_path, data, offset, words):
    path = tmp_path / "bad"
    path.write_bytes(data)
    with pytest.raises(CaptureError, match=words) as found:
        list(read_frames(path))
    assert f"offset {offset}:" in str(found.value) and str(path) in str(found.value)


def test_frames_before_the_damage_are_read(tmp_path):
    path = written(tmp_path / "a.pcap", [PACKET] * 3, 101)
    path.write_bytes(path.read_bytes()[:-1])
    frames = read_frames(path)
    assert [next(frames).data, next(frames).data] == [bytes(PACKET)] * 2
    with pytest.raises(CaptureError, match="ends inside a frame"):
        next(frames)


def test_missing_file_and_folder_are_named(tmp_path):
    for path in (tmp_path / "none.pcap", tmp_path):
        with pytest.raises(CaptureError, match=str(path)):
            list(read_frames(path))


GOOD = section() + interface(snapshot=64) + enhanced(bytes(PACKET), 7) + block(3, struct.pack("<I", 4) + b"data")
PCAP = bytes.fromhex("d4c3b2a1 0200 0400") + bytes(12) + b"\x65\0\0\0" + bytes(8) + b"\x05\0\0\0" * 2 + b"abcde"


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from([GOOD, PCAP]), st.lists(st.tuples(st.integers(0, 200), st.binary(min_size=1, max_size=4)), max_size=4),
       st.integers(0, 200))
def test_any_damaged_file_gives_frames_or_a_capture_error(tmp_path, data, changes, cut):
    bad = bytearray(data[: cut + 1])
    for at, change in changes:
        bad[at % len(bad) : at % len(bad) + len(change)] = change
    path = tmp_path / "bad"
    path.write_bytes(bad)
    try:
        for frame in read_frames(path):
            ip_packet(frame)
    except CaptureError as error:
        assert "offset" in str(error)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([0, 1, 12, 101, 108, 113, 228, 229, 276, 500]), st.booleans(), st.binary(max_size=40))
def test_any_frame_has_an_ip_packet_or_none(link_type, little, data):
    packet = ip_packet(Frame(0, 0, link_type, little, data, 0))
    assert packet is None or (data.endswith(packet) and packet[0] >> 4 in (4, 6))
