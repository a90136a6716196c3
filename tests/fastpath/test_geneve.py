"""geneve and gwlb: literal headers, both ways, and any bytes at all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import geneve as compiled
from fastpath import gwlb as gwlb_compiled
from fastpath.action import DropReason
from fastpath.batch import PacketBatch
from model import geneve as model
from model import gwlb as gwlb_model

COLUMNS = ("reason", "geneve_start", "geneve_length", "geneve_flags", "vni", "inner_start", "inner_length")
GWLB_COLUMNS = (*COLUMNS, "endpoint", "attachment", "cookie")

HEADER = bytes.fromhex(
    "08 00 0800"  # version 0, 8 words of options; no flags; IPv4
    "000000 00"  # VNI 0, as GWLB sends it
    "0108 01 02 00aaaaaaaaaaaaa1"  # endpoint ENI id
    "0108 02 02 0000000000000002"  # attachment id
    "0108 03 01 00000007"  # flow cookie
)


@pytest.fixture(params=[(compiled, gwlb_compiled), (model, gwlb_model)], ids=["fastpath", "model"])
def impl(request):
    return request.param


def decoded(impl, frames, with_gwlb=True, batch=None):
    batch = batch or PacketBatch(64, 2048)
    batch.load(frames)
    impl[0].decode_batch(batch)
    if with_gwlb:
        impl[1].decode_batch(batch)
    return batch


def test_header_of_gwlb_is_read(impl):
    batch = decoded(impl, [HEADER + b"inner"])
    assert batch.reason[0] == DropReason.DROP_NONE
    assert (batch.endpoint[0], batch.attachment[0], batch.cookie[0]) == (0xAAAAAAAAAAAAA1, 2, 7)
    assert (batch.geneve_length[0], batch.inner_length[0]) == (40, 5)


def test_header_of_gwlb_is_written(impl):
    assert impl[1].header(0xAAAAAAAAAAAAA1, 2, 7, 4) == HEADER


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", DropReason.DROP_GENEVE_SHORT),
        (HEADER[:7], DropReason.DROP_GENEVE_SHORT),
        (HEADER[:39], DropReason.DROP_GENEVE_SHORT),
        (b"\x48" + HEADER[1:], DropReason.DROP_GENEVE_VERSION),
        (HEADER[:2] + b"\x65\x58" + HEADER[4:], DropReason.DROP_GENEVE_PROTOCOL),
        (HEADER[:11] + b"\x1f" + HEADER[12:], DropReason.DROP_GENEVE_OPTION_OVERRUN),
        (HEADER[:35] + b"\x02" + HEADER[36:], DropReason.DROP_GENEVE_OPTION_OVERRUN),
        (b"\x06" + HEADER[1:32] + b"payload.", DropReason.DROP_GWLB_OPTION_MISSING),
        (
            b"\x09" + HEADER[1:11] + b"\x03" + HEADER[12:20] + bytes(4) + HEADER[20:],
            DropReason.DROP_GWLB_OPTION_LENGTH,
        ),
        (b"\x0b" + HEADER[1:] + b"\xff\xff\x01\x02" + bytes(8), DropReason.DROP_GWLB_HEADER_LONG),
        (b"\x09" + HEADER[1:8] + b"\xab\xcd\x80\x00" + HEADER[8:], DropReason.DROP_GENEVE_PROTOCOL),
        (b"\x09\x40" + HEADER[2:] + b"\x01\x08\x84\x00", DropReason.DROP_GENEVE_PROTOCOL),
    ],
    ids=["empty", "base", "options", "version", "protocol", "first", "last", "missing", "length", "long", "critical",
         "critical of AWS"],
)
def test_bad_header_is_dropped_with_its_reason(impl, frame, reason):
    assert decoded(impl, [frame]).reason[0] == reason


def test_control_bit_allows_any_protocol(impl):
    assert decoded(impl, [b"\x00\x80" + bytes(6)], with_gwlb=False).reason[0] == DropReason.DROP_NONE


def test_unknown_options_are_skipped(impl):
    frame = b"\x09" + HEADER[1:8] + b"\xab\xcd\x00\x00" + HEADER[8:]
    assert decoded(impl, [frame]).cookie[0] == 7


def headers():
    """Bytes that often look like GWLB's."""
    mutated = st.tuples(st.integers(0, 39), st.integers(0, 255), st.binary(max_size=30)).map(
        lambda m: HEADER[: m[0]] + bytes([m[1]]) + HEADER[m[0] + 1 :] + m[2]
    )
    return st.one_of(st.binary(max_size=300), mutated)


