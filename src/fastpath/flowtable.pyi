from collections.abc import Mapping
from enum import IntEnum, IntFlag
from typing import Any, final

import numpy as np
import numpy.typing as npt

from fastpath.batch import PacketBatch
from fastpath.flowentry import ENTRY as ENTRY

__all__ = ["ENTRY", "FlowState", "FlowTable", "TimeoutClass"]


class TimeoutClass(IntEnum):
    TIMEOUT_TCP = 0
    TIMEOUT_TCP_OPENING = 1
    TIMEOUT_TCP_CLOSING = 2
    TIMEOUT_UDP = 3
    TIMEOUT_ICMP = 4
    TIMEOUT_OTHER = 5

class FlowState(IntFlag):
    FLOW_SEEN_REPLY = 1
    FLOW_FIN_FORWARD = 2
    FLOW_FIN_REVERSE = 4
    FLOW_RESET = 8
    FLOW_KERNEL_INSIDE = 16
    FLOW_BOUND = 32
    FLOW_PINNED = 64

@final
class FlowTable:
    def __new__(cls, capacity: int, idle: Mapping[int, float] | None = None) -> FlowTable: ...
    @property
    def capacity(self) -> int: ...
    @property
    def size(self) -> int: ...
    @property
    def entries_view(self) -> npt.NDArray[np.void]: ...
    def __len__(self) -> int: ...
    def lookup_batch(self, batch: PacketBatch) -> int: ...
    def insert_misses(self, batch: PacketBatch, now_ns: int, timeout_class: int | None = None) -> int: ...
    def account_batch(self, batch: PacketBatch, now_ns: int) -> int: ...
    def find_one(self, key: bytes | bytearray | memoryview | npt.NDArray[np.uint8], hash: int) -> int: ...
    def touch_one(self, index: int, timeout_class: int, now_ns: int) -> None: ...
    def remove_one(self, index: int) -> None: ...
    def oldest_one(self) -> int: ...
    def due_flows(self, now_ns: int, out: npt.NDArray[np.int32]) -> int: ...
    def expire(self, now_ns: int) -> int: ...
    def get(self, index: int) -> dict[str, Any]: ...
