"""The connector's answers beside unbound's, query by query: every difference is on a list with its reason."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Coroutine, Iterator
from fnmatch import fnmatchcase
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
from tests.differential.dns_corpus import ADDRESS, NAME, TYPES, corpus, mutations, query
from tests.differential.dns_differences import DIFFERENCES, OURS, RANDOM, THEIRS
from tests.differential.dns_random import randoms
from tests.differential.unbound import Unbound

from zcc.clock import ManualClock
from zcc.connector.dns_gateways import Gateways, Redirected
from zcc.connector.dns_upstream import ask
from zcc.dns import answers
from zcc.dns.intercept import Answer, Forward, Interceptor, NeedLease, NeedName, named
from zcc.dns.question import Question, parse_question
from zcc.policy.objects.gateway import DnsGateway

SOA = "60 IN SOA connector.zcc.invalid. hostmaster.zcc.invalid. 1 3600 600 86400 60"
OWNED = f"""
local-zone: "{NAME}." static
local-data: "{NAME}. {SOA}"
local-data: "{NAME}. 60 IN A {ADDRESS}"
local-zone: "0.254.10.in-addr.arpa." static
local-data: "0.254.10.in-addr.arpa. {SOA}"
local-data: "7.0.254.10.in-addr.arpa. 60 IN PTR {NAME}."
"""
ZONE = """
local-zone: "zone.example." static
local-data: "zone.example. 300 IN SOA ns.zone.example. host.zone.example. 7 3600 600 86400 30"
local-data: "www.zone.example. 300 IN A 192.0.2.1"
local-data: "www.zone.example. 300 IN A 192.0.2.2"
local-data: "www.zone.example. 300 IN AAAA 2001:db8::1"
local-data: "zone.example. 300 IN MX 10 www.zone.example."
"""
LONG = "".join(f"local-data: 'big.zone.example. 300 IN TXT \"{n}{'x' * 240}\"'\n" for n in range(9))
POOL = IPv4Network("10.254.0.0/19")
MADE, SEED = int(os.environ.get("ZCC_DNS_MADE", "5000")), int(os.environ.get("ZCC_DNS_SEED", "1"))


@pytest.fixture(scope="module")
def unbound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unbound]:
    server = Unbound(tmp_path_factory.mktemp("unbound"), OWNED + ZONE + LONG)
    yield server
    server.stop()


def ours(wire: bytes) -> bytes | None:
    """What the connector answers; None = it lets the query through."""
    verdict = Interceptor({NAME: "portal"}.get, (POOL,), 60).decide(wire)
    if isinstance(verdict, NeedLease):
        return answers.address(verdict.question, IPv4Address(ADDRESS), 60)
    if isinstance(verdict, Answer):
        return verdict.message
    if isinstance(verdict, NeedName):
        return named(verdict, NAME if str(verdict.address) == ADDRESS else None, 60, 60)
    assert isinstance(verdict, Forward)
    return None


def parts(wire: bytes) -> dict[str, object]:
    message = dns.message.from_wire(wire, continue_on_error=True, keyring=False, ignore_trailing=True)
    return {
        "rcode": dns.rcode.to_text(message.rcode()),
        "AA": bool(message.flags & dns.flags.AA),
        "RA": bool(message.flags & dns.flags.RA),
        "flags": int(message.flags) & ~(dns.flags.AA | dns.flags.RA | 0x000F),
        "id": message.id,
        "question": [one.to_text() for one in message.question],
        "answer": [sorted(one.to_text().splitlines()) for one in message.answer],
        "authority": [one.to_text() for one in message.authority],
        "edns": (message.edns, message.payload if message.edns >= 0 else 0, message.ednsflags & dns.flags.DO),
        "error": [int(option.code) for option in message.options if isinstance(option, dns.edns.EDEOption)],
        "options": [int(option.otype) for option in message.options if not isinstance(option, dns.edns.EDEOption)],
    }


def differing(mine: bytes | None, theirs: bytes | None) -> set[str]:
    if mine is None or theirs is None:
        return set() if mine is theirs else {"silence"}
    one, other = parts(mine), parts(theirs)
    return {part for part in one if one[part] != other[part]}


def test_every_difference_is_on_the_list_and_every_entry_is_needed(unbound: Unbound) -> None:
    needed, unlisted = set(), []
    for label, wire in corpus():
        for part in sorted(differing(ours(wire), unbound.ask(wire))):
            entries = [one for one in DIFFERENCES if one.part == part and fnmatchcase(label, one.queries)]
            needed.update(entries)
            if not entries:
                unlisted.append((label, part, ours(wire), unbound.ask(wire)))
    assert unlisted == []
    assert [one for one in DIFFERENCES if one not in needed] == []


def differing_as_made_by_chance(mine: bytes, theirs: bytes | None) -> set[str]:
    """As `differing`; where one or both take a message for wrong, only that counts."""
    if theirs is None:
        return {"silence"}
    wrong = [parts(message)["rcode"] == "FORMERR" for message in (mine, theirs)]
    if any(wrong):
        return {"id"} & differing(mine, theirs) if all(wrong) else {OURS if wrong[0] else THEIRS}
    return differing(mine, theirs)


def asked_again(unbound: Unbound, wire: bytes) -> bytes | None:
    """Ask until there is an answer: of errors unbound sends so many a second and no more."""
    return next((said for _ in range(10) if (said := unbound.ask(wire)) is not None), None)


def test_every_difference_over_messages_made_by_chance_is_on_the_list(unbound: Unbound) -> None:
    needed, unlisted, compared = set(), [], 0
    for traits, wire in randoms(MADE, SEED):
        mine = ours(wire)
        if mine is None:
            continue
        compared += 1
        theirs = unbound.ask(wire, 0.05) if "class=ANY" in traits else asked_again(unbound, wire)
        for part in sorted(differing_as_made_by_chance(mine, theirs)):
            entries = [one for one in RANDOM if one.part == part and fnmatchcase(traits, one.queries)]
            needed.update(entries)
            if not entries:
                unlisted.append((traits, part, wire.hex()))
    assert unlisted == []
    assert compared > MADE / 2 and {one.reason for one in RANDOM} - {one.reason for one in needed} == set()


def test_a_query_that_both_answer_well_has_one_answer(unbound: Unbound) -> None:
    """Changed at random, a query is either answered alike, or one of the two takes it for broken or not its own."""
    compared = 0
    for wire in mutations(8000, seed=8):
        mine = ours(wire)
        if mine is None or parts(mine)["rcode"] != "NOERROR" or not parts(mine)["answer"]:
            continue
        theirs = unbound.ask(wire, patience_s=0.05)
        if theirs is None or parts(theirs)["rcode"] != "NOERROR":
            continue
        compared += 1
        assert differing(mine, theirs) <= {"error", "edns"}, wire.hex()
    assert compared > 100


@pytest.mark.parametrize("name", ["www.zone.example", "zone.example", "none.zone.example", "big.zone.example"])
@pytest.mark.parametrize("kind", ["A", "AAAA", "MX", "TXT", "HTTPS", "SOA"])
@pytest.mark.parametrize("edns", [None, 0])
def test_what_comes_through_a_gateway_is_what_the_server_says(
    unbound: Unbound, name: str, kind: str, edns: int | None
) -> None:
    wire = query(name, kind, use_edns=edns)
    through = [asyncio.run(made) for made in twice(unbound, wire)]
    assert [found.flags for found in through if found] == ["PRIMARY_SERVER_RESPONSE_PASS", "CACHE_RESPONSE_PASS"]
    direct = unbound.ask(wire)
    assert direct is not None
    for found in through:
        assert found is not None
        if not int.from_bytes(direct[2:4]) & dns.flags.TC:
            assert parts(found.message) == parts(direct)
        else:
            assert len(parts(found.message)["answer"]) == 1 and len(found.message) > len(direct)


def twice(unbound: Unbound, wire: bytes) -> list[Coroutine[object, object, Redirected | None]]:
    """Ask one gateway of unbound two times."""
    question = parse_question(wire)
    assert isinstance(question, Question)
    made = Gateways([DnsGateway(name="it", primary=IPv4Address("127.0.0.1"))], ManualClock(),
                    lambda server, sent: ask(server, sent, port=unbound.port))  # fmt: skip
    return [made.answer("it", wire, question) for _ in range(2)]


# Of the connection, not of the name: a gateway asks without them, and cuts nothing, since it can ask over TCP.
OF_THE_CONNECTION = ("AXFR", "IXFR", "OPT", "TSIG", "TKEY", "NONE")


@pytest.mark.parametrize("name", ["www.zone.example", "none.zone.example"])
@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind not in OF_THE_CONNECTION])
def test_every_type_of_a_name_that_we_do_not_own_comes_through_unchanged(unbound: Unbound, name: str, kind: str) -> None:
    for more in ({}, {"want_dnssec": True}, {"flags": 0x0110}, {"use_edns": None}):
        wire = query(name, kind, **more)
        assert ours(wire) is None  # it goes on, or to a gateway
        direct, (new, kept) = unbound.ask(wire), [asyncio.run(made) for made in twice(unbound, wire)]
        assert direct is not None and new is not None and kept is not None
        for found in (new, kept):
            assert differing(found.message, direct) == set(), (kind, more)


def test_the_list_is_where_the_documentation_says() -> None:
    text = (Path(__file__).parents[2] / "docs" / "dns.md").read_text()
    assert "tests/differential/dns_differences.py" in text
