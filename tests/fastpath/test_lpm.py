"""fastpath.lpm and its model, by one suite."""

import ipaddress
from ipaddress import IPv4Network, IPv6Network

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import machine_scripts
from fastpath import lpm
from model import lpm as reference

FAMILIES = {32: ("Lpm4", IPv4Network), 128: ("Lpm6", IPv6Network)}


@pytest.fixture(params=[lpm, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


@pytest.fixture(params=[32, 128], ids=["IPv4", "IPv6"])
def bits(request):
    return request.param


@pytest.fixture
def make(impl, bits):
    return getattr(impl, FAMILIES[bits][0])


def array_of(addresses, bits):
    if bits == 32:
        return np.array(addresses, np.uint32)
    packed = b"".join(address.to_bytes(16) for address in addresses)
    return np.frombuffer(packed, np.uint8).reshape(-1, 16).copy()


def batch(table, addresses, bits):
    out = np.zeros(len(addresses), np.uint32)
    assert table.lookup_batch(array_of(addresses, bits), out) == len(addresses)
    return out.tolist()


def edges(prefix, bits):
    """First and last address of a prefix, and their neighbours outside."""
    address, length = prefix
    last = address + (1 << (bits - length)) - 1
    return [edge for edge in (address - 1, address, last, last + 1) if 0 <= edge < 1 << bits]


def test_an_empty_table_answers_its_default(make):
    assert make().lookup(1) == 0
    assert make(7).lookup(1) == 7
    assert make(7).default == 7
    assert len(make()) == 0
    assert list(make()) == []


@pytest.mark.parametrize("eighths", range(33))
def test_every_length_matches_its_own_addresses_only(make, bits, eighths):
    length = eighths * bits // 32
    address = (0xA5A5C3C3A5A5C3C3_5A5A3C3C5A5A3C3C >> (128 - bits)) >> (bits - length) << (bits - length)
    table = make(1)
    table.insert((address, length), 2)
    addresses = edges((address, length), bits)
    inside = [address <= edge < address + (1 << (bits - length)) for edge in addresses]
    assert batch(table, addresses, bits) == [2 if within else 1 for within in inside]
    assert table.remove((address, length))
    assert batch(table, addresses, bits) == [1] * len(addresses)


def test_the_longest_of_nested_prefixes_wins_and_removal_uncovers_the_next(make, bits):
    table = make(99)
    prefixes = [(0, length) for length in range(bits + 1)]
    for address, length in prefixes:
        table.insert((address, length), length)
    assert len(table) == bits + 1
    for length in range(bits, -1, -1):
        assert table.lookup(0) == length
        assert table.lookup((1 << bits) - 1) == 0 if length else True
        assert table.remove((0, length))
    assert table.lookup(0) == 99


def test_all_values_of_32_bits_are_kept(make, bits):
    table = make(0xFFFFFFFF)
    for length in (0, 8, 16, 20, 24, 28, 32):
        table.insert((0, length), 0xFFFFFFFF - length)
        assert table.lookup(0) == 0xFFFFFFFF - length
    assert table.lookup(1 << (bits - 1)) == 0xFFFFFFFF


def test_prefixes_may_be_text_networks_or_numbers():
    for impl in (lpm, reference):
        table4, table6 = impl.Lpm4(), impl.Lpm6()
        table4.insert("10.0.0.0/8", 1)
        table4.insert(IPv4Network("10.1.0.0/16"), 2)
        table4.insert((0x0A010100, 24), 3)
        table6.insert("2001:db8::/32", 4)
        asked = "10.9.9.9", ipaddress.IPv4Address("10.1.9.9"), 0x0A010101
        assert [table4.lookup(address) for address in asked] == [1, 2, 3]
        assert table6.lookup("2001:db8::1") == table6.lookup(ipaddress.IPv6Address("2001:db8::1").packed) == 4
        networks = IPv4Network("10.0.0.0/8"), IPv4Network("10.1.0.0/16"), IPv4Network("10.1.1.0/24")
        assert list(table4) == list(zip(networks, (1, 2, 3), strict=True))
        assert table4.exact("10.1.0.0/16") == 2
        assert table4.exact("10.1.0.0/17") is None


@pytest.mark.parametrize("prefix", ["10.0.0.1/8", (0x0A000001, 8), (0, 33), (0, -1), (1 << 32, 32), (-1, 32), "::/0",
                                    "nonsense"])
def test_a_wrong_prefix_is_refused_by_name(impl, prefix):
    table = impl.Lpm4()
    for call in (lambda: table.insert(prefix, 1), lambda: table.remove(prefix), lambda: table.exact(prefix),
                 lambda: table.replace([(prefix, 1)])):
        with pytest.raises(ValueError, match=r"prefix|does not appear|host bits"):
            call()
    assert len(table) == 0


def test_host_bits_are_refused_by_name_in_both_families():
    with pytest.raises(ValueError, match=r"10\.0\.0\.1/8 has host bits set"):
        lpm.Lpm4().insert("10.0.0.1/8", 1)
    with pytest.raises(ValueError, match="2001:db8::1/32 has host bits set"):
        lpm.Lpm6().insert("2001:db8::1/32", 1)


def test_a_value_must_have_32_bits(make):
    for wrong in (-1, 1 << 32):
        with pytest.raises(ValueError, match="value"):
            make().insert((0, 0), wrong)
        with pytest.raises(ValueError, match="value"):
            make().replace({(0, 0): wrong})


def test_addresses_of_the_other_family_are_refused(impl):
    with pytest.raises(ValueError, match="::1"):
        impl.Lpm4().lookup("::1")
    with pytest.raises(ValueError, match=r"10\.0\.0\.1"):
        impl.Lpm6().lookup("10.0.0.1")


def test_replace_swaps_everything_and_a_refused_one_nothing(make, bits):
    table = make()
    table.insert((0, 1), 1)
    table.replace({(0, 2): 2, (0, 3): 3})
    assert len(table) == 2
    assert table.lookup(0) == 3
    assert table.exact((0, 1)) is None
    with pytest.raises(ValueError, match="prefix"):
        table.replace([((0, 4), 4), ((1, 4), 4)])
    assert [value for _, value in table] == [2, 3]
    table.replace([])
    assert len(table) == 0
    assert table.lookup(0) == 0


def test_the_last_of_equal_prefixes_counts_in_replace(make, bits):
    table = make()
    table.replace([((0, 8), 1), ((0, 0), 9), ((0, 8), 2)])
    assert table.lookup(0) == 2
    table.replace_arrays(array_of([0, 0, 0], bits), np.array([8, 0, 8], np.uint8), np.array([1, 9, 3], np.uint32))
    assert table.lookup(0) == 3
    assert len(table) == 2


def test_replace_arrays_refuses_host_bits_lengths_and_shapes(make, bits):
    table = make()
    table.insert((0, 8), 1)
    good = array_of([0, 1 << (bits - 1)], bits), np.array([8, 1], np.uint8), np.array([2, 3], np.uint32)
    with pytest.raises(ValueError, match="host bits"):
        table.replace_arrays(array_of([0, 1], bits), good[1], good[2])
    with pytest.raises(ValueError, match=r"length|prefix"):
        table.replace_arrays(good[0], np.array([8, bits + 1], np.uint8), good[2])
    with pytest.raises(ValueError, match="equally many"):
        table.replace_arrays(good[0], good[1][:1], good[2])
    assert list(table) == [(FAMILIES[bits][1]((0, 8)), 1)]
    table.replace_arrays(*good)
    assert batch(table, [0, (1 << bits) - 1, 1 << (bits - 2)], bits) == [2, 3, 0]


def test_batches_of_wrong_shape_are_refused_and_empty_ones_are_not(make, bits):
    table = make()
    with pytest.raises(ValueError, match="out"):
        table.lookup_batch(array_of([0, 1], bits), np.zeros(3, np.uint32))
    assert table.lookup_batch(array_of([], bits), np.zeros(0, np.uint32)) == 0


def test_ipv6_addresses_must_be_16_wide(impl):
    with pytest.raises(ValueError, match="16"):
        impl.Lpm6().lookup_batch(np.zeros((1, 15), np.uint8), np.zeros(1, np.uint32))


HISTOGRAM = {32: {8: 16, 12: 20, 16: 140, 18: 100, 20: 300, 22: 500, 24: 850, 30: 20, 32: 60},
             128: {20: 10, 29: 90, 32: 300, 36: 80, 40: 200, 44: 250, 48: 950, 56: 10, 64: 60, 127: 10, 128: 40}}


def routes_like_a_real_table(bits, seed=5):
    """About 2,000 prefixes, clustered as registries give them out, lengths as a tier-1 table has them."""
    rng = np.random.default_rng(seed)
    blocks = [int(rng.integers(1, 224)) << 8 | int(rng.integers(256)) if bits == 32 else 0x2000 | int(rng.integers(0x1000))
              for _ in range(60)]
    routes = {}
    for length, count in HISTOGRAM[bits].items():
        for _ in range(count):
            low = int.from_bytes(rng.bytes(14)) >> (112 - (bits - 16))
            if rng.random() < 0.2:
                low = int(rng.integers(1 << 12)) << (bits - 28)
            address = blocks[int(rng.integers(len(blocks)))] << (bits - 16) | low
            routes[(address >> (bits - length) << (bits - length), length)] = int(rng.integers(1, 500))
    return routes


def test_a_table_like_the_internets_agrees_with_the_model(bits):
    routes = routes_like_a_real_table(bits)
    table, model = getattr(lpm, FAMILIES[bits][0])(), getattr(reference, FAMILIES[bits][0])()
    table.replace(routes)
    model.replace(routes)
    addresses = [edge for prefix in routes for edge in edges(prefix, bits)]
    assert batch(table, addresses, bits) == batch(model, addresses, bits)
    assert list(table) == list(model)
    for prefix in list(routes)[::3]:
        assert table.remove(prefix)
        assert model.remove(prefix)
    assert batch(table, addresses, bits) == batch(model, addresses, bits)
    grown = getattr(lpm, FAMILIES[bits][0])()
    for prefix, value in list(table):
        grown.insert(prefix, value)
    assert batch(grown, addresses, bits) == batch(model, addresses, bits)


def test_reclaim_after_many_changes_leaves_the_answers_alone(make, bits):
    table = make()
    for number in range(3000):
        table.insert((number << (bits - 12) if number < 4096 else 0, bits), number)
        if number % 500 == 0:
            table.reclaim()
    table.reclaim()
    assert batch(table, [number << (bits - 12) for number in range(3000)], bits) == list(range(3000))
    assert 0 < table.memory < 1 << 23


class Machine(RuleBasedStateMachine):
    """Any sequence of changes: the same answers as the model, at the edges of every prefix ever used and at random."""

    bits = 32

    @initialize(default=st.integers(0, 3))
    def start(self, default):
        self.table = getattr(lpm, FAMILIES[self.bits][0])(default)
        self.model = getattr(reference, FAMILIES[self.bits][0])(default)
        self.probes = {0, (1 << self.bits) - 1}

    def prefix(self, seed):
        length, high, low = seed
        length = length % (self.bits + 1)
        address = (high << (self.bits - 6) | low << max(0, self.bits - 20)) % (1 << self.bits)
        prefix = address >> (self.bits - length) << (self.bits - length), length
        self.probes.update(edges(prefix, self.bits))
        return prefix

    seeds = st.tuples(st.integers(0, 128), st.integers(0, 63), st.integers(0, 1 << 14))

    @rule(seed=seeds, value=st.integers(0, 5))
    def insert(self, seed, value):
        prefix = self.prefix(seed)
        self.table.insert(prefix, value)
        self.model.insert(prefix, value)

    @rule(seed=seeds)
    def remove(self, seed):
        prefix = self.prefix(seed)
        assert self.table.remove(prefix) == self.model.remove(prefix)

    @rule(choice=st.integers(0, 1000))
    def remove_one_that_is_there(self, choice):
        present = list(self.model)
        if present:
            network = present[choice % len(present)][0]
            assert self.table.exact(network) == self.model.exact(network)
            assert self.table.remove(network) and self.model.remove(network)

    @rule(seeds=st.lists(seeds, max_size=20), value=st.integers(0, 5))
    def replace(self, seeds, value):
        routes = [(self.prefix(seed), value) for seed in seeds]
        self.table.replace(routes)
        self.model.replace(routes)

    @rule()
    def reclaim(self):
        self.table.reclaim()

    @invariant()
    def answers_agree(self):
        if not hasattr(self, "probes"):
            return
        probes = sorted(self.probes)
        assert batch(self.table, probes, self.bits) == batch(self.model, probes, self.bits)
        assert [self.table.lookup(probe) for probe in probes[:4]] == [self.model.lookup(probe) for probe in probes[:4]]
        assert list(self.table) == list(self.model)
        assert len(self.table) == len(self.model)


class Machine6(Machine):
    bits = 128


@pytest.mark.parametrize("machine", [Machine, Machine6])
@pytest.mark.parametrize("steps", machine_scripts.LPM.values(), ids=machine_scripts.LPM)
def test_a_written_sequence_of_changes(machine, steps):
    machine_scripts.play(machine, "answers_agree", steps)


SETTINGS = settings(max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck))
TestAnyChangesIPv4 = Machine.TestCase
TestAnyChangesIPv4.settings = SETTINGS
TestAnyChangesIPv6 = Machine6.TestCase
TestAnyChangesIPv6.settings = SETTINGS
