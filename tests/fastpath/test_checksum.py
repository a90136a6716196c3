"""checksum: RFC 1071's own example, and the update that equals a new sum."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import checksum as compiled
from model import checksum as model


@pytest.fixture(params=[compiled, model], ids=["fastpath", "model"])
def impl(request):
    return request.param


def test_example_of_rfc_1071(impl):
    # RFC 1071 §3: 00 01 f2 03 f4 f5 f6 f7 sums to ddf2; the checksum is its complement.
    assert impl.checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D


def test_header_that_holds_its_checksum_sums_to_zero(impl):
    # An IPv4 header seen on the wire: checksum b1e6 at offset 10.
    assert impl.checksum(bytes.fromhex("45000073000040004011b861c0a80001c0a800c7")) == 0


def test_example_of_rfc_1624(impl):
    # RFC 1624 §4: checksum dd2f, 5555 becomes 3285, the new checksum is 0000.
    assert impl.updated(0xDD2F, 0x5555, 0x3285) == 0x0000


@given(st.binary(max_size=200))
def test_any_bytes_sum_as_the_model_sums_them(data):
    assert compiled.checksum(data) == model.checksum(data)


@pytest.mark.parametrize("path", compiled.PATHS)
@given(st.randoms(use_true_random=False), st.integers(0, 2000), st.integers(0, 70))
def test_each_path_sums_long_data_as_the_model_does(path, draw, size, start):
    data = memoryview(draw.randbytes(start + size))[start:]      # at any place in memory
    assert compiled.checksum_by(data, path) == compiled.checksum(data) == model.checksum(data)


@pytest.mark.parametrize("path", compiled.PATHS)
@pytest.mark.parametrize("size", [63, 64, 65, 255, 256, 257, 319, 320, 65535])
def test_no_path_loses_a_carry(path, size):
    data = b"\xff" * size
    assert compiled.checksum_by(data, path) == compiled.checksum(data) == model.checksum(data)


def test_an_unknown_path_is_named():
    with pytest.raises(ValueError, match="path must be one of scalar"):
        compiled.checksum_by(b"", "mmx")


@given(st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 65535))
def test_update_is_the_models(checksum, old, new):
    assert compiled.updated(checksum, old, new) == model.updated(checksum, old, new)


@given(st.binary(min_size=4, max_size=60), st.integers(0, 65535), st.data())
def test_update_equals_a_new_sum(data, new, draw):
    data = bytearray(data[: len(data) // 2 * 2] + b"\x01\x01")  # never all zero, where both zeros are right
    at = 2 * draw.draw(st.integers(0, len(data) // 2 - 2))
    before, old = compiled.checksum(data), int.from_bytes(data[at : at + 2], "big")
    data[at : at + 2] = new.to_bytes(2, "big")
    assert compiled.updated(before, old, new) == compiled.checksum(data)


def test_data_longer_than_any_packet_is_named(impl):
    with pytest.raises(ValueError, match="data"):
        impl.checksum(bytes(65536))
