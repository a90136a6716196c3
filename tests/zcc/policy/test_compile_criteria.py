"""Every criterion at once: a compiled policy decides as the written one, also with what is known beside it."""

import time
from ipaddress import ip_address, ip_network
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath.action import Fragment
from fastpath.batch import PacketBatch
from zcc.connector.ruleset import NameBinder, build_ruleset, tables_of
from zcc.policy import name_categories
from zcc.policy.category_sets import AT_MOST, CategorySets
from zcc.policy.compile import compile_policy
from zcc.policy.decide import Decider, Flow
from zcc.policy.domains import DomainSet
from zcc.policy.model import Policy
from zcc.policy.name_categories import NameCategories
from zcc.policy.names import NameBook
from zcc.policy.objects.tag_expression import TagType
from zcc.policy.objects.unnamed import NAMINGS
from zcc.policy.places import Places
from zcc.policy.workload import Workload, Workloads
from zcc.policy.world import World

NAMESPACES = {"blue": 1, "green": 2}
ENDPOINTS = [
    {"id": "vpce-00000000000000001", "namespace": "blue", "location": "l1", "vpc": "vpc-1"},
    {"id": "vpce-00000000000000002", "namespace": "green", "location": "l1", "vpc": "vpc-2"},
    {"id": "vpce-00000000000000003", "namespace": "green", "location": "l2"},
]
CATALOGUE = {
    "namespaces": [{"name": name, "id": number} for name, number in NAMESPACES.items()],
    "locations": [
        {"name": "l1", "sublocations": [
            {"name": "scoped", "vpcs": ["vpc-1"]}, {"name": "range", "addresses": ["10.8.0.0/16"]}]},
        {"name": "l2"},
    ],
    "location_groups": [{"name": "lg", "locations": ["l2"]}],
    "endpoints": ENDPOINTS,
    "source_groups": [{"name": "sg", "addresses": ["10.8.6.0/24", "fd00:8::/32"]}],
    "destination_groups": [
        {"name": "dg", "destinations": ["10.9.0.0/16", "*.b.corp"], "countries": ["DE"], "categories": ["news"]}],
    "services": [{"name": "web", "services": ["tcp/80", "tcp/443"]}],
    "service_groups": [{"name": "vg", "services": ["web"]}],
    "workload_groups": [{"name": "dev", "expression": "vm-tag-stage=dev"}, {"name": "api", "expression": "vm-tag-app=api"}],
    "applications": [
        {"name": "app", "domains": ["*.corp"], "tcp": [443]}, {"name": "own", "domains": ["x.b.corp"], "udp": [53]}],
    "segment_groups": [{"name": "segments", "applications": ["app", "own"]}],
}  # fmt: skip
WHEN = time.time()
NAMES = ["a.corp", "x.b.corp", "y.x.b.corp", "news.example", "evil.news.example", "evil.example"]
ADDRESSES = ["10.8.6.4", "10.8.7.1", "10.9.0.1", "192.0.2.1", "198.51.100.1"]
ADDRESSES6 = ["fd00:8::1", "fd00:9::1", "2001:db8::1"]


class TwoCountries:
    """192.0.2.0/24 and 2001:db8::/32 are in DE, 198.51.100.0/24 in FR."""

    ALL: ClassVar = {ip_network("192.0.2.0/24"): "DE", ip_network("2001:db8::/32"): "DE", ip_network("198.51.100.0/24"): "FR"}

    def of(self, address):
        return next((code for network, code in self.ALL.items() if address in network), None)

    def networks(self, codes):
        return [(network, code) for network, code in self.ALL.items() if code in codes]


WORLD = World(
    TwoCountries(),
    {"news": DomainSet([b"news.example\nb.corp\n"]), "bad": DomainSet([b"evil.example\nevil.news.example\n"])},
    Workloads([
        Workload("blue", ip_address("10.8.6.4"), {TagType.VM: {"stage": "dev"}}, {}, WHEN - 1000),
        Workload("green", ip_address("10.8.6.4"), {TagType.VM: {"stage": "dev", "app": "api"}}, {}, WHEN - 10_000),
        Workload("green", ip_address("192.0.2.1"), {TagType.VM: {"app": "api"}}, {}, WHEN - 10_000),
        Workload("blue", ip_address("fd00:8::1"), {TagType.VM: {"app": "api"}}, {}, WHEN - 100_000),
    ]))  # fmt: skip
