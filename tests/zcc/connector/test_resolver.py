"""Leases: from the cache, from the edge, once, and in the data plane before anybody has them."""

import asyncio
from ipaddress import IPv4Address

import pytest
from tests.zcc.connector.fakes import PORTAL, FakeDatapath, FakeEdge, FakeNames, networks_of

from zcc.clock import ManualClock
from zcc.connector import resolver as module
from zcc.connector.resolver import OtherPool, Overloaded, Resolver
from zcc.connector.shares import Shares
from zcc.mtunnel.errors import Code, EdgeDown, Refused
from zcc.synthetic.lease import Lease, Tombstone
from zcc.synthetic.leases import LeaseCache

NAME = PORTAL.name
SPACES = {1: "co1", 2: "co2"}


class Bench:
    def __init__(self, path) -> None:
        self.clock = ManualClock()
        self.edge, self.datapath = FakeEdge(PORTAL), FakeDatapath()
        self.cache = LeaseCache(path / "leases.sqlite")
        self.resolver = Resolver(self.edge, self.cache, self.datapath, FakeNames(), self.clock, SPACES.__getitem__, networks_of)


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.cache.close()


def test_lease_is_learned_by_the_data_plane_and_known_from_then_on(bench):
    assert bench.resolver.known(1, NAME) is None
    assert asyncio.run(bench.resolver.lease(1, NAME)) == PORTAL
    assert bench.datapath.said == [("learn", None, "10.254.0.7", 1, 3600.0)]
    assert bench.resolver.known(1, NAME) == PORTAL.address
    assert bench.resolver.known(2, NAME) is None


def test_lease_is_asked_for_again_when_its_time_is_over(bench):
    asyncio.run(bench.resolver.lease(1, NAME))
    bench.clock.advance(61)
    assert bench.resolver.known(1, NAME) is None


