"""Idle times by port, by fastpath and its model."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import portidle
from fastpath.flowkey import Secret, key_hash, make_key
from fastpath.flowtable import FlowTable, TimeoutClass
from model import portidle as reference

SECOND = 1_000_000_000
TCP, UDP = 6, 17
TIMES = [(UDP, 53, 53, 10.0), (TCP, 22, 22, 4000.0), (UDP, 5000, 5999, 2.0), (UDP, 5060, 5060, 10.0)]
SECRET = Secret(bytes(range(32)))


@pytest.fixture(params=[portidle, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def flow(table, number, now=0, kind=TimeoutClass.TIMEOUT_UDP):
    key, _ = make_key("10.8.6.4", "10.8.7.4", protocol=17, source_port=number, destination_port=1)
    out = np.zeros(1, np.int32)
    keys = np.frombuffer(key, np.uint8).reshape(1, 40)
    table.insert_keys(keys, np.array([key_hash(key, SECRET)], np.uint64), now, kind, out)
    return int(out[0])


def due(made, table, now, room=8):
    out = np.zeros(room, np.int32)
    return out[:made.due_flows(table, now, out)].tolist()


def test_a_flow_ends_by_the_time_of_its_port(impl):
    made, table = impl.PortIdle(16, TIMES), FlowTable(16)
    flows = {port: flow(table, port) for port in (53, 5000, 5060, 80)}
    for port, index in flows.items():
        made.enter_one(table, index, UDP, port, 0)
    ended = {}
    for tenth in range(1, 160):
        for index in due(made, table, tenth * SECOND // 10):
            ended[index] = tenth / 10
            table.remove_one(index)
    assert ended.keys() == {flows[53], flows[5000], flows[5060]}
    assert 10 < ended[flows[53]] <= 11.4 and 10 < ended[flows[5060]] <= 11.4 and 2 < ended[flows[5000]] <= 2.4


def test_a_flow_that_is_used_stays(impl):
    made, table = impl.PortIdle(16, TIMES), FlowTable(16)
    index = flow(table, 1)
    made.enter_one(table, index, UDP, 5000, 0)
    for second in range(1, 40):
        table.touch_one(index, TimeoutClass.TIMEOUT_UDP, second * SECOND)
        assert due(made, table, second * SECOND) == []
    assert due(made, table, 42 * SECOND) == [index]


def test_connections_that_open_or_close_are_the_table_s(impl):
    made, table = impl.PortIdle(16, TIMES), FlowTable(16)
    index = flow(table, 1, kind=TimeoutClass.TIMEOUT_TCP_OPENING)
    made.enter_one(table, index, TCP, 22, 0)
    assert due(made, table, 5000 * SECOND) == []
    table.touch_one(index, TimeoutClass.TIMEOUT_TCP, 5000 * SECOND)
    assert due(made, table, 9001 * SECOND) == [index]


def test_a_place_that_is_another_flow_s_is_left_alone(impl):
    made, table = impl.PortIdle(16, TIMES), FlowTable(16)
    index = flow(table, 1)
    made.enter_one(table, index, UDP, 5000, 0)
    table.remove_one(index)
    assert flow(table, 2) == index
    assert due(made, table, 3 * SECOND) == []


def test_no_more_are_written_than_there_is_room_for(impl):
    made, table = impl.PortIdle(16, TIMES), FlowTable(16)
    for k in range(5):
        made.enter_one(table, flow(table, k), UDP, 5000, 0)
    assert [len(due(made, table, 3 * SECOND, 2)) for _ in range(4)] == [2, 2, 1, 0]


def test_wrong_calls_are_named(impl):
    for times, name in (([(1, 0, 1, 9)], "protocol"), ([(6, 2, 1, 9)], "ports"), ([(6, 0, 70000, 9)], "ports"),
                        ([(6, 0, 1, 0)], "seconds"), ([(6, k, k, 1.0 + k) for k in range(32)], "31")):
        with pytest.raises(ValueError, match=name):
            impl.PortIdle(16, times)
    with pytest.raises(ValueError, match="capacity"):
        impl.PortIdle(0)
    made, table = impl.PortIdle(16, TIMES), FlowTable(16)
    with pytest.raises(ValueError):
        made.enter_one(table, 0, UDP, 53, 0)
    assert made.kinds == 3


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([53, 80, 5000]), st.integers(0, 3000)), max_size=60))
def test_any_sequence_ends_the_same_flows_as_the_model(steps):
    made, model, now = portidle.PortIdle(4, TIMES), reference.PortIdle(4, TIMES), 0
    tables, used = (FlowTable(8), FlowTable(8)), []
    for number, port, wait in steps:
        now += wait * 1_000_000
        ended = [due(one, table, now) for one, table in zip((made, model), tables, strict=True)]
        assert ended[0] == ended[1]
        for one, table in zip((made, model), tables, strict=True):
            for index in ended[0]:
                table.remove_one(index)
            if len(table) < 8:
                one.enter_one(table, flow(table, 10 * len(used) + number, now), UDP, port, now)
        used.append(number)