CHOICES = {
    "locations": [["l1"], ["l2"], ["l1/scoped"], ["l1/range"], ["l1/other"], ["l2", "l1/range"]],
    "location_groups": [["lg"]], "connector_groups": [["g1"], ["g2"]], "namespaces": [["blue"], ["green"]],
    "sources": [["10.0.0.0/8"], ["10.8.6.4"], ["fd00:8::/32", "10.8.7.0-10.9.255.255"]],
    "source_groups": [["sg"]], "exclude_source_groups": [["sg"]],
    "source_workload_groups": [["dev"], ["api"], ["dev", "api"]], "tags_older_than": ["2000s"], "tags_newer_than": ["50000s"],
    "destinations": [["10.0.0.0/8"], ["*.corp"], ["192.0.2.0/24", "evil.example"]], "destination_groups": [["dg"]],
    "destination_workload_groups": [["api"]], "countries": [["DE"], ["FR"], ["DE", "FR"]],
    "categories": [["news"], ["bad"], ["news", "bad"]], "services": [["tcp/443"], ["udp"], ["web"], ["icmp", "tcp/80"]],
    "service_groups": [["vg"]], "unnamed": [["ech"], ["no-name", "unread"], ["any"]],
    "applications": [["app"], ["own"]], "segment_groups": [["segments"]], "all_applications": [True],
}  # fmt: skip


@st.composite
def rules(draw):
    """Rules that the model takes; few criteria each, so that they match now and then."""
    made = []
    for number in range(draw(st.integers(0, 12) | st.just(70))):
        fields = draw(st.lists(st.sampled_from(sorted(CHOICES)), max_size=3, unique=True))
        rule = {field: draw(st.sampled_from(CHOICES[field])) for field in fields}
        rule |= {"name": f"r{number}", "method": draw(st.sampled_from(["ZIA", "ZPA", "DIRECT", "DROP", "LOCAL"]))}
        try:
            Policy.model_validate(CATALOGUE | {"rules": [rule]})
        except ValueError:
            continue
        made.append(rule)
    return made


@st.composite
def flows(draw):
    endpoint = draw(st.sampled_from(Policy.model_validate(CATALOGUE).endpoints))
    addresses = st.sampled_from(draw(st.sampled_from([ADDRESSES, ADDRESSES, ADDRESSES6]))).map(ip_address)
    protocol = draw(st.sampled_from([6, 6, 17, 1]))
    port = draw(st.sampled_from([None, 53, 80, 443])) if protocol != 1 else None
    return Flow(draw(addresses), draw(addresses), protocol, port, draw(st.none() | st.sampled_from(NAMES)), endpoint.namespace,
                endpoint.location, "g1", endpoint, WHEN, draw(st.none() | st.sampled_from(NAMINGS)))  # fmt: skip


def mapped(address):
    return list(address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed)


def decisions(ruleset, policy, compiled, book, seen):
    batch, places = PacketBatch(max(1, len(seen)), 512), Places(policy)
    batch.reset(len(seen))
    locations, names, out = np.zeros(len(seen), np.uint32), np.zeros(len(seen), np.uint32), np.zeros(len(seen), np.int32)
    for i, flow in enumerate(seen):
        batch.source[i], batch.destination[i] = mapped(flow.source), mapped(flow.destination)
        batch.ip_version[i], batch.protocol[i] = flow.source.version, flow.protocol
        batch.namespace[i] = NAMESPACES[flow.namespace]
        later = flow.port is None and flow.protocol in (6, 17)
        batch.fragment[i] = Fragment.FRAGMENT_LATER if later else Fragment.FRAGMENT_NONE
        batch.destination_port[i] = flow.port or 0
        locations[i] = compiled.location_ids[places.of_endpoint(flow.endpoint.id)]
        names[i] = (book.id_of(flow.name) if flow.name else 0) | NAMINGS.index(flow.naming or "dns") << 26
    age = time.time() - WHEN        # the run so far, which the worker's clock counts too
    ruleset.decide_batch(batch, locations, names, out, time.monotonic_ns() - int(age * 1e9))
    return out.tolist()


