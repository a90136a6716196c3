"""Stance: what becomes of a rule's flows when something that they need fails.

                  open                        closed                       hold
    edge_down     ZIA only: DIRECT instead    dropped, by policy           ZIA, ZPA: they wait, and go on once an edge is back
    tags_stale    the old tags still count    dropped, by policy           –
    pool_full     the answer is upstream's    SERVFAIL                     no answer, so that the client asks again

Journey: a rule's `on_failure` names them; zcc.policy.stances says what a rule's method is under some failures. Pure.
"""

from __future__ import annotations

from enum import StrEnum

from zcc.fields import Settings

__all__ = ["Cause", "OnFailure", "Stance"]


class Cause(StrEnum):
    """What can fail."""

    EDGE_DOWN = "edge_down"
    TAGS_STALE = "tags_stale"
    POOL_FULL = "pool_full"


class Stance(StrEnum):
    """What becomes of the flows then."""

    OPEN = "open"
    CLOSED = "closed"
    HOLD = "hold"


class OnFailure(Settings):
    """A rule's stances; None = as if there were none: edge_down as zia.fail says, old tags count."""

    edge_down: Stance | None = None
    tags_stale: Stance | None = None
    pool_full: Stance | None = None

    def of(self, cause: Cause) -> Stance | None:
        """Return the stance for a cause."""
        found: Stance | None = getattr(self, cause)
        return found
