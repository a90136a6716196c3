"""Edits: which policy is in force, and what puts another one there.

    SIGHUP: the file is another ──┐
    a feed is another ────────────┼─▶ prepare, in a thread ─▶ adopt ─▶ the worker decides by it
    an edge went or came back ────┘

Journey: the daemon's signal, and two looks from time to time at the feeds and at what has failed. One edit at a time; one that
can not be made leaves the policy as it was. A preview is an edit that is prepared and not adopted. The event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from zcc.clock import Clock
from zcc.connector.datapath import Datapath
from zcc.connector.preview import Side, preview
from zcc.connector.routes import routes_of
from zcc.connector.rulebook import Rulebook
from zcc.connector.sessions import Labels
from zcc.connector.settings import ConnectorSettings
from zcc.errors import FeedError, ZccError
from zcc.feeds.watch import Watch
from zcc.itunnel.gateways import Route
from zcc.policy.places import Places
from zcc.policy.stances import Failure, Trouble, effective

__all__ = ["Edits"]

LOOK_S = 0.5  # between two looks at what has failed
LASTS_LOOKS = 2  # so many in a row before it counts, so that a tunnel that changes edges is no failure
log = logging.getLogger(__name__)

Parse = Callable[[bytes], ConnectorSettings]
Seen = Callable[[], frozenset[Trouble]]


class Edits:
    """One connector's policy through its edits.

    Args:
        settings, rulebook: what is in force.
        watch: the feeds.
        datapath, labels: what carries edits out, and what must know the new names of rules.
    """

    def __init__(
        self, settings: ConnectorSettings, rulebook: Rulebook, watch: Watch, clock: Clock, datapath: Datapath, labels: Labels
    ) -> None:
        self._datapath, self._labels = datapath, labels
        self.settings = settings
        self.failures: frozenset[Trouble] = frozenset()
        self.steer: Callable[[Mapping[str, Route]], None] = lambda routes: None  # has flows follow the rules' gateways
        self._rulebook, self._watch, self._clock = rulebook, watch, clock
        self._endpoints, self._numbers = settings.endpoints, numbers_of(settings)
        self._one = asyncio.Lock()

    async def put(self, settings: ConnectorSettings) -> None:
        """Put the policy of settings in force and return when it is; live flows are decided again at their next packet.

        Raises:
            ZccError: it can not be compiled or carried out; the old one stays.
        """
        async with self._one:
            await self._put(self._with_endpoints(settings), self.failures)

    def _with_endpoints(self, settings: ConnectorSettings) -> ConnectorSettings:
        """The settings with the endpoints that the worker has; their numbers must mean the same as before."""
        kept = settings.model_copy(update={"endpoints": self._endpoints})
        if numbers_of(kept) != self._numbers:
            raise ZccError("namespaces or locations have changed so that an endpoint would have another; restart the connector "
                           "for that")  # fmt: skip
        return kept

    async def _put(self, settings: ConnectorSettings, failures: frozenset[Trouble]) -> None:
        prepared = await asyncio.to_thread(self._rulebook.prepare, settings, self._watch.world, failures)
        rules = self._rulebook.adopt(prepared)
        self.steer(routes_of(settings, prepared.gateways))
        await self._datapath.exchange_rules(rules)
        self.settings, self.failures = settings, failures
        self._labels.rules = self._rulebook.rule_names
        log.info("policy generation %d is in force: %d rules", self._rulebook.generation, len(settings.rules))

    # ---- looks ----

    async def follow_feeds(self) -> None:
        """Look at the feeds from time to time, for ever."""
        while True:
            await asyncio.sleep(self.settings.feeds.interval.total_seconds())
            async with self._one:
                done = await asyncio.to_thread(self._watch.look)
                for name in done:
                    log.log(*((logging.ERROR, "a feed stays as it was: %s") if isinstance(name, FeedError)
                              else (logging.INFO, "feed read again: %s")), name)  # fmt: skip
                if any(not isinstance(name, FeedError) for name in done):
                    await self._try(self.failures)

    async def follow_failures(self, seen: Seen) -> None:
        """Look at what has failed from time to time, for ever.

        Args:
            seen: what the edges say now; what the workloads say is known here.
        """
        last, times = self.failures, 0
        while True:
            await asyncio.sleep(LOOK_S)
            now = seen() | self._stale()
            times = times + 1 if now == last else 1
            last = now
            if now != self.failures and times >= LASTS_LOOKS:
                async with self._one:
                    await self._take_stance(now)
            elif self._rulebook.approximate:
                async with self._one:
                    await self._try(self.failures)

    async def _take_stance(self, now: frozenset[Trouble]) -> None:
        before, self.failures = self.failures, now
        if effective(self.settings.rules, before) == effective(self.settings.rules, now):
            return
        for failure in sorted(now ^ before, key=str):
            log.warning("%s: %s", failure, "stances of rules count" if failure in now else "over")
        await self._try(now)

    async def _try(self, failures: frozenset[Trouble]) -> None:
        try:
            await self._put(self.settings, failures)
        except ZccError as error:
            log.error("the policy stays as it was: %s", error)

    def _stale(self) -> frozenset[Failure]:
        limit = self.settings.feeds.stale_after
        if limit is None or self.settings.feeds.workloads is None:
            return frozenset()
        stale = self._clock.time() - self._watch.world.workloads.confirmed_s > limit.total_seconds()
        return frozenset({Failure.TAGS_STALE}) if stale else frozenset()

    # ---- questions ----

    async def preview(self, question: Mapping[str, Any], parse: Parse) -> Mapping[str, Any]:
        """Tell what a file would do to the live flows.

        Args:
            question: with the file's text as `file`.
        Raises:
            ZccError: the file is wrong, or its policy can not be compiled.
        """
        text = question.get("file")
        if not isinstance(text, str):
            raise ZccError("a preview needs the text of a file as `file`")
        return await asyncio.to_thread(self._preview, text.encode(), parse)

    def _preview(self, data: bytes, parse: Parse) -> Mapping[str, Any]:
        settings = self._with_endpoints(parse(data))
        world = self._watch.world if settings.feeds == self.settings.feeds else Watch(settings.feeds).world
        prepared = self._rulebook.prepare(settings, world, self.failures)
        current = Side(self._rulebook.compiled.rules, self._rulebook.rules)
        candidate = Side(prepared.compiled.rules, prepared.rules)
        entries = self._datapath.live_flows()
        return preview(entries, current, candidate, self._labels, self._clock.monotonic_ns()).to_dict()


def numbers_of(settings: ConnectorSettings) -> dict[int, tuple[int | None, int | None]]:
    """Return the numbers of the namespace and the place of each endpoint; None = there is none of that name."""
    if any(endpoint.location not in settings.location_by_name for endpoint in settings.endpoints):
        return {}
    places = Places(settings.policy())
    numbers = {name: number for number, name in enumerate(places.names, 1)}
    namespaces = {namespace.name: namespace.id for namespace in settings.namespaces}
    return {endpoint.id: (namespaces.get(endpoint.namespace), numbers.get(places.of_endpoint(endpoint.id)))
            for endpoint in settings.endpoints}  # fmt: skip
