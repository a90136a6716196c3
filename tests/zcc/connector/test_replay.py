"""replay: captures made by scapy through decode, key, flow table and rules; what comes out is what the connector would do."""

import io
import json
import logging

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fastpath import gwlb
from zcc.connector import replay
from zcc.connector import replayed as replayed_module
from zcc.connector.settings import ConnectorSettings
from zcc.errors import CaptureError

logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.layers.dns import DNS, DNSQR, DNSRR  # noqa: E402
from scapy.layers.inet import ICMP, IP, TCP, UDP  # noqa: E402
from scapy.layers.inet6 import IPv6  # noqa: E402
from scapy.layers.l2 import ARP, Ether  # noqa: E402
from scapy.utils import wrpcap  # noqa: E402

CO1, CO2, STRANGER = 0x1, 0x2, 0x9
SETTINGS = ConnectorSettings.model_validate({
    "name": "cc-1", "group": "group-1", "state": "/var/lib/zcc",
    "identity": {"certificate": "c.pem", "key": "k.pem", "ca": "ca.pem"},
    "namespaces": [{"name": "co1", "id": 1}, {"name": "co2", "id": 2}],
    "locations": ["loc1", "loc2"],
    "endpoints": [{"id": gwlb.endpoint_name(CO1), "namespace": "co1", "location": "loc1"},
                  {"id": gwlb.endpoint_name(CO2), "namespace": "co2", "location": "loc2"}],
    "ingress": {"address": "10.1.200.11", "flows": 64},
    "kernel": {"internal": "198.18.0.0/16"},
    "zpa": {"edges": ["10.0.3.10:443"]}, "direct": {"address": "10.1.200.111"},
    "applications": [{"name": "portal", "domains": ["portal.corp.example"], "tcp": [443]}],
    "rules": [{"name": "apps", "method": "ZPA", "applications": ["portal"]},
              {"name": "no-evil", "method": "DROP", "destinations": ["*.evil.example"]},
              {"name": "east-west", "method": "LOCAL", "destinations": ["10.8.0.0/16", "fd00:8::/32"]},
              {"name": "updates", "method": "DIRECT", "locations": ["loc2"], "destinations": ["203.0.113.0/24"]}],
    "health": {"address": "10.1.200.11"},
})  # fmt: skip
# Given, because scapy asks the network by ARP for what is left out.
MACS = {"src": "02:00:00:00:00:01", "dst": "02:00:00:00:00:02"}
UDP_TO_6081 = IP(src="10.8.6.4", dst="10.8.6.5") / UDP(sport=1, dport=6081) / b"\xff is no Geneve"
CLIENT, RESOLVER = "10.8.6.4", "192.0.2.53"


def geneve(endpoint, inner, *, back=False, outer=("10.1.1.1", "10.1.200.11")):
    source, destination = outer[::-1] if back else outer
    header = gwlb.header(endpoint, 7, 9, inner.version)
    return Ether(**MACS) / IP(src=source, dst=destination) / UDP(sport=60001, dport=6081, chksum=0) / (header + bytes(inner))


def tcp(source, sport, destination, dport, flags="S", data=b""):
    return IP(src=source, dst=destination) / TCP(sport=sport, dport=dport, flags=flags) / data


def lookup(name, address, number=1, client=CLIENT, port=4000):
    """A query and its answer."""
    query = DNS(id=number, rd=1, qd=DNSQR(qname=name))
    answer = DNS(id=number, qr=1, rd=1, ra=1, qd=DNSQR(qname=name), an=DNSRR(rrname=name, ttl=60, rdata=address))
    return (IP(src=client, dst=RESOLVER) / UDP(sport=port, dport=53) / query,
            IP(src=RESOLVER, dst=client) / UDP(sport=53, dport=port) / answer)


def asked(name, address, endpoint=CO1, **more):
    query, answer = lookup(name, address, **more)
    return [geneve(endpoint, query), geneve(endpoint, answer, back=True)]


