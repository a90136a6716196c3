"""Edits of the policy: by file, by feed and by failure; and previews of the live flows."""

import asyncio
import contextlib
from ipaddress import ip_address

import numpy as np
import pytest

from fastpath.flowtable import ENTRY
from zcc.clock import ManualClock
from zcc.connector import edits
from zcc.connector.edits import Edits
from zcc.connector.routes import routes_of
from zcc.connector.rulebook import Rulebook
from zcc.connector.sessions import Labels
from zcc.connector.settings import ConnectorSettings
from zcc.errors import ZccError
from zcc.feeds.watch import Watch
from zcc.itunnel.gateways import Route
from zcc.policy.model import Method
from zcc.policy.stances import Failure, GatewayDown

BASE = {
    "name": "cc-1", "group": "g1", "state": "/var/lib/zcc", "identity": {"certificate": "c", "key": "k", "ca": "a"},
    "namespaces": [{"name": "blue", "id": 1}], "locations": ["l1"],
    "endpoints": [{"id": "vpce-0aaaaaaaaaaaaaaa1", "namespace": "blue", "location": "l1"}],
    "ingress": {"address": "10.1.200.11"}, "kernel": {"internal": "198.18.0.0/16"},
    "zpa": {"edges": ["10.0.3.10:443"]}, "zia": {"edges": [{"name": "ie-1", "address": "10.0.4.11:443"}]},
    "direct": {"address": "10.1.200.111"}, "health": {"address": "10.1.200.11"},
    "workload_groups": [{"name": "dev", "expression": "vm-tag-group=Dev"}],
}  # fmt: skip
UPDATES = {"name": "updates", "method": "DIRECT", "destinations": ["203.0.113.0/24"]}


def settings(*rules, **fields):
    return ConnectorSettings.model_validate({**BASE, **fields, "rules": list(rules)})


class FakeDatapath:
    """Takes rule sets; its live flows are given."""

    def __init__(self, flows=()):
        self.taken = []
        self._flows = np.array([entry(*flow) for flow in flows], ENTRY)

    def exchange_rules(self, rules):
        self.taken.append(rules)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def live_flows(self):
        return self._flows


def entry(source, destination, port, name_id=0, initiator=0, rule=0):
    made = np.zeros((), ENTRY)
    ends = [list(bytes(10) + b"\xff\xff" + ip_address(address).packed) for address in (source, destination)]
    ports = [40_000, port]
    if initiator:
        ends, ports = ends[::-1], ports[::-1]
    made["a_address"], made["b_address"], made["a_port"], made["b_port"] = *ends, *ports
    made["ip_version"], made["protocol"], made["namespace"], made["used"], made["location"] = 4, 6, 1, 1, 1
    made["initiator"], made["name_id"], made["rule"], made["bytes"] = initiator, name_id, rule, (10, 20)
    return made


def make(first, flows=()):
    watch, datapath = Watch(first.feeds), FakeDatapath(flows)
    rulebook = Rulebook(first, watch.world)
    labels = Labels({1: "blue"}, {1: "l1"}, {}, rulebook.rule_names, rulebook.names.name_of)
    made = Edits(first, rulebook, watch, ManualClock(time=20.0), datapath, labels)
    return made, rulebook, datapath


async def until(condition, task):
    for _ in range(1000):
        if condition():
            break
        await asyncio.sleep(0.005)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert condition()


def test_a_file_that_is_another_is_put_in_force():
    made, rulebook, datapath = make(settings())
    asyncio.run(made.put(settings(UPDATES)))
    assert rulebook.rule_names[0] == "updates" and len(datapath.taken) == 1 and rulebook.generation == 2
    assert datapath.taken[0].generation == 2 and made.settings.rules[0].name == "updates"


