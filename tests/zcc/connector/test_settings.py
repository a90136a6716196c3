"""The connector's file: what its parts must agree on, told at the place that is wrong."""

import copy

import pytest
from pydantic import ValidationError

from zcc.connector.settings import ConnectorSettings

GOOD = {
    "role": "connector", "name": "cc-1", "group": "cc-group-1", "state": "/var/lib/zcc",
    "identity": {"certificate": "c.pem", "key": "k.pem", "ca": "ca.pem"},
    "namespaces": [{"name": "co1", "id": 1}, {"name": "co2", "id": 2}],
    "locations": ["aws-co1", "aws-co2"],
    "endpoints": [{"id": "vpce-0aaaaaaaaaaaaaaa1", "namespace": "co1", "location": "aws-co1"}],
    "ingress": {"address": "10.1.200.11"},
    "kernel": {"internal": "198.18.0.0/16", "mtu": 8500},
    "zpa": {"edges": ["10.0.3.10:443"], "pool": "10.254.0.0/19"},
    "zia": {"edges": [{"name": "ie-1", "address": "10.0.4.11:443"}]},
    "direct": {"address": "10.1.200.111"},
    "applications": [{"name": "portal", "domains": ["portal.corp.example"], "tcp": [80, "8000-8100"]}],
    "rules": [{"name": "apps", "method": "ZPA", "applications": ["portal"]},
              {"name": "updates", "method": "DIRECT", "locations": ["aws-co1"]}],
    "health": {"address": "10.1.200.11"},
}


def edited(*path, value):
    settings = copy.deepcopy(GOOD)
    place = settings
    for step in path[:-1]:
        place = place[step]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return settings


def problems(settings) -> dict[tuple, str]:
    with pytest.raises(ValidationError) as found:
        ConnectorSettings.model_validate(settings)
    return {problem["loc"]: problem["msg"] for problem in found.value.errors()}


def test_good_file_is_taken_with_its_defaults():
    settings = ConnectorSettings.model_validate(GOOD)
    assert settings.health.port == 50_000 and settings.ingress.port == 6081
    assert settings.drain.delay.total_seconds() == 5 and settings.dns.ttl.total_seconds() == 60
    assert str(settings.pool) == "10.254.0.0/19"
    assert [rule.name for rule in settings.policy().ordered()][:2] == ["apps", "updates"]


@pytest.mark.parametrize(("settings", "place", "words"), [
    (edited("endpoints", 0, "namespace", value="co3"), ("endpoints", 0, "namespace"), "did you mean 'co"),
    (edited("endpoints", 0, "location", value="moon"), ("endpoints", 0, "location"), "allowed: aws-co1, aws-co2"),
    (edited("rules", 0, "applications", value=["portl"]), ("rules", 0, "applications", 0), "did you mean 'portal'"),
    (edited("rules", 1, "locations", value=["aws-co3"]), ("rules", 1, "locations", 0), "did you mean"),
    (edited("direct", value={"address": "10.1.200.111", "mtu": 9001}), ("direct", "mtu"), "8500"),
    (edited("kernel", "mtu", value=8501), ("kernel", "mtu"), "8500"),
    (edited("zpa", value=None), ("rules", 0, "method"), "needs the section zpa:"),
    (edited("direct", value=None), ("rules", 1, "method"), "needs the section direct:"),
    (edited("kernel", "internal", value="10.254.0.0/16"), ("kernel", "internal"), "overlaps the pool"),
    (edited("kernel", value={}), ("kernel", "internal"), "a connector needs it"),
    (edited("kernel", "internal", value="198.18.0.0/30"), ("kernel", "internal"), "too small"),
    (edited("ingress", "address", value="10.254.0.9"), ("ingress", "address"), "synthetic pool"),
    (edited("namespaces", 1, "id", value=1), ("namespaces", 1, "id"), "used twice"),
    (edited("namespaces", 1, "name", value="co1"), ("namespaces", 1, "name"), "used twice"),
    (edited("locations", value=["aws-co1", "aws-co1"]), ("locations", 1, "name"), "used twice"),
    (edited("endpoints", value=GOOD["endpoints"] * 2), ("endpoints", 1, "id"), "used twice"),
    (edited("rules", 1, "name", value="apps"), ("rules", 1, "name"), "used twice"),
    (edited("namespaces", 0, "id", value=65_001), ("namespaces", 0, "id"), "65000"),
    (edited("ingress", "colour", value="red"), ("ingress", "colour"), "Extra inputs"),
    (edited("ingress", "idle", value={"tcp": "0s"}), ("ingress", "idle"), "100ms"),
    (edited("dns", value={"learn_floor": "2h", "learn_ceiling": "1h"}), ("dns",), "learn_floor"),
    (edited("dns", value={"ttl": "500ms"}), ("dns", "ttl"), "whole seconds"),
    (edited("direct", value={}), ("direct",), "address or address6"),
    (edited("ingress", value={}), ("ingress",), "either address"),
    (edited("ingress", "routed", value=[{"endpoint": "vpce-0aaaaaaaaaaaaaaa1"}]), ("ingress",), "either address"),
    (edited("ingress", value={"routed": [{"endpoint": "vpce-0bbbbbbbbbbbbbbb2"}]}), ("ingress", "routed", 0, "endpoint"),
     "none of the endpoints"),
    (edited("ingress", value={"routed": [{"endpoint": "vpce-0aaaaaaaaaaaaaaa1", "name": "zcc0"}]}),
     ("ingress", "routed", 0, "name"), "another device's"),
    (edited("ingress", value={"routed": [{"endpoint": "vpce-0aaaaaaaaaaaaaaa1", "name": name} for name in ("a", "b")]}),
     ("ingress", "routed", 1, "endpoint"), "give each its own"),
    (edited("ingress", value={"routed": [{"endpoint": "vpce-0aaaaaaaaaaaaaaa1", "interfaces": ["a/b"]}]}),
     ("ingress", "routed", 0, "interfaces", 0), "pattern"),
], ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "")
def test_disagreement_is_told_at_its_place(settings, place, words):
    assert words in problems(settings)[place]


