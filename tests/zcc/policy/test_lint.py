"""Lints: each with what it finds, where, and what must not be told of."""

import re
from ipaddress import ip_address
from pathlib import Path

import pytest

from zcc.config import load
from zcc.connector.settings import ConnectorSettings
from zcc.lab.configuration import of_daemon
from zcc.policy.domains import DomainSet
from zcc.policy.lint.all import lint
from zcc.policy.model import Policy
from zcc.policy.workload import Workload, Workloads
from zcc.policy.world import World

BASE = {
    "locations": ["l1", "l2"],
    "applications": [{"name": "portal", "domains": ["portal.corp"], "tcp": [443]}],
    "source_groups": [{"name": "none"}, {"name": "ac", "addresses": ["10.20.0.5"]}],
    "destination_groups": [{"name": "both", "destinations": ["192.0.2.0/24", "evil.example"]}],
    "workload_groups": [{"name": "dev", "expression": "vm-tag-group=Dev"}],
}
EVERY_FEED = frozenset({"countries", "categories", "workloads"})


def rule(name, method="DROP", **criteria):
    return {"name": name, "method": method, **criteria}


def found(rules, world=None, feeds=EVERY_FEED, **objects):
    policy = Policy.model_validate({**BASE, **objects, "rules": rules})
    told = lint(policy, world, feeds)
    return [(f.code, f.place) for f in told if f.place[0] not in ("source_groups",) and f.code != "unserved"]


def first_is(code):
    return [(code, ("rules", 1))]


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ({}, {"destinations": ["10.0.0.0/8"]}),
        ({"destinations": ["10.0.0.0/8"]}, {"destinations": ["10.1.0.0/16"]}),
        ({"destinations": ["10.0.0.0/9", "10.128.0.0/9"]}, {"destinations": ["10.0.0.0/8"]}),
        ({"destinations": ["*.example"]}, {"destinations": ["evil.example", "*.evil.example"]}),
        ({"destination_groups": ["both"]}, {"destinations": ["192.0.2.7"]}),
        ({"sources": ["10.0.0.0/8"]}, {"sources": ["10.0.0.9-10.0.0.99"], "services": ["tcp/22"]}),
        ({"services": ["tcp"]}, {"services": ["tcp/1-65535"]}),
        ({"services": ["WEB"], "service_groups": []}, {"services": ["WEB"]}),
        ({"service_groups": ["WEB"]}, {"services": ["HTTPS"]}),
        ({"locations": ["l1"]}, {"locations": ["l1"], "sources": ["10.0.0.1"]}),
        ({"locations": ["l1", "l2"]}, {"locations": ["l2"]}),
        ({"countries": ["DE", "FR"]}, {"countries": ["FR"]}),
        ({"tags_older_than": "60s"}, {"tags_older_than": "2m"}),
        ({"source_workload_groups": ["dev"]}, {"source_workload_groups": ["dev"], "services": ["icmp"]}),
        ({"connector_groups": ["g1", "g2"]}, {"connector_groups": ["g2"]}),
        ({"all_applications": True}, {"applications": ["portal"]}),
    ],
)
def test_a_rule_that_one_above_covers_is_shadowed(above, below):
    services = [{"name": "WEB", "services": ["tcp/80", "tcp/443"]}]
    assert found([rule("a", **above), rule("b", **below)], services=services) == first_is("shadowed")


@pytest.mark.parametrize(
    ("above", "below"),
    [
        ({"destinations": ["10.0.0.0/9"]}, {"destinations": ["10.0.0.0/8"]}),
        ({"destinations": ["*.evil.example"]}, {"destinations": ["evil.example"]}),
        ({"destinations": ["10.0.0.0/8"], "services": ["tcp"]}, {"destinations": ["10.0.0.0/8"]}),
        ({"services": ["tcp/1-65535"]}, {"services": ["tcp"]}),  # later fragments show no port
        ({"sources": ["10.0.0.0/8"]}, {"sources": ["fd00::/8"]}),
        ({"enabled": False}, {}),
        ({"connector_groups": ["g1"]}, {}),
        ({"connector_groups": ["g1"]}, {"connector_groups": ["g1", "g2"]}),
        ({"countries": ["DE"]}, {"destinations": ["10.0.0.0/8"]}),
        ({"tags_older_than": "2m"}, {"tags_older_than": "1m"}),
        ({"locations": ["l1"]}, {"locations": ["l1", "l2"]}),
        ({"exclude_source_groups": ["ac"]}, {"sources": ["10.20.0.0/16"]}),
        ({"applications": ["portal"]}, {"destinations": ["portal.corp"]}),
    ],
)
def test_a_rule_that_still_decides_something_is_not_told_of(above, below):
    assert found([rule("a", **above), rule("b", **below)]) == []


