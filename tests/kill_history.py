"""What was answered when, and whether all of it can be true: the model that a kill loop is checked against.

The ledger's records say who held which address from when to when (zcc.synthetic.audit). For every answer, whoever gave it:

    1. the name had been given this address before the answer came                  stored before it is said
    2. no other name held the address when the question was asked                   never two names
    3. the address is of the name's pool
    4. a name that is spelled out never has another address                         kept for good
    5. a name that got another address had lost the first to somebody else          its own again, as long as it is free

and of the records: no two names' times at an address overlap, and the ledger reads them without contradiction.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from zcc.synthetic.audit import Tenure

__all__ = ["Answer", "contradictions"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer with an address."""

    who: str  # the connector
    name: str
    address: IPv4Address
    asked: float  # seconds since 1970
    answered: float


def contradictions(
    answers: Iterable[Answer], spans: Iterable[Tenure], pools: dict[str, IPv4Network], exact: Collection[str]
) -> list[str]:
    """Say everything that can not be.

    Args:
        spans: the tenures of the ledger.
        pools: by name, the network that its address must be of.
        exact: names that the configuration spells out.
    """
    by_address: dict[int, list[Tenure]] = defaultdict(list)
    for span in spans:
        by_address[span.address].append(span)
    answers = sorted(answers, key=lambda answer: answer.answered)
    found = [*_overlaps(by_address)]
    for answer in answers:
        found += _of_answer(answer, by_address[int(answer.address)], pools[answer.name])
    return [*found, *_changes(answers, by_address, exact)]


def _overlaps(by_address: dict[int, list[Tenure]]) -> Iterator[str]:
    for address, spans in by_address.items():
        for one, other in itertools.pairwise(spans):
            if one.until is None or one.until > other.since:
                yield f"{IPv4Address(address)} was {one.name}'s and {other.name}'s at once"


def _of_answer(answer: Answer, spans: list[Tenure], pool: IPv4Network) -> Iterator[str]:
    told = f"{answer.who} said {answer.address} of {answer.name} at {answer.answered:.3f}"
    if answer.address not in pool:
        yield f"{told}, which is not of its pool {pool}"
    if not any(span.name == answer.name and span.since <= answer.answered for span in spans):
        yield f"{told}, and the ledger had not given it"
    for span in spans:
        if span.name != answer.name and span.covers(answer.asked):
            yield f"{told}, and {span.name} held it since {span.since:.3f}"


def _changes(answers: list[Answer], by_address: dict[int, list[Tenure]], exact: Collection[str]) -> Iterator[str]:
    last: dict[str, Answer] = {}
    for answer in answers:
        before = last.get(answer.name)
        if before is not None and before.address != answer.address:
            change = f"{answer.name} had {before.address} by {before.who} and then {answer.address} by {answer.who}"
            if answer.name in exact:
                yield f"{change}, and it is spelled out"
            elif not any(span.name != answer.name and span.since > before.answered for span in by_address[int(before.address)]):
                yield f"{change}, though nobody else had got the first"
        last[answer.name] = answer
