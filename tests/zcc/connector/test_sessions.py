"""Fields of records, and the metrics."""

from dataclasses import replace
from ipaddress import IPv4Address

import dns.rcode
from prometheus_client import CollectorRegistry, generate_latest
from tests.zcc.connector.fakes import FLOW, PORTAL, FakeNames, labels

from zcc.connector.metrics import ConnectorCollector
from zcc.connector.ports import Counters
from zcc.connector.sessions import Exchange, dns_fields, session_fields


def named():
    names = FakeNames()
    names.id_of(PORTAL.name)
    found = labels(names)
    found.tunnels[0] = "ie-1"
    return found


def test_bytes_are_told_from_the_clients_side():
    fields = session_fields(replace(FLOW, bytes=(100, 9000), packets=(3, 8)), named())
    assert (fields["clt_rx_bytes"], fields["clt_tx_bytes"]) == (100, 9000)
    assert (fields["clt_rx_packets"], fields["clt_tx_packets"]) == (3, 8)


def test_numbers_become_names_and_what_is_unknown_is_absent():
    fields = session_fields(replace(FLOW, started_ns=5_000_000, ended_ns=1_505_000_000), named())
    assert fields["fwdtypename"] == "ZPA" and fields["rdrrulename"] == "apps"
    assert fields["namespace"] == "co1" and fields["location"] == "aws-co1"
    assert fields["clt_dst_name"] == "portal.corp.example" and fields["session_duration"] == 1500
    assert fields["clt_nw_protocol"] == "TCP" and fields["nw_service"] == "HTTPS"
    absent = session_fields(replace(FLOW, rule=-1, location=9, namespace=9, name_id=0, protocol=47), named())
    assert not {"rdrrulename", "location", "clt_dst_name", "gw_name", "nw_service"} & absent.keys()
    assert (absent["namespace"], absent["clt_nw_protocol"]) == ("9", "47")


def test_translated_flow_tells_its_server_side_and_tunnelled_flow_its_edge():
    flow = replace(FLOW, action=1, nat_address=IPv4Address("10.1.200.111"), nat_port=2000)
    fields = session_fields(flow, named())
    assert (str(fields["srv_src_ip"]), fields["srv_src_port"]) == ("10.1.200.111", 2000)
    assert session_fields(replace(FLOW, action=4, tunnel=0), named())["gw_name"] == "ie-1"


def test_exchange_tells_question_answer_and_error():
    exchange = Exchange(1, 1, "10.8.6.4", 40000, "192.0.2.53", "UDP", ("a.example", 28, 1), "REQ_ALLOW",
                        dns.rcode.NXDOMAIN, (), (30, 90), 0.0125)
    fields = dns_fields(exchange, named())
    assert (fields["dom_str"], fields["req_type"], fields["dns_err"]) == ("a.example", "AAAA", "NXDOMAIN")
    assert (fields["req_duration"], fields["inbytes"], fields["outbytes"]) == (12, 30, 90)
    assert "res_type" not in fields


def test_every_drop_reason_is_a_series():
    methods = {"ZIA": 1, "ZPA": 2}
    counters = Counters(methods, methods, {"geneve_short": 0, "policy": 7}, {"dns_query": 3}, {"punt": 0}, 4, 5, 8, 9, 6,
                        {"too_big": 2}, 3)
    registry = CollectorRegistry()
    registry.register(ConnectorCollector(
        lambda: counters, {"dns": lambda: {"queries": 9}}, {"zpa_streams": lambda: 2}))
    text = generate_latest(registry).decode()
    for line in ('zcc_drops_total{reason="geneve_short"} 0.0', 'zcc_drops_total{reason="policy"} 7.0',
                 'zcc_packets_total{method="ZPA"} 2.0', "zcc_flows 4.0", 'zcc_dns_events_total{event="queries"} 9.0',
                 'zcc_refusals_total{kind="too_big"} 2.0', "zcc_cut_total 3.0",
                 "zcc_zpa_streams 2.0", 'zcc_ring_lost_total{ring="punt"} 0.0'):
        assert line in text
