"""fastpath.dns and its model, by one suite; dnspython is the third opinion."""

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastpath import dns as native
from fastpath.batch import PacketBatch
from fastpath.dns import DnsError
from model import dns as reference

MANY = settings(max_examples=200, deadline=None)
A = bytes([10, 254, 0, 7])


@pytest.fixture(params=[native, reference], ids=["fastpath", "model"])
def impl(request):
    return request.param


def query(name="Portal.Corp.Example.", kind="A", **edns):
    message = dns.message.make_query(name, kind, **edns)
    message.id = 0x1234
    return message.to_wire()


# Header: id 1234, RD, one question.
HEADER = bytes.fromhex("1234 0100 0001 0000 0000 0000")
QUESTION = b"\x01a\x02bc\x00" + bytes.fromhex("0001 0001")


@pytest.mark.parametrize(
    ("message", "error"),
    [
        (b"", DnsError.DNS_SHORT),
        (HEADER[:11], DnsError.DNS_SHORT),
        (HEADER, DnsError.DNS_SHORT),
        (HEADER + QUESTION[:-1], DnsError.DNS_SHORT),
        (HEADER + b"\x05abc", DnsError.DNS_SHORT),
        (HEADER[:2] + b"\x81\x00" + HEADER[4:] + QUESTION, DnsError.DNS_NOT_QUERY),
        (HEADER[:2] + b"\x28\x00" + HEADER[4:] + QUESTION, DnsError.DNS_OPCODE),
        (HEADER[:4] + b"\x00\x00" + HEADER[6:] + QUESTION, DnsError.DNS_QUESTIONS),
        (HEADER[:4] + b"\x00\x02" + HEADER[6:] + QUESTION + QUESTION, DnsError.DNS_QUESTIONS),
        (HEADER + b"\xc0\x0c" + QUESTION[-4:], DnsError.DNS_NAME),
        (HEADER + b"\x40" + b"a" * 64 + b"\x00" + QUESTION[-4:], DnsError.DNS_NAME),
        (HEADER + (b"\x3f" + b"a" * 63) * 4 + b"\x00" + QUESTION[-4:], DnsError.DNS_NAME),
        (HEADER[:10] + b"\x00\x01" + QUESTION, DnsError.DNS_RECORDS),
        (
            HEADER[:10] + b"\x00\x01" + QUESTION + bytes.fromhex("00 0029 04d0 00000000 0001"),
            DnsError.DNS_RECORDS,
        ),
        (
            HEADER[:10] + b"\x00\x02" + QUESTION + bytes.fromhex("00 0029 04d0 00000000 0000") * 2,
            DnsError.DNS_RECORDS,
        ),
    ],
)
def test_a_message_that_is_no_query_is_told_why(impl, message, error):
    assert impl.read_query(message) == error


def test_a_query_is_read_with_its_name_in_lower_case(impl):
    asked = impl.read_query(query(use_edns=0, payload=4096, want_dnssec=True))
    assert tuple(asked) == (0x1234, 0x0100, "portal.corp.example", 1, 1, 4096, True, True, 0)


def test_a_query_without_opt_has_512_bytes(impl):
    assert impl.read_query(query()).udp_size == 512


def test_an_announced_size_below_512_counts_as_512(impl):
    assert impl.read_query(query(use_edns=0, payload=100)).udp_size == 512


def test_the_longest_name_is_255_bytes(impl):
    name = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 61]) + "."
    assert impl.read_query(query(name)).name == name[:-1]


def test_strange_bytes_of_a_name_are_escaped(impl):
    message = HEADER + b"\x03a.\xff\x00" + QUESTION[-4:]
    assert impl.read_query(message).name == r"a\046\255"


def test_the_root_has_an_empty_name(impl):
    assert impl.read_query(query(".")).name == ""


def loaded(*messages):
    """A batch as packet.parse leaves it: 20 bytes of IPv4 and 8 of UDP before each message."""
    batch = PacketBatch(max(1, len(messages)), 1024)
    batch.load([bytes(28) + message for message in messages])
    batch.inner_start[:], batch.l4_start[:], batch.protocol[:] = 128, 148, 17
    batch.inner_length[: len(messages)] = [28 + len(message) for message in messages]
    return batch


