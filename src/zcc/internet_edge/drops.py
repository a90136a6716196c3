"""What the edge's datapath drops, by the name of the reason."""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from fastpath.action import DropReason

__all__ = ["FULL", "TAKEN", "drop_counts"]

TAKEN = int(DropReason.DROP_REASONS)        # a row that is done with and is no drop
FULL = int(DropReason.DROP_FLOW_TABLE_FULL)
DROPS = {int(reason): reason.name.removeprefix("DROP_").lower() for reason in DropReason
         if reason not in (DropReason.DROP_NONE, DropReason.DROP_PART_HELD, DropReason.DROP_REASONS)}


def drop_counts(drops: NDArray[np.int64]) -> Counter[str]:
    """Return drops by the name of their reason."""
    return Counter({name: int(drops[number]) for number, name in DROPS.items()})
