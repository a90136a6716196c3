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
