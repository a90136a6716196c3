"""A session log decided again: which flows would change, and what is not looked at."""

import json

import pytest

from zcc.policy.decide import Decider
from zcc.policy.model import Policy
from zcc.policy.recorded import Recorded, flow_of

RECORD = {
    "log": "session", "time": "2026-11-26T06:00:00.000+00:00", "clt_src_ip": "10.8.6.4", "clt_src_port": 40000,
    "clt_dst_ip": "203.0.113.9", "clt_dst_port": 443, "clt_dst_name": "updates.example", "fwdtypename": "DIRECT",
    "rdrrulename": "updates", "clt_tx_bytes": 100, "clt_rx_bytes": 10, "clt_nw_protocol": "TCP", "location": "l1",
    "namespace": "blue", "group_name": "g1",
}  # fmt: skip
CURRENT = Policy.model_validate({
    "locations": ["l1"],
    "rules": [{"name": "updates", "method": "DIRECT", "destinations": ["203.0.113.0/24"]}],
})  # fmt: skip
CANDIDATE = CURRENT.model_copy(update={"rules": CURRENT.rules[:0]})


def lines(*records):
    return [json.dumps(record).encode() for record in records]


def test_a_flow_that_would_change_is_told_with_both_verdicts():
    recorded = Recorded(Decider(CANDIDATE))
    [change] = recorded.changes(lines(RECORD, RECORD | {"fwdtypename": "ZIA", "rdrrulename": "Default Forwarding Rule"}))
    assert change["before"] == {"method": "DIRECT", "rule": "updates"}
    assert change["after"] == {"method": "ZIA", "rule": "Default Forwarding Rule"}
    assert (recorded.tally.looked_at, recorded.tally.changed, recorded.tally.cut) == (2, 1, 1)
    assert recorded.tally.to_dict()["changes"][0]["bytes"] == 110


def test_two_policies_may_be_compared_on_a_log():
    recorded = Recorded(Decider(CANDIDATE), Decider(CURRENT))
    [change] = recorded.changes(lines(RECORD | {"fwdtypename": "NONE"}))
    assert change["before"]["rule"] == "updates"
    assert list(Recorded(Decider(CURRENT), Decider(CURRENT)).changes(lines(RECORD))) == []


def test_a_record_tells_all_that_a_decision_looks_at():
    flow = flow_of(RECORD)
    assert (str(flow.source), str(flow.destination), flow.service, flow.name) == (
        "10.8.6.4", "203.0.113.9", "tcp/443", "updates.example")  # fmt: skip
    assert (flow.namespace, flow.location, flow.group, flow.at_s) == ("blue", "l1", "g1", 1795672800.0)
    assert flow_of(RECORD | {"clt_nw_protocol": "ICMP"}).port is None
    assert flow_of(RECORD | {"clt_nw_protocol": "47"}).protocol == 47


@pytest.mark.parametrize(
    ("line", "skipped"),
    [
        (b"not json", "lines that are no JSON object"),
        (b"[1]", "lines that are no JSON object"),
        (b"[" * 100_000, "lines that are no JSON object"),
        (b'{"log": "dns"}', "records of the log dns"),
        (b'{"log": "session"}', "records that tell no flow or no method"),
        (json.dumps(RECORD | {"clt_src_ip": "x"}).encode(), "records that tell no flow or no method"),
        (json.dumps(RECORD | {"time": 5}).encode(), "records that tell no flow or no method"),
        (json.dumps(RECORD | {"fwdtypename": "NONE"}).encode(), "records that tell no flow or no method"),
        (b'{"gap": 1, "recordid": 4, "until": 4, "reason": "queue full"}', "records that the log has lost"),
        (b" ", None),
    ],
)
def test_what_is_no_session_record_is_counted(line, skipped):
    recorded = Recorded(Decider(CANDIDATE))
    assert list(recorded.changes([line])) == []
    assert dict(recorded.skipped) == ({skipped: 1} if skipped else {})


SAYING = Policy.model_validate({"locations": ["l1"], "rules": [
    {"name": "no-evil", "method": "DROP", "destinations": ["evil.example"]},
    {"name": "updates", "method": "DIRECT", "destinations": ["updates.example"]},
]})  # fmt: skip
ZIA = {"fwdtypename": "ZIA", "rdrrulename": "Default Forwarding Rule", "clt_dst_name_from": "sni"}
BEFORE = RECORD | ZIA | {"clt_dst_name": "evil.example"}
AFTER = BEFORE | {"fwdtypename": "DROP", "rdrrulename": "no-evil"}


def test_a_policy_changes_nothing_of_its_own_log_of_flows_that_said_their_names():
    stays, taught = RECORD | ZIA, RECORD | {"clt_dst_name_from": "sni"}
    for current in (None, Decider(SAYING)):
        recorded = Recorded(Decider(SAYING), current)
        assert list(recorded.changes(lines(BEFORE, stays, AFTER, taught))) == []
        assert recorded.tally.looked_at == 4


def test_flows_that_a_candidate_would_cut_by_what_they_say_are_told():
    without = SAYING.model_copy(update={"rules": SAYING.rules[1:]})
    recorded = Recorded(Decider(SAYING))
    other = BEFORE | {"clt_src_port": 40001}
    [change] = recorded.changes(lines(BEFORE, AFTER, other))
    assert (change["clt_src_port"], change["after"]["rule"], recorded.tally.looked_at) == (40001, "no-evil", 3)
    for current in (None, Decider(SAYING)):
        [change] = Recorded(Decider(without), current).changes(lines(BEFORE, AFTER))
        assert (change["before"]["method"], change["after"]["method"]) == ("DROP", "ZIA")
    [change] = Recorded(Decider(SAYING), Decider(without)).changes(lines(other))
    assert (change["before"]["method"], change["after"]["method"]) == ("ZIA", "DROP")


def test_a_name_that_others_said_of_the_address_is_compared_as_such():
    elsewhere = SAYING.model_copy(update={"rules": SAYING.rules[:1]})
    taught = RECORD | {"clt_dst_name_from": "sni"}
    for current in (None, Decider(SAYING)):
        [change] = Recorded(Decider(elsewhere), current).changes(lines(taught))
        assert (change["before"]["method"], change["after"]["method"]) == ("DIRECT", "ZIA")
    assert list(Recorded(Decider(elsewhere)).changes(lines(RECORD | ZIA))) == []
