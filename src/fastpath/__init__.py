"""fastpath: packets in batches, and the tables, formats and devices that they meet. Compiled; useful on its own."""

from fastpath.action import Action, Direction, DropReason, Fragment, PuntReason
from fastpath.batch import PacketBatch
from fastpath.capi import get_include, get_library, get_library_dir

__all__ = [
    "Action",
    "Direction",
    "DropReason",
    "Fragment",
    "PacketBatch",
    "PuntReason",
    "get_include",
    "get_library",
    "get_library_dir",
]
