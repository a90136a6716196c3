from collections.abc import Iterable
from typing import final

import numpy as np
import numpy.typing as npt

from fastpath.flowtable import FlowTable

@final
class PortIdle:
    def __new__(cls, capacity: int, times: Iterable[tuple[int, int, int, float]] = ()) -> PortIdle: ...
    @property
    def capacity(self) -> int: ...
    @property
    def kinds(self) -> int: ...
    def enter_one(self, table: FlowTable, flow: int, protocol: int, port: int, now_ns: int) -> None: ...
    def due_flows(self, table: FlowTable, now_ns: int, out: npt.NDArray[np.int32]) -> int: ...
