"""zcc.private_edge.leasing: stored before it is said, healed when it is still wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from zcc.clock import ManualClock
from zcc.errors import LedgerError
from zcc.private_edge.catalogue import Catalogue
from zcc.private_edge.leasing import Leasing, NoPool, PoolFull
from zcc.private_edge.metrics import EdgeMetrics
from zcc.private_edge.settings import EdgeApplication
from zcc.private_edge.usage import Usage
from zcc.synthetic.lease import Tombstone
from zcc.synthetic.ledger import Ledger
from zcc.synthetic.pool import Pool
from zcc.synthetic.store import LedgerStore

DAY_S = 86_400.0
CATALOGUE = Catalogue([
    EdgeApplication.model_validate({"name": "exact", "domains": ["a.example"], "tcp": [443],
                                    "app_connector_group": "dc1", "namespaces": ["co1"]}),
    EdgeApplication.model_validate({"name": "wild", "domains": ["*.wild.example"], "tcp": [443],
                                    "app_connector_group": "dc1"}),
])


def play(folder: Path, scene: Callable[[Leasing, LedgerStore, ManualClock], Awaitable[None]],
         network: str = "10.254.0.0/28") -> None:
    async def whole() -> None:
        store, clock = LedgerStore(folder / "ledger"), ManualClock()
        pools = [Pool(IPv4Network(network), 0.25), Pool(IPv4Network("10.9.0.0/28"), 0.5, "second", DAY_S / 2, DAY_S, 60.0)]
        ledger = Ledger(pools, store.records(), single_until=store.single_until)
        ledger.recall(store.used())
        leasing = Leasing(ledger, store, CATALOGUE, clock)
        await scene(leasing, store, clock)
        await leasing.close()
        store.close()

    asyncio.run(whole())


def test_a_lease_is_stored_before_it_is_said(tmp_path: Path) -> None:
    async def scene(leasing: Leasing, store: LedgerStore, clock: ManualClock) -> None:
        lease = await leasing.resolve("co1", "a.example")
        assert lease is not None and lease.application == "exact"
        assert [one.name for one in store.records()] == ["a.example"]

    play(tmp_path, scene)


def test_only_covered_names_get_leases(tmp_path: Path) -> None:
    async def scene(leasing: Leasing, store: LedgerStore, clock: ManualClock) -> None:
        assert await leasing.resolve("co2", "a.example") is None
        assert await leasing.resolve("co1", "b.example") is None
        assert store.records() == []

    play(tmp_path, scene)


def test_asking_twice_at_once_makes_one_lease(tmp_path: Path) -> None:
    async def scene(leasing: Leasing, store: LedgerStore, clock: ManualClock) -> None:
        leases = await asyncio.gather(*(leasing.resolve("co1", "x.wild.example") for _ in range(20)))
        assert len({str(lease) for lease in leases}) == 1
        assert len(store.records()) == 1

    play(tmp_path, scene)


def test_an_asker_that_leaves_does_not_block_the_ledger(tmp_path: Path) -> None:
    async def scene(leasing: Leasing, store: LedgerStore, clock: ManualClock) -> None:
        task = asyncio.create_task(leasing.resolve("co1", "x.wild.example"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await leasing.resolve("co1", "y.wild.example") is not None

    play(tmp_path, scene)


def test_a_full_pool_is_said_and_configured_names_still_fit(tmp_path: Path) -> None:
    async def scene(leasing: Leasing, store: LedgerStore, clock: ManualClock) -> None:
        with pytest.raises(PoolFull):
            for number in range(20):
                await leasing.resolve("co1", f"{number}.wild.example")
        assert await leasing.resolve("co1", "a.example") is not None

    play(tmp_path, scene)


def test_an_address_whose_name_was_released_is_healed_by_who_is(tmp_path: Path) -> None:
    async def scene(leasing: Leasing, store: LedgerStore, clock: ManualClock) -> None:
        lease = await leasing.resolve("co1", "x.wild.example")
        assert lease is not None
        clock.advance(8 * DAY_S)
        assert await leasing.sweep() == 1
        assert leasing.ledger.holder(int(lease.address)) is None
        assert await leasing.who_is(lease.address) == lease
        assert await leasing.who_is(IPv4Address("10.254.0.9")) is None

    play(tmp_path, scene)


def test_asking_keeps_a_name_also_over_a_restart(tmp_path: Path) -> None:
    async def first(leasing: Leasing, store: LedgerStore, clock: ManualClock) -> None:
        await leasing.resolve("co1", "x.wild.example")
        clock.advance(5 * DAY_S)
        lease = await leasing.resolve("co1", "x.wild.example")
        assert await leasing.sweep() == 0
        assert lease is not None and store.used() == {int(lease.address): clock.time()}
        clock.advance(5 * DAY_S)
        assert await leasing.sweep() == 0

    play(tmp_path, first)


def test_a_lease_that_cannot_be_stored_is_not_given(tmp_path: Path) -> None:
    async def scene(leasing: Leasing, store: LedgerStore, clock: ManualClock) -> None:
        other = LedgerStore(tmp_path / "ledger")
        other.append([])
        lease = await leasing.resolve("co1", "x.wild.example")
        assert lease is not None
        [record] = store.records()
        # Another writer took the next sequence number.
        other.append([type(record)(2, record.kind, "thief.example", record.address + 5, False, 0.0)])
        other.close()
        with pytest.raises(LedgerError):
            await leasing.resolve("co1", "y.wild.example")
        assert leasing.ledger.holding("y.wild.example") is None

    play(tmp_path, scene)


def test_each_pool_has_addresses_and_times_of_its_own(tmp_path: Path) -> None:
    async def scene(leasing: Leasing, store: LedgerStore, clock: ManualClock) -> None:
        one = await leasing.resolve("co1", "x.wild.example")
        other = await leasing.resolve("co1", "x.wild.example", "second")
        assert one is not None and other is not None
        assert (one.pool, one.ttl, one.keeps) == ("default", 3600, 8 * 86_400)
        assert (str(other.address), other.pool, other.ttl, other.keeps) == ("10.9.0.2", "second", 60, 129_600)
        assert await leasing.who_is(other.address) == other
        clock.advance(2 * DAY_S)
        assert await leasing.sweep() == 1 and leasing.ledger.holder(int(one.address)) is not None
        with pytest.raises(NoPool):
            await leasing.resolve("co1", "x.wild.example", "third")

    play(tmp_path, scene)


def test_an_address_in_use_is_not_released_also_over_a_restart(tmp_path: Path) -> None:
    async def first(leasing: Leasing, store: LedgerStore, clock: ManualClock) -> None:
        lease = await leasing.resolve("co1", "x.wild.example")
        assert lease is not None
        for _ in range(3):
            clock.advance(6 * DAY_S)
            assert leasing.in_use([lease.address, IPv4Address("10.254.0.9"), IPv4Address("192.0.2.1")]) == 1
            assert await leasing.sweep() == 0
        assert store.used() == {int(lease.address): clock.time()}
        clock.advance(7 * DAY_S)
        assert await leasing.sweep() == 1

    play(tmp_path, first)


def test_the_tombstone_of_a_name_that_no_application_covers_any_more_is_told(tmp_path: Path) -> None:
    async def scene(leasing: Leasing, store: LedgerStore, clock: ManualClock) -> None:
        lease = await leasing.resolve("co1", "x.wild.example")
        assert lease is not None
        clock.advance(8 * DAY_S)
        await leasing.sweep()
        bare = Leasing(leasing.ledger, store, Catalogue(()), clock)
        assert await bare.who_is(lease.address) == Tombstone("x.wild.example", clock.time())
        assert await bare.resolve("co1", "x.wild.example") is None

    play(tmp_path, scene)


def test_nothing_is_released_before_connectors_had_time_to_say_what_is_in_use(tmp_path: Path) -> None:
    async def scene(leasing: Leasing, store: LedgerStore, clock: ManualClock) -> None:
        await leasing.resolve("co1", "x.wild.example")
        clock.advance(8 * DAY_S)
        fresh = Leasing(leasing.ledger, store, CATALOGUE, clock, settle_s=90.0)
        assert await fresh.sweep() == 0
        clock.advance(90)
        assert await fresh.sweep() == 1

    play(tmp_path, scene)


def test_a_connector_can_not_name_more_addresses_than_there_are(tmp_path: Path) -> None:
    seen: list[int] = []
    now = [0.0]

    def note(addresses: Sequence[IPv4Address]) -> int:
        seen.append(len(addresses))
        return 0

    metrics = EdgeMetrics(CollectorRegistry())
    usage = Usage(note, metrics, 18, 30.0, lambda: now[0])
    for _ in range(3):
        usage.report("cc-1", [IPv4Address(number) for number in range(10)])
    usage.report("cc-2", [IPv4Address(1)])
    now[0] = 15.0
    usage.report("cc-1", [IPv4Address(1)])
    assert seen == [10, 8, 0, 1, 1]
    assert metrics.in_use.labels("too many")._value.get() == 12


def test_pools_are_exchanged_while_names_are_asked_for(tmp_path: Path) -> None:
    narrow = Pool(IPv4Network("10.254.0.0/29"), 0.0, renew_s=60.0)

    async def scene(leasing: Leasing, store: LedgerStore, clock: ManualClock) -> None:
        leases = [await leasing.resolve("co1", f"x{n}.wild.example") for n in range(7)]
        inside, outside = leases[0], leases[6]
        assert inside is not None and outside is not None
        before = leasing.ledger
        with pytest.raises(LedgerError, match="overlaps"):
            await leasing.exchange([narrow, Pool(IPv4Network("10.254.0.0/28"), name="other")], CATALOGUE)
        assert leasing.ledger is before
        asking = asyncio.gather(*(leasing.resolve("co1", f"y{n}.wild.example") for n in range(3)), return_exceptions=True)
        await leasing.exchange([narrow], CATALOGUE)
        await asking
        assert [held.address for held in leasing.ledger.leaving][-1] >= int(outside.address)
        kept = await leasing.who_is(outside.address)
        assert kept is not None and not isinstance(kept, Tombstone) and kept.name == "x6.wild.example" and kept.pool == ""
        assert await leasing.who_is(inside.address) == inside.model_copy(update={"ttl": 60})
        with pytest.raises(NoPool):
            await leasing.resolve("co1", "x1.wild.example", "second")
        assert leasing.in_use([outside.address]) == 1
        clock.advance(61)
        leasing.in_use([outside.address])
        await leasing.sweep()
        assert [held.address for held in leasing.ledger.leaving] == [int(outside.address)]
        clock.advance(61)
        await leasing.sweep()
        found = await leasing.who_is(outside.address)
        assert isinstance(found, Tombstone) and found.name == "x6.wild.example" and found.released == clock.time()
        assert await leasing.who_is(IPv4Address("10.254.0.14")) is None

    play(tmp_path, scene)
