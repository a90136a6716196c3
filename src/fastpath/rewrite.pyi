from typing import Final

import numpy as np
import numpy.typing as npt

from fastpath.batch import PacketBatch

__all__ = ["DESTINATION", "SOURCE", "decrement_ttl_one", "decrement_ttl_rows", "rewrite_one", "rewrite_rows"]

SOURCE: Final[int]
DESTINATION: Final[int]

# Both work on the inner packet of each row and on its source/destination/port columns; k-th address and port for rows[k].
# Rows that cannot be are dropped with their reason. Return how many of `rows` are still alive.
def rewrite_rows(
    batch: PacketBatch,
    rows: npt.NDArray[np.uint16],
    side: int,
    addresses: npt.NDArray[np.uint8],
    ports: npt.NDArray[np.uint16],
) -> int: ...
def decrement_ttl_rows(batch: PacketBatch, rows: npt.NDArray[np.uint16]) -> int: ...

# One packet, in place; returns a DropReason value, 0 when rewritten.
def rewrite_one(
    packet: bytearray | npt.NDArray[np.uint8],
    protocol: int,
    l4_offset: int,
    side: int,
    address: bytes,
    port: int,
    fragment: int = 0,
) -> int: ...
def decrement_ttl_one(packet: bytearray | npt.NDArray[np.uint8]) -> bool: ...