def replayed(tmp_path, packets, *, times=None, settings=SETTINGS):
    for packet, time in zip(packets, times or [], strict=bool(times)):
        packet.time = time
    path = tmp_path / "capture.pcap"
    wrpcap(str(path), packets)
    out = io.StringIO()
    replay.run(settings, path, True, out)
    *flows, summary = [json.loads(line) for line in out.getvalue().splitlines()]
    assert summary.pop("type") == "summary" and all(flow.pop("type") == "flow" for flow in flows)
    return flows, summary


def short(flow):
    return flow["namespace"], flow["destination"], flow["rule"], flow["method"]


def test_each_method_is_told_with_its_rule(tmp_path):
    flows, summary = replayed(tmp_path, [
        *asked("x.evil.example", "192.0.2.66"),
        *asked("portal.corp.example", "10.254.0.7", number=2, port=4001),
        geneve(CO1, tcp(CLIENT, 1000, "192.0.2.66", 443)),
        geneve(CO1, tcp(CLIENT, 1001, "10.254.0.7", 443)),
        geneve(CO2, tcp(CLIENT, 1002, "203.0.113.5", 443)),
        geneve(CO1, tcp(CLIENT, 1002, "203.0.113.5", 443)),
        geneve(CO1, tcp(CLIENT, 1003, "10.8.6.5", 80)),
        geneve(CO1, tcp(CLIENT, 1004, "10.254.0.9", 80)),
    ])  # fmt: skip
    assert [short(flow) for flow in flows] == [
        ("co1", RESOLVER, "Default Forwarding Rule", "ZIA"),
        ("co1", RESOLVER, "Names Of Applications", "DNS"),
        ("co1", "192.0.2.66", "no-evil", "DROP"),
        ("co1", "10.254.0.7", "apps", "ZPA"),
        ("co2", "203.0.113.5", "updates", "DIRECT"),
        ("co1", "203.0.113.5", "Default Forwarding Rule", "ZIA"),
        ("co1", "10.8.6.5", "east-west", "LOCAL"),
        ("co1", "10.254.0.9", "ZPA Pool For Stray Traffic", "DROP"),
    ]
    assert flows[2]["name"] == "x.evil.example" and flows[3]["name"] == "portal.corp.example"
    assert summary["drops"] == {"policy": 1, "policy_stray": 1} and summary["dns_answered_here"] == 1


def test_a_name_holds_in_the_namespace_that_asked_for_it_only(tmp_path):
    packets = asked("x.evil.example", "192.0.2.66")
    packets += [geneve(endpoint, tcp(CLIENT, 1000, "192.0.2.66", 443)) for endpoint in (CO1, CO2)]
    flows, _ = replayed(tmp_path, packets)
    assert [(flow["namespace"], flow["method"]) for flow in flows[1:]] == [("co1", "DROP"), ("co2", "ZIA")]


def test_a_lease_holds_in_every_namespace(tmp_path):
    packets = [*asked("portal.corp.example", "10.254.0.7"), geneve(CO2, tcp(CLIENT, 1000, "10.254.0.7", 443))]
    flows, _ = replayed(tmp_path, packets)
    assert short(flows[1]) == ("co2", "10.254.0.7", "apps", "ZPA")


def test_an_answer_nobody_asked_for_teaches_nothing(tmp_path):
    _, answer = lookup("x.evil.example", "192.0.2.66")
    flows, _ = replayed(tmp_path, [geneve(CO1, answer, back=True), geneve(CO1, tcp(CLIENT, 1000, "192.0.2.66", 443))])
    assert [flow["method"] for flow in flows] == ["ZIA", "ZIA"]


def test_counters_are_those_of_both_directions(tmp_path):
    flows, _ = replayed(tmp_path, [
        geneve(CO1, tcp(CLIENT, 1000, "192.0.2.9", 443)),
        geneve(CO1, tcp("192.0.2.9", 443, CLIENT, 1000, "SA"), back=True),
        geneve(CO1, tcp(CLIENT, 1000, "192.0.2.9", 443, "A", b"x" * 100)),
    ])  # fmt: skip
    assert (flows[0]["packets"], flows[0]["bytes"]) == ([2, 1], [180, 40])


