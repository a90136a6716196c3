"""replay and names that flows say: what is read from captures, from which packet on it counts, and what is said of that."""

import io
import json
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

import quic_sealer as sealer
from hellos import hello, records
from zcc.connector import replay
from zcc.connector.settings import ConnectorSettings

RULES = [{"name": "no-evil", "method": "DROP", "destinations": ["*.evil.example"]},
         {"name": "no-hiding", "method": "DROP", "unnamed": ["ech", "no-name"], "services": ["tcp/443"]},
         {"name": "updates", "method": "DIRECT", "destinations": ["updates.example"]},
         {"name": "east-west", "method": "LOCAL", "destinations": ["10.8.0.0/16"]}]  # fmt: skip
BASE: dict[str, Any] = {
    "name": "cc-1", "group": "group-1", "state": "/var/lib/zcc",
    "identity": {"certificate": "c.pem", "key": "k.pem", "ca": "ca.pem"},
    "namespaces": [{"name": "co1", "id": 1}], "locations": ["loc1"],
    "ingress": {"address": "10.1.200.11"}, "kernel": {"internal": "198.18.0.0/16"}, "direct": {"address": "10.1.200.111"},
    "zia": {"edges": [{"name": "ie-1", "address": "10.0.4.11:443"}]}, "rules": RULES, "health": {"address": "10.1.200.11"},
}  # fmt: skip
MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
CLIENT, SERVER, FIRST = "10.8.6.4", "198.51.100.7", 0xFFFF_FF00


def connection(said: bytes, *, port: int = 40_000, dport: int = 443, size: int = 300, server: str = SERVER) -> list[Any]:
    """A client that connects, says something in segments and goes on; the server answers once."""
    ends, back = {"src": CLIENT, "dst": server}, {"src": server, "dst": CLIENT}
    sent = [IP(**ends) / TCP(sport=port, dport=dport, flags="S", seq=FIRST - 1),
            IP(**back) / TCP(sport=dport, dport=port, flags="SA", seq=7, ack=FIRST)]  # fmt: skip
    for at in range(0, len(said), size):
        sequence = FIRST + at & 0xFFFF_FFFF
        sent.append(IP(**ends) / TCP(sport=port, dport=dport, flags="PA", seq=sequence, ack=8) / said[at:at + size])
    sent.append(IP(**ends) / TCP(sport=port, dport=dport, flags="A", seq=FIRST + len(said) & 0xFFFF_FFFF, ack=9))
    return sent


def replayed(tmp_path, packets, *, as_json=True, snaplen=0, **more):
    path, out = tmp_path / "capture.pcap", io.StringIO()
    frames = [Ether(**MACS) / packet for packet in packets]
    if snaplen:
        wholes, frames = frames, [Ether(bytes(frame)[:snaplen]) for frame in frames]
        for whole, frame in zip(wholes, frames, strict=True):
            frame.wirelen = len(whole)
    wrpcap(str(path), frames)
    replay.run(ConnectorSettings.model_validate(BASE | more), path, as_json, out)
    if not as_json:
        return out.getvalue()
    *flows, summary = [json.loads(line) for line in out.getvalue().splitlines()]
    return flows, summary


def short(flow):
    return flow["name"], flow["name_from"], flow["rule"], flow["method"]


