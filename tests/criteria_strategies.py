"""Random criteria and packets for the suites of fastpath.classify: few values, so that they often meet."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import numpy as np
from hypothesis import strategies as st

from fastpath.action import Fragment
from fastpath.batch import PacketBatch
from fastpath.criteria import Ages, Countries, Criteria, Labels, Patterns, Ports, Ranges, Services
from fastpath.lpm import Lpm4, Lpm6
from fastpath.workloads import Workloads

TCP, UDP, ICMP = 6, 17, 1
ADDRESSES = [f"{a}.{b}.0.{c}" for a in (10, 11) for b in (0, 8) for c in (1, 200)] + ["fd00::1", "fd00:8::1", "2001:db8::1",
                                                                                     "::ffff:10.8.0.1"]  # fmt: skip
SPANS = ["10.0.0.0/8", "10.8.0.0/16", "10.8.0.200/32", "0.0.0.0/0", "fd00::/8", "fd00:8::/32", "::/0", "10.7.0.0-10.8.0.5",
         "fd00::1-fd00:8::1", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe", "255.255.255.255/32"]  # fmt: skip
NAMES = ["a.corp", "b.corp", "x.b.corp", "y.x.b.corp", "corp", "evil.example", "c.evil.example", ""]
PATTERNS = ["a.corp", "b.corp", "*.corp", "*.b.corp", "*.x.b.corp", "evil.example", "*.example"]
PORTS = [0, 1, 53, 80, 443, 65535]
NOW = 1_000_000


def packed(address):
    address = ip_address(address)
    return list(address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed)


def span(text):
    """(version, first, last) of a network or a range."""
    low, _, high = text.partition("-")
    ends = (ip_address(low), ip_address(high)) if high else (ip_network(low)[0], ip_network(low)[-1])
    return ends[0].version, packed(ends[0]), packed(ends[1])


def ranges(lines):
    """Ranges of (clause, span, excluded)."""
    made = [(clause, *span(text), excluded) for clause, text, excluded in lines]
    clause, version, first, last, excluded = zip(*made, strict=True) if made else ([], [], [], [], [])
    return Ranges(np.array(clause, np.int32), np.array(version, np.uint8), np.array(first, np.uint8).reshape(-1, 16),
                  np.array(last, np.uint8).reshape(-1, 16), np.array(excluded, bool))  # fmt: skip


def labels(lines, carried):
    """Labels of (clause, label), and what each number carries."""
    offsets = np.cumsum([0, *map(len, carried)]).astype(np.int32)
    members = np.array([label for some in carried for label in some], np.int32)
    clause, label = np.array(lines, np.int32).reshape(-1, 2).T
    return Labels(clause, label, offsets, members)


def columns(kind, lines):
    """Ages, Services or Ports of tuples."""
    dtypes = {Ages: (np.int32, np.uint64, np.uint64), Services: (np.int32, np.int16, np.int32, np.int32),
              Ports: (np.int32, np.int32, np.int32)}[kind]  # fmt: skip
    return kind(*(np.array([line[i] for line in lines], dtype) for i, dtype in enumerate(dtypes)))


def patterns(texts, owner, lines):
    """Patterns of (clause, number of the text, owned)."""
    lines = [(c, p, o and owner[p]) for c, p, o in lines]
    return Patterns(tuple(texts), np.array(owner, bool), *(
        np.array([line[i] for line in lines], dtype) for i, dtype in enumerate((np.int32, np.int32, bool))))  # fmt: skip


@st.composite
def criteria(draw, clauses):
    """Every criterion there, or not."""
    chance = draw(st.randoms(use_true_random=False))
    sparse = chance.choice([1, 2, 8, 40])      # clauses a line

    def lines(*values):
        return [(chance.randrange(clauses), *(chance.choice(some) for some in values)) for _ in range(clauses // sparse + 1)]

    def maybe(made):
        return made if chance.random() < 0.7 else None

    carried = [[chance.randrange(4) for _ in range(chance.randrange(4))] for _ in range(4)]
    low_high = [(-1, 0), (0, 65535), (53, 80), (80, 443), (443, 443), (65535, 65535), (0, 0)]
    wanted = [(c, p, *ports) for c, p, ports in lines([-1, TCP, UDP, ICMP], low_high)]
    owner = [chance.random() < 0.5 for _ in PATTERNS]
    spans_of_ages = [(0, 10), (10, 2**64 - 1), (5, 50), (0, 2**64 - 1), (7, 7)]
    return Criteria(
        **{name: maybe(labels(lines(range(5)), carried)) for name in (
            "location", "namespace", "source_workload", "destination_country", "destination_category",
            "destination_workload", "country", "category", "naming")},
        source=maybe(ranges(lines(SPANS, [False, False, True]))),
        destination=maybe(ranges(lines(SPANS, [False]))),
        destination_name=maybe(patterns(PATTERNS, owner, lines(range(len(PATTERNS)), [False, True]))),
        tag_age=maybe(columns(Ages, [(c, *ages) for c, ages in lines(spans_of_ages)])),
        service=maybe(columns(Services, wanted)),
        source_port=maybe(columns(Ports, [(c, *ports) for c, ports in lines(low_high[1:])])),
    )  # fmt: skip


@st.composite
def tables(draw):
    """Countries, workloads and categories of names."""
    numbers = st.integers(0, 5)
    v4, v6 = Lpm4(draw(numbers)), Lpm6(0)
    v4.replace({"10.0.0.0/8": draw(numbers), "10.8.0.0/16": draw(numbers)})
    v6.replace({"fd00::/8": draw(numbers)})
    known = draw(st.lists(st.tuples(st.integers(1, 2), st.sampled_from(ADDRESSES[:-1])), unique=True, max_size=8))
    chosen = [draw(numbers) for _ in known]
    workloads = Workloads(
        np.array([n for n, _ in known], np.uint16), np.array([packed(a) for _, a in known], np.uint8).reshape(-1, 16),
        np.array(chosen, np.uint32), np.array([n % 2 for n in chosen], np.uint8), np.array([NOW - 7, NOW - 60], np.int64),
        bytes(16))  # fmt: skip
    categories = np.array(draw(st.lists(numbers | st.just(2**32 - 1), max_size=9)), np.uint32)
    return {"countries": Countries(v4, v6), "workloads": workloads, "name_categories": categories}


addresses = {4: st.sampled_from(ADDRESSES[:8]).map(IPv4Address), 6: st.sampled_from(ADDRESSES[8:]).map(IPv6Address)}
pairs = st.tuples(addresses[4], addresses[4]) | st.tuples(addresses[6], addresses[6])
packets = st.tuples(pairs, st.sampled_from([TCP, UDP, ICMP, 47]), st.sampled_from(PORTS), st.sampled_from(PORTS),
                    st.sampled_from(list(Fragment)), st.integers(0, 3), st.integers(0, 6),
                    st.builds(lambda number, naming: number | naming << 26, st.integers(0, 9), st.integers(0, 5)))  # fmt: skip


def batch_of(seen):
    """A batch, locations and name numbers of drawn packets."""
    batch = PacketBatch(max(1, len(seen)), 512)
    batch.reset(len(seen))
    locations, names = np.zeros(len(seen), np.uint32), np.zeros(len(seen), np.uint32)
    for i, ((source, destination), protocol, source_port, port, fragment, namespace, location, name) in enumerate(seen):
        batch.source[i], batch.destination[i] = packed(source), packed(destination)
        batch.ip_version[i], batch.protocol[i], batch.fragment[i] = source.version, protocol, fragment
        batch.source_port[i], batch.destination_port[i], batch.namespace[i] = source_port, port, namespace
        locations[i], names[i] = location, name
    return batch, locations, names
