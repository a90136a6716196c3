"""A compiled policy decides as the written one: properties over random policies and flows, run natively."""

from ipaddress import ip_address

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath.action import Action, Fragment
from fastpath.batch import PacketBatch
from zcc.connector.ruleset import NameBinder, build_ruleset
from zcc.policy.compile import compile_policy
from zcc.policy.decide import Flow, decide
from zcc.policy.model import Policy
from zcc.policy.names import NameBook

LOCATIONS, GROUPS = ("l1", "l2"), ("g1", "g2")
NAMES = ["a.corp", "b.corp", "x.b.corp", "y.x.b.corp", "corp", "evil.example", "c.evil.example"]
PATTERNS = ["a.corp", "b.corp", "*.corp", "*.b.corp", "*.x.b.corp", "evil.example", "*.example"]
RANGES = ["10.0.0.0/8", "10.8.0.0/16", "10.8.6.4", "10.8.6.1-10.8.6.9", "0.0.0.0/0", "10.254.0.0/24",
          "fd00::/8", "fd00:8::/32", "::/0"]  # fmt: skip
ADDRESSES = ["10.8.6.4", "10.8.6.9", "10.8.7.1", "10.9.0.1", "10.254.0.1", "10.254.1.1", "8.8.8.8"]
ADDRESSES6 = ["fd00:8::1", "fd00:9::1", "2001:db8::1", "::ffff:10.8.6.4"]
SERVICES = [
    "tcp/443",
    "tcp/8000-8100",
    "tcp/0-65535",
    "tcp/65535",
    "udp/53",
    "udp/50-60",
    "tcp",
    "udp",
    "icmp",
    "any",
]
PORTS = [0, 22, 53, 443, 7999, 8000, 8100, 8101, 65535]


def some(values, most=2):
    return st.lists(st.sampled_from(values), max_size=most, unique=True)


@st.composite
def rules(draw, applications):
    method = draw(st.sampled_from(["ZIA", "ZPA", "DIRECT", "DROP", "LOCAL"]))
    rule = {"method": method, "enabled": draw(st.integers(0, 9)) > 0, "locations": draw(some(LOCATIONS)),
            "connector_groups": draw(some(GROUPS, 1)), "sources": draw(some(RANGES))}  # fmt: skip
    by_application = method == "ZPA" or (method == "DROP" and draw(st.booleans()))
    if by_application:
        chosen = draw(some(applications, 3)) if applications else []
        rule |= {"applications": chosen, "all_applications": not chosen and draw(st.booleans())}
    else:
        rule["destinations"] = draw(some(RANGES + PATTERNS, 3))
    if method != "ZPA":
        rule["services"] = draw(some(SERVICES))
    if method == "DROP" and (rule.get("applications") or rule.get("all_applications")):
        rule.pop("destinations", None)
    return rule


@st.composite
def policies(draw):
    domains = draw(st.lists(st.sampled_from(PATTERNS), max_size=4, unique=True))
    ports = st.lists(st.sampled_from([22, 443, "8000-8100", "8050-9000"]), min_size=1, max_size=2)
    udp = st.sampled_from([[], [53]])
    applications = [
        {"name": f"app{i}", "domains": [domain], "tcp": draw(ports), "udp": draw(udp)}
        for i, domain in enumerate(domains)
    ]
    listed = draw(st.lists(rules([a["name"] for a in applications]), max_size=6) | st.lists(
        rules([a["name"] for a in applications]), min_size=66, max_size=66))  # fmt: skip
    return Policy.model_validate({
        "locations": LOCATIONS, "applications": applications,
        "rules": [{"name": f"r{i}", **rule} for i, rule in enumerate(listed)],
    })  # fmt: skip


@st.composite
def flows(draw):
    addresses = st.sampled_from(draw(st.sampled_from([ADDRESSES, ADDRESSES, ADDRESSES6]))).map(ip_address)
    protocol = draw(st.sampled_from([6, 6, 17, 1, 58, 47]))
    port = draw(st.none() | st.sampled_from(PORTS)) if protocol in (6, 17) else None
    return Flow(draw(addresses), draw(addresses), protocol, port, draw(st.none() | st.sampled_from(NAMES)),
                location=draw(st.none() | st.sampled_from(LOCATIONS)), group="g1")  # fmt: skip