def test_each_udp_row_of_a_batch_is_judged(impl):
    batch = loaded(query(), query(), query(), query(), b"", HEADER)
    batch.reason[1], batch.protocol[2], batch.fragment[3] = 1, 6, 2
    errors = np.zeros(6, np.uint8)
    assert impl.read_batch(batch, errors) == 1
    assert errors.tolist() == [0, 255, 255, 255, DnsError.DNS_SHORT, DnsError.DNS_SHORT]


def test_a_column_shorter_than_the_batch_is_refused(impl):
    with pytest.raises(ValueError, match="errors"):
        impl.read_batch(loaded(query(), query()), np.zeros(1, np.uint8))


def test_an_answer_has_the_address_and_keeps_the_case_of_the_question(impl):
    wire = impl.build_answer(query(use_edns=0), type=1, data=A, ttl=60)
    answer = dns.message.from_wire(wire)
    assert answer.question[0].name.to_text() == "Portal.Corp.Example."
    assert answer.answer[0].to_text() == "Portal.Corp.Example. 60 IN A 10.254.0.7"
    assert answer.flags == dns.flags.QR | dns.flags.AA | dns.flags.RD | dns.flags.RA
    assert (answer.edns, answer.payload, answer.rcode()) == (0, 1232, dns.rcode.NOERROR)


def test_an_aaaa_and_a_ptr_are_answered(impl):
    aaaa = dns.message.from_wire(
        impl.build_answer(query(kind="AAAA"), type=28, data=b"\xfd" + bytes(15), ttl=1)
    )
    assert aaaa.answer[0].to_text() == "Portal.Corp.Example. 1 IN AAAA fd00::"
    target = dns.name.from_text("portal.corp.example.").to_wire()
    reverse = query("7.0.254.10.in-addr.arpa.", "PTR")
    ptr = dns.message.from_wire(impl.build_answer(reverse, type=12, data=target, ttl=5))
    assert ptr.answer[0].to_text() == "7.0.254.10.in-addr.arpa. 5 IN PTR portal.corp.example."


def test_nodata_carries_the_soa_and_an_extended_error(impl):
    wire = impl.build_answer(query(kind="HTTPS", use_edns=0), ttl=30, extended_error=4, text="A only")
    answer = dns.message.from_wire(wire)
    assert answer.rcode() == dns.rcode.NOERROR and not answer.answer
    soa = answer.authority[0]
    assert soa.rdtype == dns.rdatatype.SOA and soa.ttl == 30 and soa[0].minimum == 30
    assert soa[0].mname.to_text() == "connector.zcc.invalid."
    assert answer.options == (dns.edns.EDEOption(4, "A only"),)


def test_no_extended_error_without_opt_in_the_query(impl):
    answer = dns.message.from_wire(impl.build_answer(query(kind="HTTPS"), extended_error=4, text="A only"))
    assert answer.edns == -1 and not answer.additional


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.FORMERR])
def test_an_error_has_no_records_and_no_authority_bit(impl, rcode):
    answer = dns.message.from_wire(impl.build_answer(query(), rcode=int(rcode)))
    assert answer.rcode() == rcode and not answer.answer and not answer.authority
    assert not answer.flags & dns.flags.AA


def test_an_extended_rcode_goes_into_opt_or_becomes_servfail(impl):
    assert dns.message.from_wire(impl.build_answer(query(use_edns=0), rcode=16)).rcode() == dns.rcode.BADVERS
    assert dns.message.from_wire(impl.build_answer(query(), rcode=16)).rcode() == dns.rcode.SERVFAIL


def test_an_answer_beyond_the_limit_is_truncated_to_question_and_opt(impl):
    asked = query(use_edns=0, payload=512)
    wire = impl.build_answer(asked, type=16, data=bytes(600), ttl=1)
    answer = dns.message.from_wire(wire)
    assert answer.flags & dns.flags.TC and not answer.answer and answer.edns == 0
    assert len(impl.build_answer(asked, type=16, data=bytes(600), ttl=1, limit=None)) > 600


def test_an_answer_is_cut_at_512_bytes_without_opt(impl):
    room = 512 - len(query()) - 12
    assert len(impl.build_answer(query(), type=10, data=bytes(room), ttl=1)) == 512
    assert impl.build_answer(query(), type=10, data=bytes(room + 1), ttl=1)[2] & 2