def test_routed_devices_stand_instead_of_an_address():
    way = {"endpoint": "vpce-0aaaaaaaaaaaaaaa1", "interfaces": ["eth1", "eth2.100"]}
    settings = ConnectorSettings.model_validate(edited("ingress", value={"routed": [way]}))
    (routed,) = settings.ingress.routed
    assert (str(settings.ingress), routed.doorway().name, routed.doorway().internal) == ("zccin0", "zccin0", None)
    assert str(ConnectorSettings.model_validate(GOOD).ingress) == "10.1.200.11 port 6081"


def test_fail_open_needs_a_way_out():
    settings = edited("zia", "fail", value="open")
    del settings["direct"], settings["rules"][1]
    assert "direct:" in problems(settings)["zia", "fail"]


def test_all_problems_are_told_at_once():
    settings = edited("endpoints", 0, "namespace", value="co3")
    settings["rules"][0]["applications"] = ["nothing"]
    assert len(problems(settings)) == 2


def test_rule_that_is_switched_off_needs_no_section():
    settings = edited("direct", value=None)
    settings["rules"][1]["enabled"] = False
    ConnectorSettings.model_validate(settings)


@pytest.mark.parametrize(("pools", "place", "words"), [
    ([{"name": "b", "network": "10.254.16.0/24"}], ("pools", 0, "network"), "overlaps the pool 10.254.0.0/19"),
    ([{"name": "b", "network": "10.9.0.0/24"}, {"name": "c", "network": "10.9.0.128/25"}], ("pools", 1, "network"),
     "overlaps pool 'b' 10.9.0.0/24"),
    ([{"name": "b", "network": "198.18.7.0/24"}], ("pools", 0, "network"), "overlaps the internal network 198.18.0.0/16"),
    ([{"name": "b", "network": "10.9.0.0/30"}], ("pools", 0, "network"), "too small"),
    ([{"name": "default", "network": "10.9.0.0/24"}], ("pools", 0, "name"), "choose another name"),
    ([{"name": "b", "network": "10.9.0.0/24", "locations": ["aws-co9"]}], ("pools", 0, "locations", 0), "does not exist"),
    ([{"name": "b", "network": "10.1.200.0/24"}], ("direct", "address"), "lies in the synthetic pool 10.1.200.0/24"),
])
def test_pools_that_can_not_be_are_told_at_their_place(pools, place, words):
    assert words in problems({**GOOD, "pools": pools})[place]


@pytest.mark.parametrize(("rule", "place", "words"), [
    ({"action": "ZPA", "pool": "secnd"}, ("dns_rules", 0, "pool"), "did you mean 'second'"),
    ({"action": "ALLOW", "pool": "second"}, ("dns_rules", 0), "cannot be used without action ZPA"),
])
def test_a_pool_that_a_dns_rule_can_not_name_is_told(rule, place, words):
    pools = [{"name": "second", "network": "10.9.0.0/24"}]
    assert words in problems({**GOOD, "pools": pools, "dns_rules": [{"name": "r", **rule}]})[place]


def test_a_gateway_that_opens_needs_a_way_out():
    gateways = [{"name": "g", "primary": "ie-1", "fail": "open"}]
    found = problems({**edited("direct", value=None), "rules": [], "gateways": gateways})
    assert "needs the section direct" in found["gateways", 0, "fail"]


def crewed(workers, **parts):
    """The good file, with several workers."""
    return {**GOOD, "workers": workers, **parts}


def test_workers_are_a_number_or_auto_and_cpus_are_one_each():
    assert ConnectorSettings.model_validate(GOOD).workers == 1
    for workers in (2, "auto"):
        assert ConnectorSettings.model_validate(crewed(workers)).workers == workers
    assert ConnectorSettings.model_validate(crewed(2, io={"core": [0, 1]})).io.cores == (0, 1)
    assert ConnectorSettings.model_validate(crewed(1, io={"core": 3})).io.cores == (3,)
    for wrong in (0, 33, "many", -1):
        assert any(place[0] == "workers" for place in problems(crewed(wrong)))


@pytest.mark.parametrize(("settings", "place", "words"), [
    (crewed(2, io={"kernel_flows": True}), ("io", "kernel_flows"), "of one worker only"),
    (crewed("auto", io={"kernel_flows": True}), ("io", "kernel_flows"), "of one worker only"),
    (crewed(2, io={"core": [1]}), ("io", "core"), "1 CPUs for 2 workers"),
    (crewed(1, io={"core": [0, 1]}), ("io", "core"), "2 CPUs for 1 workers"),
], ids=["kernel-flows", "kernel-flows-auto", "cpus", "cpus-of-one"])
def test_what_several_workers_can_not_do_is_refused(settings, place, words):
    assert words in problems(settings)[place]
