"""The flow table in any sequence of uses, beside its model."""

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import machine_scripts
from fastpath import flowtable
from fastpath.flowtable import TimeoutClass
from flow_rows import UDP, columns, hash_of, key_of, rows
from model import flowtable as reference

TCP, ICMP, GRE = 6, 1, 47


class Machine(RuleBasedStateMachine):
    """Any sequence of uses: both tables hold the same flows, in the same order of use."""

    @initialize(capacity=st.integers(1, 12), kinds=st.sampled_from([1, 3, 1 << 64]))
    def start(self, capacity, kinds):
        self.tables = [made.FlowTable(capacity, {TimeoutClass.TIMEOUT_UDP: 20e-9, TimeoutClass.TIMEOUT_TCP: 50e-9})
                       for made in (flowtable, reference)]
        self.kinds, self.now = kinds, 1

    def both(self, act):
        answers = [act(table) for table in self.tables]
        assert answers[0] == answers[1]
        return answers[0]

    def index(self, table, number, protocol):
        key = key_of(number, protocol)
        return table.find_one(key, hash_of(key, self.kinds))

    numbers, protocols = st.integers(0, 15), st.sampled_from([TCP, UDP, ICMP, GRE])

    @rule(chosen=st.lists(numbers, max_size=8), protocol=protocols, direction=st.integers(0, 1), flags=st.integers(0, 31),
          later=st.integers(0, 10))
    def packets(self, chosen, protocol, direction, flags, later):
        self.now += later

        def use(table):
            batch = rows(chosen, protocol, direction, flags if protocol == TCP else 0, self.kinds)
            misses = table.lookup_batch(batch)
            made = table.insert_misses(batch, self.now)
            return misses, made, table.account_batch(batch, self.now), batch.reason.tolist()

        self.both(use)

    @rule(number=numbers, protocol=protocols)
    def remove(self, number, protocol):
        def remove(table):
            index = self.index(table, number, protocol)
            return index >= 0 and table.remove_one(index)

        self.both(remove)

    @rule(number=numbers, protocol=protocols, timeout_class=st.integers(0, 5))
    def touch(self, number, protocol, timeout_class):
        def touch(table):
            index = self.index(table, number, protocol)
            return index >= 0 and table.touch_one(index, timeout_class, self.now)

        self.both(touch)

    @rule(number=numbers, protocol=protocols, pinned=st.booleans())
    def pin(self, number, protocol, pinned):
        def pin(table):
            index = self.index(table, number, protocol)
            return index >= 0 and table.pin_one(index, pinned, self.now)

        self.both(pin)

    @rule(chosen=st.lists(numbers, max_size=8), later=st.integers(0, 10), timeout_class=st.integers(0, 5))
    def keys(self, chosen, later, timeout_class):
        self.now += later

        def use(table):
            keys, hashes, out = columns(chosen, self.kinds)
            missed = table.lookup_keys(keys, hashes, out), (out < 0).tolist()
            made = table.insert_keys(keys, hashes, self.now, timeout_class, out)
            return missed, made, [index >= 0 and self.described(table, int(index)) for index in out]

        self.both(use)

    @rule(chosen=st.lists(numbers, max_size=8))
    def remove_many(self, chosen):
        def remove(table):
            keys, hashes, out = columns(chosen, self.kinds)
            table.lookup_keys(keys, hashes, out)
            return table.remove_flows(out[out >= 0])

        self.both(remove)

    @rule(later=st.integers(0, 60))
    def expire(self, later):
        self.now += later
        self.both(lambda table: table.expire(self.now))

    @invariant()
    def flows_agree(self):
        if not hasattr(self, "tables"):
            return
        self.both(len)
        self.both(self.listed)
        self.both(lambda table: table.oldest_one() >= 0 and self.described(table, table.oldest_one()))
        self.both(self.due)

    def due(self, table):
        out = np.zeros(12, np.int32)
        return [self.described(table, int(index)) for index in out[:table.due_flows(self.now + 30, out)]]

    def listed(self, table):
        used = np.flatnonzero(table.entries_view["used"])
        return sorted(self.described(table, int(index)) for index in used)

    def described(self, table, index):
        flow = table.get(index)
        return [(name, flow[name]) for name in flow if name not in ("previous", "next")]


@pytest.mark.parametrize("steps", machine_scripts.FLOWS.values(), ids=machine_scripts.FLOWS)
def test_a_written_sequence_of_uses(steps):
    machine_scripts.play(Machine, "flows_agree", steps)


TestAnyUses = Machine.TestCase
TestAnyUses.settings = settings(max_examples=80, stateful_step_count=30, deadline=None,
                                suppress_health_check=list(HealthCheck))