@pytest.mark.parametrize(
    ("message", "flags"),
    [
        (HEADER[:2] + b"\x29\x00" + HEADER[4:], "a904"),
        (HEADER, "8101"),
    ],
)
def test_an_unreadable_query_is_answered_with_the_header_alone(impl, message, flags):
    assert impl.build_answer(message) == HEADER[:2] + bytes.fromhex(flags) + bytes(8)


@pytest.mark.parametrize("message", [b"", HEADER[:5], b"\x12\x34\x80" + bytes(20)])
def test_what_is_no_query_is_not_answered(impl, message):
    assert impl.build_answer(message) == b""


@pytest.mark.parametrize(
    ("argument", "value"), [("rcode", 4096), ("type", 65536), ("text", "x" * 256), ("ttl", 2**31)]
)
def test_a_wrong_argument_is_named(impl, argument, value):
    with pytest.raises(ValueError, match=argument):
        impl.build_answer(query(), **{argument: value})


def answer_of(*lines, name="www.example.", kind="A"):
    message = dns.message.make_response(dns.message.make_query(name, kind))
    message.answer = [
        dns.rrset.from_text(*line.split(maxsplit=4)[:4], line.split(maxsplit=4)[4]) for line in lines
    ]
    return message.to_wire()


def test_addresses_are_read_through_the_alias_chain(impl):
    wire = answer_of(
        "WWW.example. 300 IN CNAME cdn.example.",
        "cdn.example. 20 IN CNAME edge.example.",
        "edge.example. 60 IN A 192.0.2.1",
        "other.example. 60 IN A 192.0.2.9",
    )
    assert impl.read_addresses(wire) == [
        (("www.example", "cdn.example", "edge.example"), bytes([192, 0, 2, 1]), 20)
    ]


def test_the_order_of_the_records_does_not_matter(impl):
    wire = answer_of("b.example. 60 IN A 192.0.2.1", "www.example. 9 IN CNAME b.example.")
    assert impl.read_addresses(wire) == [(("www.example", "b.example"), bytes([192, 0, 2, 1]), 9)]


def test_a_loop_of_aliases_ends(impl):
    wire = answer_of(
        "www.example. 9 IN CNAME b.example.",
        "b.example. 9 IN CNAME www.example.",
        "b.example. 9 IN A 192.0.2.1",
    )
    assert impl.read_addresses(wire) == [(("www.example", "b.example"), bytes([192, 0, 2, 1]), 9)]


def test_a_chain_of_more_than_16_aliases_is_not_followed_to_its_end(impl):
    chain = [f"n{i}.example. 9 IN CNAME n{i + 1}.example." for i in range(17)]
    wire = answer_of(
        *chain, "n16.example. 9 IN A 192.0.2.16", "n17.example. 9 IN A 192.0.2.17", name="n0.example."
    )
    assert [address[3] for _, address, _ in impl.read_addresses(wire)] == [16]


def test_an_aaaa_is_16_bytes_and_a_ttl_with_the_top_bit_is_zero(impl):
    wire = bytearray(answer_of("www.example. 60 IN AAAA fd00::1", kind="AAAA"))
    wire[-22:-18] = b"\x80\x00\x00\x01"
    assert impl.read_addresses(bytes(wire)) == [(("www.example",), b"\xfd" + bytes(14) + b"\x01", 0)]


ANSWER_HEADER = bytes.fromhex("1234 8180 0001 0001 0000 0000")


@pytest.mark.parametrize(
    "record",
    [
        b"\xc0\x13" + bytes.fromhex("0001 0001 00000001 0004 01020304"),  # a pointer to itself
        b"\xc0\x20" + bytes.fromhex("0001 0001 00000001 0004 01020304"),  # a pointer forward
        b"\xc0\x0c" + bytes.fromhex("0001 0001 00000001 0005 01020304"),  # RDATA overruns
        b"\xc0\x0c" + bytes.fromhex("0001 0001 00000001 0003 010203"),  # A of three bytes
        b"\xc0\x0c" + bytes.fromhex("0001 0003 00000001 0004 01020304"),  # class CHAOS
        b"\xc0",
    ],
    ids=["self", "forward", "overrun", "length", "class", "half a pointer"],
)
def test_a_wrong_record_gives_no_address(impl, record):
    assert impl.read_addresses(ANSWER_HEADER + QUESTION + record) == []