def test_a_local_packet_on_its_way_back_is_counted_once(tmp_path):
    there, back = tcp(CLIENT, 1000, "10.8.6.5", 80), tcp("10.8.6.5", 80, CLIENT, 1000, "SA")
    packets = [geneve(CO1, there), geneve(CO1, there, back=True), geneve(CO1, back), geneve(CO1, back, back=True)]
    flows, summary = replayed(tmp_path, packets)
    assert len(flows) == 1 and flows[0]["packets"] == [1, 1] and summary["echoes"] == 2


def test_the_connector_is_told_by_its_address_or_by_who_was_sent_to_first(tmp_path):
    outer = ("10.9.9.1", "10.9.9.2")
    packets = [geneve(CO1, tcp(CLIENT, 1000, "10.8.6.5", 80), back=back, outer=outer) for back in (False, True)]
    flows, summary = replayed(tmp_path, packets)
    assert flows[0]["packets"] == [1, 0] and summary["echoes"] == 1


def test_a_flow_seen_from_its_answer_on_is_decided_for_who_began_it(tmp_path):
    flows, _ = replayed(tmp_path, [geneve(CO2, tcp("203.0.113.5", 443, CLIENT, 1000, "A"), back=True)])
    assert (flows[0]["source"], short(flows[0])) == (CLIENT, ("co2", "203.0.113.5", "updates", "DIRECT"))
    assert flows[0]["packets"] == [0, 1]


def test_ipv6_inside_geneve(tmp_path):
    inner = IPv6(src="fd00:8::4", dst="fd00:8::5") / UDP(sport=7, dport=7) / b"echo"
    flows, _ = replayed(tmp_path, [geneve(CO1, inner)])
    assert short(flows[0]) == ("co1", "fd00:8::5", "east-west", "LOCAL") and flows[0]["bytes"] == [52, 0]


def test_an_idle_flow_ends_and_a_new_syn_after_fin_begins_another(tmp_path):
    packets = [tcp(CLIENT, 1000, "192.0.2.9", 443), tcp("192.0.2.9", 443, CLIENT, 1000, "SA"),
               tcp(CLIENT, 1000, "192.0.2.9", 443, "FA"), tcp("192.0.2.9", 443, CLIENT, 1000, "FA"),
               tcp(CLIENT, 1000, "192.0.2.9", 443), tcp(CLIENT, 1000, "192.0.2.9", 443)]  # fmt: skip
    flows, _ = replayed(tmp_path, packets, times=[100, 101, 102, 103, 104, 200])
    assert [flow["packets"] for flow in flows] == [[2, 2], [1, 0], [1, 0]]
    assert [(flow["started"], flow["ended"]) for flow in flows] == [(100, 103), (104, 104), (200, 200)]


def test_a_full_table_gives_up_its_oldest_flow_and_every_flow_is_printed(tmp_path):
    flows, _ = replayed(tmp_path, [geneve(CO1, tcp(CLIENT, 1000 + n, "192.0.2.9", 443)) for n in range(200)])
    assert [flow["source_port"] for flow in flows] == list(range(1000, 1200))


def test_plain_packets_count_as_if_by_the_first_endpoint(tmp_path):
    packets = [*lookup("x.evil.example", "192.0.2.66"), *lookup("portal.corp.example", "10.20.1.10", number=2, port=4001),
               tcp(CLIENT, 1000, "192.0.2.66", 443), tcp(CLIENT, 1001, "10.20.1.10", 443),
               IP(src=CLIENT, dst="192.0.2.1") / ICMP(id=5)]  # fmt: skip
    flows, _ = replayed(tmp_path, [Ether(**MACS) / packet for packet in packets])
    assert [(flow["method"], flow["location"]) for flow in flows] == [
        ("ZIA", "loc1"), ("DNS", "loc1"), ("DROP", "loc1"), ("ZPA", "loc1"), ("ZIA", "loc1")]  # fmt: skip
    assert flows[4]["protocol"] == "icmp" and flows[4]["source_port"] == 5


