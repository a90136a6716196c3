"""The example that keeps workloads on DNS that can be seen, tried on captures and on the connector's own DNS."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import pytest
import yaml
from tests.zcc.connector.test_dns_control import INHOUSE
from tests.zcc.connector.test_dns_service import Bench, query
from tests.zcc.connector.test_replay import (
    CLIENT,
    CO1,
    IP,
    RESOLVER,
    SETTINGS,
    UDP,
    asked,
    geneve,
    lookup,
    replayed,
    tcp,
)

from zcc.config import load
from zcc.connector.settings import ConnectorSettings
from zcc.policy.objects.catalogue import Catalogue
from zcc.policy.objects.encrypted_dns import CANARY, DISCOVERY, ENCRYPTED_DNS

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "connector-for-encrypted-dns.yaml"
TAKEN = ("rules", "dns_rules", "dns_gateways")


@pytest.fixture(scope="module")
def settings() -> ConnectorSettings:
    """The example's rules on the connector that captures are replayed on."""
    example = load(EXAMPLE, "connector")
    assert isinstance(example, ConnectorSettings)
    return SETTINGS.model_copy(update={field: getattr(example, field) for field in TAKEN})


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path, **{field: yaml.safe_load(EXAMPLE.read_text())[field] for field in TAKEN if field != "rules"})
    yield made
    made.cache.close()


def udp(destination: str, port: int):
    return IP(src=CLIENT, dst=destination) / UDP(sport=4999, dport=port) / b"\xc0 sealed"


@pytest.mark.parametrize(
    ("packet", "rule"),
    [
        (tcp(CLIENT, 1, "203.0.113.9", 853), "no DNS over TLS or QUIC"),
        (udp("203.0.113.9", 853), "no DNS over TLS or QUIC"),
        (tcp(CLIENT, 2, "1.1.1.1", 443), "no DNS over HTTPS"),
        (udp("8.8.4.4", 443), "no DNS over HTTPS"),
        (tcp(CLIENT, 3, "198.51.100.44", 443), "no DNS over HTTPS"),  # by the name that its address was learned under
        (tcp(CLIENT, 4, "1.1.1.1", 80), "Default Forwarding Rule"),
        (tcp(CLIENT, 5, "1.1.1.4", 443), "Default Forwarding Rule"),
        (udp("8.8.8.8", 53), "Default Forwarding Rule"),
    ],
)
def test_the_data_plane_drops_what_is_sealed(tmp_path, settings, packet, rule: str) -> None:
    # The gateway of another network told the client the name before it came here.
    learned = settings.model_copy(update={"dns_rules": ()})
    flows, _ = replayed(tmp_path, [*asked("tenant.dns.nextdns.io", "198.51.100.44"), geneve(CO1, packet)], settings=learned)
    assert flows[-1]["rule"] == rule


def test_a_capture_tells_which_dns_rule_decides_each_query(tmp_path, settings) -> None:
    names = [CANARY, DISCOVERY, "dns.google", "www.example", "other.example"]
    packets = [geneve(CO1, lookup(name, "192.0.2.9", number=n, port=4000 + n)[0]) for n, name in enumerate(names)]
    flows, summary = replayed(tmp_path, packets, settings=settings)
    assert [(flow["method"], flow["rule"]) for flow in flows] == [
        ("DNS", "canary"), ("DNS", "no discovery"), ("DNS", "no resolvers"), ("DNS", "visible"), ("DNS", "visible"),
    ]  # fmt: skip
    said = {"action": "REDIR_REQ", "rule": "visible", "number": 2, "names": ["www.example", "other.example"]}
    assert summary["dns"][-1] == said
    assert flows[0]["destination"] == RESOLVER


@pytest.mark.parametrize(
    ("name", "rdtype", "rcode"),
    [
        (CANARY, "A", dns.rcode.NXDOMAIN), (CANARY, "AAAA", dns.rcode.NXDOMAIN), (DISCOVERY, "SVCB", dns.rcode.NOERROR),
        ("mozilla.cloudflare-dns.com", "A", dns.rcode.NXDOMAIN), ("x.dns.nextdns.io", "A", dns.rcode.NXDOMAIN),
    ],
)  # fmt: skip
def test_the_connector_answers_so_that_clients_fall_back(bench, name: str, rdtype: str, rcode: int) -> None:
    bench.send(query(name, rdtype))
    assert bench.reply.rcode() == rcode and not bench.reply.answer and bench.servers.asked == []


def test_what_a_gateway_says_of_a_server_no_longer_seals_its_name(bench) -> None:
    made = dns.message.make_response(dns.message.make_query("www.example", "HTTPS", use_edns=0))
    made.answer = [dns.rrset.from_text("www.example.", 60, "IN", "HTTPS", '1 . alpn=h2 ech="AAT+DQAA"')]
    bench.servers.answers[INHOUSE] = made.to_wire()
    for _ in range(2):  # asked, then remembered
        bench.datapath.said.clear()
        bench.send(query("www.example", "HTTPS"))
        assert bench.reply.answer[0].to_text() == 'www.example. 60 IN HTTPS 1 . alpn="h2"'


def test_the_list_is_of_addresses_that_are_on_the_internet_and_can_be_replaced() -> None:
    group = Catalogue().destination_group_by_name[ENCRYPTED_DNS]
    ranges = [value for value in group.destinations if not isinstance(value, str)]
    assert len(ranges) > 50 and all(value.low.is_global for value in ranges)  # more in policy/test_encrypted_list.py
    assert len(set(map(str, group.destinations))) == len(group.destinations)
    own = Catalogue.model_validate({"destination_groups": [{"name": ENCRYPTED_DNS, "destinations": ["192.0.2.1"]}]})
    (only,) = own.destination_group_by_name[ENCRYPTED_DNS].destinations
    assert ip_address("192.0.2.1") in only
