"""Which session a packet for a flow goes by."""

from OpenSSL import SSL

from fastpath.dtls import Session
from fastpath.links import Links
from zcc.internet_edge.sessions import EdgeSession, SessionBook
from zcc.itunnel.pathmtu import PathMtu
from zcc.pki.peer import Peer

S = 1_000_000_000
ONE, TWO = Peer("acme", "connector", "cc-1", 1), Peer("acme", "connector", "cc-2", 2)


def book_of(limit: int) -> SessionBook:
    """An empty one."""
    return SessionBook(Links(limit, bytes(range(32))))


def add(book: SessionBook, address: tuple[int, int], peer: Peer, now_ns: int) -> tuple[EdgeSession, list[EdgeSession]]:
    record = Session(SSL.Connection(SSL.Context(SSL.DTLS_METHOD), None))
    return book.add(address, record, peer, PathMtu(4, 1472, now_ns), now_ns)


def test_flows_follow_a_connector_to_its_new_session() -> None:
    book = book_of(10)
    old, _ = add(book, (1, 1), ONE, 0)
    assert book.towards(old.number, 1) is old
    new, ended = add(book, (1, 2), ONE, 4 * S)
    assert not ended
    assert book.towards(old.number, 4 * S) is new, "silent for 3 s: its connector is elsewhere now"
    book.remove(old)
    assert book.towards(old.number, 4 * S) is new


def test_flows_do_not_follow_another_connector() -> None:
    book = book_of(10)
    old, _ = add(book, (1, 1), ONE, 0)
    add(book, (1, 2), TWO, 0)
    book.remove(old)
    assert book.towards(old.number, 0) is None
    assert book.name_of(old.number) == "connector/cc-1"


def test_a_session_from_the_same_address_takes_the_place_of_the_former() -> None:
    book = book_of(10)
    old, _ = add(book, (1, 1), ONE, 0)
    new, ended = add(book, (1, 1), ONE, 1)
    assert ended == [old]
    assert book.at((1, 1)) is new
    assert len(book) == 1


def test_a_full_book_gives_up_the_most_silent_session() -> None:
    book = book_of(2)
    first, _ = add(book, (1, 1), ONE, 0)
    second, _ = add(book, (1, 2), TWO, 0)
    first.link.last_ns = 5
    _, ended = add(book, (1, 3), TWO, 6)
    assert ended == [second]
    assert len(book) == 2


def test_silent_sessions_are_idle_after_half_a_minute() -> None:
    book = book_of(2)
    session, _ = add(book, (1, 1), ONE, 0)
    assert book.idle(30 * S) == []
    assert book.idle(31 * S) == [session]


def test_a_session_that_replaces_another_takes_its_flows_while_both_live() -> None:
    book = book_of(10)
    first, _ = add(book, (1, 1), ONE, 0)
    second, _ = add(book, (1, 2), Peer("acme", "connector", "cc-1", 7), 1)      # its certificate was renewed meanwhile
    assert book.towards(first.number, 1) is first
    assert book.succeed(first.number, second)
    third, _ = add(book, (1, 3), ONE, 2)
    assert book.succeed(second.number, third)
    assert book.towards(first.number, 2) is third
    assert book.get(first.number) is first and book.at((1, 1)) is first, "what is on its way in it is still taken"
    for session in (first, second):
        book.remove(session)
    assert book.towards(first.number, 3) is third


def test_a_session_takes_over_from_its_own_connector_s_only() -> None:
    book = book_of(10)
    old, _ = add(book, (1, 1), ONE, 0)
    strange, _ = add(book, (1, 2), TWO, 0)
    other_role, _ = add(book, (1, 3), Peer("acme", "internet-edge", "cc-1", 1), 0)
    for number, session in ((old.number, strange), (old.number, other_role), (99, strange), (strange.number, strange)):
        assert not book.succeed(number, session)
    assert book.towards(old.number, 0) is old


def test_memory_of_sessions_that_were_replaced_is_bounded() -> None:
    book = book_of(2)
    session, _ = add(book, (2, 1), ONE, 0)
    for n in range(100):
        newer, _ = add(book, (1, n + 1), ONE, 0)
        assert book.succeed(session.number, newer)
        book.remove(session)
        session = newer
    assert len(book._successors) <= 9