def test_a_message_of_pointers_only_ends_soon(impl):
    ladder = b"".join((0xC000 | 17 + 2 * max(0, i - 1)).to_bytes(2) for i in range(2000))
    message = (
        ANSWER_HEADER[:6]
        + b"\x02\x00"
        + bytes(4)
        + QUESTION
        + b"".join(b"\xff\xfe" + bytes.fromhex("0005 0001 00000001 0002 c00c") for _ in range(512))
        + ladder
    )
    assert impl.read_addresses(message) == []


def agree(call):
    assert call(native) == call(reference)


names = st.lists(st.binary(min_size=1, max_size=12), min_size=0, max_size=5).map(
    lambda labels: b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
) | st.sampled_from([b"\xc0\x0c", b"\xc0\x0e", b"\x01b\xc0\x0c", QUESTION[:-4]])
record = st.builds(
    lambda name, kind, klass, ttl, data, extra: (
        name + kind.to_bytes(2) + klass.to_bytes(2) + ttl.to_bytes(4) + (len(data) + extra).to_bytes(2) + data
    ),
    names,
    st.sampled_from([1, 5, 28, 41]),
    st.sampled_from([1, 1, 1, 3, 1232]),
    st.integers(0, 2**32 - 1),
    names | st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16),
    st.sampled_from([0, 0, 0, 0, 0, 1]),
)


@st.composite
def messages(draw, flags):
    counts = [draw(st.sampled_from([1, 1, 1, 1, 0, 2])), *(draw(st.integers(0, 3)) for _ in range(3))]
    body = b"".join(draw(record) for _ in range(sum(counts[1:])))
    question = draw(
        st.sampled_from([QUESTION, QUESTION, b"\x01B\x02bC\x00" + QUESTION[-4:]])
        | names.map(lambda name: name + bytes.fromhex("001c0001"))
    )
    head = b"\x12\x34" + draw(flags).to_bytes(2) + b"".join(n.to_bytes(2) for n in counts)
    message = head + question + body
    return message[: draw(st.integers(0, len(message)) | st.just(len(message)))]


QUERY_FLAGS = st.sampled_from([0x0100, 0x0120, 0x0110, 0]) | st.integers(0, 65535)
ANSWER_FLAGS = st.sampled_from([0x8180, 0x8580]) | st.integers(0, 65535)


@MANY
@given(st.binary(max_size=100) | messages(QUERY_FLAGS))
def test_any_bytes_are_read_as_the_model_reads_them(message):
    agree(lambda impl: impl.read_query(message))


@MANY
@given(st.binary(max_size=100) | messages(ANSWER_FLAGS))
def test_any_answer_gives_the_addresses_that_the_model_finds(message):
    agree(lambda impl: impl.read_addresses(message))


@MANY
@given(
    messages(QUERY_FLAGS),
    st.integers(0, 4095),
    st.sampled_from([0, 1, 28]),
    st.binary(max_size=600),
    st.none() | st.integers(0, 65534),
    st.text(max_size=40),
    st.none() | st.integers(0, 1500),
)
def test_any_answer_is_built_as_the_model_builds_it(message, rcode, kind, data, error, words, limit):
    agree(
        lambda impl: impl.build_answer(
            message, rcode=rcode, type=kind, data=data, ttl=7, extended_error=error, text=words, limit=limit
        )
    )


@MANY
@given(messages(QUERY_FLAGS))
def test_what_dnspython_reads_is_read_alike(message):
    try:
        theirs = dns.message.from_wire(message)
    except dns.exception.DNSException:
        return
    ours = native.read_query(message)
    if theirs.opcode() == 0 and not theirs.flags & dns.flags.QR and len(theirs.question) == 1:
        assert not isinstance(ours, DnsError) or ours in (DnsError.DNS_NAME, DnsError.DNS_RECORDS)
    if not isinstance(ours, DnsError) and b"\\" not in ours.name.encode():
        asked = theirs.question[0]
        assert (ours.id, ours.type, ours.klass) == (theirs.id, asked.rdtype, asked.rdclass)
        assert ours.name == asked.name.to_text(omit_final_dot=True).lower().removeprefix(
            "." * (ours.name == "")
        )
        assert ours.has_opt == (theirs.edns >= 0)
