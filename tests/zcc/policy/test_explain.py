"""What a policy knows of a packet, a name and a workload."""

import json
from ipaddress import ip_address

import pytest
from rich.console import Console

from zcc.policy.about import about_name, about_workload
from zcc.policy.domains import DomainSet
from zcc.policy.explain import endpoint_of, explain, parse_flow
from zcc.policy.model import Policy
from zcc.policy.objects.tag_expression import TagType
from zcc.policy.stances import parse_trouble
from zcc.policy.workload import Workload, Workloads, tagged
from zcc.policy.world import World

POLICY = Policy.model_validate({
    "namespaces": [{"name": "blue", "id": 1}],
    "locations": [{"name": "l1", "sublocations": [{"name": "web", "vpcs": ["vpc-1"], "addresses": ["10.8.6.0/24"]}]}],
    "endpoints": [{"id": "vpce-0aaaaaaaaaaaaaaa1", "namespace": "blue", "location": "l1", "vpc": "vpc-1"}],
    "applications": [{"name": "portal", "domains": ["*.portal.corp"], "tcp": [443]}],
    "workload_groups": [{"name": "dev", "expression": "vm-tag-group=Dev"}],
    "destination_groups": [{"name": "partners", "destinations": ["*.partner.example"]}],
    "rules": [
        {"name": "apps", "method": "ZPA", "all_applications": True},
        {"name": "dev", "method": "DROP", "source_workload_groups": ["dev"], "services": ["SSH"]},
        {"name": "ads", "method": "DROP", "categories": ["ads"]},
        {"name": "web", "method": "DIRECT", "locations": ["l1/web"], "destination_groups": ["partners"]},
        {"name": "off", "method": "DROP", "enabled": False},
    ],
})  # fmt: skip
WORLD = World(
    categories={"ads": DomainSet([b"ads.example"])},
    workloads=Workloads([
        Workload("blue", ip_address("10.8.6.4"), {TagType.VM: {"group": "Dev"}}, {"Vpc-id": "vpc-1"}, 100.0, "i-1"),
    ]),
)  # fmt: skip


def printed(thing):
    console = Console(width=200)
    with console.capture() as captured:
        console.print(thing)
    return captured.get()


def test_a_packet_is_told_with_all_that_is_known_of_it():
    flow = parse_flow("10.8.6.4", "203.0.113.9", "tcp/443", name="www.ads.example", namespace="blue", location="l1")
    found = explain(POLICY, flow, WORLD)
    told = found.to_dict()
    assert told["rule"]["name"] == "ads" and told["matched"] == {"categories": ["ads"]}
    assert told["flow"]["categories"] == ["ads"] and told["flow"]["source_workload_groups"] == ["dev"]
    assert told["flow"]["sublocation"] == "l1/other" and told["flow"]["source_workload"] == "i-1"
    assert [(m["rule"], m["criterion"], m["wanted"]) for m in told["above"]] == [
        ("apps", "applications", ["every application"]), ("dev", "services", ["SSH"])]  # fmt: skip
    assert "categories: ads" in printed(found)
    json.dumps(told)


def test_the_edges_of_a_rule_are_told_in_order_and_what_happens_without_one():
    policy = Policy.model_validate({
        "edges": ["ie-1", "ie-2", "ie-3"], "fail_open": True,
        "gateways": [{"name": "far", "primary": "ie-3", "secondary": "AUTO"},
                     {"name": "lone", "primary": "ie-2", "fail": "open"}],
        "rules": [{"name": "far", "method": "ZIA", "gateway": "far", "destinations": ["192.0.2.1"]},
                  {"name": "lone", "method": "ZIA", "gateway": "lone", "destinations": ["192.0.2.2"]},
                  {"name": "out", "method": "DIRECT", "destinations": ["192.0.2.3"]}]})  # fmt: skip
    told = {there: explain(policy, parse_flow("10.8.6.4", there)) for there in (f"192.0.2.{last}" for last in range(1, 5))}
    assert {there: (found.to_dict()["edges"], found.to_dict()["opens"]) for there, found in told.items()} == {
        "192.0.2.1": (["ie-3", "ie-1", "ie-2"], False), "192.0.2.2": (["ie-2"], True), "192.0.2.3": ([], False),
        "192.0.2.4": (["ie-1", "ie-2", "ie-3"], True)}  # fmt: skip
    down = explain(policy, parse_flow("10.8.6.4", "192.0.2.2"), None, frozenset({parse_trouble("lone", policy)}))
    assert down.to_dict()["meanwhile"] == "DIRECT" and "while no edge of gateway lone is up: DIRECT" in printed(down)
    assert "by gateway far\n  edges: ie-3, then ie-1, then ie-2; none up: dropped" in printed(told["192.0.2.1"])


