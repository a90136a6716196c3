"""Live: which rows of a batch no step is done with yet, and whose they are. Every step asks; mostly all are, of one session.

NumPy pays for each question by itself, whatever the rows are: so the common case is answered without a search. Pure.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EVERY", "groups", "live_rows"]

EVERY = np.arange(4096, dtype=np.uint16)      # rows of the largest batch
EVERY.flags.writeable = False


def live_rows(batch: Any) -> NDArray[np.uint16]:
    """Return the rows of a fastpath.batch.PacketBatch that have no reason; not to be written to."""
    reasons = batch.reason[:batch.count]
    if np.count_nonzero(reasons):
        return np.asarray((reasons == 0).nonzero()[0], np.uint16)
    return EVERY[:len(reasons)]


def groups(rows: NDArray[np.uint16], numbers: NDArray[Any]) -> list[tuple[int, NDArray[np.uint16]]]:
    """Return every number with the rows that have it, which keep their order.

    Args:
        numbers: of each row.
    """
    if not len(numbers):
        return []
    if not np.count_nonzero(numbers != numbers[0]):
        return [(int(numbers[0]), rows)]
    return [(number, rows[numbers == number]) for number in np.unique(numbers).tolist()]
