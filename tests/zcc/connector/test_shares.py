"""Shares: whoever floods, the next one who asks finds room; what is given back is free again."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcc.connector.shares import Shares

LIMIT = 90


def flood(shares: Shares, *whose: object) -> int:
    """Take until nothing is given."""
    taken = 0
    while shares.take(*whose):
        taken += 1
    return taken


def test_who_floods_alone_ends_at_a_part_and_others_still_find_room() -> None:
    shares = Shares(LIMIT)
    assert flood(shares, "blue", "one") == LIMIT // 3
    assert flood(shares, "blue", "two") == LIMIT // 9
    assert flood(shares, "green", "one") >= LIMIT // 9
    assert shares.take("green", "two") and shares.take("red", "one")


def test_who_flood_together_end_at_equal_parts() -> None:
    shares, clients, queue = Shares(LIMIT), ("one", "two", "three"), list[str]()
    for turn in range(5000):
        wanting = clients[turn % 3] if turn > 1000 else "one"  # one of them was first
        if len(queue) and turn % 2:
            shares.give_back("blue", queue.pop(0))
        if shares.take("blue", wanting):
            queue.append(wanting)
    held = [shares.held("blue", client) for client in clients]
    assert max(held) - min(held) <= 2 and sum(held) == shares.held("blue") == len(shares)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.booleans()), max_size=300), st.integers(1, 40))
def test_what_is_held_is_what_was_taken_and_not_given_back(acts: list[tuple[str, str, bool]], limit: int) -> None:
    shares, held = Shares(limit), Counter[tuple[str, str]]()
    for namespace, client, takes in acts:
        if takes:
            held[namespace, client] += shares.take(namespace, client)
        elif held[namespace, client]:
            shares.give_back(namespace, client)
            held[namespace, client] -= 1
        assert len(shares) == held.total() <= limit
        assert all(shares.held(*whose) == n for whose, n in held.items())


def test_nobody_gives_back_what_he_does_not_have() -> None:
    shares = Shares(4)
    shares.take("blue", "one")
    with pytest.raises(ValueError, match="two"):
        shares.give_back("blue", "two")
    assert len(shares) == 1 == shares.held("blue")
    with pytest.raises(ValueError, match="1 or more"):
        Shares(0)
