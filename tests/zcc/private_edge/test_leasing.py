"""zcc.private_edge.leasing: stored before it is said, healed when it is still wanted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest

from zcc.clock import ManualClock
from zcc.errors import LedgerError
from zcc.private_edge.catalogue import Catalogue
from zcc.private_edge.leasing import Leasing, PoolFull
from zcc.private_edge.settings import EdgeApplication
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
        ledger = Ledger(Pool(IPv4Network(network), 0.25), quarantine_s=DAY_S, idle_s=7 * DAY_S, records=store.records())
        leasing = Leasing(ledger, store, CATALOGUE, clock, 3600.0)
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
        assert await leasing.who_is(lease.address) == (lease, "")
        assert await leasing.who_is(IPv4Address("10.254.0.9")) == (None, "")

    play(tmp_path, scene)


def test_asking_keeps_a_name_also_over_a_restart(tmp_path: Path) -> None:
    async def first(leasing: Leasing, store: LedgerStore, clock: ManualClock) -> None:
        await leasing.resolve("co1", "x.wild.example")
        clock.advance(5 * DAY_S)
        await leasing.resolve("co1", "x.wild.example")
        assert await leasing.sweep() == 0
        assert store.seen() == {"x.wild.example": clock.time()}
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
