"""Which session a packet for a flow goes by."""

from typing import Any

from zcc.internet_edge.sessions import SessionBook
from zcc.pki.peer import Peer

S = 1_000_000_000
ONE, TWO = Peer("acme", "connector", "cc-1", 1), Peer("acme", "connector", "cc-2", 2)
RECORD: Any = object()


def test_flows_follow_a_connector_to_its_new_session() -> None:
    book = SessionBook(10)
    old, _ = book.add((1, 1), RECORD, ONE, 0)
    assert book.towards(old.number, 1) is old
    new, ended = book.add((1, 2), RECORD, ONE, 4 * S)
    assert not ended
    assert book.towards(old.number, 4 * S) is new, "silent for 3 s: its connector is elsewhere now"
    book.remove(old)
    assert book.towards(old.number, 4 * S) is new


def test_flows_do_not_follow_another_connector() -> None:
    book = SessionBook(10)
    old, _ = book.add((1, 1), RECORD, ONE, 0)
    book.add((1, 2), RECORD, TWO, 0)
    book.remove(old)
    assert book.towards(old.number, 0) is None
    assert book.name_of(old.number) == "connector/cc-1"


def test_a_session_from_the_same_address_takes_the_place_of_the_former() -> None:
    book = SessionBook(10)
    old, _ = book.add((1, 1), RECORD, ONE, 0)
    new, ended = book.add((1, 1), RECORD, ONE, 1)
    assert ended == [old]
    assert book.at((1, 1)) is new
    assert len(book) == 1


def test_a_full_book_gives_up_the_most_silent_session() -> None:
    book = SessionBook(2)
    first, _ = book.add((1, 1), RECORD, ONE, 0)
    second, _ = book.add((1, 2), RECORD, TWO, 0)
    first.last_ns = 5
    _, ended = book.add((1, 3), RECORD, TWO, 6)
    assert ended == [second]
    assert len(book) == 2


def test_silent_sessions_are_idle_after_half_a_minute() -> None:
    book = SessionBook(2)
    session, _ = book.add((1, 1), RECORD, ONE, 0)
    assert book.idle(30 * S) == []
    assert book.idle(31 * S) == [session]
