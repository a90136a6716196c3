"""What a flow said at one connector reaches the others of its group through a running edge, and nobody who can not take it."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from pathlib import Path

import pytest

from private_path import PrivatePath, running, until
from zcc.mtunnel.client import EdgeClient
from zcc.mtunnel.errors import EdgeDown
from zcc.mtunnel.messages import Claimed

CLAIMED = Claimed(namespace="co1", address=ip_address("203.0.113.8"), name="updates.example", how="sni")


Joined = tuple[EdgeClient, list[Claimed]]


async def joined(path: PrivatePath, tasks: list[asyncio.Task[None]], name: str, **more: object) -> Joined:
    client, heard = path.client_of(name=name, **more), []
    client.on_claimed = heard.append
    tasks.append(asyncio.create_task(client.run()))
    await until(lambda: client.connected)
    return client, heard


def test_a_claim_reaches_the_group_and_an_older_connector_lives_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        tasks: list[asyncio.Task[None]] = []
        async with running(tmp_path) as path:
            _, heard = await joined(path, tasks, "cc-2")
            older, nothing = await joined(path, tasks, "cc-3", claims=False)
            _, elsewhere = await joined(path, tasks, "cc-4", group="cc-group-2")
            back: list[Claimed] = []
            path.client.on_claimed = back.append
            await path.client.claim(CLAIMED)
            await until(lambda: heard)
            assert await path.client.resolve("co1", "portal.corp.example") is not None
            assert await older.resolve("co1", "portal.corp.example") is not None
            assert (heard, nothing, elsewhere, back) == ([CLAIMED], [], [], [])
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(scenario())


def test_an_edge_that_knows_no_claims_is_told_none(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as path:
            current = path.client._usable()
            path.client._current = type(current)(
                current.connection, current.control, current.welcome.model_copy(update={"claims": False}))
            with pytest.raises(EdgeDown, match="knows no claims"):
                await path.client.claim(CLAIMED)

    asyncio.run(scenario())