def test_rules_that_cover_one_together_make_it_unreachable():
    halves = [rule("a", destinations=["10.0.0.0/9"]), rule("b", destinations=["10.128.0.0/9"])]
    assert found([*halves, rule("c", destinations=["10.0.0.0/8"], services=["tcp"])]) == [("unreachable", ("rules", 2))]
    ports = [rule("a", services=["tcp/0-1000"], sources=["10.0.0.0/8"]), rule("b", services=["tcp/1001-65535"])]
    assert found([*ports, rule("c", services=["tcp/80-2000"], sources=["10.0.0.0/16"])]) == [("unreachable", ("rules", 2))]
    ages = [rule("a", tags_newer_than="60s"), rule("b", tags_older_than="60s")]
    assert found([*ages, rule("c")]) == [("unreachable", ("rules", 2))]


def test_a_rule_that_matches_nothing_is_told_of():
    excluded = rule("c", sources=["10.20.0.5"], exclude_source_groups=["ac"])
    rules = [rule("a", "ZPA"), rule("b", source_groups=["none"]), excluded]
    assert found(rules) == [("never", ("rules", i)) for i in range(3)]


@pytest.mark.parametrize("kind", ["location_groups", "source_groups", "destination_groups", "service_groups", "segment_groups"])
def test_an_empty_group_is_told_of(kind):
    told = lint(Policy.model_validate({kind: [{"name": "empty"}]}))
    assert [(f.code, f.place) for f in told] == [("empty-group", (kind, 0))]


def test_a_workload_group_of_nobody_is_told_of():
    nobody = World(workloads=Workloads([Workload("blue", ip_address("10.0.0.1"))]))
    assert found([], nobody) == [("empty-group", ("workload_groups", 0, "expression"))]


def application(name, domain, **ports):
    return {"name": name, "domains": [domain], **ports}


def test_segments_that_overlap_are_told_of_when_ports_are_lost():
    wide = application("wide", "*.corp", tcp=[443], udp=["50-60"])
    lost = found([], applications=[wide, application("narrow", "db.corp", tcp=[5432])])
    assert lost == [("overlapping-segments", ("applications", 1, "domains", 0))]
    assert found([], applications=[wide, application("narrow", "*.db.corp", tcp=["1-999"], udp=["1-99"])]) == []
    assert found([], applications=[wide, application("other", "corp", tcp=[1])]) == []


@pytest.mark.parametrize(
    ("objects", "code"),
    [
        ({"pools": [{"name": "p", "network": "10.254.16.0/20"}]}, "overlapping-pools"),
        ({"source_groups": [{"name": "g", "addresses": ["10.254.3.0/24"]}]}, "pool-overlaps-workloads"),
        ({"locations": [{"name": "l1", "sublocations": [{"name": "s", "addresses": ["10.254.0.0/16"]}]}]}, None),
        ({"source_groups": [{"name": "g", "addresses": ["10.0.0.0/8"]}]}, None),
        ({"pools": [{"name": "p", "network": "10.254.0.0/19"}]}, None),
        ({"pools": [{"name": "p", "network": "10.255.0.0/19"}]}, None),
    ],
)  # fmt: skip
def test_pools_that_overlap_are_told_of(objects, code):
    told = lint(Policy.model_validate(objects), feeds=EVERY_FEED)
    assert [f.code for f in told] == ([code] if code else []) and all(f.severity == "error" for f in told)


def test_a_workload_in_a_pool_is_told_of():
    there = World(workloads=Workloads([Workload("blue", ip_address("10.254.0.9"))]))
    assert ("pool-overlaps-workloads", ("zpa", "pool")) in found([], there)


