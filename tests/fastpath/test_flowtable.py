"""fastpath.flowtable and its model, by one suite. Keys and hashes are made here: the table believes whatever it is given."""

import resource

import numpy as np
import pytest

from fastpath import flowtable
from fastpath.action import DropReason
from fastpath.flowtable import FlowState, TimeoutClass
from flow_rows import UDP, hash_of, key_of, rows
from model import flowtable as reference

SECOND = 1_000_000_000
TCP, ICMP, GRE = 6, 1, 47


@pytest.fixture(params=[flowtable, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def flow_of(table, number, protocol=UDP):
    key = key_of(number, protocol)
    return table.get(table.find_one(key, hash_of(key)))


def test_a_new_flow_is_a_miss_then_a_hit(impl):
    table = impl.FlowTable(10)
    batch = rows([1, 2, 3])
    assert table.lookup_batch(batch) == 3
    assert batch.entry[:3].tolist() == [-1, -1, -1]
    assert table.insert_misses(batch, SECOND) == 3
    again = rows([3, 2, 4])
    assert table.lookup_batch(again) == 1
    assert again.entry[:3].tolist() == [batch.entry[2], batch.entry[1], -1]
    assert len(table) == table.size == 3


def test_a_fresh_flow_has_key_times_and_class_and_zeros(impl):
    table = impl.FlowTable(4)
    table.insert_misses(rows([5], TCP, direction=1), 7)
    flow = flow_of(table, 5, TCP)
    assert flow.pop("hash") == hash_of(key_of(5, TCP))
    key = flow.pop("a_address") + flow.pop("b_address") + bytes(6)
    assert key[:36] == key_of(5, TCP)[:32] + bytes(4)
    assert (flow.pop("a_port"), flow.pop("b_port"), flow.pop("namespace")) == (0, 0, 5 << 8)
    assert (flow.pop("protocol"), flow.pop("ip_version"), flow.pop("initiator")) == (TCP, 4, 1)
    assert (flow.pop("started_ns"), flow.pop("last_seen_ns")) == (7, 7)
    assert flow.pop("timeout_class") == TimeoutClass.TIMEOUT_TCP_OPENING
    assert (flow.pop("rule"), flow.pop("tunnel"), flow.pop("used")) == (-1, 255, 1)
    assert (flow.pop("packets"), flow.pop("bytes"), flow.pop("header")) == ([0, 0], [0, 0], b"")
    del flow["previous"], flow["next"]
    assert not any(flow.values())


def test_a_used_slot_is_cleared_for_its_next_flow(impl):
    table = impl.FlowTable(1)
    table.insert_misses(rows([1]), 1)
    table.entries_view["name_id"][0], table.entries_view["nat_port"][0] = 9, 9
    table.paths_view["header_length"][0] = 40
    table.insert_misses(rows([2]), 2)
    flow = flow_of(table, 2)
    assert (flow["name_id"], flow["nat_port"], flow["header_length"], flow["started_ns"]) == (0, 0, 0, 2)


def test_two_rows_of_one_new_flow_make_one_entry(impl):
    table = impl.FlowTable(10)
    batch = rows([1, 2, 1, 1])
    assert table.lookup_batch(batch) == 4
    assert table.insert_misses(batch, 1) == 2
    assert batch.entry[0] == batch.entry[2] == batch.entry[3] != batch.entry[1]


def test_dead_rows_are_neither_looked_up_nor_made_nor_counted(impl):
    table = impl.FlowTable(10)
    batch = rows([1, 2])
    batch.reason[0] = DropReason.DROP_POLICY
    batch.entry[0] = 77
    assert table.lookup_batch(batch) == 1
    assert table.insert_misses(batch, 1) == 1
    assert table.account_batch(batch, 1) == 1
    assert batch.entry[0] == 77
    assert len(table) == 1


def test_a_full_table_gives_up_the_least_recently_used_flow(impl):
    table = impl.FlowTable(3)
    for number in (1, 2, 3):
        table.insert_misses(rows([number]), number)
    used = rows([1])
    table.lookup_batch(used)
    table.account_batch(used, 4)
    assert table.insert_misses(rows([4]), 5) == 1
    assert [table.find_one(key_of(n), hash_of(key_of(n))) >= 0 for n in (1, 2, 3, 4)] == [True, False, True, True]
    assert len(table) == 3


def test_a_flow_that_the_batch_itself_uses_is_not_given_up(impl):
    table = impl.FlowTable(2)
    table.insert_misses(rows([1]), 1)
    table.insert_misses(rows([2]), 2)
    batch = rows([3, 1, 4])
    assert table.lookup_batch(batch) == 2
    assert table.insert_misses(batch, 3) == 1
    assert batch.reason[:3].tolist() == [0, 0, DropReason.DROP_FLOW_TABLE_FULL]
    assert [table.get(int(batch.entry[i]))["hash"] for i in (0, 1)] == batch.hash[:2].tolist()


def test_the_oldest_of_all_classes_gives_way(impl):
    table = impl.FlowTable(3)
    table.insert_misses(rows([1], UDP), 3)
    table.insert_misses(rows([2], TCP), 1)
    table.insert_misses(rows([3], ICMP), 2)
    assert table.oldest_one() == table.find_one(key_of(2, TCP), hash_of(key_of(2, TCP)))


def test_pinned_flows_stay_and_a_table_of_pinned_flows_drops(impl):
    table = impl.FlowTable(2)
    batch = rows([1, 2])
    table.lookup_batch(batch)
    table.insert_misses(batch, 1)
    table.pin_one(int(batch.entry[0]), True, 1)
    assert table.oldest_one() == batch.entry[1]
    table.pin_one(int(batch.entry[1]), True, 1)
    assert table.oldest_one() == -1
    third = rows([3])
    assert table.insert_misses(third, 2) == 0
    assert third.reason[0] == DropReason.DROP_FLOW_TABLE_FULL
    assert third.entry[0] == -1
    assert len(table) == 2


def test_flows_expire_after_the_idle_time_of_their_class(impl):
    table = impl.FlowTable(10, {TimeoutClass.TIMEOUT_UDP: 2, TimeoutClass.TIMEOUT_OTHER: 0.5})
    table.insert_misses(rows([1], UDP), 0)
    table.insert_misses(rows([2], GRE), 0)
    assert table.expire(SECOND // 2) == 0
    assert table.expire(SECOND // 2 + 1) == 1
    assert table.expire(2 * SECOND) == 0
    table.touch_one(table.find_one(key_of(1), hash_of(key_of(1))), TimeoutClass.TIMEOUT_UDP, 2 * SECOND)
    assert table.expire(4 * SECOND) == 0
    assert table.expire(4 * SECOND + 1) == 1
    assert len(table) == 0


def test_due_flows_stay_until_removed_and_come_longest_idle_first(impl):
    table = impl.FlowTable(10)
    for number in range(5):
        table.insert_misses(rows([number]), number)
    out = np.zeros(3, np.int32)
    assert table.due_flows(1000 * SECOND, out) == 3
    assert [table.get(int(index))["started_ns"] for index in out] == [0, 1, 2]
    assert len(table) == 5
    assert table.due_flows(1000 * SECOND, np.zeros(0, np.int32)) == 0
    assert table.expire(1000 * SECOND) == 5


def test_a_clock_behind_the_last_use_expires_nothing(impl):
    table = impl.FlowTable(1)
    table.insert_misses(rows([1]), 1000 * SECOND)
    assert table.expire(1) == 0


def account(table, number, protocol, direction, flags, now_ns):
    batch = rows([number], protocol, direction, flags)
    table.lookup_batch(batch)
    table.insert_misses(batch, now_ns)
    table.account_batch(batch, now_ns)
    return flow_of(table, number, protocol)


def test_counters_are_kept_for_each_direction_from_the_initiators_view(impl):
    table = impl.FlowTable(2)
    for direction in (1, 0, 0, 1, 1):
        flow = account(table, 1, UDP, direction, 0, 5)
    assert flow["initiator"] == 1
    assert flow["packets"] == [3, 2]
    assert flow["bytes"] == [300, 200]
    assert flow["state"] == FlowState.FLOW_SEEN_REPLY
    assert flow["timeout_class"] == TimeoutClass.TIMEOUT_UDP


@pytest.mark.parametrize(("packets", "expected"), [
    ([(0, 2)], TimeoutClass.TIMEOUT_TCP_OPENING),
    ([(0, 2), (1, 0x12)], TimeoutClass.TIMEOUT_TCP_OPENING),
    ([(0, 2), (1, 0x12), (0, 2), (1, 0x12)], TimeoutClass.TIMEOUT_TCP_OPENING),
    ([(0, 2), (1, 0x12), (0, 0x10)], TimeoutClass.TIMEOUT_TCP),
    ([(0, 0x10)], TimeoutClass.TIMEOUT_TCP_OPENING),
    ([(0, 0x10), (1, 0x10)], TimeoutClass.TIMEOUT_TCP),
    ([(0, 0x10), (1, 0x04)], TimeoutClass.TIMEOUT_TCP_CLOSING),
    ([(0, 2), (1, 0x12), (0, 0x11)], TimeoutClass.TIMEOUT_TCP),
    ([(0, 2), (1, 0x12), (0, 0x11), (1, 0x11)], TimeoutClass.TIMEOUT_TCP_CLOSING),
    ([(0, 2), (1, 0x14)], TimeoutClass.TIMEOUT_TCP_CLOSING),
    ([(0, 2), (1, 0x12), (0, 0x10), (1, 0x11), (1, 0x11)], TimeoutClass.TIMEOUT_TCP),
], ids=["syn", "answered", "answered, and the syn again", "acknowledged", "met in its middle", "and answered", "and refused",
        "half closed", "closed", "reset", "one side twice"])
def test_tcp_flows_move_between_their_classes(impl, packets, expected):
    table = impl.FlowTable(2)
    for direction, flags in packets:
        flow = account(table, 1, TCP, direction, flags, 5)
    assert flow["timeout_class"] == expected


def test_keys_that_collide_in_every_bit_of_the_hash_stay_apart(impl):
    table = impl.FlowTable(100)
    batch = rows(range(100), kinds=1)
    table.lookup_batch(batch)
    assert table.insert_misses(batch, 1) == 100
    again = rows(range(100), kinds=1)
    assert table.lookup_batch(again) == 0
    assert again.entry.tolist() == batch.entry.tolist()
    for index in batch.entry[::2]:
        table.remove_one(int(index))
    assert table.lookup_batch(again) == 50
    assert (again.entry[1::2] == batch.entry[1::2]).all()


def test_a_table_filled_to_the_last_slot_finds_every_flow():
    table = flowtable.FlowTable(5000)
    for begin in range(0, 5000, 250):
        table.insert_misses(rows(range(begin, begin + 250)), 1)
    assert len(table) == 5000
    for begin in range(0, 5000, 250):
        batch = rows(range(begin, begin + 250))
        assert table.lookup_batch(batch) == 0
        assert (table.entries_view["hash"][batch.entry[:250]] == batch.hash[:250]).all()


def test_turnover_takes_no_memory():
    table = flowtable.FlowTable(256)
    batch = rows(range(200))
    for now in range(50):
        table.lookup_batch(batch)
        table.insert_misses(batch, now)
        table.expire(now + 1000 * SECOND)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for now in range(3000):
        table.lookup_batch(batch)
        table.insert_misses(batch, now)
        table.expire(now + 1000 * SECOND)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1024


def test_wrong_calls_are_refused_by_name(impl):
    for capacity in (0, -1, (1 << 30) + 1):
        with pytest.raises(ValueError, match="capacity"):
            impl.FlowTable(capacity)
    for idle in ({7: 1}, {0: 0}, {0: -1}, {0: 1e10}):
        with pytest.raises(ValueError, match="idle"):
            impl.FlowTable(1, idle)
    table = impl.FlowTable(2)
    for index in (-1, 0, 1, 2, 1 << 20):
        for call in (lambda: table.get(index), lambda: table.remove_one(index), lambda: table.touch_one(index, 0, 1)):  # noqa: B023
            with pytest.raises(ValueError, match="index"):
                call()
    with pytest.raises(ValueError, match="key"):
        table.find_one(bytes(39), 0)
    with pytest.raises(ValueError, match="timeout_class"):
        table.insert_misses(rows([1]), 1, 6)
    batch = rows([1])
    batch.entry[0] = 1
    with pytest.raises(ValueError, match="entry"):
        table.account_batch(batch, 1)


def test_the_view_lives_longer_than_the_name_of_its_table():
    table = flowtable.FlowTable(3)
    table.insert_misses(rows([1]), 5)
    view = table.entries_view
    del table
    assert view["last_seen_ns"].max() == 5


def test_ready_is_at_most_the_capacity(impl):
    for ready in (-1, 11):
        with pytest.raises(ValueError, match="ready"):
            impl.FlowTable(10, ready=ready)
    assert len(impl.FlowTable(10, ready=10)) == 0


def test_an_answered_flow_never_gives_way_and_a_closing_one_does(impl):
    table = impl.FlowTable(2)
    for number in (1, 2):
        account(table, number, TCP, 0, 2, 1)
        account(table, number, TCP, 1, 0x12, 2)
        account(table, number, TCP, 0, 0x10, 3)
    assert table.oldest_one() == -1
    third = rows([3])
    assert table.insert_misses(third, 5) == 0
    assert third.reason[0] == DropReason.DROP_FLOW_TABLE_FULL
    account(table, 2, TCP, 1, 0x14, 6)
    assert table.oldest_one() == table.find_one(key_of(2, TCP), hash_of(key_of(2, TCP)))
    assert table.insert_misses(rows([3]), 7) == 1
    assert table.find_one(key_of(1, TCP), hash_of(key_of(1, TCP))) >= 0


def test_a_half_open_connection_gives_way(impl):
    table = impl.FlowTable(2)
    for number in (1, 2):
        account(table, number, TCP, 0, 2, number)
        account(table, number, TCP, 1, 0x12, number)
    account(table, 1, TCP, 0, 0x10, 3)
    assert table.oldest_one() == table.find_one(key_of(2, TCP), hash_of(key_of(2, TCP)))


def test_an_answered_flow_still_ends_when_it_is_idle(impl):
    table = impl.FlowTable(2, {TimeoutClass.TIMEOUT_UDP: 1})
    account(table, 1, UDP, 0, 0, 0)
    account(table, 1, UDP, 1, 0, 0)
    assert table.expire(SECOND) == 0
    assert table.expire(SECOND + 1) == 1


def test_a_pinned_flow_is_unpinned_into_its_place_and_still_ends_when_idle(impl):
    table = impl.FlowTable(3)
    for number in (1, 2):
        table.insert_misses(rows([number]), number)
    first, second = (table.find_one(key_of(number), hash_of(key_of(number))) for number in (1, 2))
    table.pin_one(first, True, 3)
    assert table.get(first)["state"] == FlowState.FLOW_PINNED
    assert table.oldest_one() == second
    table.pin_one(first, False, 4)
    assert table.get(first)["state"] == 0
    assert table.oldest_one() == second
    table.touch_one(second, TimeoutClass.TIMEOUT_UDP, 5)
    assert table.oldest_one() == first
    table.pin_one(first, True, 6)
    assert table.expire(1000 * SECOND) == 2
    with pytest.raises(ValueError, match="index"):
        table.pin_one(first, True, 7)
