"""fastpath: packets in batches, and the tables, formats and devices that they meet. Compiled; useful on its own."""

from fastpath.action import Action, Direction, DropReason, Fragment, PuntReason
from fastpath.batch import PacketBatch

__all__ = ["Action", "Direction", "DropReason", "Fragment", "PacketBatch", "PuntReason"]
