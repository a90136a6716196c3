"""zcc.names.quicinitial and the reader of datagrams: published vectors, packets sealed beside it, and what is no QUIC."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import quic_sealer as sealer
from hellos import hello
from zcc.names.quicinitial import VERSIONS, Initials, Keys, NotQuic, UnknownVersion
from zcc.names.reader import GIVE_UP, DatagramReader
from zcc.names.said import NO_NAME, NOT_WEB, UNREAD, How, Said

BOTH = pytest.mark.parametrize("version", [sealer.V1, sealer.V2], ids=["v1", "v2"])
# The CRYPTO frame of RFC 9001 A.2, which RFC 9369 A.2 has too; PADDING follows up to 1,162 octets. Packet number 2.
PUBLISHED = bytes.fromhex(
    "060040f1010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c00000413011302010000c0000000"
    "10000e00000b6578616d706c652e636f6dff01000100000a00080006001d0017001800100007000504616c706e0005000501000000000033"
    "00260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003020304000d0010000e040305"
    "0306030203080408050806002d00020101001c00024001003900320408ffffffffffffffff05048000ffff07048000ffff08011001048000"
    "75300901100f088394c8f03e51570806048000ffff")
CONNECTION = bytes.fromhex("8394c8f03e515708")
# Begin and end of the protected packets as published; the end is the tag over everything.
PROTECTED = {
    sealer.V1: ("c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11", "e221af44860018ab0856972e194cd934"),
    sealer.V2: ("d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485", "a18b2faa745b6fe189cf772a9f84cbfc"),
}  # fmt: skip
# RFC 9001 A.1 and RFC 9369 A.1.
KEYS = {
    sealer.V1: ("1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c", "9f50449e04a0e810283a1e9933adedd2"),
    sealer.V2: ("8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f", "45b95e15235d6f45a6b19cbcb0294ba9"),
}  # fmt: skip


def read(*datagrams: bytes) -> Said | None:
    reader, said = DatagramReader(), None
    for datagram in datagrams:
        said = reader.feed(datagram)
        if said is not None:
            break
    return said


@BOTH
def test_the_keys_are_those_published(version: int) -> None:
    assert Keys.of(VERSIONS[version], CONNECTION) == Keys(*map(bytes.fromhex, KEYS[version]))


@BOTH
def test_the_published_packet_is_read(version: int) -> None:
    packet = sealer.initial(PUBLISHED + bytes(1162 - len(PUBLISHED)), version=version, connection=CONNECTION, number=2)
    begin, end = map(bytes.fromhex, PROTECTED[version])
    assert packet.startswith(begin) and packet.endswith(end) and len(packet) == 1200      # it is the published one
    assert [(frame.offset, len(frame.octets)) for frame in Initials().read(packet)] == [(0, 241)]
    assert read(packet) == Said(How.QUIC, "example.com")


@BOTH
@pytest.mark.parametrize("number_bytes", [1, 2, 3, 4])
def test_packet_numbers_of_every_length(version: int, number_bytes: int) -> None:
    frame = sealer.crypto(0, hello("a.test"))
    packet = sealer.initial(frame, version=version, number=1, number_bytes=number_bytes, token=b"t" * 70)
    assert read(packet) == Said(How.QUIC, "a.test")


@BOTH
@settings(deadline=None)      # many packets are sealed
@given(chance=st.integers(0, 1 << 32), pieces=st.integers(1, 12), packets=st.integers(1, 5))
def test_pieces_in_any_order_over_packets_and_datagrams(version: int, chance: int, pieces: int, packets: int) -> None:
    """Frames are cut, sent twice, mixed with PADDING, PING and ACK, and spread over coalesced packets."""
    draw, message = random.Random(chance), hello("split.example", padding=1500)
    cuts = sorted(draw.sample(range(1, len(message)), pieces - 1))
    frames = [sealer.crypto(a, message[a:b]) for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
    frames += [draw.choice(frames), b"\x01", bytes(9), b"\x02\x00\x00\x00\x00", b"\x03\x05\x00\x01\x00\x00\x00\x01\x01\x01"]
    draw.shuffle(frames)
    parts = [b"".join(frames[n::packets]) for n in range(packets)]
    sealed = [sealer.initial(part, version=version, number=n) for n, part in enumerate(parts) if part]
    draw.shuffle(sealed)
    cut = draw.randrange(len(sealed) + 1)
    datagrams = [b"".join(sealed[:cut]), b"".join(sealed[cut:])]
    assert read(*filter(None, datagrams)) == Said(How.QUIC, "split.example")


def test_other_packets_of_a_datagram_are_gone_past() -> None:
    early = b"\xd0" + (1).to_bytes(4) + b"\x08" + bytes(range(8)) + b"\x00" + sealer.varint(30) + bytes(30)      # 0-RTT
    first, second = (sealer.initial(sealer.crypto(offset, hello("a.test")[offset:offset + 60]), number=n)
                     for n, offset in enumerate((0, 60)))
    whole = sealer.initial(sealer.crypto(0, hello("a.test")), number=3)
    assert read(early + whole) == Said(How.QUIC, "a.test")
    assert read(early, whole) == Said(How.QUIC, "a.test"), "early data overtook"
    assert read(first + early) is None
    assert read(first + early, second + b"\x40" + bytes(40)) == Said(How.QUIC, "a.test")


def test_the_keys_are_those_of_the_first_packet_or_of_a_retry() -> None:
    message = hello("a.test")
    first = sealer.initial(sealer.crypto(0, message[:50]))
    later = sealer.initial(sealer.crypto(50, message[50:]), connection=b"server's", keys_of=bytes(range(8)), number=1)
    again = sealer.initial(sealer.crypto(0, message), connection=b"retry", number=1, token=b"token")
    assert read(first, later) == Said(How.QUIC, "a.test")
    assert read(first, again) == Said(How.QUIC, "a.test")


def test_what_is_there_without_a_name_is_told_apart() -> None:
    assert read(sealer.initial(sealer.crypto(0, hello(None)))) == NO_NAME
    assert read(sealer.initial(sealer.crypto(0, hello("outer.test", ech=True)))) == Said(How.ECH, "outer.test")
    assert read(b"\x16\xfe\xfd" + bytes(40)) == NOT_WEB                     # DTLS
    assert read(b"\x40" + bytes(40)) == NOT_WEB                             # a short header, in the middle of a connection
    assert read(b"\xc0\xff\x00\x00\x1d" + bytes(40)) == UNREAD              # a draft's
    assert read(b"\xca\x1a\x2a\x3a\x4a" + bytes(40)) == UNREAD              # a version that is reserved
    assert read(b"") == NOT_WEB


def test_a_piece_that_comes_with_two_values_is_a_contradiction() -> None:
    one, other = (sealer.initial(sealer.crypto(0, hello(name)[:-1]), number=n) for n, name in enumerate(("a.test", "b.test")))
    assert read(one, other) == UNREAD


def test_bounds_are_kept() -> None:
    """A hole that is never filled, and packets that can not be opened, end after so many packets."""
    holes = [sealer.initial(sealer.crypto(100 + n, b"x"), number=n) for n in range(GIVE_UP)]
    assert read(*holes[:-1]) is None and read(*holes) == UNREAD
    strange = [sealer.initial(sealer.crypto(0, hello("a.test")), keys_of=b"other", number=n) for n in range(GIVE_UP)]
    assert read(*strange) == UNREAD
    far = sealer.initial(sealer.crypto((1 << 62) - 5, b"x"))
    assert read(far) is None


@given(st.binary(max_size=1500))
def test_any_bytes_have_an_answer(data: bytes) -> None:
    try:
        frames = Initials().read(data)
    except (NotQuic, UnknownVersion):
        return
    assert sum(len(frame.octets) for frame in frames) <= len(data)


@given(st.integers(0, 1199), st.integers(1, 255))
def test_a_packet_that_was_changed_is_not_opened(place: int, change: int) -> None:
    packet = bytearray(sealer.initial(sealer.crypto(0, hello("a.test")), size=1200))
    packet[place] ^= change
    assert read(bytes(packet)) in (None, NOT_WEB, UNREAD)
