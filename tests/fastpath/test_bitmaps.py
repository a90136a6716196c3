"""fastpath.bitmaps and its model, by one suite."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastpath import bitmaps as native
from model import bitmaps as reference


@pytest.fixture(params=[native, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


ALL = 2**64 - 1
words = st.sampled_from([0, ALL, 1, 2**63]) | st.integers(0, ALL)


@given(st.data(), st.integers(1, 140))
def test_rows_come_back_as_they_went_in_and_equal_ones_are_one(data, size):
    last = data.draw(st.integers(1, 64))
    valid = np.array([ALL] * (size - 1) + [(1 << last) - 1], np.uint64)
    rows = [np.array(row, np.uint64) & valid
            for row in data.draw(st.lists(st.lists(words, min_size=size, max_size=size), max_size=6))]  # fmt: skip
    for impl in (native, reference):
        book = impl.BitmapBook(valid)
        places = [book.add(row) for row in rows]
        assert all((book.row(place) == row).all() for place, row in zip(places, rows, strict=True))
        assert book.rows == len({row.tobytes() for row in rows}) == len(set(places))


def test_many_rows_are_found_again():
    book = native.BitmapBook(np.full(3, ALL, np.uint64))
    rows = np.random.default_rng(1).integers(0, 8, (20_000, 3)).astype(np.uint64)
    places = [book.add(row) for row in rows]
    assert places == [book.add(row) for row in rows] and book.rows == len(np.unique(rows, axis=0))


@pytest.mark.parametrize("valid", [[0], [2], [5], [ALL, 0], []])
def test_valid_bits_are_the_lowest_of_each_word(impl, valid):
    with pytest.raises(ValueError, match="valid"):
        impl.BitmapBook(np.array(valid, np.uint64))


@pytest.mark.parametrize("bits", [[2], [1, 1], []])
def test_a_row_of_other_bits_is_refused(impl, bits):
    with pytest.raises(ValueError, match="bits"):
        impl.BitmapBook(np.array([1], np.uint64)).add(np.array(bits, np.uint64))


def test_a_place_beyond_the_rows_is_refused(impl):
    with pytest.raises(ValueError, match="place"):
        impl.BitmapBook(np.array([1], np.uint64)).row(9)


def test_rows_may_not_take_more_than_the_limit():
    book = native.BitmapBook(np.full(100, ALL, np.uint64), 1 << 16)
    rows = np.random.default_rng(2).integers(1, ALL, (200, 100), dtype=np.uint64)
    with pytest.raises(MemoryError, match="limit"):
        for row in rows:
            book.add(row)
    assert book.nbytes <= 1 << 16
