"""A private edge and two connectors as processes: the pools are moved while they run, and put right after a mistake.

    python tests/move_pools.py

As root or where user namespaces are allowed. Ends with exit code 0 if every connector gives every name the same address of the
pool that holds, before and after, and a wrong file changes nothing.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.exception
import dns.message
import yaml

import namespaces
from kill_world import EXACT, LISTENERS, Agent, World

PATIENCE_S = 120.0  # on a machine that is busy with other things
NAMES = [*EXACT, "n1.wild.example", "n2.wild.example"]


async def ask(who: str, name: str) -> IPv4Address | None:
    """Ask a connector; None = no answer, or none with an address."""
    address, port = LISTENERS[who]
    try:
        reply = await dns.asyncquery.udp(dns.message.make_query(name, "A"), address, 0.5, port, ignore_errors=True)
    except (dns.exception.DNSException, OSError):
        return None
    return IPv4Address(reply.answer[0][0].address) if reply.answer else None


async def all_of(network: str) -> dict[str, IPv4Address]:
    """Wait until both connectors give every name one and the same address of a network."""
    wanted = IPv4Network(network)
    async with asyncio.timeout(PATIENCE_S):
        while True:
            given = {name: {await ask(who, name) for who in LISTENERS} for name in NAMES}
            agreed = {name: next(iter(found)) for name, found in given.items() if len(found) == 1}
            settled = {name: address for name, address in agreed.items() if address is not None and address in wanted}
            if len(settled) == len(NAMES):
                return settled
            await asyncio.sleep(0.2)


def edit(world: World, agent: Agent, **fields: Any) -> None:
    """Change fields of an agent's file and have it read again."""
    path = world.state(agent.name) / "zcc.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | fields))
    assert agent.process is not None
    agent.process.send_signal(signal.SIGHUP)


def until_said(agent: Agent, words: str) -> None:
    """Wait until an agent has said something."""
    end = time.monotonic() + PATIENCE_S
    while words not in agent.output.read_text():
        assert time.monotonic() < end, agent.output.read_text()[-2000:]
        time.sleep(0.05)


async def scene(world: World) -> None:
    """Move the pools there and back."""
    edge: Agent = world.agents[0]
    for agent in world.agents:
        agent.start()
    first = await all_of("10.254.0.0/26")
    edit(world, edge, pool="10.7.0.0/26")
    moved = await all_of("10.7.0.0/26")
    assert distinct(moved.values())
    edit(world, edge, pool="10.9.0.0/26")  # the second pool's: a mistake
    until_said(edge, "everything stays as it was")
    assert await all_of("10.7.0.0/26") == moved
    edit(world, edge, pool="10.254.0.0/26")
    again = await all_of("10.254.0.0/26")
    assert distinct(again.values()) and all(again[name] == first[name] for name in EXACT), (first, again)
    assert all(agent.process is not None and agent.process.poll() is None for agent in world.agents), "none has ended"
    print("pools moved, and back", flush=True)


def distinct(addresses: Iterable[IPv4Address]) -> bool:
    """Whether no two names have one address."""
    listed = [*addresses]
    return len(listed) == len(set(listed))


def main() -> None:
    """Run by the command line."""
    namespaces.enter()
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        try:
            asyncio.run(scene(world))
        except BaseException:
            print(*(f"{agent.name}: {agent.output.read_text()[-3000:]}" for agent in world.agents), sep="\n")
            raise
        finally:
            for agent in world.agents:
                agent.stop()


if __name__ == "__main__":
    main()
