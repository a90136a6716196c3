"""Pools and addresses in use over the real path: connector's client and edge, with TLS."""

from __future__ import annotations

import asyncio
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from tests.zcc.private_edge.test_private_path import path_at, play

from private_path import PrivatePath, until
from zcc.errors import LedgerError
from zcc.mtunnel.errors import Code, Refused
from zcc.private_edge.settings import PoolSettings
from zcc.synthetic.lease import Lease


def test_a_second_pool_is_asked_for_by_name_and_one_that_is_not_there_is_refused(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        one = await path.client.resolve("co1", "x.wild.example")
        other = await path.client.resolve("co1", "x.wild.example", "second")
        assert one is not None and other is not None and str(other.address) == "10.9.0.2" and other.pool == "second"
        assert await path.client.who_is(other.address) == other
        with pytest.raises(Refused) as refused:
            await path.client.resolve("co1", "x.wild.example", "third")
        assert refused.value.code == Code.NO_POOL

    play(tmp_path, scene, pools=[{"name": "second", "network": "10.9.0.0/24"}])


def test_addresses_that_a_connector_says_are_in_use_keep_their_names(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        assert path.client.welcome is not None and path.client.welcome.report_s == 0.25
        kept = await path.client.resolve("co1", "kept.wild.example")
        lost = await path.client.resolve("co1", "lost.wild.example")
        assert kept is not None and lost is not None
        ledger = path.edge._leasing.ledger
        rounds = asyncio.create_task(path.edge.keep_ledger())
        while ledger.holder(int(lost.address)) is not None:
            await path.client.report([kept.address])
            await asyncio.sleep(0.05)
        rounds.cancel()
        held = ledger.holder(int(kept.address))
        assert held is not None and held.name == "kept.wild.example"
        assert await path.client.who_is(lost.address) == lost      # its own address again: nobody else has it

    play(tmp_path, scene, ledger={"idle": "1s", "renew": "500ms", "quarantine": "1s"})


def test_only_connectors_may_say_what_is_in_use(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        other = path.client_of("app-connector", "ac-2", "dc1")
        task = asyncio.create_task(other.run())
        await until(lambda: other.connected)
        await other.report([IPv4Address("10.254.0.2")])
        await until(lambda: not other.connected)
        task.cancel()

    play(tmp_path, scene)
    assert any("InUse from an app-connector" in one["eventreason"] for one in PrivatePath.records(path_at(tmp_path), "tunnel")
               if one["event"] == "REFUSED")


def test_an_edit_moves_the_pools_while_connectors_are_connected(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        await until(lambda: path.client.connected)
        old = await path.client.resolve("co1", "x.wild.example")
        settings = path.edge.settings
        moved = settings.model_copy(update={"pool": IPv4Network("10.7.0.0/24"), "name": "ignored"})
        await path.edge.edit(moved)
        await until(lambda: path.client.welcome is not None and path.client.welcome.pool == IPv4Network("10.7.0.0/24"))
        assert path.client.welcome is not None and old is not None
        assert path.client.welcome.leaving == (IPv4Network(old.address),) and path.edge.settings.name == settings.name
        new = await path.client.resolve("co1", "x.wild.example")
        assert new is not None and new.address in IPv4Network("10.7.0.0/24")
        who = await path.client.who_is(old.address)
        assert isinstance(who, Lease) and who.name == "x.wild.example" and who.pool == ""
        overlapping = (PoolSettings(name="p", network=IPv4Network("10.7.0.0/25")),)
        with pytest.raises(LedgerError):
            await path.edge.edit(moved.model_copy(update={"pools": overlapping}))
        assert await path.client.resolve("co1", "x.wild.example") == new

    play(tmp_path, scene)
