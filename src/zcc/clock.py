"""Time as an argument: what the pure protocols and the daemons ask instead of the operating system.

Durations are measured with monotonic_ns, which never jumps; time is for people, logs and certificates only.
"""

from __future__ import annotations

import time
from typing import Protocol

__all__ = ["Clock", "ManualClock", "SystemClock"]

NS_PER_S = 1_000_000_000


class Clock(Protocol):
    """Two readings of time."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds since an arbitrary point; never goes back."""
        ...

    def time(self) -> float:
        """Return seconds since 1970-01-01 UTC; may jump when the host's clock is set."""
        ...


class SystemClock:
    """The host's clocks."""

    def monotonic_ns(self) -> int:
        """Return CLOCK_MONOTONIC in nanoseconds."""
        return time.monotonic_ns()

    def time(self) -> float:
        """Return CLOCK_REALTIME in seconds."""
        return time.time()


class ManualClock:
    """A clock that moves only when told: tests are instant and exact. One thread."""

    def __init__(self, *, monotonic_ns: int = 0, time: float = 1_700_000_000.0) -> None:
        self._monotonic_ns = monotonic_ns
        self._time = time

    def monotonic_ns(self) -> int:
        """Return the nanoseconds set so far."""
        return self._monotonic_ns

    def time(self) -> float:
        """Return the seconds set so far."""
        return self._time

    def advance(self, seconds: float) -> None:
        """Move both readings forward.

        Args:
            seconds: how far, not negative.

        Raises:
            ValueError: seconds is negative.
        """
        if seconds < 0:
            raise ValueError(f"seconds: a clock does not go back, got {seconds}")
        self._monotonic_ns += round(seconds * NS_PER_S)
        self._time += seconds
