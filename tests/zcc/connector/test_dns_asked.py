"""Clients that ask the connector itself: what the data plane could not answer is answered by the same socket."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from ipaddress import IPv4Address

import dns.flags
import dns.message
import dns.rcode
import pytest
from tests.zcc.connector.test_dns_control import GATEWAY, INHOUSE, response, rule
from tests.zcc.connector.test_dns_service import PORTAL, Bench

from zcc.connector.dns_asked import DnsAsked, is_bare
from zcc.connector.ports import Punt
from zcc.dns.settings import DnsSettings


class Asking:
    """A client on loopback, and the listener's socket."""

    def __init__(self, path, gateway: str | None, *rules: dict) -> None:
        self.bench = Bench(path, dns_rules=list(rules), dns_gateways=[GATEWAY])
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.bind(("127.0.0.1", 0))
        self.client.setblocking(False)
        self.listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.listener.bind(("127.0.0.1", 0))
        settings = DnsSettings.model_validate({"listen": {"address": "127.0.0.1:53", "gateway": gateway}})
        self.asked = DnsAsked(settings, self.bench.service, self.bench.helpers.gateways, self.listener.fileno())

    def ask(self, wire: bytes) -> dns.message.Message | None:
        punt = Punt(1, 1, 1, 0, packet=wire, value=1, peer=(int(IPv4Address("127.0.0.1")), self.client.getsockname()[1]))
        assert is_bare(punt) and not is_bare(replace(punt, value=0))

        async def run() -> None:
            self.asked.query(punt)
            await asyncio.gather(*self.asked._tasks)

        asyncio.run(run())
        try:
            return dns.message.from_wire(self.client.recv(65_535))
        except BlockingIOError:
            return None

    def close(self) -> None:
        asyncio.run(self.asked.close())
        self.bench.cache.close()
        self.client.close()
        self.listener.close()


@pytest.fixture
def make(tmp_path):
    made = []

    def asking(gateway: str | None = "inhouse", *rules: dict) -> Asking:
        made.append(Asking(tmp_path, gateway, *rules))
        return made[-1]

    yield asking
    for one in made:
        one.close()


def query(name: str, **more) -> bytes:
    return dns.message.make_query(name, "A", id=7, **more).to_wire()


def test_an_owned_name_is_answered_and_handed_to_the_data_plane(make) -> None:
    asking = make()
    answer = asking.ask(query(PORTAL.name))
    assert answer is not None and answer.id == 7 and answer.answer[0][0].address == "10.254.0.7"
    assert list(asking.bench.datapath.owned) == [(1, b"\6portal\4corp\7example\0")]


def test_other_names_are_asked_of_the_listener_s_gateway_and_teach(make) -> None:
    asking = make()
    asking.bench.servers.answers[INHOUSE] = response("evil.example", "evil.example. 60 IN A 192.0.2.7")
    answer = asking.ask(query("evil.example"))
    assert answer is not None and answer.answer[0][0].address == "192.0.2.7"
    assert asking.bench.datapath.verbs == ["learn"]
    assert asking.bench.records.exchanges[-1]["req_action"] == "REQ_ALLOW"


def test_without_a_gateway_other_names_are_refused_and_with_a_dead_one_they_fail(make) -> None:
    refused, failed = make(None).ask(query("www.example")), make().ask(query("www.example"))
    assert refused is not None and refused.rcode() == dns.rcode.REFUSED
    assert failed is not None and failed.rcode() == dns.rcode.SERVFAIL


def test_rules_hold_here_too_and_long_answers_are_cut(make) -> None:
    asking = make("inhouse", rule("BLOCK", names=["evil.example"]))
    blocked = asking.ask(query("evil.example"))
    assert blocked is not None and blocked.rcode() == dns.rcode.NXDOMAIN
    lines = [f"a.example. 60 IN TXT {'x' * 200}{n}" for n in range(9)]
    asking.bench.servers.answers[INHOUSE] = response("a.example", *lines)
    cut = asking.ask(query("a.example"))
    assert cut is not None and cut.flags & dns.flags.TC


@pytest.mark.parametrize("wire", [b"", b"\0" * 11, b"\xff" * 30], ids=["nothing", "short", "a response"])
def test_what_is_no_query_gets_no_answer(make, wire: bytes) -> None:
    assert make().ask(wire) is None