@pytest.mark.parametrize("flags", ["SA", "A"], ids=["SYN+ACK", "well-known port"])
def test_a_plain_answer_seen_first_is_turned_round(tmp_path, flags):
    flows, _ = replayed(tmp_path, [Ether(**MACS) / tcp("192.0.2.9", 443, CLIENT, 40000, flags)])
    assert (flows[0]["source"], flows[0]["source_port"], flows[0]["packets"]) == (CLIENT, 40000, [0, 1])


def test_what_is_no_workloads_packet_is_counted(tmp_path):
    short_header = IP() / UDP(dport=6081) / b"\x00"
    flows, summary = replayed(tmp_path, [
        Ether(**MACS) / ARP(), Ether(**MACS) / tcp("10.1.1.1", 5, "10.1.200.11", 50000), Ether(**MACS) / short_header,
        geneve(STRANGER, tcp(CLIENT, 1, "192.0.2.9", 2)), geneve(CO1, IP(src=CLIENT, proto=6) / b"short"),
    ])  # fmt: skip
    assert flows == []
    assert (summary["frames"], summary["not_ip"], summary["outside"]) == (5, 1, 1)
    assert summary["drops"] == {"geneve_short": 1, "gwlb_endpoint_unknown": 1, "packet_l4_short": 1}
    assert summary["unknown_endpoints"] == {"vpce-00000000000000009": 1}


def test_what_the_capture_left_out_still_counts_if_the_headers_are_there(tmp_path):
    path, out = tmp_path / "cut.pcap", io.StringIO()
    whole = Ether(**MACS) / tcp(CLIENT, 1000, "192.0.2.9", 443, "A", bytes(1000))
    cut = [Ether(bytes(whole)[:54]), Ether(bytes(whole)[:50])]
    for packet in cut:
        packet.wirelen = len(whole)
    wrpcap(str(path), cut)
    replay.run(SETTINGS, path, True, out)
    flow, summary = [json.loads(line) for line in out.getvalue().splitlines()]
    assert flow["bytes"] == [1040, 0] and summary["drops"] == {"io_truncated": 1}


def test_a_damaged_file_prints_the_flows_before_the_damage_and_raises(tmp_path):
    path, out = tmp_path / "cut.pcap", io.StringIO()
    wrpcap(str(path), [Ether(**MACS) / tcp(CLIENT, 1000, "192.0.2.9", 443)] * 2)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(CaptureError, match="offset"):
        replay.run(SETTINGS, path, True, out)
    assert json.loads(out.getvalue().splitlines()[0])["packets"] == [1, 0]


def test_a_file_that_is_no_capture_prints_nothing(tmp_path):
    path, out = tmp_path / "text", io.StringIO()
    path.write_text("hello, I am no capture")
    with pytest.raises(CaptureError, match="begin no"):
        replay.run(SETTINGS, path, False, out)
    assert out.getvalue() == ""


def test_the_table_shows_flows_drops_and_notes(tmp_path):
    path, out = tmp_path / "a.pcap", io.StringIO()
    wrpcap(str(path), [*asked("x.evil.example", "192.0.2.66"), geneve(CO1, tcp(CLIENT, 1000, "192.0.2.66", 443)),
                       Ether(**MACS) / ARP(),
                       geneve(CO1, IPv6(src="fd00:8::4", dst="::2") / UDP(sport=7, dport=8))])  # fmt: skip
    replay.run(SETTINGS, path, False, out)
    for text in ("no-evil", "DROP", "x.evil.example", "drop reason", "policy", "frames that are not IP: 1", "[::2]:8",
                 "3 flows · 4 packets"):
        assert text in out.getvalue()


