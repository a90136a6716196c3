"""What becomes of a query, checked with dnspython as the client's resolver would see it."""

from ipaddress import IPv4Address, IPv4Network

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zcc.dns import answers
from zcc.dns.intercept import Answer, Forward, Interceptor, NeedLease, NeedName, named
from zcc.dns.question import Question, parse_question

POOL, SECOND = IPv4Network("10.254.0.0/19"), IPv4Network("10.9.0.0/24")
LEASE = IPv4Address("10.254.0.7")
OWNED = {"portal.corp.example": "portal"}

SINGLE_DATA_TYPES = [t for t in dns.rdatatype.RdataType if t not in (
    dns.rdatatype.A, dns.rdatatype.AXFR, dns.rdatatype.IXFR, dns.rdatatype.OPT, dns.rdatatype.TSIG)]


def interceptor() -> Interceptor:
    return Interceptor(OWNED.get, (POOL, SECOND), 60)


def decide(wire: bytes, lease: IPv4Address | None = LEASE):
    """The verdict; with a lease, what its owner answers with it."""
    verdict = interceptor().decide(wire)
    if lease is None or not isinstance(verdict, NeedLease):
        return verdict
    return Answer(answers.address(verdict.question, lease, 60), verdict.question)


def query(name: str, rdtype: str | int = "A", **edns) -> dns.message.QueryMessage:
    return dns.message.make_query(name, rdtype, **(edns or {"use_edns": 0}))


def reply_to(asked: dns.message.Message, verdict) -> dns.message.Message:
    assert isinstance(verdict, Answer)
    reply = dns.message.from_wire(verdict.message)
    assert asked.is_response(reply)
    assert reply.flags & dns.flags.RA
    assert not reply.flags & dns.flags.AD
    return reply


def error_of(reply: dns.message.Message) -> int:
    (found,) = (int(option.code) for option in reply.options if isinstance(option, dns.edns.EDEOption))
    return found


def test_owned_a_is_answered_from_the_lease():
    asked = query("portal.corp.example")
    reply = reply_to(asked, decide(asked.to_wire()))
    (answer,) = reply.answer
    assert (answer.ttl, [r.address for r in answer]) == (60, ["10.254.0.7"])
    assert reply.flags & dns.flags.AA
    assert reply.payload == 1232


def test_owned_a_without_a_lease_asks_for_one():
    verdict = decide(query("portal.corp.example").to_wire(), lease=None)
    assert isinstance(verdict, NeedLease)
    assert verdict.name == "portal.corp.example"


@pytest.mark.parametrize("rdtype", SINGLE_DATA_TYPES, ids=lambda t: t.name)
def test_owned_name_of_any_other_type_is_nodata_with_soa_and_extended_error(rdtype):
    asked = query("portal.corp.example", int(rdtype))
    reply = reply_to(asked, decide(asked.to_wire()))
    assert reply.rcode() == dns.rcode.NOERROR
    assert reply.answer == [] and reply.additional == []
    (soa,) = reply.authority
    assert soa.rdtype == dns.rdatatype.SOA
    assert asked.question[0].name.is_subdomain(soa.name)
    assert soa.ttl == soa[0].minimum == 60
    assert error_of(reply) == dns.edns.EDECode.FORGED_ANSWER


@pytest.mark.parametrize("name", ["_8443._https.portal.corp.example", "_ldap._tcp.portal.corp.example"])
@pytest.mark.parametrize("rdtype", ["A", "AAAA", "HTTPS", "SVCB", "SRV", "CNAME"])
def test_service_names_below_an_owned_name_leak_nothing(name, rdtype):
    asked = query(name, rdtype)
    reply = reply_to(asked, decide(asked.to_wire()))
    assert reply.rcode() == dns.rcode.NOERROR and reply.answer == []
    assert reply.authority[0].name == dns.name.from_text("portal.corp.example")


@pytest.mark.parametrize("rdtype", ["AXFR", "IXFR"])
def test_transfer_of_an_owned_name_is_refused(rdtype):
    asked = query("portal.corp.example", rdtype)
    assert reply_to(asked, decide(asked.to_wire())).rcode() == dns.rcode.REFUSED


def test_without_edns_the_answer_has_no_opt_record():
    asked = query("portal.corp.example", "AAAA", use_edns=False)
    assert reply_to(asked, decide(asked.to_wire())).edns == -1


def test_case_of_the_question_is_kept():
    asked = query("pOrTaL.CORP.eXample")
    verdict = decide(asked.to_wire())
    assert isinstance(verdict, Answer)
    assert b"pOrTaL\x04CORP\x07eXample" in verdict.message
    assert reply_to(asked, verdict).answer[0].name.to_text() == "pOrTaL.CORP.eXample."


def test_flags_of_the_question_are_copied():
    asked = query("portal.corp.example", use_edns=0, ednsflags=dns.flags.DO)
    asked.flags = dns.flags.Flag(dns.flags.CD)
    reply = reply_to(asked, decide(asked.to_wire()))
    assert reply.flags & dns.flags.CD and not reply.flags & dns.flags.RD
    assert reply.ednsflags & dns.flags.DO


def test_unknown_edns_version_of_an_owned_name_is_badvers():
    asked = query("portal.corp.example", use_edns=1)
    assert reply_to(asked, decide(asked.to_wire())).rcode() == dns.rcode.BADVERS


@pytest.mark.parametrize("name", ["other.example", "corp.example", "a.portal.corp.example", "."])
@pytest.mark.parametrize("rdtype", ["A", "AAAA", "HTTPS", "PTR"])
def test_names_of_nobody_are_forwarded(name, rdtype):
    assert isinstance(decide(query(name, rdtype).to_wire()), Forward)


