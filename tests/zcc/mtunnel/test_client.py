"""zcc.mtunnel.client: which edge, when there is none, and what waits when one is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop

from private_path import PrivatePath, running, until
from zcc.mtunnel.backoff import Backoff
from zcc.mtunnel.client import ClientSettings
from zcc.mtunnel.errors import EdgeDown
from zcc.private_edge.daemon import PrivateEdge


def play(tmp_path: Path, scene: Callable[[PrivatePath], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with asyncio.timeout(20), running(tmp_path) as path:
            await scene(path)

    uvloop.run(whole())


def test_without_an_edge_requests_fail_at_once(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        alone = path.client_of()
        assert not alone.connected and alone.edge is None
        with pytest.raises(EdgeDown):
            await alone.resolve("co1", "portal.corp.example")
        with pytest.raises(EdgeDown):
            await alone.open(path.request(80))

    play(tmp_path, scene)


def test_it_moves_to_the_next_edge_when_the_first_ends_and_both_sides_return(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        second = PrivateEdge(path.edge_settings(state=tmp_path / "second"))
        address = await second.start()
        client = path.client_of()
        client._settings = ClientSettings.model_validate(
            {"edges": [path.edge_address, str(address)], "backoff_floor": "10ms", "backoff_ceiling": "20ms"})
        task = asyncio.create_task(client.run())
        await until(lambda: client.connected)
        assert client.edge == path.edge_address
        await path.edge.broker.drain(0.1)
        await path.edge._listener.close()
        await until(lambda: client.edge == str(address))
        assert await client.resolve("co1", "portal.corp.example") is not None
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await second.stop()

    play(tmp_path, scene)


def test_the_app_connector_comes_back_after_the_edge_restarts(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        lease = await path.client.resolve("co1", "portal.corp.example")
        await path.edge.stop()
        path.edge = PrivateEdge(path.edge_settings(listen=path.edge_address))
        await path.edge.start()
        await until(lambda: path.client.connected and path.edge.registry.count("dc1") == 1)
        assert await path.client.resolve("co1", "portal.corp.example") == lease

    play(tmp_path, scene)


def test_requests_that_wait_fail_when_the_edge_is_lost(tmp_path: Path) -> None:
    async def scene(path: PrivatePath) -> None:
        async with path.edge._leasing._lock:
            asking = asyncio.create_task(path.client.resolve("co1", "new.wild.example"))
            await asyncio.sleep(0.05)
            for connection in set(path.edge.broker.connections):
                connection.close("test")
            with pytest.raises(EdgeDown):
                await asking

    play(tmp_path, scene)


def test_pauses_double_up_to_the_ceiling_and_start_again() -> None:
    backoff = Backoff(1.0, 5.0, lambda: 1.0)
    assert [backoff.next_s() for _ in range(5)] == [1, 2, 4, 5, 5]
    backoff.reset()
    assert backoff.next_s() == 1
    assert Backoff(1.0, 5.0, lambda: 0.0).next_s() == 0.5
    with pytest.raises(ValueError, match="floor_s"):
        Backoff(0, 5.0, lambda: 0.0)
