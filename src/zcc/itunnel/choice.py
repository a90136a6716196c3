"""Which internet edge takes new flows: the first that is up, with patience before going back. Pure; time is
an argument.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["Choice"]


class Choice:
    """The active one of a list of edges in order of preference. One thread."""

    def __init__(self, edges: int, hold_down_ns: int) -> None:
        """Begin with none active.

        Args:
            edges: how many there are.
            hold_down_ns: how long an edge that was lost must be up again before it takes over from a living one
                behind it. At the start, when edges come up one after another, the preferred one is not kept waiting.
        """
        self._up_since: list[int | None] = [None] * edges
        self._lost = [False] * edges     # went down after it had been up: what patience is for
        self._hold_down_ns = hold_down_ns
        self.active: int | None = None

    def update(self, up: Sequence[bool], now_ns: int) -> int | None:
        """Return the edge for new flows, None = none is up.

        Args:
            up: of each edge, whether it is.
            now_ns: monotonic.
        """
        for edge, is_up in enumerate(up):
            if not is_up:
                self._lost[edge] = self._lost[edge] or self._up_since[edge] is not None
                self._up_since[edge] = None
            elif self._up_since[edge] is None:
                self._up_since[edge] = now_ns
        alive = [edge for edge, since in enumerate(self._up_since) if since is not None]
        if self.active not in alive:      # nothing to lose: no patience
            self.active = alive[0] if alive else None
            return self.active
        for edge in alive:
            since = self._up_since[edge]
            patient = not self._lost[edge] or (since is not None and now_ns - since >= self._hold_down_ns)
            if edge == self.active or patient:
                self.active = edge
                break
        return self.active

    def next_ns(self, now_ns: int) -> int | None:
        """Return when a waiting edge may take over; None = nothing waits."""
        due = [since + (self._hold_down_ns if self._lost[edge] else 0) for edge, since in enumerate(self._up_since)
               if since is not None and self.active is not None and edge < self.active]
        return max(min(due), now_ns) if due else None
