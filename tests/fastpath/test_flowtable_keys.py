"""The flow table by keys that lie in no batch, compiled and model by one suite."""

import numpy as np
import pytest

from fastpath import flowtable
from fastpath.flowtable import TimeoutClass
from flow_rows import columns
from model import flowtable as reference


@pytest.fixture(params=[flowtable, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def test_keys_in_no_batch_are_found_made_and_removed(impl):
    table = impl.FlowTable(10)
    keys, hashes, out = columns([1, 2, 1, 3])
    assert table.lookup_keys(keys, hashes, out) == 4
    assert out.tolist() == [-1, -1, -1, -1]
    assert table.insert_keys(keys, hashes, 7, TimeoutClass.TIMEOUT_UDP, out) == 3
    assert out[0] == out[2] and len(set(out.tolist())) == 3
    made = out.copy()
    assert table.lookup_keys(keys, hashes, out) == 0
    assert out.tolist() == made.tolist()
    assert table.get(int(out[3]))["timeout_class"] == TimeoutClass.TIMEOUT_UDP
    assert table.remove_flows(out[:3]) == 2
    assert table.lookup_keys(keys, hashes, out) == 3
    assert table.insert_keys(keys[:0], hashes[:0], 8, 0, out[:0]) == table.lookup_keys(keys[:0], hashes[:0], out[:0]) == 0
    assert table.remove_flows(out[:0]) == 0 and len(table) == 1


@pytest.mark.parametrize("rows", [1, 15, 16, 17, 32, 33, 511, 512, 513, 1100])
@pytest.mark.parametrize("homes", [5, 1 << 32], ids=["crowded", "spread"])
def test_of_any_number_of_rows_each_finds_its_flow_or_none(impl, rows, homes):
    table = impl.FlowTable(600)
    keys, hashes, out = columns(range(1200))
    hashes = hashes % np.uint64(homes) << np.uint64(32) | hashes >> np.uint64(56)
    table.insert_keys(keys[:600], hashes[:600], 7, TimeoutClass.TIMEOUT_UDP, out[:600])
    wanted = np.random.default_rng(rows).integers(0, 1200, rows)
    expected = np.where(wanted < 600, out[wanted], -1)
    found = np.full(rows, 9, np.int32)
    assert table.lookup_keys(keys[wanted], hashes[wanted], found) == (wanted >= 600).sum()
    assert found.tolist() == expected.tolist()


def test_a_full_table_gives_way_to_keys_but_not_to_those_of_the_same_moment(impl):
    table = impl.FlowTable(2)
    keys, hashes, out = columns([1, 2, 3, 4])
    assert table.insert_keys(keys[:1], hashes[:1], 1, TimeoutClass.TIMEOUT_UDP, out[:1]) == 1
    assert table.insert_keys(keys[1:], hashes[1:], 2, TimeoutClass.TIMEOUT_UDP, out[1:]) == 2
    assert out[3] == -1
    assert table.lookup_keys(keys, hashes, out) == 2 and (out[1:3] >= 0).all()


@pytest.mark.parametrize("name", ["keys", "hashes", "out"])
def test_columns_of_another_shape_are_refused_by_name(impl, name):
    table = impl.FlowTable(10)
    wrong = dict(zip(("keys", "hashes", "out"), columns([1, 2]), strict=True))
    wrong[name] = wrong[name][:, :39].copy() if name == "keys" else wrong[name][:1]
    with pytest.raises(ValueError, match=name):
        table.lookup_keys(wrong["keys"], wrong["hashes"], wrong["out"])
    with pytest.raises(ValueError, match=name):
        table.insert_keys(wrong["keys"], wrong["hashes"], 1, 0, wrong["out"])
    assert len(table) == 0


def test_arrays_of_another_type_or_order_are_refused():
    table = flowtable.FlowTable(10)
    keys, hashes, out = columns([1, 2, 3, 4])
    for wrong in ((keys.astype(np.uint16), hashes, out), (keys, hashes.astype(np.int64), out),
                  (keys, hashes, out.astype(np.int64)), (np.asfortranarray(keys), hashes, out), (keys, hashes[::2], out[:2])):
        for call in (table.lookup_keys, lambda k, h, o: table.insert_keys(k, h, 1, 0, o)):
            with pytest.raises(ValueError):
                call(*wrong)
    for wrong in ((None, hashes, out), (keys, None, out), (keys, hashes, None)):
        with pytest.raises(TypeError):
            table.lookup_keys(*wrong)
    with pytest.raises(ValueError, match="timeout_class"):
        table.insert_keys(keys, hashes, 1, 6, out)
    with pytest.raises(ValueError):
        table.remove_flows(out.astype(np.int64))
    assert len(table) == 0


def test_of_many_removals_none_is_done_when_one_is_wrong(impl):
    table = impl.FlowTable(10)
    keys, hashes, out = columns(range(5))
    table.insert_keys(keys, hashes, 1, 0, out)
    for stale in (5, -1, 10, 1 << 30):
        with pytest.raises(ValueError, match="indexes"):
            table.remove_flows(np.append(out, stale).astype(np.int32))
    assert len(table) == 5


def test_a_search_ends_where_every_bucket_sends_it_on():
    """13 buckets of 12 places, each full for a while: a key went on from each, and stays when the others leave."""
    table, buckets, draw = flowtable.FlowTable(100), 13, np.random.default_rng(1)
    homes = [np.uint64(((home << 32) // buckets + 1 << 32) | 1) for home in range(buckets)]
    for home in homes:
        keys = draw.integers(0, 256, (13 - (home is not homes[0]), 40), np.uint8)
        out = np.zeros(len(keys), np.int32)
        assert table.insert_keys(keys, np.full(len(keys), home), 1, TimeoutClass.TIMEOUT_UDP, out) == len(keys)
        table.remove_flows(out[:-1])
    unknown = np.zeros((64, 40), np.uint8)
    for home in homes:
        found = np.zeros(64, np.int32)
        assert table.lookup_keys(unknown, np.full(64, home), found) == 64
        assert (found == -1).all()