def mapped(address):
    return list(address.packed if address.version == 6 else bytes(10) + b"\xff\xff" + address.packed)


def native_decisions(rules, compiled, book, seen):
    batch = PacketBatch(max(1, len(seen)), 512)
    batch.reset(len(seen))
    locations, name_ids = np.zeros(len(seen), np.uint32), np.zeros(len(seen), np.uint32)
    for i, flow in enumerate(seen):
        batch.source[i], batch.destination[i] = mapped(flow.source), mapped(flow.destination)
        batch.ip_version[i], batch.protocol[i] = flow.source.version, flow.protocol
        later = flow.port is None and flow.protocol in (6, 17)
        batch.fragment[i] = Fragment.FRAGMENT_LATER if later else Fragment.FRAGMENT_NONE
        batch.destination_port[i] = flow.port or 0
        locations[i] = compiled.location_ids.get(flow.location, 0)
        name_ids[i] = book.id_of(flow.name) if flow.name else 0
    out = np.zeros(len(seen), np.int32)
    rules.decide_batch(batch, locations, name_ids, out)
    return out.tolist()


@settings(max_examples=60, deadline=None)
@given(policies(), st.lists(flows(), min_size=1, max_size=12), st.lists(st.sampled_from(NAMES), max_size=3))
def test_the_compiled_policy_decides_as_the_written_one(policy, seen, known):
    book = NameBook(policy.applications, capacity=64)
    for name in known:  # names that have their number before, and those that get it after compilation
        book.id_of(name)
    compiled = compile_policy(policy, "g1", book)
    rules = build_ruleset(compiled, 1)
    book.announce = NameBinder(book, compiled, rules)
    assert native_decisions(rules, compiled, book, seen) == [decide(policy, flow).index for flow in seen]


def test_methods_become_actions():
    policy = Policy.model_validate({"rules": [{"name": m, "method": m} for m in ("LOCAL", "DIRECT", "ZPA")]})
    rules = build_ruleset(compile_policy(policy, "g1"), 7)
    expected = [
        Action.ACTION_LOCAL,
        Action.ACTION_DIRECT,
        Action.ACTION_ZPA,
        Action.ACTION_DROP,
        Action.ACTION_ZIA,
    ]
    assert rules.actions.tolist() == expected and rules.generation == 7


def test_an_edit_rebinds_the_names_that_are_known():
    book = NameBook(capacity=8)
    number = book.id_of("evil.example")
    before, after = (Policy.model_validate({"rules": r}) for r in (
        [], [{"name": "no", "method": "DROP", "destinations": ["evil.example"]}]))  # fmt: skip
    flow = [Flow(ip_address("10.0.0.1"), ip_address("192.0.2.1"), 6, 80, "evil.example")]
    decisions = []
    for generation, policy in enumerate((before, after)):
        compiled = compile_policy(policy, "g1", book)
        decisions += native_decisions(build_ruleset(compiled, generation), compiled, book, flow)
    assert number == 1 and decisions == [1, 0]


def test_a_thousand_rules_keep_their_order():
    listed = [
        {"name": f"r{i}", "method": "DROP", "destinations": [f"10.{i // 256}.{i % 256}.0/24"]}
        for i in range(1000)
    ]
    policy = Policy.model_validate({"rules": listed})
    compiled = compile_policy(policy, "g1")
    seen = [
        Flow(ip_address("10.0.0.1"), ip_address(f"10.{i // 256}.{i % 256}.9"), 6, 80)
        for i in range(0, 1000, 37)
    ]
    found = native_decisions(build_ruleset(compiled, 0), compiled, NameBook(), seen)
    assert found == list(range(0, 1000, 37))


@pytest.mark.parametrize("generation", [-1, 2**32])
def test_a_generation_out_of_range_is_refused(generation):
    with pytest.raises(ValueError, match="generation"):
        build_ruleset(compile_policy(Policy(), "g1"), generation)