def test_plain_packets_beside_geneve_are_flows_of_their_own_but_for_the_connectors(tmp_path):
    flows, summary = replayed(tmp_path, [
        geneve(CO2, tcp(CLIENT, 1000, "192.0.2.9", 443)), Ether(**MACS) / tcp(CLIENT, 1001, "192.0.2.9", 443),
        Ether(**MACS) / UDP_TO_6081, Ether(**MACS) / tcp("10.1.200.111", 1002, "203.0.113.5", 80),
        Ether(**MACS) / tcp("10.1.200.7", 1003, "10.0.3.10", 443), Ether(**MACS) / tcp("198.18.0.9", 1004, "198.18.0.1", 5080),
    ])  # fmt: skip
    assert [(flow["namespace"], flow["source_port"]) for flow in flows] == [("co2", 1000), ("co1", 1001)]
    assert summary["outside"] == 3 and summary["drops"] == {"geneve_version": 1}


@pytest.mark.parametrize("order", [1, -1], ids=["first first", "first last"])
def test_fragments_follow_their_first_in_any_order(tmp_path, order):
    whole = IP(src=CLIENT, dst="10.8.6.5", id=7) / UDP(sport=9, dport=9) / bytes(3000)
    pieces = whole.fragment(1000)[::order]
    for packets in ([geneve(CO1, piece) for piece in pieces], [Ether(**MACS) / piece.copy() for piece in pieces]):
        flows, summary = replayed(tmp_path, packets)
        assert [(flow["destination_port"], flow["packets"], flow["rule"]) for flow in flows] == [(9, [4, 0], "east-west")]
        assert summary["drops"] == {}


def test_a_fragment_that_comes_twice_is_dropped(tmp_path):
    pieces = (IP(src=CLIENT, dst="10.8.6.5", id=7) / UDP(sport=9, dport=9) / bytes(3000)).fragment(1000)
    flows, summary = replayed(tmp_path, [geneve(CO1, piece) for piece in [*pieces[:3], *pieces]])
    assert flows[0]["packets"] == [4, 0] and summary["drops"] == {"fragment_duplicate": 3}


def test_fragments_without_a_first_one_and_queries_in_fragments_are_dropped(tmp_path):
    lost = (IP(src=CLIENT, dst="10.8.6.5", id=8) / UDP(sport=9, dport=9) / bytes(3000)).fragment(1000)[1:]
    query = (IP(src=CLIENT, dst=RESOLVER, id=9) / UDP(sport=9, dport=53) / bytes(1200)).fragment(800)
    flows, summary = replayed(tmp_path, [geneve(CO1, piece) for piece in (*lost, *query)])
    told = [(flow["destination_port"], flow["method"], flow["rule"], flow["packets"]) for flow in flows]
    assert told == [(53, "DROP", "", [2, 0])]
    assert summary["drops"] == {"fragment_orphan": 3, "policy": 2}


def test_icmp_errors_are_counted_with_the_flow_that_they_speak_of(tmp_path):
    local, far = IP(src=CLIENT, dst="10.8.6.5") / UDP(sport=9, dport=9), IP(src=CLIENT, dst="192.0.2.9") / UDP(sport=9, dport=9)

    def error(about, source=None, destination=CLIENT):
        return IP(src=source or about.dst, dst=destination) / ICMP(type=3, code=3) / about

    flows, summary = replayed(tmp_path, [
        geneve(CO1, local), geneve(CO1, far), geneve(CO1, error(local)), geneve(CO1, error(local), back=True),
        geneve(CO1, error(far, "192.0.2.1"), back=True), geneve(CO1, error(far, "10.8.6.6")),
        geneve(CO1, error(local, destination="10.8.6.9")), geneve(CO1, error(IP(src=CLIENT, dst="10.8.6.7") / UDP())),
    ])  # fmt: skip
    assert [(flow["protocol"], flow["packets"]) for flow in flows] == [("udp", [1, 0]), ("udp", [1, 0]), ("icmp", [1, 0])]
    assert (summary["errors"], summary["echoes"], summary["drops"]) == (2, 1, {"icmp_unmatched": 2})


