"""zcc.connector.hearsay and claims: which names addresses have in a group of connectors, whoever heard what, in any order."""

from __future__ import annotations

import asyncio
from collections import Counter
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zcc.clock import ManualClock
from zcc.connector import claims
from zcc.connector.claims import Claims
from zcc.connector.hearsay import Claim, Hearsay
from zcc.mtunnel.errors import EdgeDown
from zcc.mtunnel.messages import Claimed

ADDRESS, SNI, HOST = ip_address("203.0.113.8"), 1, 2
SPOKEN_OF = {"updates.example": 7, "other-updates.example": 8}
IDLE = ("idle.example", "more.idle.example")


class Connector:
    """One of a group: what its data plane knows, and what it tells."""

    def __init__(self, clock: ManualClock) -> None:
        self.known: dict[object, tuple[int, int]] = {}
        self.said: list[Claim] = []
        self.counts: Counter[str] = Counter()
        self.hearsay = Hearsay(self, SPOKEN_OF.__getitem__, lambda name, address: name in SPOKEN_OF, clock, self.counts,
                               self.said.append)

    def learn(self, namespace, address, name_id, ttl_s, naming=0) -> None:
        assert ttl_s == 600
        self.known[namespace, address] = name_id, naming

    def forget(self, namespace, address, number, naming) -> None:
        assert self.known.pop((namespace, address)) == (number, naming)

    def says(self, name: str, naming: int = SNI) -> None:
        self.hearsay.said(Claim(1, ADDRESS, name, naming))


class Group:
    """Connectors that hear of each other's claims, each of them in the order in which they were told."""

    def __init__(self, size: int) -> None:
        self.clock = ManualClock()
        self.connectors = [Connector(self.clock) for _ in range(size)]
        self.ways: dict[tuple[int, int], list[Claim]] = {}
        self.told = 0

    def post(self) -> None:
        for number, connector in enumerate(self.connectors):
            self.told += len(connector.said)
            for other in range(len(self.connectors)):
                if other != number:
                    self.ways.setdefault((number, other), []).extend(connector.said)
            connector.said.clear()

    def deliver(self, choice: int) -> bool:
        """Have one claim arrive; False: none is under way."""
        ways = sorted(way for way, waiting in self.ways.items() if waiting)
        if ways:
            way = ways[choice % len(ways)]
            self.connectors[way[1]].hearsay.told(self.ways[way].pop(0))
            self.post()
        return bool(ways)

    def settle(self) -> None:
        for _ in range(1000):
            if not self.deliver(0):
                return
        raise AssertionError("they never stop telling each other")

    def names(self) -> set[int | None]:
        return {connector.known.get((1, ADDRESS), (None,))[0] for connector in self.connectors}


def test_a_name_that_rules_speak_of_is_told_once_in_five_minutes() -> None:
    connector = Connector(clock := ManualClock())
    connector.says("updates.example")
    connector.says("updates.example", HOST)
    assert connector.known == {(1, ADDRESS): (7, HOST)}
    assert connector.said == [Claim(1, ADDRESS, "updates.example", SNI)]
    clock.advance(300)
    connector.says("updates.example")
    assert len(connector.said) == 2 and connector.counts["addresses"] == 3


def test_a_name_that_no_rule_speaks_of_is_not_told_unless_it_takes_one_away() -> None:
    connector = Connector(ManualClock())
    connector.says("idle.example")
    assert connector.said == [] and connector.known == {}
    connector.hearsay.told(Claim(1, ADDRESS, "updates.example", SNI))
    assert [claim.name for claim in connector.said] == ["idle.example"] and connector.known == {}
    connector.hearsay.told(Claim(1, ADDRESS, "updates.example", SNI))
    assert len(connector.said) == 1, "the group has heard of it"


def test_what_was_told_ends_when_nobody_says_it_any_more() -> None:
    group = Group(2)
    group.connectors[0].says("updates.example")
    group.post()
    group.settle()
    assert group.names() == {7}
    group.clock.advance(601)
    group.connectors[1].says("other-updates.example")
    group.post()
    group.settle()
    assert group.names() == {8}


@given(st.integers(2, 4), st.lists(st.tuples(st.integers(0, 3), st.sampled_from([*SPOKEN_OF, *IDLE]), st.integers(0, 9)),
                                   min_size=1, max_size=9))
def test_all_of_a_group_come_to_the_same_whoever_heard_what_and_when(size, happened) -> None:
    group, names = Group(size), set()
    for who, name, choice in happened:
        names.add(name)
        group.connectors[who % size].says(name)
        group.post()
        group.deliver(choice)
    group.settle()
    (only,) = names if len(names) == 1 else (None,)
    assert group.names() == {SPOKEN_OF.get(only) if only else None}
    assert group.told <= 3 * size


class FakeEdge:
    def __init__(self, failure: Exception | None = None) -> None:
        self.told: list[Claimed] = []
        self.failure = failure

    async def claim(self, claimed: Claimed) -> None:
        if self.failure is not None:
            raise self.failure
        self.told.append(claimed)


async def run_for(service: Claims, seconds: float = 0.05) -> None:
    task = asyncio.create_task(service.run())
    await asyncio.sleep(seconds)
    task.cancel()


def test_claims_are_told_and_heard_by_the_names_of_namespaces() -> None:
    edge = FakeEdge()
    ours, theirs = Claims(edge, {1: "co1"}), Claims(edge, {9: "co1"})
    heard: list[Claim] = []
    theirs.heard = heard.append
    ours.tell(Claim(1, ADDRESS, "updates.example", HOST))
    asyncio.run(run_for(ours))
    assert edge.told == [Claimed(namespace="co1", address=ADDRESS, name="updates.example", how="host")]
    theirs.hear(edge.told[0])
    theirs.hear(edge.told[0].model_copy(update={"namespace": "co7"}))
    assert heard == [Claim(9, ADDRESS, "updates.example", HOST)]
    assert (ours.counts, theirs.counts) == ({"told": 1}, {"heard": 1, "namespace_unknown": 1})


def test_claims_are_neither_told_nor_heard_where_they_are_not_shared() -> None:
    service = Claims(FakeEdge(), {1: "co1"}, share=False)
    service.heard = lambda claim: pytest.fail("it was heard")
    service.tell(Claim(1, ADDRESS, "updates.example", SNI))
    service.hear(Claimed(namespace="co1", address=ADDRESS, name="updates.example", how="sni"))
    asyncio.run(run_for(service))
    assert service.counts == {}


def test_a_flood_of_claims_is_told_slowly_and_what_is_too_much_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "PAUSE_S", 60)
    edge = FakeEdge()

    async def flood() -> Claims:
        service = Claims(edge, {1: "co1"})
        for number in range(300):
            service.tell(Claim(1, ip_address(number), "updates.example", SNI))
        await run_for(service)
        return service

    service = asyncio.run(flood())
    assert len(edge.told) == 1 and service.counts == {"untold": 44, "told": 1}


def test_without_an_edge_claims_are_counted_and_forgotten() -> None:
    async def alone() -> Claims:
        service = Claims(FakeEdge(EdgeDown("none")), {1: "co1"})
        service.tell(Claim(1, ADDRESS, "updates.example", SNI))
        await run_for(service)
        return service

    assert asyncio.run(alone()).counts == {"untold": 1}