def test_an_endpoint_tells_the_sublocation():
    endpoint = endpoint_of(POLICY, 0x0AAAAAAAAAAAAAAA1)
    flow = parse_flow("10.8.6.4", "203.0.113.9", "udp/1", name="a.partner.example", namespace="blue", location="l1")
    with_endpoint = type(flow)(**{f: getattr(flow, f) for f in flow.__slots__} | {"endpoint": endpoint})
    assert explain(POLICY, with_endpoint, WORLD).to_dict()["rule"]["name"] == "web"
    above = explain(POLICY, flow, WORLD).to_dict()["above"]
    assert [m["seen"] for m in above if m["rule"] == "web"] == ["l1/other"]


def test_a_workload_that_is_missed_says_which_groups_it_is_in():
    flow = parse_flow("10.8.6.9", "203.0.113.9", "tcp/22", namespace="blue")
    [missed] = [m for m in explain(POLICY, flow, WORLD).to_dict()["above"] if m["rule"] == "dev"]
    assert missed["seen"] == "no workload is known for 10.8.6.9 in namespace blue"


def test_a_name_is_told_with_its_lists_and_rules():
    told = about_name(POLICY, "x.portal.corp", WORLD).to_dict()
    assert told["known"]["application"] == "portal" and "tcp/443" in told["notes"][0]
    assert [row["rule"] for row in told["rules"]] == ["apps", "dev", "Default Forwarding Rule"]
    told = about_name(POLICY, "a.partner.example", WORLD).to_dict()
    assert told["known"]["destination_groups"] == ["partners"]
    web = next(row for row in told["rules"] if row["rule"] == "web")
    assert web["by"] == ["destinations: destination group partners"] and web["also"] == ["locations: l1/web"]
    assert about_name(POLICY, "x.dns.nextdns.io", WORLD).known["destination_groups"] == ["encrypted_dns"]
    assert "ads" in [row["rule"] for row in about_name(POLICY, "ads.example", WORLD).to_dict()["rules"]]


def test_a_workload_is_told_with_its_tags_and_rules():
    about = about_workload(POLICY, ip_address("10.8.6.4"), WORLD, namespace="blue", at_s=160.0)
    told = about.to_dict()
    assert told["known"]["tags"] == ["vm group=Dev"] and told["known"]["attributes"] == ["Vpc-id=vpc-1"]
    assert told["known"]["workload_groups"] == ["dev"] and told["known"]["confirmed_seconds_ago"] == 60
    dev = next(row for row in told["rules"] if row["rule"] == "dev")
    assert dev["by"] == ["source_workload_groups: workload group dev"] and dev["also"] == ["services: SSH"]
    assert "off" not in [row["rule"] for row in told["rules"]] and "vm group=Dev" in printed(about)
    nobody = about_workload(POLICY, ip_address("10.8.6.5"), WORLD, namespace="blue").to_dict()
    assert "dev" not in [row["rule"] for row in nobody["rules"]] and "no workload is known" in nobody["notes"][0]


SAYING = Policy.model_validate({
    "applications": [{"name": "portal", "domains": ["portal.corp"], "tcp": [443]},
                     {"name": "lost", "domains": ["lost.corp"], "tcp": [443]}],
    "gateways": [{"name": "near", "primary": "ie-1"}], "edges": ["ie-1", "ie-2"],
    "rules": [
        {"name": "apps", "method": "ZPA", "applications": ["portal"]},
        {"name": "gone", "method": "DROP", "destinations": ["192.0.2.0/24"]},
        {"name": "no-evil", "method": "DROP", "destinations": ["evil.example"]},
        {"name": "no-hiding", "method": "DROP", "unnamed": ["ech"]},
        {"name": "updates", "method": "DIRECT", "destinations": ["updates.example"]},
        {"name": "also", "method": "ZIA", "destinations": ["also.example"]},
        {"name": "near", "method": "ZIA", "gateway": "near", "destinations": ["near.example"]},
    ],
})  # fmt: skip