@settings(max_examples=80, deadline=None)
@given(rules(), st.lists(flows(), min_size=1, max_size=12), st.lists(st.sampled_from(NAMES), max_size=4, unique=True))
def test_the_compiled_policy_decides_as_the_written_one(listed, seen, known):
    policy = Policy.model_validate(CATALOGUE | {"rules": listed})
    book = NameBook(policy.applications, capacity=64)
    book.id_of("evil.news.example")     # in two categories: no set that comes later is new
    for name in known:  # names that have their number before, and those that get it after compilation
        book.id_of(name)
    compiled = compile_policy(policy, "g1", book, WORLD)
    ruleset = build_ruleset(compiled, 1, tables_of(compiled, WORLD))
    book.announce = NameBinder(book, compiled, ruleset, WORLD)
    decider = Decider(policy, WORLD)
    assert decisions(ruleset, policy, compiled, book, seen) == [decider.decide(flow).index for flow in seen]


def test_names_that_come_during_the_compilation_are_bound_when_it_is_adopted():
    policy = Policy.model_validate({"rules": [{"name": "no", "method": "DROP", "destinations": ["*.evil.example"]}]})
    book = NameBook(capacity=8)
    book.id_of("a.evil.example")
    compiled = compile_policy(policy, "g1", book)
    book.id_of("b.evil.example")
    ruleset = build_ruleset(compiled, 1)
    NameBinder(book, compiled, ruleset)
    with_names = [Flow(ip_address("10.0.0.1"), ip_address("192.0.2.1"), 6, 80, name, "blue", endpoint=None)
                  for name in ("a.evil.example", "b.evil.example", "c.example")]  # fmt: skip
    batch = PacketBatch(3, 512)
    batch.reset(3)
    batch.ip_version[:], batch.protocol[:] = 4, 6
    out, numbers = np.zeros(3, np.int32), np.array([book.id_of(flow.name) for flow in with_names], np.uint32)
    ruleset.decide_batch(batch, np.zeros(3, np.uint32), numbers, out)
    assert out.tolist() == [0, 0, 2]


def test_a_name_of_categories_that_no_name_had_before_is_told_by_those_that_rules_speak_of():
    listed = [{"name": "no", "method": "DROP", "categories": ["bad"]}]
    compiled = compile_policy(Policy.model_validate(CATALOGUE | {"rules": listed}), "g1", NameBook(), WORLD)
    bad, news, none, both = (compiled.categories_of(frozenset(held)) for held in (["bad"], ["news"], [], ["bad", "news"]))
    assert both == bad and len({bad, news, none}) == 3


@pytest.mark.parametrize("few", [1, 10_000], ids=["all together", "one by one"])
def test_the_categories_of_names_are_found_once_a_list(monkeypatch, few):
    monkeypatch.setattr(name_categories, "FEW", few)
    book, categories = NameBook(), NameCategories()
    for i in range(1000):
        book.id_of(f"{NAMES[i % len(NAMES)]}" if i < len(NAMES) else f"w{i}.{NAMES[i % len(NAMES)]}")
    for world in (WORLD, WORLD, World(categories={"bad": WORLD.categories["news"]})):
        for count in (900, 1000):
            numbers, sets = categories.numbers(book, count, world), {n: held for held, n in categories.sets.items()}
            assert [sets[n] for n in numbers.tolist()] == [world.categories_of(book.name_of(n)) for n in range(count + 1)]


LABELS = st.sampled_from([f"k{n}" for n in range(6)])


@given(st.lists(st.frozensets(LABELS, min_size=1), min_size=1, max_size=5), st.frozensets(LABELS))
def test_any_categories_of_a_new_name_are_told_at_once(wanted, held):
    """Every clause that wants one of a name's categories has its bit in the row of the name's number, and no other has."""
    rules = [{"name": f"r{n}", "method": "DROP", "categories": sorted(listed)} for n, listed in enumerate(wanted)]
    compiled = compile_policy(Policy.model_validate(CATALOGUE | {"rules": rules}), "g1", NameBook(), WORLD)
    assert compiled.category_sets.tells(held)
    told = list(compiled.category_sets)[compiled.categories_of(held)]
    assert [bool(told & listed) for listed in wanted] == [bool(held & listed) for listed in wanted]


def test_of_very_many_kinds_the_small_sets_are_told_and_the_rest_by_the_nearest():
    sets = CategorySets({frozenset(): 0}, [frozenset({f"k{n}"}) for n in range(90)])
    assert sets.tells(frozenset({"k1", "k89"})) and sets.tells(frozenset({"k1"}))
    three = frozenset({"k1", "k2", "k3"})
    assert not sets.tells(three) and list(sets)[sets.number_of(three)] <= three and len(sets) == AT_MOST