@pytest.mark.parametrize(
    ("fields", "taken"),
    [
        ({"locations": ["l1", "l2"]}, True),
        ({"endpoints": []}, True),  # the worker keeps those it has
        ({"locations": ["l0", "l1"]}, False),
        ({"locations": [{"name": "l1", "sublocations": [{"name": "s", "namespaces": ["blue"]}]}]}, False),
        ({"namespaces": [{"name": "blue", "id": 2}]}, False),
    ],
)
def test_an_edit_may_not_give_an_endpoint_another_number(fields, taken):
    made, rulebook, datapath = make(settings())
    if taken:
        asyncio.run(made.put(settings(UPDATES, **fields)))
        return
    with pytest.raises(ZccError, match="restart the connector"):
        asyncio.run(made.put(settings(UPDATES, **fields)))
    assert rulebook.generation == 1 and not datapath.taken


def test_a_feed_that_is_another_is_followed(tmp_path):
    path = tmp_path / "w.yaml"
    path.write_text("workloads: []")
    rule = {"name": "dev", "method": "DROP", "source_workload_groups": ["dev"]}
    made, rulebook, datapath = make(settings(rule, feeds={"workloads": str(path), "interval": "10ms"}))

    async def body():
        task = asyncio.create_task(made.follow_feeds())
        path.write_text("workloads: [{address: 10.8.6.4, namespace: blue, tags: {vm: {group: Dev}}}]")
        await until(lambda: datapath.taken, task)

    asyncio.run(body())
    assert rulebook.compiled.workloads is not None and len(rulebook.compiled.workloads["addresses"]) == 1


def test_stances_count_while_an_edge_is_down(monkeypatch):
    monkeypatch.setattr(edits, "LOOK_S", 0.005)
    rule = {"name": "inspected", "method": "ZIA", "on_failure": {"edge_down": "closed"}}
    made, rulebook, datapath = make(settings(rule))
    down = set()

    async def body():
        task = asyncio.create_task(made.follow_failures(lambda: frozenset(down)))
        await asyncio.sleep(0.05)
        assert not datapath.taken
        down.add(Failure.ZIA_DOWN)
        await until(lambda: rulebook.compiled.rules[0].method is Method.DROP, task)
        assert rulebook.uses(Method.ZIA)  # as it is written: health goes on to look at the edges
        down.clear()
        task = asyncio.create_task(made.follow_failures(lambda: frozenset(down)))
        await until(lambda: rulebook.compiled.rules[0].method is Method.ZIA, task)

    asyncio.run(body())
    assert datapath.taken[0].actions[0] != datapath.taken[1].actions[0]


def test_a_name_of_categories_that_no_name_had_before_has_the_policy_compiled_again(tmp_path, monkeypatch):
    monkeypatch.setattr(edits, "LOOK_S", 0.005)
    many = [f"c{n}" for n in range(91)]  # too many for every three of them to have a number beforehand
    for category in many:
        (tmp_path / f"{category}.txt").write_text("both.example" if category in many[:3] else f"{category}.example")
    rules = [{"name": category, "method": "DROP", "categories": [category]} for category in many]
    made, rulebook, datapath = make(settings(*rules, feeds={"categories": str(tmp_path)}))
    number = rulebook.names.id_of("c9.example")
    assert not rulebook.approximate and number
    rulebook.names.id_of("both.example")
    assert rulebook.approximate

    async def body():
        task = asyncio.create_task(made.follow_failures(frozenset))
        await until(lambda: datapath.taken, task)

    asyncio.run(body())
    assert not rulebook.approximate and frozenset(many[:3]) in set(rulebook.compiled.category_sets)


def test_workloads_that_are_not_confirmed_are_stale(tmp_path, monkeypatch):
    monkeypatch.setattr(edits, "LOOK_S", 0.005)
    path = tmp_path / "w.yaml"
    path.write_text("confirmed: 1970-01-01T00:00:10Z\nworkloads: [{address: 10.8.6.4, namespace: blue}]")
    rule = {"name": "dev", "method": "DIRECT", "source_workload_groups": ["dev"], "on_failure": {"tags_stale": "closed"}}
    made, rulebook, _ = make(settings(rule, feeds={"workloads": str(path), "stale_after": "60s"}))

    async def body():
        task = asyncio.create_task(made.follow_failures(frozenset))
        await asyncio.sleep(0.05)
        assert made.failures == frozenset()
        made._clock.advance(100.0)
        await until(lambda: rulebook.compiled.rules[0].method is Method.DROP, task)

    asyncio.run(body())


