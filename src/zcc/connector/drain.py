"""Drain: how a connector ends without cutting what it carries.

    0          health turns 503; flows old and new go on: GWLB needs some checks to notice
    delay      new flows and streams are refused; streams alive go on
    limit      what still lives is reset, spread over the last second of the limit

Journey: SIGTERM → here → the daemon closes its parts and exits 0. The data plane carries packets all the
while.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

from zcc.connector.ports import Datapath
from zcc.connector.settings import DrainSettings

log = logging.getLogger(__name__)


class Drainable(Protocol):
    """What carries streams: the relay."""

    async def drain(self, limit_s: float) -> int:
        """Refuse new streams, wait for those alive, reset the rest. Return how many were reset."""


class Drain:
    """The sequence above, once."""

    def __init__(
        self,
        settings: DrainSettings,
        datapath: Datapath,
        relay: Drainable,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.draining = False  # what health reads
        self._settings = settings
        self._datapath = datapath
        self._relay = relay
        self._sleep = sleep

    async def run(self) -> int:
        """Drain.

        Returns:
            Streams that had to be reset at the limit.
        """
        delay, limit = self._settings.delay.total_seconds(), self._settings.limit.total_seconds()
        self.draining = True
        log.info("draining: health is 503; new flows are refused in %g s, the end is in %g s", delay, limit)
        await self._sleep(delay)
        self._datapath.refuse_new_flows(True)
        stragglers = await self._relay.drain(max(0.0, limit - delay))
        log.info("drained: %d streams were reset at the limit", stragglers)
        return stragglers
