"""How a flow table grows, what it takes, and what a flood does to it. Compiled only: the model has no memory."""

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fastpath.batch import PacketBatch
from fastpath.flowtable import FlowState, FlowTable, TimeoutClass

UDP = TimeoutClass.TIMEOUT_UDP


def columns(numbers, kinds=None):
    """Keys of flow numbers, well-mixed hashes (of few kinds, if given) and room for indexes."""
    numbers = np.asarray(numbers, np.uint64)
    mixed = (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ mixed >> np.uint64(31)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(29)
    keys = np.zeros((len(numbers), 40), np.uint8)
    keys[:, 8:16] = numbers.view(np.uint8).reshape(-1, 8)
    return keys, mixed if kinds is None else mixed % np.uint64(kinds) << np.uint64(40), np.empty(len(numbers), np.int32)


def insert(table, numbers, now_ns=1):
    keys, hashes, out = columns(numbers)
    table.insert_keys(keys, hashes, now_ns, UDP, out)
    return out


@pytest.mark.parametrize("capacity", [1, 8, 9, 10, 700, 5000, 150_000])
@pytest.mark.parametrize("step", [1, 7, 1000])
def test_every_flow_is_found_at_every_step_of_growth_and_never_moves(capacity, step):
    table, held = FlowTable(capacity), np.empty(0, np.int32)
    keys, hashes, out = columns(range(capacity))
    checks = max(1, capacity // 60)
    for begin in range(0, capacity, step):
        end = min(begin + step, capacity)
        assert table.insert_keys(keys[begin:end], hashes[begin:end], 1, UDP, out[begin:end]) == end - begin
        if begin // checks != end // checks:
            held = np.empty(end, np.int32)
            assert table.lookup_keys(keys[:end], hashes[:end], held) == 0
            assert (held == out[:end]).all()
    assert len(table) == capacity and len(set(out.tolist())) == capacity
    absent = columns(range(capacity, capacity + 1000))
    assert table.lookup_keys(*absent) == 1000


@pytest.mark.parametrize("kinds", [1, 3, 40])
def test_growth_with_few_hashes_loses_nothing(kinds):
    table = FlowTable(1500)
    keys, hashes, out = columns(range(1500), kinds)
    for begin in range(0, 1500, 10):
        table.insert_keys(keys[begin:begin + 10], hashes[begin:begin + 10], 1, UDP, out[begin:begin + 10])
        found = np.empty(begin + 10, np.int32)
        assert begin % 50 or table.lookup_keys(keys[:begin + 10], hashes[:begin + 10], found) == 0
    assert table.lookup_keys(keys, hashes, found) == 0
    assert (found == out).all()
    assert table.remove_flows(out[::2].copy()) == 750
    assert table.lookup_keys(keys, hashes, found) == 750
    assert (found[1::2] == out[1::2]).all()


def test_removals_in_the_middle_of_growth_leave_nothing_behind():
    table, rng = FlowTable(100_000), np.random.default_rng(1)
    present = {}
    keys, hashes, out = columns(range(40_000))
    for begin in range(0, 40_000, 500):
        insert(table, range(begin, begin + 500))
        present |= dict.fromkeys(range(begin, begin + 500))
        gone = rng.choice(list(present), len(present) // 5, replace=False)
        wanted = columns(gone)
        assert table.lookup_keys(*wanted) == 0
        assert table.remove_flows(wanted[2]) == len(gone)
        for number in gone.tolist():
            del present[number]
        assert len(table) == len(present)
    table.lookup_keys(keys, hashes, out)
    assert np.flatnonzero(out >= 0).tolist() == sorted(present)
    assert table.expire(1 << 60) == len(present) and len(table) == 0
    assert table.lookup_keys(keys, hashes, out) == 40_000


@pytest.mark.parametrize("capacity", [65536, 300_000])
@pytest.mark.parametrize("grown", [True, False])
def test_a_flow_takes_at_most_192_bytes_all_told(capacity, grown):
    table = FlowTable(capacity, ready=0 if grown else capacity * 95 // 100)
    for begin in range(0, capacity * 95 // 100, 4096):
        insert(table, range(begin, min(begin + 4096, capacity * 95 // 100)))
    assert table.nbytes / len(table) <= 192


def test_memory_follows_the_flows():
    table = FlowTable(1 << 24)
    assert table.nbytes < 10_000
    insert(table, range(1000))
    assert table.nbytes < 1000 * 320
    ready = FlowTable(1 << 24, ready=1000)
    assert 1000 * 184 <= ready.nbytes < 1000 * 320


def established(table, numbers, now_ns):
    """Make flows that were answered; return a batch that has a packet of each."""
    indexes = insert(table, numbers, now_ns)
    batch = PacketBatch(len(indexes), 256)
    batch.reset(len(indexes))
    batch.entry[:], batch.direction[:], batch.protocol[:] = indexes, 1, 17
    table.account_batch(batch, now_ns)
    assert (table.entries_view["state"][indexes] == FlowState.FLOW_SEEN_REPLY).all()
    return batch


def test_a_flood_of_new_flows_evicts_no_flow_that_carries_traffic():
    table = FlowTable(20_000)
    batch = established(table, range(4000), 1)
    before = table.entries_view["packets"][batch.entry].copy()
    for turn, begin in enumerate(range(10_000, 1_010_000, 50_000)):
        assert table.insert_keys(*(flood := columns(range(begin, begin + 50_000)))[:2], 2 + turn, UDP, flood[2]) == 16_000
        table.account_batch(batch, 2 + turn)
    keys, hashes, out = columns(range(4000))
    assert table.lookup_keys(keys, hashes, out) == 0
    assert (out == batch.entry).all()
    assert (table.entries_view["packets"][out] - before == [0, 20]).all()


def test_a_flood_in_small_steps_gives_way_to_itself_alone():
    table = FlowTable(2000)
    batch, bystanders = established(table, range(1000), 1), established(table, range(1000, 1500), 1)
    table.remove_flows(bystanders.entry.copy())
    for now, begin in enumerate(range(10_000, 1_010_000, 500), 2):
        out = insert(table, range(begin, begin + 500), now)
        assert (out >= 0).all()
    assert len(table) == 2000
    assert table.lookup_keys(*columns(range(1000))) == 0
    assert table.lookup_keys(*columns(range(1_009_000, 1_010_000))) == 0
    assert (table.entries_view["used"][batch.entry] != 0).all()


class Growing(RuleBasedStateMachine):
    """Any sequence of comings and goings, beside a dictionary, in a table that grows several times."""

    @initialize(capacity=st.integers(500, 9000), kinds=st.sampled_from([None, None, 50, 2000]))
    def start(self, capacity, kinds):
        self.table, self.capacity, self.kinds, self.held, self.following = FlowTable(capacity), capacity, kinds, {}, 0

    @rule(count=st.integers(1, 1500))
    def come(self, count):
        count = min(count, self.capacity - len(self.held))
        numbers = range(self.following, self.following + count)
        keys, hashes, out = columns(numbers, self.kinds)
        assert self.table.insert_keys(keys, hashes, 1, UDP, out) == count
        self.held |= dict(zip(numbers, out.tolist(), strict=True))
        self.following += count

    @rule(share=st.floats(0, 1), seed=st.integers(0, 9))
    def go(self, share, seed):
        gone = np.random.default_rng(seed).choice(list(self.held), int(share * len(self.held)), replace=False)
        assert self.table.remove_flows(np.array([self.held.pop(int(number)) for number in gone], np.int32)) == len(gone)

    @invariant()
    def all_are_there_and_no_others(self):
        if not hasattr(self, "table"):
            return
        assert len(self.table) == len(self.held)
        keys, hashes, out = columns(range(self.following), self.kinds)
        self.table.lookup_keys(keys, hashes, out)
        assert {number: index for number, index in enumerate(out.tolist()) if index >= 0} == self.held


TestGrowing = Growing.TestCase
TestGrowing.settings = settings(max_examples=25, stateful_step_count=15, deadline=None,
                                suppress_health_check=list(HealthCheck))