FLOWS = [
    ("10.8.6.4", "203.0.113.9", 443), ("10.8.6.5", "203.0.113.10", 443, 0, 1), ("10.8.6.4", "192.0.2.1", 443),
]  # fmt: skip


def preview(first, candidate, flows=FLOWS):
    made, rulebook, datapath = make(first, flows)
    answer = asyncio.run(made.preview({"ask": "preview", "file": "text"}, lambda data: candidate))
    assert not datapath.taken and rulebook.generation == 1
    return answer


def test_a_preview_counts_the_flows_that_an_edit_would_cut():
    answer = preview(settings(UPDATES), settings())
    assert (answer["looked_at"], answer["changed"], answer["cut"]) == (3, 2, 2)
    [change] = answer["changes"]
    assert change["before"] == {"method": "DIRECT", "rule": "updates"} and change["after"]["method"] == "ZIA"
    assert change["bytes"] == 60 and change["flows"] == 2
    assert [e["source"] for e in change["examples"]] == ["10.8.6.4", "10.8.6.5"]  # whichever end has the lower address
    assert change["examples"][0]["service"] == "tcp/443" and change["examples"][0]["namespace"] == "blue"


def test_a_flow_that_another_rule_decides_alike_is_changed_and_not_cut():
    answer = preview(settings(UPDATES), settings(UPDATES | {"name": "renamed"}))
    assert (answer["changed"], answer["cut"]) == (2, 0)
    assert preview(settings(UPDATES), settings(UPDATES))["changes"] == []
    assert preview(settings(UPDATES), settings(), flows=[])["looked_at"] == 0


def test_a_preview_without_a_file_is_refused():
    made, _, _ = make(settings())
    with pytest.raises(ZccError, match="text of a file"):
        asyncio.run(made.preview({"ask": "preview"}, lambda data: settings()))


def test_an_edit_has_flows_follow_the_gateways_that_its_rules_name():
    edges = {"zia": {"edges": [{"name": "ie-1", "address": "10.0.4.11:443"}, {"name": "ie-2", "address": "10.0.4.12:443"}]},
             "gateways": [{"name": "near", "primary": "ie-2"}, {"name": "far", "primary": "ie-1", "secondary": "ie-2"},
                          {"name": "nobody's", "primary": "ie-1"}]}
    rule = {"name": "r", "method": "ZIA", "gateway": "near", "destinations": ["203.0.113.0/24"]}
    made, rulebook, datapath = make(settings(rule, **edges))
    assert rulebook.gateways == {"near": 1} and rulebook.rules.gateways.tolist() == [1, 0, 0]
    steered = []
    made.steer = steered.append
    asyncio.run(made.put(settings({**rule, "gateway": "far"}, {**rule, "name": "s", "enabled": False}, **edges)))
    assert steered == [{"far": Route(2, (0, 1)), "near": Route(1, (1,))}]
    assert datapath.taken[-1].gateways.tolist() == [2, 1, 0, 0]
    assert routes_of(made.settings, rulebook.gateways) == steered[0]


def test_a_gateway_without_an_edge_is_a_failure_of_its_own():
    gateways = [{"name": "near", "primary": "ie-1"}]
    rule = {"name": "r", "method": "ZIA", "gateway": "near", "on_failure": {"edge_down": "closed"}}
    made, rulebook, _ = make(settings(rule, {"name": "rest", "method": "ZIA", "on_failure": {"edge_down": "closed"}},
                                      gateways=gateways))
    asyncio.run(made._take_stance(frozenset({GatewayDown("near")})))
    assert [str(rule.method) for rule in rulebook.compiled.rules[:2]] == ["DROP", "ZIA"]
