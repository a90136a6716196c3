"""zcc.dns.cache: answers are given as long as they hold, then marked as stale, then not at all."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcc.dns.cache import ENTRY_BYTES, STALE_S, STALE_TTL, AnswerCache, lifetime, with_ttls
from zcc.dns.octets import records

SOA = "ns.example. host.example. 1 2 3 4"


def answer(*lines: str, authority: str = "", rcode: int = 0, edns: bool = True, flags: int = 0) -> bytes:
    message = dns.message.make_response(dns.message.make_query("a.example", "A", use_edns=0 if edns else None))
    message.answer = [dns.rrset.from_text(*line.split(maxsplit=4)) for line in lines]
    if authority:
        message.authority = [dns.rrset.from_text(*authority.split(maxsplit=4))]
    message.set_rcode(rcode)
    message.flags |= flags
    return message.to_wire()


@pytest.mark.parametrize(
    ("wire", "ttl"),
    [
        (answer("a.example. 300 IN CNAME b.example.", "b.example. 60 IN A 192.0.2.1"), 60),
        (answer("a.example. 999999 IN A 192.0.2.1"), 86400),
        (answer("a.example. 0 IN A 192.0.2.1"), 0),
        (answer(authority=f"example. 900 IN SOA {SOA} 120"), 120),
        (answer(authority=f"example. 30 IN SOA {SOA} 120", rcode=dns.rcode.NXDOMAIN), 30),
        (answer(), None),
        (answer("a.example. 60 IN A 192.0.2.1", rcode=dns.rcode.SERVFAIL), None),
        (answer("a.example. 60 IN A 192.0.2.1", flags=dns.flags.TC), None),
        (b"\0" * 12, None),
    ],
    ids=["chain", "long", "zero", "no data", "no name", "empty", "failed", "cut", "no response"],
)  # fmt: skip
def test_for_how_long_an_answer_holds(wire: bytes, ttl: int | None) -> None:
    assert lifetime(wire) == ttl


def test_ttls_count_down_until_the_answer_is_gone() -> None:
    cache = AnswerCache()
    cache.keep("key", answer("a.example. 60 IN A 192.0.2.1", "a.example. 90 IN AAAA 2001:db8::1"), 1000.0)
    seen = dns.message.from_wire(cache.fresh("key", 1059.5) or b"")
    assert [rrset.ttl for rrset in seen.answer] == [1, 31]
    assert cache.fresh("key", 1060.0) is None and cache.fresh("key", 999.0) is None
    assert cache.fresh("other", 1000.0) is None


def test_what_has_run_out_is_given_with_a_short_ttl_and_the_reason() -> None:
    cache = AnswerCache()
    cache.keep("key", answer("a.example. 300 IN A 192.0.2.1"), 0.0)
    seen = dns.message.from_wire(cache.stale("key", 400.0) or b"")
    assert seen.answer[0].ttl == STALE_TTL
    (why,) = seen.options
    assert isinstance(why, dns.edns.EDEOption) and why.code == dns.edns.EDECode.STALE_ANSWER
    assert cache.stale("key", 300.0 + STALE_S) is None
    cache.keep("plain", answer("a.example. 1 IN A 192.0.2.1", edns=False), 0.0)
    assert dns.message.from_wire(cache.stale("plain", 2.0) or b"").edns == -1


def test_a_newer_answer_takes_the_place_also_when_it_may_not_be_kept() -> None:
    cache = AnswerCache()
    cache.keep("key", answer("a.example. 60 IN A 192.0.2.1"), 0.0)
    cache.keep("key", answer("a.example. 60 IN A 192.0.2.2"), 1.0)
    assert b"\xc0\0\2\2" in (cache.fresh("key", 2.0) or b"") and len(cache) == 1
    cache.keep("key", answer(rcode=dns.rcode.SERVFAIL), 3.0)
    assert len(cache) == 0 and cache.nbytes == 0


def test_it_is_bounded_in_bytes_and_what_was_not_asked_for_goes_first() -> None:
    wire = answer("a.example. 60 IN A 192.0.2.1")
    cache = AnswerCache(2 * (len(wire) + ENTRY_BYTES))
    for key in ("a", "b"):
        cache.keep(key, wire, 0.0)
    cache.fresh("a", 1.0)
    cache.keep("c", wire, 1.0)
    assert [key for key in "abc" if cache.fresh(key, 2.0)] == ["a", "c"]
    assert cache.nbytes == 2 * (len(wire) + ENTRY_BYTES)


@given(st.binary(max_size=120) | st.binary(max_size=60).map(lambda tail: answer("a.example. 60 IN A 192.0.2.1")[:40] + tail))
def test_any_bytes_are_kept_or_not_and_come_back_as_long(wire: bytes) -> None:
    cache = AnswerCache()
    cache.keep("key", wire, 0.0)
    for seen in (cache.fresh("key", 0.0), cache.stale("key", 1e5)):
        assert seen is None or len(seen) >= len(wire)
    found = records(wire)
    assert found is None or with_ttls(wire, tuple(found), lambda ttl: ttl)[:12] == wire[:12]
