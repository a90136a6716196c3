"""How long to wait before the next attempt: doubling, with jitter, from a floor to a ceiling. Pure."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Backoff"]


class Backoff:
    """Pauses of one dialler.

    Each pause is drawn from the upper half of its step, so that agents that lost the same edge at the same
    moment do not return together.
    """

    def __init__(self, floor_s: float, ceiling_s: float, random: Callable[[], float]) -> None:
        """Start at the floor.

        Args:
            random: returns uniform numbers in [0, 1).
        """
        if not 0 < floor_s <= ceiling_s:
            raise ValueError(f"floor_s: {floor_s} is not between 0 and ceiling_s {ceiling_s}")
        self._floor_s = floor_s
        self._ceiling_s = ceiling_s
        self._random = random
        self._step_s = floor_s

    def next_s(self) -> float:
        """Return the next pause in seconds."""
        pause_s = self._step_s * (0.5 + 0.5 * self._random())
        self._step_s = min(self._step_s * 2, self._ceiling_s)
        return pause_s

    def reset(self) -> None:
        """Start again at the floor, after a success."""
        self._step_s = self._floor_s
