"""IPv4 packets cut into fragments, by fastpath and its model; scapy puts them together again."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP, defragment
from scapy.packet import Raw

from fastpath import pieces
from fastpath.action import Fragment
from fastpath.batch import PacketBatch
from model import pieces as reference

from .test_refusal import row

V4 = IP(src="10.8.6.4", dst="198.51.100.7", id=77, ttl=9)
COPIED, NOT_COPIED = b"\x88\x04\x12\x34", b"\x07\x07\x04\0\0\0\0\x01"       # stream identifier; record route


@pytest.fixture(params=[pieces, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def cut(impl, data, mtu, out=None):
    out = PacketBatch(16) if out is None else out
    n = impl.cut_one(row(data), 0, mtu, out)
    return [out.data[k, 128:128 + int(out.inner_length[k])].tobytes() for k in range(n)]


@pytest.mark.parametrize("mtu", [68, 576, 1400, 1500])
@pytest.mark.parametrize("payload", [9, 480, 1400, 8000])
def test_what_is_cut_is_whole_again(impl, mtu, payload):
    packet = V4 / UDP(sport=1, dport=2) / Raw(bytes(k % 251 for k in range(payload)))
    made = cut(impl, packet, mtu)
    wanted = -(-(payload + 8) // ((mtu - 20) // 8 * 8))
    if wanted > 16:
        assert made == []
        return
    assert len(made) == wanted and all(len(piece) <= mtu for piece in made)
    for piece in made:
        again = IP(piece)
        del again.chksum
        assert bytes(again) == piece
    (whole,) = defragment([IP(piece) for piece in made])
    assert bytes(whole[UDP]) == bytes(packet[UDP]) and (whole.src, whole.dst, whole.ttl) == (V4.src, V4.dst, 9)


def test_a_fragment_is_cut_further(impl):
    middle = IP(src=V4.src, dst=V4.dst, proto=17, flags="MF", frag=100) / Raw(bytes(800))
    offsets = [(IP(piece).frag, str(IP(piece).flags)) for piece in cut(impl, middle, 576)]
    assert offsets == [(100, "MF"), (169, "MF")]


def test_only_options_that_are_to_be_copied_are_in_all_pieces(impl):
    packet = IP(src=V4.src, dst=V4.dst, options=NOT_COPIED + COPIED) / UDP() / Raw(bytes(1000))
    headers = [piece[20:4 * (piece[0] & 15)] for piece in cut(impl, packet, 576)]
    assert headers == [NOT_COPIED + COPIED, COPIED]


def test_columns_tell_first_and_later():
    out = PacketBatch(16)
    cut(pieces, V4 / UDP(sport=1, dport=2) / Raw(bytes(1000)), 576, out)
    assert out.fragment[:2].tolist() == [Fragment.FRAGMENT_FIRST, Fragment.FRAGMENT_LATER]
    assert out.source_port[:2].tolist() == [1, 0] and out.l4_start[:2].tolist() == [148, 148]


def test_without_room_nothing_is_cut(impl):
    packet = V4 / UDP() / Raw(bytes(1000))
    assert cut(impl, packet, 576, PacketBatch(1)) == []
    assert cut(impl, packet, 576, PacketBatch(16, 256)) == []


def test_wrong_calls_are_named(impl):
    batch = row(V4 / UDP())
    for arguments, name in (((1, 576, PacketBatch(1)), "row_number"),
                            ((0, 67, PacketBatch(1)), "mtu"), ((0, 576, batch), "out")):
        with pytest.raises(ValueError, match=name):
            impl.cut_one(batch, *arguments)


def readable(options):
    """As many as a header can have, the types of source routes made others: packets with those are not parsed."""
    return options[:len(options) & ~3].replace(b"\x83", b"\x82").replace(b"\x89", b"\x88")


@settings(max_examples=200, deadline=None)
@given(options=st.binary(max_size=40).map(readable), payload=st.binary(min_size=8, max_size=400),
       mtu=st.integers(68, 300), word=st.integers(0, 0xFFFF))
def test_any_packet_is_cut_as_the_model_does(options, payload, mtu, word):
    data = bytearray(bytes(V4) + options + payload)
    data[0], data[2:4], data[6:8], data[9] = 0x45 + len(options) // 4, len(data).to_bytes(2), word.to_bytes(2), 47
    assert cut(pieces, data, mtu) == cut(reference, data, mtu)
