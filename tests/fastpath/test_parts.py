"""Packets in parts: whole again in any order, without what was lost; and bounded whatever a peer sends."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import geneve
from fastpath.action import DropReason
from fastpath.batch import PacketBatch
from fastpath.parts import LARGEST
from fastpath.parts import Parts as Compiled
from model.parts import Parts as Model

LOCATION, FLOW_HASH = (0xFF5A, 1, b"\0\0\0\7"), (0xFF5A, 3, b"12345678")
HELD, SHAPE, ORPHAN = DropReason.DROP_PART_HELD, DropReason.DROP_PART_SHAPE, DropReason.DROP_PART_ORPHAN
PATH = 1280 - 28 - 37              # plain bytes of a record over a path of 1,280 bytes


def packet(inner: bytes, vni: int = 3) -> bytes:
    return geneve.encode_header([LOCATION, FLOW_HASH], protocol=0x86DD, vni=vni) + inner


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def every(batch: PacketBatch) -> np.ndarray:
    return np.arange(batch.count, dtype=np.uint16)


def split(parts: Compiled | Model, *packets: bytes, size: int = PATH, room: int = 2048) -> list[bytes]:
    batch, out = PacketBatch(len(packets), 2048), PacketBatch(64, room)
    batch.load(list(packets))
    assert parts.split_rows(batch, every(batch), size, out) == len(packets)
    return [out.frame(row) for row in range(out.count)] + [b""] * int((batch.reason[:batch.count] != 0).sum())


def part(number: int, first: int, whole: int, data: bytes, before: tuple = (LOCATION, FLOW_HASH), kind: int = 0x84) -> bytes:
    said = number.to_bytes(4) + first.to_bytes(2) + whole.to_bytes(2)
    return geneve.encode_header([*before, (0xFF5A, kind, said)], protocol=0x86DD, vni=3, flags=0x40) + data


def join(parts: Compiled | Model, *frames: bytes, room: int = 2048) -> list[bytes | int]:
    """What becomes of frames that come one batch each: the packet that one completes, or a reason."""
    found: list[bytes | int] = []
    for frame in frames:
        batch = PacketBatch(1, room)
        batch.load([frame])
        geneve.decode_batch(batch)
        found.append(batch.frame(0) if parts.join_rows(batch, every(batch)) else int(batch.reason[0]))
    return found


@pytest.fixture(params=[Compiled, Model], ids=["fastpath", "model"])
def kind(request):
    return request.param


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize(("size", "inner", "wanted"), [
    (PATH, 1280, 2), (PATH, 1188, 2), (548 - 37, 1280, 3), (548 - 37, 1, 1), (40 + 320, 1280, 4)])
def test_what_is_split_is_whole_again(kind, size, inner, wanted, backwards):
    whole = packet(noise(inner))
    frames = split(kind(), whole, size=size)
    assert len(frames) == wanted and all(len(frame) <= size for frame in frames)
    assert len({len(frame) for frame in frames[:-1]}) <= 1 and len(frames[-1]) <= len(frames[0]), "they leave as one message"
    found = join(kind(), *(frames[::-1] if backwards else frames))
    assert found == [HELD] * (wanted - 1) + [whole]


def test_the_bytes_of_a_part(kind):
    first, second = split(kind(), packet(noise(1280)))
    base = "0840" "86dd" "00000300" "ff5a0101" "00000007" "ff5a0302" + b"12345678".hex()
    assert first[:40].hex() == base + "ff5a8402" "00000001" "0000" "0500"
    assert second[:40].hex() == base + "ff5a8402" "00000001" "0280" "0500"
    assert first[40:] + second[40:] == noise(1280)


def test_a_packet_that_may_not_go_in_parts_is_too_big(kind):
    small = packet(noise(1280))
    for size, inner in ((PATH, 1281), (40 + 319, 1280), (40, 1280), (39, 1), (1, 1280)):
        assert split(kind(), packet(noise(inner)), size=size) == [b""]
    assert split(kind(), geneve.encode_header([(1, 1, bytes(40))], vni=3) + small) == [b""], "its own header is too long"
    assert split(kind(), small, room=1024) == [b""]
    parts, batch, out = kind(), PacketBatch(3, 2048), PacketBatch(8, 2048)
    batch.load([small, packet(noise(1281)), small])
    assert parts.split_rows(batch, every(batch), PATH, out) == 3
    assert out.count == 4 and batch.reason[:3].tolist() == [0, DropReason.DROP_ZIA_TOO_BIG, 0]


def test_rows_that_find_no_room_are_for_the_next_call(kind):
    parts, batch, out = kind(), PacketBatch(9, 2048), PacketBatch(8, 2048)
    batch.load([packet(noise(1280, seed)) for seed in range(9)])
    batch.reason[1] = 7
    rows, frames = every(batch), []
    while rows.size:
        done = parts.split_rows(batch, rows, PATH, out)
        frames += [out.frame(row) for row in range(out.count)]
        rows = rows[done:]
    wanted = [packet(noise(1280, seed)) for seed in range(9) if seed != 1]
    assert [one for one in join(kind(), *frames) if one != HELD] == wanted


def test_parts_keep_the_peer_of_their_packet(kind):
    batch, out = PacketBatch(1, 2048), PacketBatch(4, 2048)
    batch.load([packet(noise(1280))])
    batch.peer_address[0], batch.peer_port[0] = 7, 9
    kind().split_rows(batch, every(batch), PATH, out)
    assert (out.peer_address[:2].tolist(), out.peer_port[:2].tolist()) == ([7, 7], [9, 9])


def test_a_packet_of_which_a_part_is_lost_is_lost_alone(kind):
    packets = [packet(noise(1280, seed)) for seed in range(40)]
    frames = split(kind(), *packets[:30])
    parts = kind()
    found = join(parts, *frames[:6], *frames[7:])
    assert [one for one in found if isinstance(one, bytes)] == packets[:3] + packets[4:30]
    assert parts.lost == 0, "it may still come"
    assert join(parts, frames[6]) == [packets[3]]


def test_a_packet_gives_its_place_to_the_32nd_after_it(kind):
    parts = kind()
    assert join(parts, part(5, 0, 20, bytes(10)), part(36, 0, 20, bytes(10))) == [HELD, HELD] and parts.lost == 0
    assert join(parts, part(37, 0, 20, bytes(10))) == [HELD] and parts.lost == 1
    assert join(parts, part(5, 10, 20, bytes(10))) == [ORPHAN]
    assert len(join(parts, part(37, 10, 20, bytes(10)))[0]) == 48


def test_numbers_go_on_over_the_end(kind):
    parts = kind()
    assert join(parts, part(2**32 - 1, 0, 20, bytes(10)), part(31, 0, 20, bytes(10))) == [HELD, HELD]
    assert parts.lost == 1 and join(parts, part(2**32 - 1, 10, 20, bytes(10))) == [ORPHAN]


BAD = {
    "no number": part(0, 0, 20, bytes(10)),
    "no bytes": part(9, 0, 20, b""),
    "behind its end": part(9, 11, 20, bytes(10)),
    "too large": part(9, 0, LARGEST + 1, bytes(10)),
    "another critical option": part(9, 0, 20, bytes(10), kind=0x85),
    "two critical options": part(9, 0, 20, bytes(10), before=((0xFF5A, 0x86, b""),)),
    "not the last option": geneve.encode_header([(0xFF5A, 0x84, bytes(8)), LOCATION], vni=3, flags=0x40) + bytes(10),
    "no option": geneve.encode_header(vni=3, flags=0x40) + bytes(10),
    "another class": geneve.encode_header([(0xFF5B, 0x84, bytes([0, 0, 0, 9, 0, 0, 0, 20]))], flags=0x40) + bytes(10),
    "an option of another size": geneve.encode_header([LOCATION, (0xFF5A, 0x84, bytes(12))], flags=0x40) + bytes(10),
    "a header too long": part(9, 0, 20, bytes(10), before=((1, 1, bytes(40)),)),
}


@pytest.mark.parametrize("bad", BAD)
def test_what_no_packet_has_is_dropped(kind, bad):
    parts = kind()
    assert join(parts, BAD[bad]) == [SHAPE] and parts.lost == 0


def test_parts_that_do_not_agree_are_dropped_and_spoil_nothing(kind):
    parts, (first, second) = kind(), (part(9, 0, 20, b"0123456789"), part(9, 10, 20, b"abcdefghij"))
    others = [first, part(9, 9, 20, b"x"), part(9, 10, 21, b"x"), part(9, 10, 20, b"x", before=(LOCATION,)),
              part(9, 10, 20, b"x", before=((0xFF5A, 1, b"\0\0\0\x08"), FLOW_HASH))]
    assert join(parts, first, *others, second) == [HELD, *[SHAPE] * 5, packet(b"0123456789abcdefghij")]
    assert join(parts, second) == [SHAPE], "it has gone on"
    assert join(parts, *(part(10, k, 20, b"x") for k in range(5))) == [HELD] * 4 + [SHAPE], "no packet has so many"


def test_a_row_without_room_for_the_packet_is_dropped(kind):
    assert join(kind(), part(1, 0, 200, bytes(100)), part(1, 100, 200, bytes(100)), room=300) == [
        HELD, DropReason.DROP_IO_TRUNCATED]


@settings(deadline=None, max_examples=100)
@given(sizes=st.lists(st.integers(1, 1280), min_size=1, max_size=20), seed=st.integers(0, 2**32),
       lost=st.sets(st.integers(0, 60)))
def test_in_any_order_what_lost_no_part_is_whole(sizes, seed, lost):
    packets = [packet(noise(size, size), vni=k + 1) for k, size in enumerate(sizes)]
    frames = [frame for frame in enumerate(split(Compiled(), *packets, size=548 - 37))]
    there = [frame for k, frame in frames if k not in lost]
    broken = {frame[4:7] for k, frame in frames if k in lost}
    random.Random(seed).shuffle(there)
    found = [one for one in join(Compiled(), *there) if one != HELD]
    assert sorted(found) == sorted(one for one in packets if one[4:7] not in broken)


PARTS = st.builds(
    part, st.one_of(st.integers(0, 70), st.integers(2**32 - 40, 2**32 - 1)), st.integers(0, 60), st.integers(0, 70),
    st.binary(max_size=40), st.sampled_from([(LOCATION, FLOW_HASH), (LOCATION,), ((0xFF5A, 0x85, b""),)]),
    st.sampled_from([0x84, 0x84, 0x84, 0x85]))


@settings(deadline=None, max_examples=300)
@given(st.lists(st.one_of(PARTS, st.binary(max_size=80)), max_size=60))
def test_any_parts_are_what_the_model_says(frames):
    compiled, model = Compiled(), Model()
    assert join(compiled, *frames) == join(model, *frames) and compiled.lost == model.lost


def test_wrong_calls_are_named(kind):
    batch = PacketBatch(4, 2048)
    batch.load([packet(b"x")])
    rows, out = every(batch), PacketBatch(4)
    for arguments, name in (((batch, rows + 1, 9, out), "rows"), ((batch, rows, 0, out), "size"),
                            ((batch, rows, 9, batch), "out"), ((batch, rows, 9, PacketBatch(3)), "out")):
        with pytest.raises(ValueError, match=name):
            kind().split_rows(*arguments)
    assert split(kind(), b"") == [b""]
    with pytest.raises(ValueError, match="rows"):
        kind().join_rows(batch, np.array([1], np.uint16))