def test_a_hello_over_segments_and_records_decides_its_flow_from_the_next_packet_on(tmp_path):
    said = records(hello("www.evil.example", padding=900), 250)
    (flow,), summary = replayed(tmp_path, connection(said))
    segments = -(-len(said) // 300)
    assert short(flow) == ("www.evil.example", "sni", "no-evil", "DROP") and segments > 3
    assert flow["before"] == {"rule_index": 5, "rule": "Default Forwarding Rule", "method": "ZIA", "packets": [1 + segments, 1]}
    assert flow["packets"] == [2 + segments, 1] and summary["drops"] == {"policy": 1}
    assert summary["namings"] == {"sni": 1} and summary["changed"] == 1


@pytest.mark.parametrize(("said", "dport", "told"), [
    (b"GET / HTTP/1.1\r\nHost: a.evil.example:80\r\n\r\n", 80, ("a.evil.example", "host", "no-evil", "DROP")),
    (b"CONNECT b.evil.example:443 HTTP/1.1\r\n\r\n", 8080, ("b.evil.example", "host", "no-evil", "DROP")),
    (records(hello("front.example", ech=True)), 443, ("front.example", "ech", "no-hiding", "DROP")),
    (records(hello("c.evil.example", ech=True)), 443, ("c.evil.example", "ech", "no-evil", "DROP")),
    (records(hello(None)), 443, ("", "no-name", "no-hiding", "DROP")),
    (b"SSH-2.0-OpenSSH\r\n", 443, ("", "not-web", "Default Forwarding Rule", "ZIA")),
    (records(hello("d.evil.example")), 25, ("", "", "Default Forwarding Rule", "ZIA")),
    (records(hello("updates.example")), 443, ("updates.example", "sni", "Default Forwarding Rule", "ZIA")),
], ids=["host", "connect", "ech", "ech-named", "no-name", "not-web", "port-not-watched", "another-way"])  # fmt: skip
def test_what_tcp_says(tmp_path, said, dport, told):
    (flow,), _ = replayed(tmp_path, connection(said, dport=dport))
    assert short(flow) == told and (flow["before"] is not None) is (told[3] == "DROP")


@pytest.mark.parametrize("version", [sealer.V1, sealer.V2], ids=["v1", "v2"])
def test_quic_initials_of_both_versions_the_second_half_first(tmp_path, version):
    message = hello("www.evil.example", padding=900)
    frames = [(500, message[500:]), (0, message[:500])]
    said = [sealer.initial(sealer.crypto(*frame), version=version, number=number) for number, frame in enumerate(frames)]
    ends = IP(src=CLIENT, dst=SERVER) / UDP(sport=5000, dport=443)
    (flow,), summary = replayed(tmp_path, [ends / octets for octets in (*said, b"\x40more")])
    assert short(flow) == ("www.evil.example", "quic", "no-evil", "DROP")
    assert flow["before"]["packets"] == [2, 0] and summary["drops"] == {"policy": 1}


def test_a_connection_from_its_middle_is_unread_at_once(tmp_path):
    rules = [{"name": "no-unread", "method": "DROP", "unnamed": ["unread"]}]
    (flow,), summary = replayed(tmp_path, connection(b"x")[2:], rules=rules)
    assert short(flow) == ("", "unread", "no-unread", "DROP") and flow["before"] is None
    assert summary["drops"] == {"policy": 2} and summary["namings"] == {}


def test_the_second_connection_to_an_address_goes_by_the_name_that_the_first_said(tmp_path):
    said = records(hello("updates.example"))
    packets = [*connection(said), *connection(said, port=40_001)]
    for teach, ways in ((True, ["ZIA", "DIRECT"]), (False, ["ZIA", "ZIA"])):
        flows, _ = replayed(tmp_path, packets, naming={"teach_addresses": teach})
        assert [flow["method"] for flow in flows] == ways and all(flow["before"] is None for flow in flows)


def test_a_snapshot_length_that_cuts_the_hello_is_told_and_names_nothing(tmp_path):
    packets = connection(records(hello("www.evil.example", padding=900)))
    (flow,), summary = replayed(tmp_path, packets, snaplen=96)
    assert short(flow) == ("", "", "Default Forwarding Rule", "ZIA") and summary["cut_short"] == 1
    assert "flows that may have said a name" in replayed(tmp_path, packets, snaplen=96, as_json=False)


def test_the_table_shows_both_decisions(tmp_path):
    text = replayed(tmp_path, connection(records(hello("www.evil.example"))), as_json=False)
    words = ("www.evil.example (sni)", "Default Forwarding Rule → no-evil", "ZIA → DROP", "flows decided again")
    assert all(word in text for word in words), text
