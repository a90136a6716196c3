"""A zone with all that answers are made of, through a DNS gateway and without: nothing is lost or changed on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import dns.flags
import pytest
from tests.differential.dns_corpus import query
from tests.differential.test_dns_unbound import differing, ours, parts, twice
from tests.differential.unbound import Unbound

ZONE = """
$ORIGIN deep.example.
@ 300 IN SOA ns host 7 3600 600 86400 30
@ 300 IN NS ns
ns 300 IN A 192.0.2.53
a 300 IN A 192.0.2.1
a 300 IN AAAA 2001:db8::1
a 300 IN RRSIG A 13 3 300 20360101000000 20260101000000 4711 deep.example. c2lnbmVk
@ 300 IN DNSKEY 257 3 13 a2V5
one 60 IN CNAME two
two 50 IN CNAME three
three 40 IN CNAME a
loop 60 IN CNAME pool
pool 60 IN CNAME loop
out 60 IN CNAME www.elsewhere.example.
dangling 60 IN CNAME nothing
moved 300 IN DNAME a
new.a 300 IN A 192.0.2.3
*.wild 300 IN A 192.0.2.4
*.wild 300 IN TXT "star"
zero 0 IN A 192.0.2.5
old 2147483647 IN A 192.0.2.6
_sip._tcp 300 IN SRV 1 2 5060 a
@ 300 IN MX 10 a
@ 300 IN CAA 0 issue "ca.example"
svc 300 IN HTTPS 1 . alpn=h2 ipv4hint=192.0.2.7 ech=AEX+DQBBpQ==
empty.nonterminal 300 IN A 192.0.2.8
unknown 300 IN TYPE65280 \\# 4 c0000201
a\\.dot 300 IN A 192.0.2.9
big 300 IN TXT """ + " ".join(f'"{n}{"x" * 240}"' for n in range(8)) + "\n"
OPEN = 'local-zone: "deep.example." always_transparent'
NAMES = ("a", "A", "one", "loop", "out", "dangling", "x.moved", "new.moved", "moved", "b.wild", "b.c.wild", "*.wild",
         "wild", "zero", "old", "_sip._tcp", "svc", "nonterminal",
         "empty.nonterminal", "unknown", "a\\.dot", "big", "none")  # fmt: skip
KINDS = ("A", "AAAA", "CNAME", "DNAME", "TXT", "MX", "SRV", "HTTPS", "RRSIG", "ANY", "TYPE65280", "SOA")


@pytest.fixture(scope="module")
def unbound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unbound]:
    server = Unbound(tmp_path_factory.mktemp("unbound"), OPEN, ("deep.example", ZONE))
    yield server
    server.stop()


@pytest.mark.parametrize("name", [*NAMES, ""], ids=lambda name: name or "apex")
@pytest.mark.parametrize("more", [{}, {"want_dnssec": True}, {"use_edns": None}], ids=["EDNS", "DO", "plain"])
def test_what_comes_through_a_gateway_is_what_the_server_says(unbound: Unbound, name: str, more: dict) -> None:
    for kind in KINDS:
        wire = query(f"{name}.deep.example".removeprefix("."), kind, **more)
        assert ours(wire) is None
        direct, (new, kept) = unbound.ask(wire), [asyncio.run(made) for made in twice(unbound, wire)]
        assert direct is not None and new is not None and kept is not None
        if parts(direct)["flags"] & dns.flags.TC:  # a gateway asks again over TCP
            assert len(new.message) > len(direct) and parts(new.message) == parts(kept.message)
            continue
        # What a server makes from the question by a DNAME is in the question's case, which is by chance on the way (RFC 4343:
        # a name is the same in any case).
        allowed = {"answer"} if name.endswith(".moved") else set()
        for found in (new, kept):
            assert differing(found.message, direct) <= allowed, kind
            assert str(parts(found.message)["answer"]).lower() == str(parts(direct)["answer"]).lower()


def test_the_zone_has_what_it_is_for(unbound: Unbound) -> None:
    def answer(name: str, kind: str, **more) -> list:
        said = unbound.ask(query(f"{name}.deep.example", kind, **more))
        assert said is not None
        return parts(said)["answer"]

    assert len(answer("one", "A")) == 4 and len(answer("x.moved", "A")) >= 2 and answer("b.wild", "A")
    assert [answer(name, "A")[0][0].split()[1] for name in ("zero", "old")] == ["0", "2147483647"]
    assert any("RRSIG" in line for lines in answer("a", "A", want_dnssec=True) for line in lines)