@settings(max_examples=200, deadline=None)
@given(st.lists(headers(), max_size=8), st.lists(headers(), max_size=8))
def test_any_bytes_are_read_as_the_model_reads_them_also_in_a_used_batch(before, frames):
    fast, slow = PacketBatch(16, 1024), PacketBatch(16, 1024)
    decoded((compiled, gwlb_compiled), before, batch=fast)
    decoded((compiled, gwlb_compiled), frames, batch=fast)
    decoded((model, gwlb_model), frames, batch=slow)
    live = np.flatnonzero(slow.reason[: len(frames)] == 0)
    assert list(fast.reason[: len(frames)]) == list(slow.reason[: len(frames)])
    for column in GWLB_COLUMNS:
        assert list(getattr(fast, column)[live]) == list(getattr(slow, column)[live])


options = st.lists(
    st.tuples(
        st.integers(0, 65535),
        st.integers(0, 255),
        st.integers(0, 8).flatmap(lambda n: st.binary(min_size=4 * n, max_size=4 * n)),
    ),
    max_size=6,
)


@settings(max_examples=200, deadline=None)
@given(options, st.integers(0, 2**24 - 1), st.sampled_from([0, 0x40, 0x80, 0xC0]))
def test_what_is_encoded_is_decoded(wanted, vni, flags):
    header = compiled.encode_header(wanted, protocol=0x86DD, vni=vni, flags=flags)
    assert header == model.encode_header(wanted, protocol=0x86DD, vni=vni, flags=flags)
    assert compiled.decode_options(header) == wanted
    batch = decoded((compiled, None), [header + b"x"], with_gwlb=False)
    assert (batch.reason[0], batch.vni[0], batch.geneve_flags[0]) == (0, vni, flags)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_options_of_any_bytes_are_the_models(data):
    assert compiled.decode_options(data) == model.decode_options(data)


def test_header_is_put_in_front_and_the_bytes_behind_stay(impl):
    batch = decoded(impl, [HEADER + b"inner"])
    impl[0].put_header(batch, 0, b"\x01\x02\x03\x04")
    assert batch.frame(0) == b"\x01\x02\x03\x04inner"


def test_endpoint_names_are_17_digits(impl):
    assert impl[1].endpoint_name(0xAAAAAAAAAAAAA1) == "vpce-000aaaaaaaaaaaaa1"
    assert impl[1].endpoint_id("vpce-0aaaaaaaaaaaaaaa1") == 0xAAAAAAAAAAAAAAA1


@pytest.mark.parametrize(
    "name", ["", "vpce-", "vpce-0AAAAAAAAAAAAAAA1", "vpce-1aaaaaaaaaaaaaaa1", "vpc-0aaaaaaaaaaaaaaa1"]
)
def test_bad_endpoint_name_is_named(impl, name):
    with pytest.raises(ValueError, match="name"):
        impl[1].endpoint_id(name)


@pytest.mark.parametrize(
    "arguments",
    [
        {"options": [(0, 0, b"abc")]},
        {"options": [(0, 0, bytes(128))]},
        {"options": [(0, 0, bytes(124))] * 2 + [(0, 0, b"")]},
        {"options": [(70000, 0, b"")]},
        {"vni": 1 << 24},
        {"flags": 1},
    ],
)
def test_header_that_can_not_be_is_named(impl, arguments):
    with pytest.raises(ValueError, match=r"options|vni|flags"):
        impl[0].encode_header(**arguments)