def test_hostile_frames_are_dropped_each_with_its_reason(tmp_path):
    head, inner = gwlb.header(CO1, 7, 9, 4), bytes(tcp(CLIENT, 1000, "10.8.6.5", 80))
    endless = b"\x60\0\0\0\x00\x50\x00\x40" + bytes(32) + bytes(80)
    frames = {
        "geneve_version": b"\x88" + head[1:] + inner,
        "geneve_option_overrun": head[:11] + b"\x1f" + head[12:] + inner,
        "geneve_protocol": head[:2] + b"\x65\x58" + head[4:] + inner,
        "gwlb_option_missing": b"\x06" + head[1:32] + inner,
        "packet_short": head,
        "packet_version": head + b"\x55" + inner[1:],
        "packet_header_length": head + b"\x44" + inner[1:],
        "packet_total_length": head + inner[:-1],
        "packet_l4_short": head + inner[:2] + b"\x00\x1c" + inner[4:28],
        "packet_extension_chain": gwlb.header(CO1, 7, 9, 6) + endless,
    }
    outer = IP(src="10.1.1.1", dst="10.1.200.11") / UDP(sport=60001, dport=6081)
    flows, summary = replayed(tmp_path, [Ether(**MACS) / outer / data for data in frames.values()])
    assert flows == [] and summary["drops"] == dict.fromkeys(frames, 1)


def test_a_control_packet_is_no_workloads_packet(tmp_path):
    control = b"\x08\x80" + gwlb.header(CO1, 7, 9, 4)[2:]
    outer = IP(src="10.1.1.1", dst="10.1.200.11") / UDP(sport=60001, dport=6081)
    flows, summary = replayed(tmp_path, [Ether(**MACS) / outer / control])
    assert flows == [] and summary["drops"] == {"packet_short": 1}


def test_the_same_capture_gives_the_same_output(tmp_path):
    packets = [geneve(CO1, tcp(CLIENT, 1000 + n, f"192.0.2.{n}", 443)) for n in range(100)]
    assert replayed(tmp_path, packets) == replayed(tmp_path, packets)


def test_totals_and_durations_are_those_of_the_flows(tmp_path):
    packets = [Ether(**MACS) / tcp(CLIENT, 1000, "192.0.2.9", 443, flags) for flags in ("S", "A")]
    flows, summary = replayed(tmp_path, [*packets, Ether(**MACS) / ARP()], times=[100, 101.5, 102])
    assert flows[0]["duration"] == 1.5
    assert [summary[total] for total in ("flows", "packets", "bytes", "frames")] == [1, 2, 80, 3]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_large_file_shows_its_progress_on_a_terminal(tmp_path, monkeypatch):
    monkeypatch.setattr(replayed_module, "LARGE_BYTES", 1)
    monkeypatch.setenv("TERM", "xterm")
    path = tmp_path / "a.pcap"
    wrpcap(str(path), [Ether(**MACS) / tcp(CLIENT, 1000, "192.0.2.9", 443)])
    for out, shown in ((Terminal(), True), (io.StringIO(), False)):
        replay.run(SETTINGS, path, False, out)
        assert ("replaying" in out.getvalue()) is shown


PACKETS = [bytes(packet) for packet in (
    *asked("x.evil.example", "192.0.2.66"), geneve(CO1, tcp(CLIENT, 1000, "10.8.6.5", 80)),
    Ether(**MACS) / IP() / UDP(sport=53, dport=53) / DNS())]  # fmt: skip


@hypothesis_settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(PACKETS), st.lists(st.tuples(st.integers(12, 200), st.integers(0, 255)), max_size=3)),
                max_size=6))
def test_any_packets_are_replayed_without_an_error(one_replay, recipes):
    for data, changes in recipes:
        packet = bytearray(data)
        for at, value in changes:
            packet[at % len(packet)] = value
        one_replay.take(replay.Frame(0, 0, 1, True, bytes(packet), 0))


@pytest.fixture
def one_replay():
    return replay.Replay(SETTINGS)
