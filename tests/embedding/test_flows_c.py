"""The C interface's flow table does what FlowTable does, call by call."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath.batch import PacketBatch
from fastpath.flowkey import Secret, key_hash
from fastpath.flowtable import FlowState, FlowTable, TimeoutClass

from .library import EEXIST, EFULL, ENOENT, OK, ffi, filled, lib

SECOND = 1_000_000_000
IDLE_S = (60, 10, 2, 30, 5, 20)
SECRET = Secret(bytes(range(32)))
TCP, UDP = 6, 17


class Twins:
    """A table of the C interface and a FlowTable, to which the same is done."""

    def __init__(self, capacity: int) -> None:
        self.handle = ffi.new("fastpath_flows **")
        idle_ns = ffi.new("uint64_t[6]", [idle * SECOND for idle in IDLE_S])
        assert lib.fastpath_flows_create(capacity, idle_ns, 6, self.handle) == OK
        self.flows = self.handle[0]
        self.python = FlowTable(capacity, dict(enumerate(IDLE_S)))
        self.batch = PacketBatch(1, 256)
        self.index = ffi.new("int32_t *")

    def key(self, number: int) -> bytes:
        return number.to_bytes(38, "little") + bytes([TCP if number % 2 else UDP, 4])

    def arguments(self, number: int) -> tuple[Any, int]:
        key = ffi.new("struct fastpath_flow_key *")
        ffi.buffer(key)[:] = self.key(number)
        return key, key_hash(self.key(number), SECRET)

    def row(self, number: int, entry: int, direction: int, flags: int = 0) -> PacketBatch:
        self.batch.reset(1)
        self.batch.key[0] = np.frombuffer(self.key(number), np.uint8)
        self.batch.hash[0], self.batch.entry[0] = key_hash(self.key(number), SECRET), entry
        self.batch.protocol[0], self.batch.direction[0] = self.key(number)[38], direction
        self.batch.tcp_flags[0], self.batch.inner_length[0] = flags, 100
        return self.batch

    def insert(self, number: int, direction: int, timeout: int, now_ns: int) -> None:
        there = self.python.find_one(self.key(number), key_hash(self.key(number), SECRET))
        full = len(self.python) == self.python.capacity
        result = lib.fastpath_flows_insert(self.flows, *self.arguments(number), direction, timeout, now_ns, self.index)
        assert result == (EEXIST if there >= 0 else EFULL if full else OK)
        if result == OK:
            batch = self.row(number, -1, direction)
            assert self.python.insert_misses(batch, now_ns, timeout) == 1
            there = int(batch.entry[0])
        assert result == EFULL or self.index[0] == there

    def find(self, number: int) -> int:
        there = self.python.find_one(self.key(number), key_hash(self.key(number), SECRET))
        result = lib.fastpath_flows_find(self.flows, *self.arguments(number), self.index)
        assert (result, self.index[0]) == (OK if there >= 0 else ENOENT, there)
        return there

    def account(self, number: int, direction: int, flags: int, now_ns: int) -> None:
        index = self.find(number)
        result = lib.fastpath_flows_account(self.flows, index, direction, flags, 100, now_ns)
        assert result == (OK if index >= 0 else ENOENT)
        if index >= 0:
            self.python.account_batch(self.row(number, index, direction, flags), now_ns)

    def touch(self, number: int, timeout: int, now_ns: int) -> None:
        index = self.find(number)
        assert lib.fastpath_flows_touch(self.flows, index, timeout, now_ns) == (OK if index >= 0 else ENOENT)
        if index >= 0:
            self.python.touch_one(index, timeout, now_ns)

    def remove(self, number: int) -> None:
        index = self.find(number)
        assert lib.fastpath_flows_remove(self.flows, index) == (OK if index >= 0 else ENOENT)
        if index >= 0:
            self.python.remove_one(index)

    def expire(self, now_ns: int) -> None:
        indexes, n, out = ffi.new("int32_t[8]"), ffi.new("size_t *"), np.zeros(8, np.int32)
        assert lib.fastpath_flows_due(self.flows, now_ns, indexes, 8, n) == OK
        assert n[0] == self.python.due_flows(now_ns, out) and list(indexes) == out.tolist()
        assert lib.fastpath_flows_expire(self.flows, now_ns, n) == OK
        assert n[0] == self.python.expire(now_ns)

    def compare(self, numbers: range) -> None:
        """Every flow is the same in both, found alone and in a batch."""
        assert lib.fastpath_flows_size(self.flows) == len(self.python)
        oldest = self.python.oldest_one()
        result = lib.fastpath_flows_oldest(self.flows, self.index)
        assert (result, self.index[0]) == (OK if oldest >= 0 else ENOENT, oldest)
        found = [self.find(number) for number in numbers]
        keys = ffi.new("struct fastpath_flow_key[]", len(numbers))
        ffi.buffer(keys)[:] = b"".join(self.key(number) for number in numbers)
        hashes = ffi.new("uint64_t[]", [key_hash(self.key(number), SECRET) for number in numbers])
        indexes, misses = ffi.new("int32_t[]", len(numbers)), ffi.new("size_t *")
        assert lib.fastpath_flows_lookup_batch(self.flows, keys, hashes, indexes, len(numbers), misses) == OK
        assert (list(indexes), misses[0]) == (found, found.count(-1))
        for index in found:
            result, flow = filled("fastpath_flow", lib.fastpath_flows_get, self.flows, index)
            assert result == (OK if index >= 0 else ENOENT)
            if index >= 0:
                same(flow, self.python.get(index))


def same(flow: Any, twin: dict[str, Any]) -> None:
    key = bytes(ffi.buffer(ffi.addressof(flow, "key")))
    assert (key[:16], key[16:32]) == (twin["a_address"], twin["b_address"])
    assert (flow.key.a_port, flow.key.b_port, flow.key.space) == (twin["a_port"], twin["b_port"], twin["namespace"])
    assert (flow.key.protocol, flow.key.ip_version) == (twin["protocol"], twin["ip_version"])
    assert (list(flow.packets), list(flow.bytes)) == (twin["packets"], twin["bytes"])
    for name in ("hash", "started_ns", "last_seen_ns", "owner", "state", "initiator"):
        assert getattr(flow, name) == twin[name], name
    assert flow.timeout == twin["timeout_class"]


@pytest.fixture
def twins() -> Iterator[Twins]:
    made = Twins(64)
    yield made
    lib.fastpath_flows_free(made.handle)


STEP = st.tuples(
    st.sampled_from(["insert", "insert", "insert", "account", "account", "touch", "remove", "expire"]),
    st.integers(0, 11), st.integers(0, 1), st.sampled_from([0, 0x10, 0x11, 0x04]), st.sampled_from(list(TimeoutClass)),
    st.integers(0, 8 * SECOND),
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(STEP, max_size=60))
def test_any_series_of_calls_leads_to_the_same_table(steps) -> None:
    twins, now_ns = Twins(8), SECOND
    for verb, number, direction, flags, timeout, later_ns in steps:
        now_ns += later_ns
        match verb:
            case "insert":
                twins.insert(number, direction, timeout, now_ns)
            case "account":
                twins.account(number, direction, flags, now_ns)
            case "touch":
                twins.touch(number, timeout, now_ns)
            case "remove":
                twins.remove(number)
            case "expire":
                twins.expire(now_ns)
    twins.compare(range(12))
    lib.fastpath_flows_free(twins.handle)


def test_a_batch_of_many_flows_is_found(twins: Twins) -> None:
    for number in range(64):
        twins.insert(number, 0, TimeoutClass.TIMEOUT_UDP, SECOND)
    twins.compare(range(200))
    twins.insert(64, 0, TimeoutClass.TIMEOUT_UDP, SECOND)          # full


def test_accounting_follows_a_connection_from_opening_to_closing(twins: Twins) -> None:
    twins.insert(1, 1, TimeoutClass.TIMEOUT_TCP_OPENING, SECOND)
    index = twins.find(1)
    for direction, flags, state, timeout in (
        (1, 0x02, 0, TimeoutClass.TIMEOUT_TCP_OPENING),
        (0, 0x12, FlowState.FLOW_SEEN_REPLY, TimeoutClass.TIMEOUT_TCP_OPENING),
        (1, 0x11, 128 | FlowState.FLOW_SEEN_REPLY | FlowState.FLOW_FIN_FORWARD, TimeoutClass.TIMEOUT_TCP),
        (0, 0x04, 128 | 11, TimeoutClass.TIMEOUT_TCP_CLOSING),
    ):
        assert lib.fastpath_flows_account(twins.flows, index, direction, flags, 60, SECOND) == OK
        _, flow = filled("fastpath_flow", lib.fastpath_flows_get, twins.flows, index)
        assert (flow.state, flow.timeout) == (state, timeout)
    assert (list(flow.packets), list(flow.bytes)) == ([2, 2], [120, 120])


def test_a_number_attached_to_a_flow_stays_with_it(twins: Twins) -> None:
    twins.insert(1, 0, TimeoutClass.TIMEOUT_UDP, SECOND)
    assert lib.fastpath_flows_set_owner(twins.flows, twins.find(1), 0xFFFFFFFF) == OK
    _, flow = filled("fastpath_flow", lib.fastpath_flows_get, twins.flows, twins.find(1))
    assert flow.owner == 0xFFFFFFFF


def test_memory_grows_with_flows_and_stays_under_its_bound(twins: Twins) -> None:
    before = lib.fastpath_flows_bytes(twins.flows)
    for number in range(64):
        twins.insert(number, 0, TimeoutClass.TIMEOUT_UDP, SECOND)
    assert before < lib.fastpath_flows_bytes(twins.flows) <= before + 64 * 192
    assert lib.fastpath_flows_capacity(twins.flows) == 64
