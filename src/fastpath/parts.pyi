from typing import final

import numpy as np
from numpy.typing import NDArray

from fastpath.batch import PacketBatch

LARGEST: int

@final
class Parts:
    lost: int
    def __new__(cls) -> Parts: ...
    def join_rows(self, batch: PacketBatch, rows: NDArray[np.uint16]) -> int: ...
    def split_rows(self, batch: PacketBatch, rows: NDArray[np.uint16], size: int, out: PacketBatch) -> int: ...