@pytest.mark.parametrize(("there", "service", "name", "naming", "rule", "outcome", "words"), [
    ("198.51.100.1", "tcp/443", "evil.example", "sni", "no-evil", "cut", "is cut then"),
    ("198.51.100.1", "udp/443", None, "ech", "no-hiding", "cut", "is cut then"),
    ("198.51.100.1", "tcp/80", "updates.example", "host", "updates", "stays", "it stays with rule 8 'Default Forwarding Rule'"),
    ("198.51.100.1", "tcp/443", "near.example", "sni", "near", "stays", "another way"),
    ("198.51.100.1", "tcp/443", "also.example", "sni", "also", "taken over", "goes on, under this rule"),
    ("198.51.100.1", "tcp/443", "other.example", "sni", "Default Forwarding Rule", "same", "changes nothing"),
    ("198.51.100.1", "tcp/25", "evil.example", "sni", "no-evil", "unheard", "no rule looks at names of flows to tcp/25"),
    ("192.0.2.1", "tcp/443", "evil.example", "sni", "gone", "unheard", "before it can say anything"),
    ("10.254.0.9", "tcp/443", "portal.corp", "sni", "apps", "unheard", "flows by ZPA are not heard"),
    ("198.51.100.1", "tcp/443", "evil.example", "dns", "no-evil", None, "no DNS answer has told the connector of evil.example"),
    ("198.51.100.1", "tcp/443", None, None, "Default Forwarding Rule", None, "if the flow says a name, no-evil, no-hiding"),
])  # fmt: skip
def test_what_a_flow_says_itself_is_told_with_what_it_changes_midway(there, service, name, naming, rule, outcome, words):
    found = explain(SAYING, parse_flow("10.8.6.4", there, service, name=name, naming=naming))
    told = found.to_dict()
    assert told["rule"]["name"] == rule and (told["midway"] or {}).get("outcome") == outcome
    assert words in " ".join(printed(found).split())


def test_what_is_not_said_is_told_where_a_rule_wanted_it():
    told = explain(POLICY, parse_flow("10.8.6.4", "0.0.0.0", "tcp/443", name="a.partner.example"), WORLD).to_dict()
    assert told["flow"]["destination"] is None
    notes = " ".join(told["notes"])
    for words in ("no address is given", "10.8.6.4 is a workload of blue; no namespace is given", "no location is given"):
        assert words in notes
    told = explain(POLICY, parse_flow("10.8.6.4", "192.0.2.1", "tcp/443", namespace="blue", location="l1"), WORLD).to_dict()
    assert not any("is given" in note for note in told["notes"])


def test_an_application_without_a_rule_is_told_of():
    assert "no ZPA rule is about application lost" in about_name(SAYING, "lost.corp").notes[1]
    assert len(about_name(SAYING, "portal.corp").notes) == 1
    assert "it is one of namespace blue" in about_workload(POLICY, ip_address("10.8.6.4"), WORLD).notes[0]


def test_a_workload_may_be_made_of_tags():
    address = ip_address("10.8.6.9")
    made = tagged(["vm-tag-group=Dev", "any-tag-a=b", "attr-Vpc-id=vpc-9", "subnet-tag-x=y"], "blue", address, 5.0)
    assert made.own == {TagType.VM: {"group": "Dev", "a": "b"}, TagType.SUBNET: {"x": "y"}}
    assert made.attributes == {"Vpc-id": "vpc-9"} and POLICY.workload_groups[0].holds(made)
    for wrong in ("vm-tag-a=b OR vm-tag-c=d", "group=Dev"):
        with pytest.raises(ValueError, match=r"more than one tag|allowed"):
            tagged([wrong], "blue", address, 5.0)
