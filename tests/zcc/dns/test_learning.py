"""What answers teach."""

from ipaddress import ip_address

import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.dns.learning import ADDRESS_LIMIT, learn


def answer(asked: str, rdtype: str, *lines: str, rcode: int = dns.rcode.NOERROR) -> bytes:
    reply = dns.message.make_response(dns.message.make_query(asked, rdtype, id=77))
    reply.set_rcode(dns.rcode.Rcode.make(rcode))
    for line in lines:
        reply.answer.append(dns.rrset.from_text(*line.split(maxsplit=4)))
    return reply.to_wire(max_size=65535)


def taught(wire: bytes, floor: int = 0, ceiling: int = 86400):
    found = learn(wire, floor, ceiling)
    assert found is not None
    return found


def test_addresses_of_the_name():
    found = taught(answer("A.example", "A", "a.example. 300 IN A 192.0.2.1", "a.example. 300 IN A 192.0.2.2"))
    assert found.names == ("a.example",)
    assert set(map(str, found.addresses)) == {"192.0.2.1", "192.0.2.2"}
    assert (found.id, found.asked, found.ttl) == (77, ("a.example", 1, 1), 300)


def test_alias_chain_gives_its_end_to_the_asked_name_with_the_smallest_ttl():
    found = taught(answer("a.example", "AAAA", "b.example. 20 IN CNAME c.example.",
                          "c.example. 90 IN AAAA 2001:db8::1",
                          "a.example. 50 IN CNAME b.example."))
    assert found.names == ("a.example", "b.example", "c.example")
    assert (found.addresses, found.ttl) == ((ip_address("2001:db8::1"),), 20)


def test_records_outside_the_chain_teach_nothing():
    found = taught(answer("a.example", "A", "evil.example. 60 IN A 192.0.2.66"))
    assert found.addresses == ()


def test_alias_loop_ends():
    found = taught(answer("a.example", "A", "a.example. 60 IN CNAME b.example.",
                          "b.example. 60 IN CNAME a.example."))
    assert found.addresses == ()


def test_endless_chain_is_cut():
    lines = [f"n{i}.example. 60 IN CNAME n{i + 1}.example." for i in range(60)]
    found = taught(answer("n0.example", "A", *lines, "n60.example. 60 IN A 192.0.2.1"))
    assert found.addresses == () and len(found.names) <= 18


def test_address_hints_of_https_records_are_addresses_too():
    found = taught(answer("a.example", "HTTPS",
                          "a.example. 60 IN HTTPS 1 . ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1"))
    assert set(map(str, found.addresses)) == {"192.0.2.1", "192.0.2.2", "2001:db8::1"}


@pytest.mark.parametrize(("ttl", "kept"), [(0, 60), (60, 60), (600, 600), (99999, 3600)])
def test_ttl_is_kept_between_floor_and_ceiling(ttl, kept):
    found = taught(answer("a.example", "A", f"a.example. {ttl} IN A 192.0.2.1"), 60, 3600)
    assert found.ttl == kept


def test_denial_teaches_nothing_but_is_read():
    found = taught(answer("a.example", "A", rcode=dns.rcode.NXDOMAIN))
    assert (found.rcode, found.addresses) == (dns.rcode.NXDOMAIN, ())


def test_one_answer_teaches_a_bounded_number_of_addresses():
    lines = [f"a.example. 60 IN A 192.0.{i // 256}.{i % 256}" for i in range(400)]
    assert len(taught(answer("a.example", "A", *lines)).addresses) == ADDRESS_LIMIT


def test_query_teaches_nothing():
    assert learn(dns.message.make_query("a.example", "A").to_wire(), 0, 1) is None


def test_address_of_the_answer_behind_a_broken_record_is_still_read():
    wire = answer("a.example", "A", "a.example. 60 IN A 192.0.2.1")
    broken = wire[:6] + (2).to_bytes(2) + wire[8:] + b"\x01"
    assert taught(broken).addresses == (ip_address("192.0.2.1"),)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_teach_without_an_exception(wire):
    learn(wire, 60, 3600)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60), st.integers(0, 120))
def test_any_damage_to_an_answer_is_survived(noise, at):
    wire = bytearray(answer("a.example", "HTTPS", "a.example. 60 IN CNAME b.example.",
                            "b.example. 60 IN HTTPS 1 . ipv4hint=192.0.2.1 ipv6hint=2001:db8::1"))
    wire[at:at + len(noise)] = noise
    found = learn(bytes(wire), 60, 3600)
    assert found is None or (60 <= found.ttl <= 3600 or not found.addresses)
