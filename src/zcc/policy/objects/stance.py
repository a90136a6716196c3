"""Stance: what becomes of a rule's flows when something that they need fails.

                  open                         closed                      hold
    edge_down     DIRECT instead               refused: RST or ICMP        kept waiting: dropped in silence, so that the
                                                                           client asks again until the edge is back
    tags_stale    the old tags still count     the rule's flows are        no new flows are let through; those that are
                                               dropped                     there go on
    pool_full     the DNS answer is the        SERVFAIL                    no answer, so that the client asks again
                  upstream's

Journey: a rule's `on_failure` names them; zcc.policy.stances compiles them for a given set of failures. Pure.
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
    """A rule's stances; None = as the file says elsewhere (zia.fail), else closed."""

    edge_down: Stance | None = None
    tags_stale: Stance | None = None
    pool_full: Stance | None = None

    def of(self, cause: Cause) -> Stance | None:
        """Return the stance for a cause."""
        found: Stance | None = getattr(self, cause)
        return found
