"""zcc.dns.tunnelling: a tunnel has a high score soon; content networks, reputation services and people have not."""

from __future__ import annotations

import base64
import random

import pytest

from zcc.dns.tunnelling import TunnelWatch, registered_domain

RANDOM = random.Random(5)


def encoded(n: int) -> str:
    text = base64.b32encode(RANDOM.randbytes(n)).decode().lower().rstrip("=")
    return ".".join(text[at : at + 60] for at in range(0, len(text), 60))


def last_score(names, per_second: float) -> int:
    watch, score = TunnelWatch(), 0
    for number, name in enumerate(names):
        score = watch.score("client", name, number / per_second)
    return score


def test_data_in_names_has_a_high_score_within_seconds() -> None:
    assert last_score((f"{encoded(80)}.t.evil.example" for _ in range(200)), 20) >= 80


@pytest.mark.parametrize(
    ("names", "per_second"),
    [
        ((f"host{n % 40}.corp.example" for n in range(1000)), 50),
        ((f"d{n:013x}.cloudfront.example" for n in range(300)), 1),
        ((f"{RANDOM.randbytes(20).hex()}.hash.reputation.example" for n in range(40)), 0.1),
        (("x" * 60 + ".example.com" for _ in range(500)), 50),
        ((f"{encoded(80)}.evil.example" for _ in range(5)), 0.01),
    ],
    ids=["hosts", "content network", "reputation", "one long name", "a few"],
)  # fmt: skip
def test_one_sign_alone_is_no_tunnel(names, per_second: float) -> None:
    assert last_score(names, per_second) < 40


def test_clients_and_domains_are_told_apart_and_quiet_ones_fade() -> None:
    watch = TunnelWatch()
    for number in range(300):
        high = watch.score("one", f"{encoded(80)}.evil.example", number / 30)
    assert high >= 80
    assert watch.score("two", f"{encoded(80)}.evil.example", 10.0) == 0
    assert watch.score("one", f"{encoded(80)}.good.example", 10.0) == 0
    assert watch.score("one", f"{encoded(80)}.evil.example", 1200.0) == 0


def test_it_remembers_a_bounded_number_of_pairs() -> None:
    watch = TunnelWatch(limit=8)
    for number in range(100):
        watch.score("client", f"a.d{number}.example", 0.0)
    assert len(watch) == 8


@pytest.mark.parametrize(
    ("name", "domain"),
    [("a.b.example.com", "example.com"), ("a.example.co.uk", "example.co.uk"), ("co.uk", "co.uk"), ("com", "com"),
     ("", ""), ("a.example.de", "example.de")],
)  # fmt: skip
def test_the_registered_domain(name: str, domain: str) -> None:
    assert registered_domain(name) == domain
    assert TunnelWatch().score("client", name, 0.0) == 0
