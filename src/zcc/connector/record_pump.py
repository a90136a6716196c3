"""RecordPump: empties one worker's ring of what is only written down, and lets everybody else of the event loop go first.

    asleep ──woken──▶ step ──more──▶ step … ──empty──▶ rests 5 ms ──▶ step ──empty──▶ asleep

Journey: the datapath makes one for each worker and starts it. Flows that ended become lines by the FlowLog, if there is one;
all else, and all flows where there is none, is handed over as events. A step is bounded, others have their turn between two;
after a ring was empty it rests, so that it is not woken for every turn of the worker. While the log has no room the records
stay in the ring, and what finds that full is counted by the worker and told as a gap. Part of the doorway to fastpath. The
event loop's thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from fastpath.flowlines import Left
from fastpath.message import Event, drain
from fastpath.ring import Ring
from zcc.connector.flow_log import FlowLog

__all__ = ["RecordPump"]

RECORDS_AT_ONCE = 64
REST_S = 0.005  # at half a million flows a second the ring holds thirty such

log = logging.getLogger(__name__)


class RecordPump:
    """One ring's pump."""

    def __init__(self, ring: Ring, hand: Callable[[list[Event]], None], unrecorded: Callable[[], int]) -> None:
        """Remember its ends.

        Args:
            hand: takes events.
            unrecorded: how many ends of flows have found the ring full so far.
        """
        self.flow_log: FlowLog | None = None
        self._ring, self._hand, self._unrecorded = ring, hand, unrecorded
        self._refused = self._told = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next: asyncio.Handle | None = None

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pump whenever there is something."""
        self._loop = loop
        self._sleep(loop)

    def stop(self) -> None:
        """Pump no more."""
        if self._loop is not None:
            self._loop.remove_reader(self._ring.fileno())
        if self._next is not None:
            self._next.cancel()

    def finish(self) -> None:
        """Hand on all that is left, whatever the log has room for."""
        while self._take(all_of_it=True) not in ((Left.LEFT_NOTHING, 0), (None, 0)):
            pass
        self._tell_lost()

    def _sleep(self, loop: asyncio.AbstractEventLoop) -> None:
        events = drain(self._ring, 1)       # and forget what woke it
        if events:
            self._hand(events)
            self._next = loop.call_soon(self._step, loop)
        else:
            loop.add_reader(self._ring.fileno(), self._wake, loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._ring.fileno())
        self._step(loop)

    def _step(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            left, taken = self._take()
        except Exception:       # nobody else would go on
            log.exception("records of a worker can not be read")
            left, taken = None, 0
        if left == Left.LEFT_MORE:
            self._next = loop.call_soon(self._step, loop)
        elif left is None or taken:
            self._next = loop.call_later(REST_S, self._step, loop)
        else:
            self._sleep(loop)

    def _take(self, *, all_of_it: bool = False) -> tuple[Left | None, int]:
        """Take a bounded number of records; what is left, and how many those were. None: there is no room for them."""
        if self.flow_log is None:
            return self._take_events(RECORDS_AT_ONCE)
        if self._ring.lost != self._refused:
            self._tell_lost()
        left, taken = self.flow_log.take(self._ring, all_of_it=all_of_it)
        return self._take_events(1) if left == Left.LEFT_OTHER else (left, taken)

    def _take_events(self, at_once: int) -> tuple[Left, int]:
        events = drain(self._ring, at_once)
        self._hand(events)
        return (Left.LEFT_MORE if len(events) == at_once else Left.LEFT_NOTHING), len(events)

    def _tell_lost(self) -> None:
        self._refused = self._ring.lost
        lost = self._unrecorded()
        if self.flow_log is not None:
            self.flow_log.lose(lost - self._told)
        self._told = lost
