"""Sessions by address and number beside two dicts, and what they are not."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from fastpath.dtls import Session
from fastpath.links import Link, Links
from model import links as model

SEED = bytes(range(32))
RECORD = Session(SSL.Connection(SSL.Context(SSL.DTLS_METHOD), None))
addresses = st.tuples(st.integers(0, 3), st.integers(1, 3))


@given(st.lists(st.one_of(st.tuples(st.just("add"), addresses), st.tuples(st.just("remove"), st.integers(1, 30)))))
def test_what_is_found_is_what_two_dicts_find(steps):
    ours, theirs, made = Links(4, SEED), model.Links(4, SEED), {}
    for owner, (what, said) in enumerate(steps):
        if what == "remove":
            assert (said in made and ours.remove(made[said])) == theirs.remove(said)
        else:
            try:
                number = theirs.add(owner, *said)
            except ValueError:
                with pytest.raises(ValueError, match=r"^(address|capacity)"):
                    ours.add(RECORD, owner, *said, 0)
                continue
            link = ours.add(RECORD, owner, *said, owner)
            made[number] = link
            assert (link.address, link.port, link.owner, link.last_ns, link.record) == (*said, owner, owner, RECORD)
        assert len(ours) == len(theirs)
        for address in itertools.product(range(4), range(1, 4)):
            assert ours.at(*address) == theirs.at(*address)
        assert {ours.get(link.number) for link in ours} == {theirs.get(n) for n in range(40)} - {None}
        assert sorted(made[n].number for n in made if theirs.get(n) is not None) == sorted(link.number for link in ours)


def test_a_number_is_given_once_and_found_while_others_come_and_go():
    links = Links(2, SEED)
    first = links.add(RECORD, "first", 1, 1, 0)
    numbers = [first.number]
    for port in range(2, 100):
        link = links.add(RECORD, port, 1, port, 0)
        numbers.append(link.number)
        assert (links.get(first.number), links.get(link.number)) == ("first", port)
        assert links.remove(link) and not links.remove(link)
        assert links.get(link.number) is None
    assert numbers == sorted(set(numbers))


def test_a_link_of_another_table_is_not_taken_out():
    here, there = Links(2, SEED), Links(2, SEED)
    mine, theirs = here.add(RECORD, "mine", 1, 1, 0), there.add(RECORD, "theirs", 1, 1, 0)
    assert mine.number == theirs.number
    assert not here.remove(theirs)
    assert here.get(mine.number) == "mine"


def test_only_sessions_are_taken():
    links = Links(2, SEED)
    with pytest.raises(TypeError, match=r"^record must be"):
        links.add(object(), None, 1, 1, 0)
    with pytest.raises(TypeError, match=r"^record must be"):
        Link(None, None)
    with pytest.raises(ValueError, match=r"^port must be 0 of a Stream"):
        links.add(RECORD, None, 1, 0, 0)
    assert len(links) == 0


def test_what_the_control_plane_says_is_kept():
    link = Links(2, SEED).add(RECORD, None, 1, 1, 5)
    link.mtu, link.moved, link.outlived, link.received = 1400, True, True, 1 << 40
    assert (link.mtu, link.moved, link.outlived, link.received, link.last_ns) == (1400, True, True, 1 << 40, 5)
