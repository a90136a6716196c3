"""Rows that are not done with, and whose they are."""

import numpy as np
import pytest

from fastpath.batch import PacketBatch
from zcc.internet_edge.live import groups, live_rows


@pytest.mark.parametrize("dead", [[], [0], [1, 2], [0, 1, 2, 3]])
def test_rows_with_a_reason_are_not_live(dead: list[int]) -> None:
    batch = PacketBatch(8)
    batch.load([b"x"] * 4)
    batch.reason[4:] = 7
    batch.reason[dead] = 9
    rows = live_rows(batch)
    assert rows.dtype == np.uint16 and rows.tolist() == [row for row in range(4) if row not in dead]


def test_the_rows_of_all_batches_are_one_array_that_nobody_changes() -> None:
    batch = PacketBatch(8)
    batch.load([b"x"] * 4)
    with pytest.raises(ValueError, match="read-only"):
        live_rows(batch)[0] = 1
    assert live_rows(PacketBatch(8)).size == 0


@pytest.mark.parametrize(("numbers", "found"), [
    ([], []), ([5], [(5, [2])]), ([5, 5, 5], [(5, [2, 4, 6])]), ([9, 5, 9], [(5, [4]), (9, [2, 6])])])
def test_groups_keep_the_order_of_their_rows(numbers: list[int], found: list[tuple[int, list[int]]]) -> None:
    rows = np.array([2, 4, 6][:len(numbers)], np.uint16)
    for kind in (np.uint32, np.uint64):
        assert [(number, of.tolist()) for number, of in groups(rows, np.array(numbers, kind))] == found