def test_a_rule_by_address_above_zpa_is_told_of():
    zpa = rule("apps", "ZPA", all_applications=True)
    local = rule("local", "LOCAL", destinations=["10.0.0.0/8"])
    assert found([local, zpa]) == [("before-zpa", ("rules", 0))]
    assert found([zpa, local]) == [] and found([rule("l", "LOCAL", destinations=["10.8.0.0/16"]), zpa]) == []


def test_a_zpa_rule_that_catches_an_app_connector_is_told_of():
    servers = {"server_groups": [{"name": "dc1", "app_connector_group": "g", "sources": ["10.20.0.5"]}]}
    zpa = rule("apps", "ZPA", all_applications=True)
    assert found([zpa], **servers) == [("loop", ("rules", 0))]
    assert found([zpa | {"exclude_source_groups": ["ac"]}], **servers) == []
    assert found([zpa | {"sources": ["10.8.0.0/16"]}], **servers) == []


@pytest.mark.parametrize(("rules", "served"), [
    ([rule("a", "ZPA", applications=["portal"])], True), ([rule("a", "ZPA", segment_groups=["office"])], True),
    ([rule("a", "ZPA", all_applications=True)], True), ([], False), ([rule("a", "DROP", applications=["portal"])], False),
    ([rule("a", "ZPA", applications=["portal"], enabled=False)], False),
])  # fmt: skip
def test_an_application_that_no_rule_serves_is_told_of(rules, served):
    office = [{"name": "office", "applications": ["portal"]}]
    told = lint(Policy.model_validate({**BASE, "segment_groups": office, "rules": rules}), None, EVERY_FEED)
    assert [f.place for f in told if f.code == "unserved"] == ([] if served else [("applications", 0)])


@pytest.mark.parametrize(("services", "heard"), [
    (["icmp"], False), (["tcp/53"], False), ([], True), (["tcp/8443", "icmp"], True),
])  # fmt: skip
def test_a_rule_about_causes_where_no_flow_is_heard_is_told_of(services, heard):
    told = found([rule("hiding", unnamed=["ech"], services=services)])
    assert told == ([] if heard else [("never", ("rules", 0, "unnamed"))])


def test_every_code_is_in_the_manual():
    manual = (Path(__file__).parents[3] / "docs" / "check.md").read_text()
    sources = (Path(__file__).parents[3] / "src" / "zcc" / "policy" / "lint").glob("*.py")
    codes = {code for source in sources for code in re.findall(r'(?:Finding|_finding)\(\s*"([a-z-]+)"', source.read_text())}
    assert len(codes) >= 10 and all(f"| `{code}` |" in manual for code in codes | {"shadowed", "unreachable"})


def test_a_category_that_no_list_is_of_is_an_error_with_the_nearest():
    world = World(categories={"ads": DomainSet([b"ads.example"])})
    policy = Policy.model_validate({"rules": [rule("a", categories=["ads", "adz"])]})
    [told] = lint(policy, world, EVERY_FEED)
    assert told.place == ("rules", 0, "categories", 1) and told.severity == "error" and "did you mean 'ads'" in told.message


@pytest.mark.parametrize(
    "criteria",
    [{"countries": ["DE"]}, {"categories": ["ads"]}, {"source_workload_groups": ["dev"]}, {"tags_older_than": "60s"}],
)
def test_a_criterion_whose_file_is_not_given_is_told_of(criteria):
    assert [code for code, _ in found([rule("a", **criteria)], feeds=frozenset())] == ["missing-feed"]
    assert found([rule("a", **criteria)]) == []


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[3] / "docs" / "examples").glob("connector*.yaml")), ids=str)
def test_the_examples_raise_no_false_alarm(path):
    settings = load(path, "connector")
    assert lint(settings.policy(), None, EVERY_FEED) == []


def test_the_lab_s_own_policy_raises_no_false_alarm(tmp_path):
    written = of_daemon("cc-1", tmp_path)
    settings = ConnectorSettings.model_validate(written)
    assert lint(settings.policy(), None, EVERY_FEED) == []


def test_a_thousand_rules_are_looked_at_in_a_moment():
    listed = [rule(f"r{i}", destinations=[f"10.{i // 256}.{i % 256}.0/24", f"n{i}.example"]) for i in range(1000)]
    assert found([*listed, rule("last", destinations=["10.3.0.0/24"])]) == [("shadowed", ("rules", 1000))]
