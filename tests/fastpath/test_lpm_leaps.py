"""IPv6 routes in clusters, whose paths share many bits, fork anywhere and cross the 64th: any change, each path, the model."""

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from fastpath import lpm
from model import lpm as reference

EVERY = (1 << 128) - 1
BASES = (0x20010DB8_00000000_00000000_00000000, 0x2A0B1234_0000FFFF_00000000_00000001, 0xFD00ABCD_EF010203_FFFFFFFF_FFFFFFFF)


def cut(address, length):
    return address >> (128 - length) << (128 - length), length


def array_of(addresses):
    return np.frombuffer(b"".join(address.to_bytes(16) for address in addresses), np.uint8).reshape(-1, 16).copy()


def answers(table, addresses):
    out = np.zeros(len(addresses), np.uint32)
    table.lookup_batch(array_of(addresses), out)
    return out.tolist()


def around(prefix):
    """The edges of a prefix, their neighbours, and addresses that leave its path at each eighth bit."""
    address, length = prefix
    last = address | EVERY >> length
    return [address, last, address - 1 & EVERY, last + 1 & EVERY, *(address ^ 1 << bit for bit in range(3, 128, 8))]


class Clusters(RuleBasedStateMachine):
    """Changes near a few addresses; groups of many routes numbered behind a lone path come and go whole."""

    @initialize(default=st.integers(0, 3))
    def start(self, default):
        self.tables = [lpm.Lpm6(default, path) for path in lpm.PATHS]
        self.model = reference.Lpm6(default)
        self.probes = list(BASES)

    # A base, a bit of it turned, how long, and a number in the bits before that length.
    prefixes = st.tuples(st.sampled_from(BASES), st.integers(0, 127), st.integers(0, 128), st.integers(0, 300))

    def prefix(self, drawn):
        base, turned, length, number = drawn
        return cut((base ^ 1 << turned ^ number << 128 - length) & EVERY, length)

    def change(self, prefix, value):
        for table in (*self.tables, self.model):
            if value is None:
                table.remove(prefix)
            else:
                table.insert(prefix, value)
        self.probes = (around(prefix) + self.probes)[:400]

    @rule(drawn=prefixes, value=st.integers(0, 2**32 - 1))
    def insert(self, drawn, value):
        self.change(self.prefix(drawn), value)

    @rule(drawn=prefixes)
    def remove(self, drawn):
        self.change(self.prefix(drawn), None)

    @rule(drawn=prefixes, count=st.integers(1, 700), step=st.sampled_from([1, 3, 64, 997]))
    def number_routes(self, drawn, count, step):
        address, length = self.prefix(drawn)
        routes = dict.fromkeys(((network, prefix.prefixlen) for prefix, _ in self.model
                                for network in [int(prefix.network_address)]), 9)
        routes |= {cut(address + (k * step << 128 - length) & EVERY, length): k for k in range(count)}
        for table in (*self.tables, self.model):
            table.replace(routes)
        self.probes = ([edge for prefix in list(routes)[::50] for edge in around(prefix)[:4]] + self.probes)[:400]

    @rule()
    def reclaim(self):
        for table in self.tables:
            table.reclaim()

    @invariant()
    def answers_agree(self):
        if not hasattr(self, "probes"):
            return
        expected = answers(self.model, self.probes)
        for table in self.tables:
            assert answers(table, self.probes) == expected
        assert [self.tables[0].lookup(probe) for probe in self.probes[:20]] == expected[:20]


TestClusters = Clusters.TestCase
TestClusters.settings = settings(max_examples=40, stateful_step_count=20, deadline=None,
                                suppress_health_check=list(HealthCheck))


def sites(count, site, length, each, step=1, seed=5):
    """`each` prefixes of this length, `step` apart, from the start of each of `count` sites anywhere in 2000::/3."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        address = (1 << 125 | int.from_bytes(rng.bytes(16)) >> 3) >> (128 - site) << (128 - site)
        found += [(address + (k * step << 128 - length), length) for k in range(each)]
    return found


SHAPES = {
    "sites of a thousand, sparse": sites(8, 32, 48, 1000, 61),
    "sites of many, dense": sites(3, 32, 48, 6000, 7),
    "the start of each site": sites(8, 32, 52, 300),
    "behind forty lone bits": sites(12, 24, 64, 200),
    "hosts of one network": sites(1, 64, 128, 2000),
    "hosts behind the first half": sites(6, 56, 128, 300),
    "each half has a part": sites(4, 60, 70, 900),
}


@pytest.mark.parametrize("path", lpm.PATHS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_shape_and_changes_of_it_agree_with_the_model(shape, path):
    routes = {prefix: number * 2654435761 % 4294967291 for number, prefix in enumerate(SHAPES[shape])}
    table, model = lpm.Lpm6(7, path), reference.Lpm6(7)
    addresses = [edge for prefix in list(routes)[::37] for edge in around(prefix)]
    some, length = next(iter(routes))
    changes = [(cut(some, length - 3), 1), (cut(some, min(128, length + 4)), 2), (cut(some ^ 1 << 130 - length, length), 3),
               (cut(some ^ 1 << 140 - length, length), 4), (cut(some, 20), 5), ((some, length), None), (cut(some, 20), None)]
    for each in (table, model):
        each.replace(routes)
    assert answers(table, addresses) == answers(model, addresses)
    for prefix, value in changes:
        addresses += around(prefix)
        for each in (table, model):
            if value is None:
                each.remove(prefix)
            else:
                each.insert(prefix, value)
        assert answers(table, addresses) == answers(model, addresses), (prefix, value)
        assert [table.lookup(address) for address in addresses[-20:]] == answers(model, addresses[-20:])
