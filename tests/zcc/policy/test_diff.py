"""Two policies compared: in words, and by flows that they decide differently."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcc.policy.compare import said
from zcc.policy.decide import decide
from zcc.policy.diff import diff, moved
from zcc.policy.dns_rule import DnsRule
from zcc.policy.model import Policy

BASE = {
    "locations": ["l1", "l2"],
    "applications": [{"name": "portal", "domains": ["portal.corp", "*.portal.corp"], "tcp": [443]}],
    "source_groups": [{"name": "dev", "addresses": ["10.8.0.0/16"]}],
    "rules": [
        {"name": "apps", "method": "ZPA", "all_applications": True},
        {"name": "evil", "method": "DROP", "destinations": ["evil.example", "192.0.2.0/24"]},
        {"name": "dev", "method": "LOCAL", "source_groups": ["dev"], "destinations": ["10.0.0.0/8"]},
        {"name": "updates", "method": "DIRECT", "destinations": ["203.0.113.0/24"], "services": ["tcp/443"]},
    ],
}


def edited(change):
    before, after = Policy.model_validate(BASE), Policy.model_validate(change(BASE))
    return before, after, diff(before, after)


def with_rule(index, **fields):
    def change(base):
        rules = [rule | fields if i == index else rule for i, rule in enumerate(base["rules"])]
        return base | {"rules": rules}
    return change  # fmt: skip


def with_rules(reorder):
    return lambda base: base | {"rules": reorder(base["rules"])}


@pytest.mark.parametrize(
    ("change", "words", "changes"),
    [
        (with_rule(1, destinations=["evil.example", "198.18.0.0/15"]),
         "rule 'evil': destinations: + 198.18.0.0/15, − 192.0.2.0/24", {("DROP", "ZIA"), ("ZIA", "DROP")}),
        (with_rule(1, method="DIRECT"), "rule 'evil': method: DROP → DIRECT", {("DROP", "DIRECT")}),
        (with_rule(1, enabled=False), "rule 'evil': enabled: True → False", {("DROP", "ZIA")}),
        (with_rule(3, services=[]), "rule 'updates': services: tcp/443 → any", {("ZIA", "DIRECT")}),
        (with_rule(3, services=["tcp/443", "udp/443"]), "rule 'updates': services: + udp/443", {("ZIA", "DIRECT")}),
        (with_rule(0, locations=["l1"]), "rule 'apps': locations: any → l1", {("ZPA", "DROP")}),
        (with_rule(1, description="why"), "rule 'evil': description:  → why", set()),
        (with_rules(lambda rules: rules[:2] + rules[3:]), "rule 'dev' (LOCAL) is gone from place 2", {("LOCAL", "ZIA")}),
        (with_rules(lambda rules: [*rules, {"name": "new", "method": "DROP", "services": ["icmp"]}]),
         "rule 'new' (DROP) is new, at place 4, the last", {("ZIA", "DROP")}),
        (with_rules(lambda rules: [{"name": "all", "method": "DROP"}, *rules]),
         "rule 'all' (DROP) is new, at place 0, above 'apps'", {("ZIA", "DROP"), ("ZPA", "DROP"), ("DIRECT", "DROP"),
                                                                ("LOCAL", "DROP")}),
        (with_rules(lambda rules: [rules[3], *rules[:3]]),
         "rule 'updates' has moved: it is now above 'apps', 'evil', 'dev'", set()),
        (lambda base: base | {"source_groups": [{"name": "dev", "addresses": ["10.9.0.0/16"]}]},
         "source group 'dev': addresses: + 10.9.0.0/16, − 10.8.0.0/16", {("LOCAL", "ZIA"), ("ZIA", "LOCAL")}),
        (lambda base: base | {"locations": ["l1", "l2", "l3"]}, "location 'l3' is new", set()),
        (lambda base: base | {"applications": [base["applications"][0] | {"tcp": [443, 8443]}]},
         "application 'portal': tcp: + 8443", {("DROP", "ZPA")}),
    ],
)  # fmt: skip
def test_a_difference_is_told_in_words_and_shown_by_flows(change, words, changes):
    before, after, found = edited(change)
    assert words in found.words
    seen = {(one.method, other.method) for one, other in found.effect.changes}
    assert changes <= seen if len(changes) > 2 else changes == seen
    for (one, other), group in found.effect.changes.items():
        for flow in group.examples:  # a witness is true
            assert (one.rule, other.rule) == (decide(before, flow).rule.name, decide(after, flow).rule.name)


def test_the_same_policy_has_no_difference():
    found = diff(Policy.model_validate(BASE), Policy.model_validate(BASE))
    assert found.words == () and found.effect.looked_at == 0


@given(st.permutations(list("abcdefgh")))
def test_the_names_that_moved_are_the_fewest(after):
    before = list("abcdefgh")
    gone = moved(before, after)
    rest = [name for name in after if name not in gone]
    assert rest == sorted(rest)
    longest = max((sum(1 for _ in run) for run in rising(after)), default=0)
    assert len(rest) >= longest


def rising(names):
    """Runs of neighbours in order: a lower bound of the longest rising run."""
    run = names[:1]
    for name in names[1:]:
        if name < run[-1]:
            yield run
            run = []
        run.append(name)
    yield run


def test_dns_rules_are_compared_in_words_and_by_queries():
    objects = {"locations": ["l1"], "applications": [{"name": "portal", "domains": ["*.corp.example"], "tcp": [443]}]}
    policy = Policy.model_validate(objects)
    ads = DnsRule(name="ads", action="BLOCK", names=["*.ads.example"])
    texts = DnsRule(name="texts", action="ALLOW", types=["TXT"])
    both = ([ads, texts], [texts, ads.model_copy(update={"names": ("*.ads.example", "b.example")}),
                           DnsRule(name="sink", action="OVERWRITE", names=["c.example"], addresses=["192.0.2.1"])])  # fmt: skip
    found = diff(policy, policy, dns=both)
    assert found.words == (
        "DNS rule 'sink' (OVERWRITE) is new, at place 2, the last",
        "DNS rule 'texts' has moved: it is now above 'ads'",
        "DNS rule 'ads': names: + b.example",
    )
    changes = {(str(before), str(after)): what.examples[0]["destination"] for before, after, what in found.queries.ordered()}
    assert changes == {
        ("ALLOW by 'Default Connector DNS Rule'", "BLOCK by 'ads'"): "b.example",
        ("ALLOW by 'Default Connector DNS Rule'", "OVERWRITE by 'sink'"): "c.example",
    }
    assert diff(policy, policy, dns=(both[0], both[0])).words == ()
    assert found.to_dict()["queries"]["cut"] == found.queries.cut > 0


def test_an_application_that_is_new_changes_what_its_names_are_answered():
    before = Policy.model_validate({"locations": ["l1"]})
    portal = {"name": "p", "domains": ["p.example"], "tcp": [443]}
    after = Policy.model_validate({"applications": [portal], "locations": ["l1"]})
    any_rule = [DnsRule(name="all", action="ZPA")]
    (change,) = list(diff(before, after, dns=(any_rule, any_rule)).queries.ordered())
    assert (change[0].method, change[1].method) == ("ALLOW", "ZPA")


@pytest.mark.parametrize(("services", "ports"), [
    ([], {"tcp/80", "tcp/443", "tcp/8080", "udp/443"}), (["tcp/8443"], {"tcp/8443"}), (["icmp"], set()),
], ids=["web", "its own", "nobody speaks"])
def test_a_rule_about_causes_is_tried_where_flows_are_heard(services, ports):
    rule = {"name": "hiding", "method": "DROP", "unnamed": ["ech"], "services": services}
    _, _, found = edited(lambda base: base | {"rules": [rule, *base["rules"]]})
    examples = [example for (_, after), changes in found.effect.changes.items() if after.rule == "hiding"
                for example in changes.examples]  # fmt: skip
    assert {example.service for example in examples} <= ports and bool(examples) is bool(ports)
    assert all(example.naming == "ech" and "(ech)" in said(example) for example in examples)
