"""Only answers that were asked for count."""

from dataclasses import replace
from ipaddress import IPv4Address

import dns.message
import pytest

from zcc.dns.pending import NO_RULING, Asker, Matched, Pending
from zcc.dns.question import Question, parse_question

ASKER = Asker(1, IPv4Address("10.8.6.4"), 40000, IPv4Address("192.0.2.53"))
ASKED = ("a.example", 1, 1)


def question(message_id: int = 7) -> Question:
    found = parse_question(dns.message.make_query("A.example", "A", id=message_id).to_wire())
    assert isinstance(found, Question)
    return found


def test_answer_is_taken_once():
    pending = Pending()
    pending.note(ASKER, question(), 10.0)
    assert pending.take(ASKER, 7, ASKED, 10.25) == Matched(0.25, NO_RULING)
    assert pending.take(ASKER, 7, ASKED, 10.25) is None


@pytest.mark.parametrize("asker", [
    replace(ASKER, namespace=2), replace(ASKER, client=IPv4Address("10.8.6.5")), replace(ASKER, port=40001),
    replace(ASKER, server=IPv4Address("192.0.2.54")),
], ids=["namespace", "client", "port", "server"])
def test_another_asker_has_no_answer_coming(asker):
    pending = Pending()
    pending.note(ASKER, question(), 0.0)
    assert pending.take(asker, 7, ASKED, 0.0) is None


@pytest.mark.parametrize(("message_id", "asked"), [
    (8, ASKED), (7, ("b.example", 1, 1)), (7, ("a.example", 28, 1)),
])
def test_another_id_or_question_is_not_taken(message_id, asked):
    pending = Pending()
    pending.note(ASKER, question(), 0.0)
    assert pending.take(ASKER, message_id, asked, 0.0) is None


def test_patience_ends():
    pending = Pending(patience_s=15.0)
    pending.note(ASKER, question(), 0.0)
    assert pending.take(ASKER, 7, ASKED, 15.0) is None
    assert len(pending) == 0


def test_oldest_query_is_forgotten_first():
    pending = Pending(limit=2)
    for message_id in (1, 2, 3):
        pending.note(ASKER, question(message_id), 0.0)
    assert pending.take(ASKER, 1, ASKED, 0.0) is None
    assert pending.take(ASKER, 3, ASKED, 0.0) == Matched(0.0, NO_RULING)


def test_limit_below_one_is_a_bad_call():
    with pytest.raises(ValueError, match="limit"):
        Pending(limit=0)