def test_many_who_wait_ask_once(bench):
    async def ask():
        bench.edge.gate = asyncio.Event()
        tasks = [asyncio.ensure_future(bench.resolver.lease(1, NAME)) for _ in range(50)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        bench.edge.gate.set()
        return await asyncio.gather(*tasks[1:])

    assert asyncio.run(ask()) == [PORTAL] * 49
    assert bench.edge.asked["resolve", "co1", NAME] == 1


def test_no_is_remembered_for_some_seconds(bench):
    bench.edge.leases.clear()
    for _ in range(3):
        assert asyncio.run(bench.resolver.lease(1, NAME)) is None
    assert bench.edge.asked["resolve", "co1", NAME] == 1
    bench.clock.advance(5)
    bench.edge.leases.append(PORTAL)
    assert asyncio.run(bench.resolver.lease(1, NAME)) == PORTAL


def test_old_lease_serves_while_the_edge_is_down(bench):
    asyncio.run(bench.resolver.lease(1, NAME))
    bench.clock.advance(100_000)
    bench.edge.down = True
    assert asyncio.run(bench.resolver.lease(1, NAME)) == PORTAL
    assert asyncio.run(bench.resolver.owner(PORTAL.address)) == PORTAL


def test_edge_down_and_nothing_remembered_is_told_at_once(bench):
    bench.edge.down = True
    with pytest.raises(EdgeDown):
        asyncio.run(bench.resolver.lease(1, NAME))
    with pytest.raises(EdgeDown):
        asyncio.run(bench.resolver.owner(PORTAL.address))


def test_slow_edge_counts_as_down(bench, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)

    async def ask():
        bench.edge.gate = asyncio.Event()
        await bench.resolver.lease(1, NAME)

    with pytest.raises(EdgeDown, match="did not answer"):
        asyncio.run(ask())


def test_refusal_of_the_edge_goes_through(bench):
    bench.edge.refusal = Refused(Code.POOL_FULL)
    with pytest.raises(Refused):
        asyncio.run(bench.resolver.lease(1, NAME))


def test_neither_a_client_nor_a_namespace_can_take_all_questions(bench):
    bench.resolver._asks = Shares(6)

    async def ask():
        bench.edge.gate = asyncio.Event()
        waiting = [asyncio.ensure_future(bench.resolver.lease(1, f"{i}.corp.example")) for i in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await bench.resolver.lease(1, "third.corp.example")
        with pytest.raises(Overloaded):
            await bench.resolver.owner(IPv4Address("10.254.0.99"), (1, None))
        waiting.append(asyncio.ensure_future(bench.resolver.lease(1, "third.corp.example", client="another")))
        await asyncio.sleep(0)
        other = asyncio.ensure_future(bench.resolver.lease(2, NAME))
        await asyncio.sleep(0)
        bench.edge.gate.set()
        await asyncio.gather(*waiting)
        return await other

    assert asyncio.run(ask()) == PORTAL


def test_owner_of_an_address_is_asked_learned_and_kept(bench):
    assert asyncio.run(bench.resolver.owner(PORTAL.address)) == PORTAL
    assert bench.datapath.verbs == ["learn"]
    assert asyncio.run(bench.resolver.owner(PORTAL.address)) == PORTAL
    assert bench.edge.asked["who-is", PORTAL.address] == 1


def test_restart_restores_fresh_leases(bench, tmp_path):
    asyncio.run(bench.resolver.lease(1, NAME))
    bench.cache.close()
    again = Bench(tmp_path)
    assert again.resolver.restore() == 1
    assert again.datapath.verbs == ["learn"]
    again.cache.close()


SECOND = Lease(name=NAME, address=IPv4Address("10.9.0.7"), application="portal", ttl=60, pool="second", keeps=7200)


def test_a_name_has_a_lease_in_each_pool(bench):
    bench.edge.leases.append(SECOND)
    assert asyncio.run(bench.resolver.lease(1, NAME, "second")) == SECOND
    assert asyncio.run(bench.resolver.lease(1, NAME)) == PORTAL
    assert [bench.resolver.known(1, NAME, pool) for pool in ("default", "second")] == [PORTAL.address, SECOND.address]
    assert asyncio.run(bench.resolver.lease(1, NAME, "third")) is None
    assert [said[2] for said in bench.datapath.said] == ["10.9.0.7", "10.254.0.7", "10.254.0.7", "10.9.0.7"]


def test_a_lease_outside_its_pool_is_no_lease(bench):
    bench.edge.leases[:] = [PORTAL.model_copy(update={"address": IPv4Address("10.9.0.9")})]
    with pytest.raises(OtherPool, match=r"gives 10\.9\.0\.9 of pool 'default', which is another network here"):
        asyncio.run(bench.resolver.lease(1, NAME))
    assert bench.datapath.said == [] and len(bench.cache) == 0


def test_an_old_lease_serves_only_while_no_other_name_can_have_its_address(bench):
    bench.edge.leases.append(SECOND)
    asyncio.run(bench.resolver.lease(1, NAME, "second"))
    bench.edge.down = True
    bench.clock.advance(7190)
    assert asyncio.run(bench.resolver.lease(1, NAME, "second")) == SECOND
    assert bench.datapath.said[-1][4] == pytest.approx(10)      # the data plane forgets it in time
    bench.clock.advance(10)
    for ask in (bench.resolver.lease(1, NAME, "second"), bench.resolver.owner(SECOND.address)):
        with pytest.raises(EdgeDown):
            asyncio.run(ask)


def test_a_lease_s_time_counts_from_the_question(bench):
    async def ask():
        bench.edge.gate = asyncio.Event()
        task = asyncio.ensure_future(bench.resolver.lease(1, NAME))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        bench.clock.advance(59)
        bench.edge.gate.set()
        await task

    asyncio.run(ask())
    assert bench.resolver.known(1, NAME) == PORTAL.address
    bench.clock.advance(1)
    assert bench.resolver.known(1, NAME) is None


def test_the_tombstone_of_an_address_is_told_and_learned_by_nobody(bench):
    bench.edge.tombstones[IPv4Address("10.254.0.8")] = Tombstone("old.corp.example", 5.0)
    assert asyncio.run(bench.resolver.owner(IPv4Address("10.254.0.8"))) == Tombstone("old.corp.example", 5.0)
    assert bench.datapath.said == []