def test_label_with_a_dot_in_it_is_not_the_owned_name():
    name = dns.name.Name([b"portal.corp", b"example", b""])
    assert isinstance(decide(dns.message.make_query(name, "A").to_wire()), Forward)


def test_other_classes_are_forwarded():
    assert isinstance(decide(dns.message.make_query("portal.corp.example", "TXT", "CH").to_wire()), Forward)


def test_class_any_is_treated_as_internet():
    asked = dns.message.make_query("portal.corp.example", "A", "ANY", use_edns=0)
    verdict = decide(asked.to_wire())
    assert isinstance(verdict, Answer)
    reply = dns.message.from_wire(verdict.message)
    assert reply.question == asked.question
    assert reply.answer[0][0].address == "10.254.0.7"


def test_pointer_of_a_pool_address_asks_for_its_name():
    verdict = decide(query("7.0.254.10.in-addr.arpa", "PTR").to_wire())
    assert isinstance(verdict, NeedName)
    assert verdict.address == LEASE
    reply = dns.message.from_wire(named(verdict, "portal.corp.example", 60, 5))
    assert reply.answer[0][0].target.to_text() == "portal.corp.example."


def test_pointer_of_an_unused_pool_address_is_nxdomain_with_soa():
    asked = query("9.0.254.10.in-addr.arpa", "PTR")
    verdict = decide(asked.to_wire())
    assert isinstance(verdict, NeedName)
    reply = dns.message.from_wire(named(verdict, None, 60, 60))
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert reply.authority[0].name.to_text() == "0.254.10.in-addr.arpa."


@pytest.mark.parametrize("kind", ["TXT", "A", "ANY", "TYPE65280"])
def test_other_types_of_a_pool_address_are_nodata_if_it_is_a_name_s_and_nxdomain_if_not(kind):
    verdict = decide(query("7.0.254.10.in-addr.arpa", kind).to_wire())
    assert isinstance(verdict, NeedName)
    reply = dns.message.from_wire(named(verdict, "portal.corp.example", 60, 5))
    assert reply.rcode() == dns.rcode.NOERROR and reply.authority[0].ttl == 60 and not reply.answer
    absent = dns.message.from_wire(named(verdict, None, 60, 5))
    assert absent.rcode() == dns.rcode.NXDOMAIN and absent.authority[0].ttl == 5


@pytest.mark.parametrize("name", ["7.0.255.10.in-addr.arpa", "254.10.in-addr.arpa", "x.0.254.10.in-addr.arpa",
                                  "300.0.254.10.in-addr.arpa", "1.7.0.254.10.in-addr.arpa"])
def test_reverse_names_outside_the_pool_are_forwarded(name):
    assert isinstance(decide(query(name, "PTR").to_wire()), Forward)


def test_two_questions_are_a_format_error():
    asked = query("portal.corp.example")
    wire = bytearray(asked.to_wire())
    wire[5] = 2
    verdict = decide(bytes(wire))
    assert isinstance(verdict, Answer)
    reply = dns.message.from_wire(verdict.message)
    assert (reply.id, reply.rcode()) == (asked.id, dns.rcode.FORMERR)


def test_broken_record_behind_an_owned_question_is_a_format_error_and_forwarded_for_others():
    for name, expected in (("portal.corp.example", Answer), ("other.example", Forward)):
        wire = bytearray(query(name, use_edns=False).to_wire())
        wire[11] = 1
        verdict = decide(bytes(wire))
        assert type(verdict) is expected


@pytest.mark.parametrize("wire", [b"", b"\x00" * 11,
                                  b"\x00\x01\x80\x00" + b"\x00" * 8, b"\x00\x01\x28\x00" + b"\x00" * 8],
                         ids=["empty", "short", "response", "update"])
def test_what_is_no_query_is_forwarded(wire):
    assert decide(wire) == Forward(None)


def test_longest_names_denial_fits_into_512_bytes():
    name = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61])
    asked = query(name, "AAAA")
    verdict = Interceptor(lambda _: "app", (POOL,), 60).decide(asked.to_wire())
    assert isinstance(verdict, Answer)
    assert len(verdict.message) <= 512


def test_every_reply_keeps_id_and_question():
    question = parse_question(query("portal.corp.example").to_wire())
    assert isinstance(question, Question)
    zone = question.name.parent()
    for wire in (
        answers.address(question, LEASE, 1), answers.nodata(question, question.name, 1, "x"),
        answers.refused(question, "x"), answers.failure(question, "x"), answers.bad_version(question),
        answers.form_error(question), answers.absent(question, zone, 1),
    ):
        reply = dns.message.from_wire(wire)
        assert reply.id == question.id
        assert reply.question[0].name == question.name


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_get_a_verdict(wire):
    assert isinstance(decide(wire), Answer | Forward | NeedLease | NeedName)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 60))
def test_any_bytes_inside_an_owned_query_get_a_verdict(noise, at):
    wire = bytearray(query("portal.corp.example", "HTTPS").to_wire())
    wire[at:at + len(noise)] = noise
    verdict = decide(bytes(wire))
    if isinstance(verdict, Answer):
        dns.message.from_wire(verdict.message)


@pytest.mark.parametrize(("name", "address"), [
    ("7.0.9.10.in-addr.arpa", "10.9.0.7"), ("7.0.254.10.in-addr.arpa", "10.254.0.7")])
def test_reverse_names_of_every_pool_are_asked_for(name, address):
    verdict = decide(query(name, "PTR").to_wire())
    assert isinstance(verdict, NeedName) and str(verdict.address) == address
