"""zcc.dns.disguise: only the answer to exactly what was sent comes through, and it looks like an answer to the client."""

from __future__ import annotations

import dns.edns
import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcc.dns.disguise import CHANCE_BYTES, bare_query, disguised, undisguised
from zcc.dns.question import Question, parse_question

CHANCE = bytes(range(1, CHANCE_BYTES + 1))
ASKED = dns.message.make_query("Www.Example.com", "A", use_edns=0, id=7).to_wire()
SENT = disguised(ASKED, CHANCE)
assert SENT is not None


def answer_to(sent: bytes, *lines: str) -> bytes:
    message = dns.message.make_response(dns.message.from_wire(sent))
    message.answer = [dns.rrset.from_text(message.question[0].name, 60, "IN", "A", *lines)]
    return message.to_wire()


def test_a_query_leaves_under_another_id_and_in_another_spelling() -> None:
    message = dns.message.from_wire(SENT)
    assert SENT[:2] == CHANCE[:2] != ASKED[:2]
    assert message.question[0].name == dns.message.from_wire(ASKED).question[0].name
    assert message.question[0].name.to_text() != "Www.Example.com." and SENT[2:12] == ASKED[2:12]


def test_the_client_sees_its_own_id_and_spelling_also_in_the_owner() -> None:
    seen = dns.message.from_wire(undisguised(answer_to(SENT, "192.0.2.1"), SENT, ASKED) or b"")
    assert seen.id == 7 and seen.answer[0].name.to_text() == "Www.Example.com."


@pytest.mark.parametrize("change", [
    lambda wire: bytes([wire[0] ^ 1]) + wire[1:],
    lambda wire: wire[:13] + bytes([wire[13] ^ 0x20]) + wire[14:],
    lambda wire: wire[:2] + bytes([wire[2] & 0x7F]) + wire[3:],
    lambda wire: wire[:2] + bytes([wire[2] ^ 0x08]) + wire[3:],
    lambda wire: wire[:5] + b"\2" + wire[6:],
    lambda wire: wire[:20],
    lambda wire: b"",
], ids=["id", "spelling", "no response", "opcode", "two questions", "cut", "empty"])  # fmt: skip
def test_an_answer_to_anything_else_is_none(change) -> None:
    good = answer_to(SENT, "192.0.2.1")
    assert undisguised(good, SENT, ASKED) is not None
    assert undisguised(change(good), SENT, ASKED) is None


@given(st.binary(max_size=80), st.binary(max_size=80), st.binary(min_size=CHANCE_BYTES, max_size=CHANCE_BYTES))
def test_any_bytes_are_none_or_disguised_and_never_an_error(wire: bytes, answer: bytes, chance: bytes) -> None:
    sent = disguised(wire, chance)
    assert sent is None or (len(sent) == len(wire) and sent.lower()[2:] == wire.lower()[2:])
    assert undisguised(answer, SENT, ASKED) is None
    if sent is not None:
        undisguised(answer, sent, wire)


def test_chance_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=f"chance must be {CHANCE_BYTES} bytes, not 2"):
        disguised(ASKED, b"12")


@pytest.mark.parametrize("edns", [-1, 0])
def test_a_bare_query_keeps_the_question_and_what_changes_the_answer_only(edns: int) -> None:
    options = [dns.edns.CookieOption(b"12345678", b"")] if edns == 0 else []
    flags = dns.flags.RD | dns.flags.CD | dns.flags.AD
    query = dns.message.make_query("a.example", "HTTPS", id=9, flags=flags)
    if edns == 0:
        query.use_edns(0, dns.flags.DO, 4096, options=options)
    question = parse_question(query.to_wire())
    assert isinstance(question, Question)
    bare = dns.message.from_wire(bare_query(query.to_wire(), question))
    assert bare.question == query.question and bare.id == 9
    assert bare.flags == dns.flags.RD | dns.flags.CD
    assert bare.edns == edns and not bare.options and bool(bare.ednsflags & dns.flags.DO) == (edns == 0)
