"""fastpath.classify and its model, by one suite."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import classify as native
from fastpath.action import DropReason, Fragment
from fastpath.batch import PacketBatch
from fastpath.criteria import Names, Networks, Services
from fastpath.lpm import Lpm4, Lpm6
from model import classify as reference

TCP, UDP, ICMP = 6, 17, 1


@pytest.fixture(params=[native, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def bitmap(*clauses, words=1):
    row = np.zeros(words, np.uint64)
    for clause in clauses:
        row[clause // 64] |= np.uint64(1) << np.uint64(clause % 64)
    return row


def networks(rows, routes=(), default=0):
    v4, v6 = Lpm4(default), Lpm6(default)
    for prefix, row in routes:
        (v4 if ip_network(prefix).version == 4 else v6).insert(prefix, row)
    return Networks(v4, v6, np.stack(rows))


def services(rows, tcp=(), udp=(), protocols=()):
    tables = [np.zeros(size, np.uint16) for size in (65536, 65536, 256)]
    for table, values in zip(tables, (tcp, udp, protocols), strict=True):
        for at, row in values:
            table[at] = row
    return Services(*tables, np.stack(rows))


def arguments(clauses=2, **changes):
    """Rules that all match everything, but for `changes`."""
    words = (clauses - 1) // 64 + 1
    everything = bitmap(*range(clauses), words=words)
    made = {
        "actions": np.arange(clauses, dtype=np.uint8) % 6,
        "rule_of": np.arange(clauses, dtype=np.int32),
        "location": everything[None],
        "source": networks([everything]),
        "destination": networks([everything]),
        "service": services([everything]),
        "name": Names(np.zeros(8, np.uint32), np.zeros((1, words), np.uint64)),
    }
    return made | changes


def batch_of(*packets):
    """Rows of (source, destination, protocol, port, fragment)."""
    batch = PacketBatch(max(1, len(packets)), 512)
    batch.reset(len(packets))
    for i, (source, destination, protocol, port, fragment) in enumerate(packets):
        for column, text in ((batch.source, source), (batch.destination, destination)):
            address = ip_address(text)
            column[i] = list(
                address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed
            )
        batch.ip_version[i] = ip_address(source).version
        batch.protocol[i], batch.destination_port[i], batch.fragment[i] = protocol, port, fragment
    return batch


def decided(rules, *packets, location=0, name=0):
    out = np.full(len(packets), -7, np.int32)
    ids = np.full(len(packets), location, np.uint32), np.full(len(packets), name, np.uint32)
    rules.decide_batch(batch_of(*packets), *ids, out)
    return out.tolist()


def packet(
    source="10.8.6.4", destination="192.0.2.1", protocol=TCP, port=443, fragment=Fragment.FRAGMENT_NONE
):
    return source, destination, protocol, port, fragment


BOTH, LAST = bitmap(0, 1), bitmap(1)


def test_the_first_rule_that_matches_decides(impl):
    assert decided(impl.RuleSet(1, **arguments()), packet()) == [0]


def test_a_location_without_a_row_counts_as_none(impl):
    rules = impl.RuleSet(1, **arguments(location=np.stack([LAST, BOTH])))
    assert [decided(rules, packet(), location=n)[0] for n in (0, 1, 2, 2**32 - 1)] == [1, 0, 1, 1]


def test_the_longest_prefix_of_the_source_gives_the_row(impl):
    source = networks([LAST, BOTH], [("10.0.0.0/8", 1), ("10.8.0.0/16", 0), ("fd00::/8", 1)])
    rules = impl.RuleSet(1, **arguments(source=source))
    assert decided(
        rules,
        packet("10.9.0.1"),
        packet("10.8.0.1"),
        packet("11.0.0.1"),
        packet("fd00::1", "fd00::2"),
        packet("fe00::1", "fd00::2"),
    ) == [0, 1, 1, 0, 1]


def test_an_ipv6_packet_with_a_mapped_address_is_not_taken_for_ipv4(impl):
    source = networks([LAST, BOTH], [("10.0.0.0/8", 1)])
    rules = impl.RuleSet(1, **arguments(source=source))
    assert decided(rules, packet("::ffff:10.0.0.1", "fd00::2")) == [1]


def test_networks_and_names_of_a_destination_are_alternatives(impl):
    rules = impl.RuleSet(
        1,
        **arguments(
            destination=networks([LAST, BOTH], [("192.0.2.0/24", 1)]),
            name=Names(np.array([0, 1, 0], np.uint32), np.stack([bitmap(), bitmap(0)])),
        ),
    )
    assert decided(rules, packet(destination="192.0.2.1")) == [0]
    assert decided(rules, packet(destination="198.51.100.1")) == [1]
    assert decided(rules, packet(destination="198.51.100.1"), name=1) == [0]
    assert decided(rules, packet(destination="198.51.100.1"), name=2) == [1]


def test_a_name_beyond_the_capacity_counts_as_none(impl):
    rules = impl.RuleSet(
        1,
        **arguments(
            destination=networks([LAST]),
            name=Names(np.array([0, 1], np.uint32), np.stack([bitmap(), bitmap(0)])),
        ),
    )
    assert decided(rules, packet(), name=2**32 - 1) == [1]


def test_a_service_is_known_by_protocol_and_port(impl):
    rules = impl.RuleSet(
        1, **arguments(service=services([LAST, BOTH], tcp=[(443, 1)], udp=[(53, 1)], protocols=[(47, 1)]))
    )
    assert decided(
        rules,
        packet(),
        packet(port=80),
        packet(protocol=UDP, port=53),
        packet(protocol=UDP, port=443),
        packet(protocol=47, port=0),
        packet(protocol=ICMP, port=443),
    ) == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_a_later_fragment_matches_only_what_wants_no_port(impl, protocol):
    everything, wide = bitmap(0, 1, 2), bitmap(1, 2)
    rules = impl.RuleSet(1, **arguments(3, service=services([everything, wide], protocols=[(protocol, 1)])))
    first, later = Fragment.FRAGMENT_FIRST, Fragment.FRAGMENT_LATER
    assert decided(
        rules, packet(protocol=protocol, fragment=first), packet(protocol=protocol, fragment=later)
    ) == [0, 1]


def test_clauses_of_one_rule_count_as_that_rule(impl):
    rule_of = np.array([0, 0, 2, 2, 3], np.int32)
    location = np.stack([bitmap(i, 4) for i in range(5)])
    rules = impl.RuleSet(1, **arguments(5, actions=np.zeros(4, np.uint8), rule_of=rule_of, location=location))
    assert [decided(rules, packet(), location=i)[0] for i in range(5)] == [0, 0, 2, 2, 3]


@pytest.mark.parametrize("clauses", [63, 64, 65, 200])
def test_rules_of_more_than_one_word_keep_their_order(impl, clauses):
    words = (clauses - 1) // 64 + 1
    location = np.stack([bitmap(i, clauses - 1, words=words) for i in range(clauses)])
    rules = impl.RuleSet(1, **arguments(clauses, location=location))
    assert [decided(rules, packet(), location=i)[0] for i in range(clauses)] == list(range(clauses))


def test_a_dead_row_is_not_decided(impl):
    rules, batch, out = (
        impl.RuleSet(1, **arguments()),
        batch_of(packet(), packet(), packet()),
        np.zeros(4, np.int32),
    )
    batch.reason[1] = DropReason.DROP_PACKET_SHORT
    ids = np.zeros(3, np.uint32)
    assert rules.decide_batch(batch, ids, ids, out) == 2
    assert out.tolist() == [0, -1, 0, 0]


def test_a_name_seen_after_compilation_is_bound_to_a_row(impl):
    rules = impl.RuleSet(1, spare_rows=1, **arguments(destination=networks([LAST])))
    assert decided(rules, packet(), name=5) == [1]
    row = rules.add_name_row(bitmap(0))
    assert row == 1 and rules.spare_name_rows == 0
    rules.bind_name(5, row)
    rules.bind_name(5, row)
    assert decided(rules, packet(), name=5) == [0] and decided(rules, packet(), name=4) == [1]


def test_binding_is_append_only(impl):
    rules = impl.RuleSet(1, spare_rows=2, **arguments())
    first, second = rules.add_name_row(bitmap(0)), rules.add_name_row(bitmap(1))
    rules.bind_name(5, first)
    for name_id, row, named in [
        (5, second, "name_id"),
        (0, first, "name_id"),
        (8, first, "name_id"),
        (4, 3, "row"),
    ]:
        with pytest.raises(ValueError, match=named):
            rules.bind_name(name_id, row)
    with pytest.raises(ValueError, match="bitmap"):
        rules.add_name_row(bitmap(0))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("actions", np.zeros(2, np.int8)),
        ("actions", np.zeros((2, 1), np.uint8)),
        ("rule_of", np.array([1, 0], np.int32)),
        ("rule_of", np.array([0, 0], np.int32)),
        ("rule_of", np.zeros(0, np.int32)),
        ("rule_of", np.array([-1, 1], np.int32)),
        ("location", np.zeros((0, 1), np.uint64)),
        ("location", np.ones((1, 2), np.uint64)),
        ("location", np.stack([BOTH, bitmap(0)])),
        ("source", networks([BOTH], [("10.0.0.0/8", 1)])),
        ("destination", networks([BOTH], default=1)),
        ("destination", networks([BOTH, bitmap()])),
        ("service", services([BOTH], tcp=[(65535, 1)])),
        ("service", services([BOTH], udp=[(0, 1)])),
        ("service", services([BOTH], protocols=[(255, 1)])),
        ("service", services([BOTH, bitmap(0)])),
        ("name", Names(np.array([0, 1], np.uint32), np.zeros((1, 1), np.uint64))),
        ("name", Names(np.array([1], np.uint32), np.zeros((2, 1), np.uint64))),
        ("name", Names(np.zeros(0, np.uint32), np.zeros((1, 1), np.uint64))),
        ("spare_rows", -1),
    ],
)
def test_a_wrong_argument_is_named(impl, argument, value):
    with pytest.raises(ValueError, match=argument):
        impl.RuleSet(1, **arguments(**{argument: value}))


@pytest.mark.parametrize("argument", ["source", "destination", "service", "name"])
def test_an_argument_of_another_class_is_refused(impl, argument):
    with pytest.raises(TypeError, match=argument):
        impl.RuleSet(1, **arguments(**{argument: ()}))


@pytest.mark.parametrize("short", ["locations", "name_ids", "out"])
def test_arrays_shorter_than_the_batch_are_refused(impl, short):
    arrays = {
        "locations": np.zeros(2, np.uint32),
        "name_ids": np.zeros(2, np.uint32),
        "out": np.zeros(2, np.int32),
    }
    arrays[short] = arrays[short][:1]
    with pytest.raises(ValueError, match=short):
        impl.RuleSet(1, **arguments()).decide_batch(batch_of(packet(), packet()), *arrays.values())


def test_arrays_are_copied_and_cannot_be_changed(impl):
    location = np.stack([BOTH])
    rules = impl.RuleSet(1, **arguments(location=location))
    location[:] = LAST
    assert decided(rules, packet()) == [0]
    with pytest.raises(ValueError, match="read-only"):
        rules.actions[0] = 1


address4 = st.sampled_from([f"{a}.{b}.0.{c}" for a in (10, 11) for b in (0, 8) for c in (1, 200)]).map(
    IPv4Address
)
address6 = st.sampled_from(["fd00::1", "fd00:8::1", "2001:db8::1"]).map(IPv6Address)
pairs = st.tuples(address4, address4) | st.tuples(address6, address6)
routes = st.lists(
    st.tuples(
        st.sampled_from(["10.0.0.0/8", "10.8.0.0/16", "10.8.0.200/32", "fd00::/8", "fd00:8::/32"]),
        st.integers(0, 3),
    ),
    max_size=4,
    unique_by=lambda route: route[0],
)


@st.composite
def rule_arguments(draw):
    clauses = draw(st.integers(1, 130))
    words = (clauses - 1) // 64 + 1
    numbers = draw(st.randoms(use_true_random=False))

    def rows(last=True):
        mask = (1 << clauses) - 1
        made = [
            numbers.getrandbits(clauses) & numbers.getrandbits(clauses) & mask | last << clauses - 1
            for _ in range(4)
        ]
        return np.array([[row >> 64 * w & 2**64 - 1 for w in range(words)] for row in made], np.uint64)

    table = services(
        rows(), *[[(at, numbers.randrange(4)) for at in (0, 1, 6, 17, 53, 80)] for _ in range(3)]
    )
    return arguments(
        clauses,
        location=rows(),
        source=networks(rows(), draw(routes)),
        destination=networks(rows(), draw(routes)),
        service=table,
        name=Names(np.array([0, 1, 2, 3], np.uint32), rows(last=False)),
    )


packets = st.tuples(
    pairs,
    st.sampled_from([TCP, UDP, ICMP, 47]),
    st.sampled_from([0, 1, 53, 80, 65535]),
    st.sampled_from(list(Fragment)),
)


@settings(max_examples=100, deadline=None)
@given(rule_arguments(), st.lists(packets, max_size=8), st.integers(0, 5), st.integers(0, 5))
def test_random_rules_decide_as_the_model_decides(made, seen, location, name):
    flat = [
        (str(source), str(destination), protocol, port, fragment)
        for (source, destination), protocol, port, fragment in seen
    ]
    mine, model = (
        decided(impl.RuleSet(1, **made), *flat, location=location, name=name) for impl in (native, reference)
    )
    assert mine == model
