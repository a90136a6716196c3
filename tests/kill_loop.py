"""Processes killed while names are looked up, at random moments and right when they write; then the whole history is checked.

    python tests/kill_loop.py [--kills 100] [--seconds 600] [--seed 1]

As root or where user namespaces are allowed: it enters a network namespace of its own. Ends with exit code 1 and every
contradiction if there is one.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode

import namespaces
from kill_audit import wrong_audits
from kill_history import Answer, contradictions
from kill_world import EXACT, LISTENERS, POOLS, Agent, World, pool_of
from zcc.private_edge.settings import PoolSettings, PrivateEdgeSettings
from zcc.synthetic.audit import tenures
from zcc.synthetic.ledger import Ledger
from zcc.synthetic.store import read_records

ASKERS = 16
PAUSE_S = 0.02      # between two questions of one asker
PATIENCE_S = 0.4
AIMED, AIM_S = 0.5, 15.0  # so many strikes wait for a write, so long
RECOVERY_S = 90.0   # on a machine that is busy with other things


class Loop:
    """One run."""

    def __init__(self, world: World, seed: int) -> None:
        self.world, self.chance = world, random.Random(seed)
        self.answers: list[Answer] = []
        self.counts: Counter[str] = Counter()
        self._asking = True

    async def run(self, kills: int, seconds: float) -> None:
        """Kill that many times, or until the time is over; then let everything become well again."""
        for agent in self.world.agents:
            agent.start()
        await self._well()
        askers = [asyncio.create_task(self._ask_on()) for _ in range(ASKERS)]
        end = time.monotonic() + seconds
        while sum(agent.kills for agent in self.world.agents) < kills and time.monotonic() < end:
            await asyncio.sleep(self.chance.choice([0.0, 0.1, 1.0, 3.0, 5.0]) * (0.5 + self.chance.random()))
            agent = self.chance.choice(self.world.agents)
            if self.chance.random() < AIMED:
                self.counts["aimed"] += await self._written(self.world.written(agent))
            self._strike(agent)
        await self._well()
        self._asking = False
        await asyncio.gather(*askers)

    async def _written(self, path: Path) -> bool:
        """Wait until a file is written to, and a part of a write's time more; False = it was not."""
        before, end = size_and_time(path), time.monotonic() + AIM_S
        while size_and_time(path) == before:
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0)
        await asyncio.sleep(self.chance.choice([0.0, 0.0, 0.0002, 0.001, 0.003]))
        return True

    def _strike(self, agent: Agent) -> None:
        agent.kill()
        agent.start()

    async def _well(self) -> None:
        """Wait until every connector gives every name that is spelled out its address: the same."""
        async with asyncio.timeout(RECOVERY_S):
            for name in EXACT:
                while len(given := {await self._ask(who, name) for who in LISTENERS}) > 1 or None in given:
                    await asyncio.sleep(0.1)

    async def _ask_on(self) -> None:
        while self._asking:
            await self._ask(self.chance.choice([*LISTENERS]), self._name())
            await asyncio.sleep(PAUSE_S)

    def _name(self) -> str:
        kind = self.chance.random()
        if kind < 0.25:
            return self.chance.choice(EXACT)
        often = kind < 0.6
        number = self.chance.randrange(8) if often else 100 + int(time.time() / 5) * 10 + self.chance.randrange(10)
        return f"n{number}.{self.chance.choice(['wild', 'second'])}.example"

    async def _ask(self, who: str, name: str) -> IPv4Address | None:
        address, port = LISTENERS[who]
        asked = time.time()
        try:
            reply = await dns.asyncquery.udp(dns.message.make_query(name, "A"), address, PATIENCE_S, port, ignore_errors=True)
        except (dns.exception.DNSException, OSError):
            self.counts["no answer"] += 1
            return None
        if not reply.answer:
            self.counts[dns.rcode.to_text(reply.rcode())] += 1
            return None
        self.counts["answers"] += 1
        found = IPv4Address(reply.answer[0][0].address)
        self.answers.append(Answer(who, name, found, asked, time.time()))
        return found


def size_and_time(path: Path) -> tuple[int, int]:
    """Return what tells that a file was written to; zeros while it is not there."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_size, found.st_mtime_ns


def problems(world: World, answers: list[Answer]) -> list[str]:
    """Read what the processes left, and say everything that can not be."""
    found = []
    path = world.state("pe-1") / "ledger.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as database:
        verdict = database.execute("PRAGMA integrity_check").fetchone()[0]
    if verdict != "ok":
        found.append(f"the ledger is damaged: {verdict}")
    records = read_records(path)
    pools = PrivateEdgeSettings.model_construct(
        pool=IPv4Network(POOLS["default"]), pools=(PoolSettings(name="second", network=IPv4Network(POOLS["second"])),))
    Ledger(pools.ledger_pools(), records)
    for who in LISTENERS:
        found += [f"{who} set its leases aside: {path.name}" for path in world.state(who).glob("leases.sqlite.broken-*")]
    networks = {answer.name: IPv4Network(POOLS[pool_of(answer.name)]) for answer in answers}
    found += wrong_audits(path.parent, records)
    return found + contradictions(answers, tenures(records), networks, EXACT)


def main() -> int:
    """Run by the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    chosen = parser.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    namespaces.enter()
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        loop = Loop(world, chosen.seed)
        try:
            asyncio.run(loop.run(chosen.kills, chosen.seconds))
        except TimeoutError:
            print(*(f"{agent.name}: {agent.output.read_text()[-3000:]}" for agent in world.agents), sep="\n")
            raise
        finally:
            for agent in world.agents:
                agent.stop()
        found = problems(world, loop.answers)
        records = len(read_records(world.state("pe-1") / "ledger.sqlite"))
    kills = {agent.name: agent.kills for agent in world.agents}
    print(f"kills {kills}, {dict(loop.counts)}, {records} records, {len(found)} contradictions", flush=True)
    print(*found[:40], sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
