"""The order in which a connector ends."""

import asyncio
from datetime import timedelta

import pytest

from zcc.clock import ManualClock
from zcc.connector.drain import Drain
from zcc.connector.settings import DrainSettings


class Recorder:
    """A data plane and a relay that write down when they were told what."""

    def __init__(self, clock: ManualClock, stragglers: int = 0) -> None:
        self.clock, self.stragglers = clock, stragglers
        self.said: list[tuple[float, str]] = []
        self.drain_of: Drain | None = None

    def note(self, what: str) -> None:
        self.said.append((self.clock.monotonic_ns() / 1e9, what))

    def refuse_new_flows(self, refuse: bool) -> None:
        self.note(f"refuse {refuse}")

    async def drain(self, limit_s: float) -> int:
        self.note(f"streams {limit_s:g}")
        return self.stragglers

    async def sleep(self, seconds: float) -> None:
        assert self.drain_of is not None
        self.note(f"draining {self.drain_of.draining}")
        self.clock.advance(seconds)


@pytest.mark.parametrize("stragglers", [0, 3])
def test_health_turns_first_then_new_flows_are_refused_then_streams_end(stragglers):
    clock = ManualClock()
    recorder = Recorder(clock, stragglers)
    drain = Drain(DrainSettings(delay=timedelta(seconds=5), limit=timedelta(seconds=30)), recorder, recorder,
                  recorder.sleep)
    recorder.drain_of = drain
    assert not drain.draining
    assert asyncio.run(drain.run()) == stragglers
    assert recorder.said == [(0.0, "draining True"), (5.0, "refuse True"), (5.0, "streams 25")]


def test_limit_below_the_delay_leaves_streams_no_time():
    recorder = Recorder(ManualClock())
    drain = Drain(DrainSettings(delay=timedelta(seconds=5), limit=timedelta(seconds=2)), recorder, recorder,
                  recorder.sleep)
    recorder.drain_of = drain
    asyncio.run(drain.run())
    assert recorder.said[-1] == (5.0, "streams 0")
