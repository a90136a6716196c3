"""Patterns of names, and their numbers."""

import pytest

from zcc.policy.model import Application
from zcc.policy.names import NameBook, NameBookFull, PatternMap, patterns_of


def test_a_name_matches_itself_and_every_wildcard_above_it():
    assert list(patterns_of("a.b.c")) == ["a.b.c", "*.b.c", "*.c"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("example.com", None),
        ("www.example.com", "wide"),
        ("a.b.www.example.com", "wide"),
        ("dev.example.com", "exact"),
        ("x.dev.example.com", "narrow"),
        ("a.x.dev.example.com", "narrow"),
        ("notexample.com", None),
        ("www.notexample.com", None),
    ],
)
def test_exact_beats_wildcard_and_the_longer_wildcard_the_shorter(name, value):
    patterns = PatternMap(
        [("*.example.com", "wide"), ("dev.example.com", "exact"), ("*.dev.example.com", "narrow")]
    )
    assert patterns.get(name) == value


def application(name, *domains):
    return Application(name=name, domains=domains, tcp=(443,))


def test_a_number_is_given_out_once_and_stays():
    book = NameBook()
    first, second = book.id_of("a.example"), book.id_of("b.example")
    assert (first, second, book.id_of("a.example")) == (1, 2, 1)
    assert [book.name_of(n) for n in (0, 1, 2, 3)] == [None, "a.example", "b.example", None]
    assert list(book.items()) == [(1, "a.example"), (2, "b.example")]


def test_a_new_number_is_announced_once():
    heard = []
    book = NameBook(announce=lambda number, name: heard.append((number, name)))
    for name in ("a.example", "b.example", "a.example"):
        book.id_of(name)
    assert heard == [(1, "a.example"), (2, "b.example")]


def test_a_full_book_refuses_new_names_and_keeps_old_ones():
    book = NameBook(capacity=2)
    book.id_of("a.example")
    with pytest.raises(NameBookFull, match=r"b\.example"):
        book.id_of("b.example")
    assert book.id_of("a.example") == 1


def test_the_application_follows_the_policy_in_force():
    book = NameBook([application("old", "*.corp.example")])
    assert book.application_of("x.corp.example") == "old" and book.application_of("corp.example") is None
    book.adopt([application("new", "x.corp.example")])
    assert book.application_of("x.corp.example") == "new" and book.application_of("y.corp.example") is None
