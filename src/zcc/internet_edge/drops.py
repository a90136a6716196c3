"""What the edge's datapath counts: drops by the name of their reason, and packets by way."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastpath.action import DropReason

__all__ = ["TAKEN", "Counts", "drop_counts"]

TAKEN = int(DropReason.DROP_REASONS)        # a row that is done with and is no drop
DROPS = {int(reason): reason.name.removeprefix("DROP_").lower() for reason in DropReason
         if reason not in (DropReason.DROP_NONE, DropReason.DROP_PART_HELD, DropReason.DROP_REASONS)}


@dataclass(slots=True)
class Counts:
    """What one side has carried; only grows. Read from any thread."""

    packets: int = 0
    bytes: int = 0


def drop_counts(drops: NDArray[np.int64]) -> Counter[str]:
    """Return drops by the name of their reason."""
    return Counter({name: int(drops[number]) for number, name in DROPS.items()})
